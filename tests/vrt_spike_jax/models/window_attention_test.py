"""Window attention against direct formulas; chunks, shifts, position codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.window_attention import (
    WindowAttention,
    attend,
    relative_position_index,
    shift_region_ids,
    sine_position_bias,
    window_partition,
    window_reverse,
)

RNG = np.random.default_rng(7)


def test_reverse_undoes_partition():
    x = jnp.asarray(RNG.normal(size=(2, 4, 8, 12, 3)), jnp.float32)
    windows = window_partition(x, (2, 4, 4))
    assert windows.shape == (2 * 2 * 2 * 3, 32, 3)
    np.testing.assert_array_equal(window_reverse(windows, (2, 4, 4), (4, 8, 12)), x)


@pytest.mark.parametrize("shift", [(1, 4, 4), (0, 4, 4), (1, 0, 4)])
def test_shifted_tokens_see_only_their_neighbours(shift):
    size, window = (4, 16, 24), (2, 8, 8)
    ids = shift_region_ids(size, window, shift)
    places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1)
    rolled = np.roll(places, [-step for step in shift], (0, 1, 2))
    tokens = jnp.asarray(rolled[None], jnp.float32)
    windows = np.asarray(window_partition(tokens, window))
    span = np.abs(windows[:, :, None] - windows[:, None])
    # Tokens are neighbours where no axis wrapped around inside the window.
    near = (span < np.array(window)).all(-1)
    np.testing.assert_array_equal(ids[:, :, None] == ids[:, None], near)


@pytest.mark.parametrize("masked", [False, True])
def test_chunks_equal_the_plain_softmax(masked):
    q, k, v = (
        jnp.asarray(RNG.normal(size=(14, 2, 8, 4)), jnp.float32) for _ in range(3)
    )
    bias = jnp.asarray(RNG.normal(size=(2, 8, 8)), jnp.float32)
    ids = jnp.asarray(RNG.integers(0, 2, (14, 8)), jnp.int32) if masked else None
    logits = jnp.einsum("whnd,whmd->whnm", q, k) + bias[None]
    if masked:
        same = (ids[:, :, None] == ids[:, None])[:, None]
        logits = jnp.where(same, logits, logits - 100)
    expected = jax.nn.softmax(logits) @ v

    def total(q, max_chunk):
        out = attend(q, k, v, bias=bias, region_ids=ids, max_chunk=max_chunk)
        return (out**2).sum(), out

    # Windows one by one, in fours with two missing from the last, and all at once.
    for max_chunk in (1, 4 * 128, 10**9):
        gradient, out = jax.grad(total, has_aux=True)(q, max_chunk)
        np.testing.assert_allclose(out, expected, atol=1e-5)
        whole, _ = jax.grad(total, has_aux=True)(q, 10**9)
        np.testing.assert_allclose(gradient, whole, atol=1e-5)


def test_mutual_attention_crosses_the_frames():
    layer = WindowAttention(8, (2, 2, 2), 2, mutual=True)
    x = jnp.asarray(RNG.normal(size=(3, 8, 8)), jnp.float32)
    params = layer.init(jax.random.key(0), x)["params"]

    def mutual_part(x):
        # proj reads the mutual half from its first inputs.
        kernel = jnp.concatenate([jnp.eye(8), jnp.zeros((8, 8))])
        proj = {"kernel": kernel, "bias": jnp.zeros(8)}
        return layer.apply({"params": {**params, "proj": proj}}, x)

    changed = mutual_part(x.at[:, 0].add(1.0)) - mutual_part(x)
    # A token of frame 1 is a key for the queries of frame 2, whose answers stand at
    # frame 1, and a query whose answer stands at its own place in frame 2.
    assert np.all(np.abs(np.asarray(changed)).max(-1) > 0, axis=0).tolist() == (
        [True] * 4 + [True] + [False] * 3
    )


def test_relative_position_index_counts_offsets():
    index = relative_position_index((2, 3, 3))
    assert index.shape == (18, 18)
    assert index.max() == 3 * 5 * 5 - 1
    assert len(np.unique(index)) == 3 * 5 * 5
    assert np.all(np.diag(index) == (1 * 5 + 2) * 5 + 2)


@pytest.mark.parametrize("channels", [24, 96, 22])
def test_sine_position_bias_is_the_formula(channels):
    half = channels // 2
    bias = sine_position_bias(8, 8, channels).reshape(8, 8, channels)
    for i in (0, 1, half - 1):
        angle = 3 / 8 * 2 * np.pi / 10000 ** (2 * (i // 2) / half)
        value = np.cos(angle) if i % 2 else np.sin(angle)
        np.testing.assert_allclose(bias[2, 5, i], value, atol=1e-6)
        np.testing.assert_allclose(bias[5, 2, half + i], value, atol=1e-6)
