import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.losses.charbonnier import charbonnier, l1


def test_equals_numpy_in_float64():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 4, 4, 3)), rng.random((2, 3, 4, 4, 3))
    expected = np.mean(np.sqrt((a - b) ** 2 + 0.01**2))
    found = charbonnier(
        jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), epsilon=0.01
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_is_epsilon_and_flat_where_nothing_differs():
    x = jnp.ones((2, 3))
    value, gradient = jax.value_and_grad(lambda y: charbonnier(x, y, epsilon=1e-3))(x)
    np.testing.assert_allclose(value, 1e-3, rtol=1e-6)
    np.testing.assert_array_equal(gradient, 0.0)


def test_computes_in_float32():
    x = jnp.zeros((4,), jnp.bfloat16)
    found = charbonnier(x, x, epsilon=1.2345e-3)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 1.2345e-3, rtol=1e-6)


def test_refuses_to_broadcast():
    with pytest.raises((ValueError, TypeError)):
        charbonnier(jnp.zeros((2, 3)), jnp.zeros((1, 3)))


def test_values_by_hand():
    step = np.where(np.arange(10) < 5, 0.25, 0.75).astype(np.float32)
    sharp = jnp.asarray(np.tile(step[None, :, None], (4, 1, 3)))
    # One of ten columns is off by the height of the step, or by half of it.
    shifted, blurred = jnp.roll(sharp, 1, axis=1), sharp.at[:, 5].set(0.5)
    shifted = shifted.at[:, 0].set(0.25)
    assert float(l1(sharp, sharp)) == 0
    np.testing.assert_allclose(l1(shifted, sharp), 0.05, rtol=1e-6)
    np.testing.assert_allclose(l1(blurred, sharp), 0.025, rtol=1e-6)
    epsilon = 0.01
    for prediction, off in ((shifted, 0.5), (blurred, 0.25)):
        expected = 0.9 * epsilon + 0.1 * np.hypot(off, epsilon)
        found = charbonnier(prediction, sharp, epsilon=epsilon)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_l1_is_flat_where_nothing_differs():
    x = jnp.ones((2, 3))
    np.testing.assert_array_equal(jax.grad(l1)(x, x), 0.0)
