"""The temporal transformer: along the time of a pixel alone, of any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.spike_encoder import SpikeEncoder3D
from vrt_spike_jax.models.spike_encoder_temporal import TemporalTransformer, time_codes

RNG = np.random.default_rng(23)
X = jnp.asarray(RNG.normal(size=(2, 6, 3, 4, 8)), jnp.float32)
LAYER = TemporalTransformer(2)
SHAPES = jax.eval_shape(LAYER.init, jax.random.key(0), X)["params"]
PARAMS = jax.tree.map(
    lambda x: jnp.asarray(RNG.normal(0, 0.4, x.shape), jnp.float32), SHAPES
)


def run(x, layer=LAYER):
    return layer.apply({"params": PARAMS}, x)


def test_it_starts_as_the_identity():
    found, _ = LAYER.init_with_output(jax.random.key(0), X)
    np.testing.assert_array_equal(found, X)


def test_it_equals_a_transformer_block_written_out():
    w = jax.tree.map(np.asarray, PARAMS)

    def dense(name, x):
        return x @ w[name]["kernel"] + w[name]["bias"]

    def norm(name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
        return x * w[name]["scale"] + w[name]["bias"]

    x = np.asarray(X)[1, :, 2, 1]  # (times, channels) of one pixel
    normed = norm("norm1", x)
    query, key = np.split(dense("query_key", normed + time_codes(6, 8)), 2, -1)
    value = dense("value", normed)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        logits = query[:, part] @ key[:, part].T / 2
        weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        heads.append(weights @ value[:, part])
    x = x + dense("proj", np.concatenate(heads, -1))
    hidden = np.asarray(jax.nn.gelu(dense("fc1", norm("norm2", x))))
    np.testing.assert_allclose(run(X)[1, :, 2, 1], x + dense("fc2", hidden), atol=1e-4)


def test_pixels_do_not_see_each_other_but_all_times_do():
    change = run(X.at[0, 2, 1, 1, 0].add(1.0)) - run(X)
    touched = np.abs(change).max(-1) > 1e-6
    expected = np.zeros((2, 6, 3, 4), bool)
    expected[0, :, 1, 1] = True
    np.testing.assert_array_equal(touched, expected)


def test_the_order_of_the_times_matters():
    change = run(X[:, ::-1])[:, ::-1] - run(X)
    assert np.abs(change).max() > 1e-2


def test_chunks_change_neither_values_nor_gradients():
    def loss(x, max_chunk):
        return jnp.sin(run(x, LAYER.clone(max_chunk=max_chunk))).sum()

    expected = jax.value_and_grad(loss)(X, 2**30)
    found = jax.value_and_grad(loss)(X, 200)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


def test_codes_tell_places_of_the_exposure_apart_however_finely_it_is_divided():
    for steps in (1, 4, 16, 64):
        codes = time_codes(steps, 12)
        assert codes.shape == (steps, 12)
        apart = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
        assert np.all(apart[~np.eye(steps, dtype=bool)] > 0.02)
    # The middle of a coarse part is that of its two finer ones.
    coarse, fine = time_codes(4, 2), time_codes(8, 2)
    np.testing.assert_allclose(
        coarse, fine.reshape(4, 2, 2).mean(1) / np.cos(np.pi / 16), atol=1e-6
    )
    assert time_codes(4, 7).shape == (4, 7)


def test_longer_streams_run_through_the_same_parameters():
    assert run(jnp.concatenate([X, X, X], 1)).shape == (2, 18, 3, 4, 8)


def test_heads_that_cannot_share_the_channels_are_refused():
    with pytest.raises(ValueError, match="3 heads for 8 channels"):
        TemporalTransformer(3).init(jax.random.key(0), X)


def test_the_encoder_has_a_block_at_each_scale_of_the_spikes():
    light = jax.ShapeDtypeStruct((1, 2, 128, 32, 32), jnp.float32)
    encoder = SpikeEncoder3D((4, 4, 8, 8), (4, 6, 8, 8), temporal_blocks=2)

    def init(light):
        return encoder.init_with_output(jax.random.key(0), light, spike_scale=2)

    features, variables = jax.eval_shape(init, light)
    assert features[0].shape == (1, 2, 16, 64, 64, 4)
    blocks = {k for k in variables["params"] if k.startswith("temporal_")}
    assert blocks == {f"temporal_{scale}_{i}" for scale in (1, 2, 3) for i in (0, 1)}
