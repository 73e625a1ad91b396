"""TMSA: windows that fit the clip, odd sizes, stochastic depth, the gated layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from vrt_spike_jax.models.tmsa import (
    TMSA,
    TMSAG,
    MlpGEGLU,
    drop_path_factor,
    fit_window,
)

RNG = np.random.default_rng(23)


def filled(shapes, scale=0.3):
    """Parameters of the given shapes, all away from their start."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, scale, x.shape), jnp.float32), shapes
    )


@pytest.mark.parametrize(
    ("size", "window", "shift"),
    [
        # Larger than the window in every dimension: window and shift stay.
        ((12, 64, 72), (6, 8, 8), (3, 4, 4)),
        # One window exactly: nothing to shift.
        ((6, 8, 8), (6, 8, 8), (0, 0, 0)),
        # Smaller: the window shrinks.
        ((4, 5, 7), (4, 5, 7), (0, 0, 0)),
        # Each dimension by itself.
        ((4, 64, 8), (4, 8, 8), (0, 4, 0)),
        ((7, 9, 3), (6, 8, 3), (3, 4, 0)),
    ],
)
def test_the_window_fits_the_clip(size, window, shift):
    assert fit_window(size, (6, 8, 8), (3, 4, 4)) == (window, shift)


def test_dropped_paths_are_whole_samples_and_keep_the_mean():
    rate, samples = 0.25, 4000
    key = jax.random.key(3)
    factor = np.asarray(drop_path_factor(key, rate, samples))
    assert factor.shape == (samples,)
    kept = factor > 0
    np.testing.assert_allclose(factor[kept], 1 / (1 - rate), rtol=1e-6)
    assert not np.any(factor[~kept])
    # Four standard deviations of a binomial share.
    bound = 4 * np.sqrt(rate * (1 - rate) / samples)
    assert abs(kept.mean() - (1 - rate)) < bound
    assert abs(factor.mean() - 1) < bound / (1 - rate)


def test_a_dropped_path_leaves_its_sample_as_it_was():
    block = TMSA(8, 2, (2, 4, 4), (1, 2, 2), True, drop_path=0.999999)
    x = jnp.asarray(RNG.normal(size=(2, 4, 8, 8, 8)), jnp.float32)
    params = filled(jax.eval_shape(block.init, jax.random.key(0), x)["params"])
    dropout = {"dropout": jax.random.key(1)}
    out = jax.jit(lambda p, x: block.apply({"params": p}, x, True, rngs=dropout))
    np.testing.assert_array_equal(out(params, x), x)
    kept = jax.jit(lambda p, x: block.apply({"params": p}, x))
    assert np.all(np.abs(kept(params, x) - x).max(-1) > 1e-3)


def test_the_feed_forward_layer_is_gated_by_an_exact_gelu():
    x = jnp.asarray(RNG.normal(size=(3, 5, 4)), jnp.float32)
    layer = MlpGEGLU(7, 6)
    params = filled(jax.eval_shape(layer.init, jax.random.key(0), x)["params"], 1.0)
    weights = jax.tree.map(lambda p: np.asarray(p, np.float64), params)

    def dense(name, x):
        return x @ weights[name]["kernel"] + weights[name]["bias"]

    gate = dense("fc11", np.asarray(x, np.float64))
    gate = gate * (1 + erf(gate / np.sqrt(2))) / 2
    expected = dense("fc2", gate * dense("fc12", np.asarray(x, np.float64)))
    found = layer.apply({"params": params}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def group():
    return TMSAG(8, 2, 2, (2, 4, 4), mutual=False)


@pytest.fixture(scope="module")
def params(group):
    x = jax.ShapeDtypeStruct((1, 4, 8, 8, 8), jnp.float32)
    return filled(jax.eval_shape(group.init, jax.random.key(0), x)["params"])


@pytest.fixture(scope="module")
def run(group):
    return jax.jit(lambda params, x: group.apply({"params": params}, x))


def test_odd_sizes_are_padded_and_cut_again(run, params):
    x = jnp.asarray(RNG.normal(size=(2, 3, 7, 9, 8)), jnp.float32)
    out = run(params, x)
    assert out.shape == x.shape
    assert np.all(np.isfinite(out))
    assert np.all(np.abs(out - x).max(-1) > 1e-3)


def test_shifted_windows_carry_over_the_border_of_windows(run, params):
    x = jnp.asarray(RNG.normal(size=(1, 4, 8, 8, 8)), jnp.float32)
    changed = run(params, x.at[0, 0, 0, 0, 0].add(1)) - run(params, x)
    reached = np.abs(np.asarray(changed)[0]).max(-1) > 1e-6
    # Block 1 fills the window of the token; block 2, shifted by (1, 2, 2), carries on
    # into the next windows, not around the clip's end, and no further.
    expected = np.zeros((4, 8, 8), bool)
    expected[:3, :6, :6] = True
    np.testing.assert_array_equal(reached, expected)


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_chunks_of_windows_equal_all_at_once(mutual, train):
    def block(max_chunk):
        # In float64, where sums in another order agree to the last digits.
        return TMSA(
            8,
            2,
            (2, 4, 4),
            (1, 2, 2),
            mutual,
            drop_path=0.5,
            max_chunk=max_chunk,
            dtype=jnp.float64,
            param_dtype=jnp.float64,
        )

    with jax.enable_x64(True):
        # Padding in every dimension, a shift, two samples.
        x = jnp.asarray(RNG.normal(size=(2, 3, 7, 9, 8)))
        shapes = jax.eval_shape(block(1).init, jax.random.key(0), x)["params"]
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), filled(shapes))

        def run(max_chunk):
            def total(params, x):
                rngs = {"dropout": jax.random.key(2)}
                out = block(max_chunk).apply({"params": params}, x, train, rngs=rngs)
                return (out**2).sum(), out

            return jax.jit(jax.grad(total, (0, 1), has_aux=True))(params, x)

        whole = run(10**9)
        # One window at a time, and five, which do not divide the 24 there are.
        for max_chunk in (1, 5 * 32 * 64):
            for found, expected in zip(
                jax.tree.leaves(run(max_chunk)), jax.tree.leaves(whole), strict=True
            ):
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
