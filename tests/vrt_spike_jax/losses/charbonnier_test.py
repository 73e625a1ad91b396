import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.losses.charbonnier import charbonnier


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
