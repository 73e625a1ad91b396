"""The closed form as an input: its value, its protection, no word without spikes."""

import jax
import jax.numpy as jnp
import numpy as np

from vrt_spike_jax.evaluate import closed_form
from vrt_spike_jax.models.closed_form import (
    DARK_LIGHT,
    ClosedFormInput,
    change_to_middle,
    confidence,
)

RNG = np.random.default_rng(29)
BLUR = jnp.asarray(RNG.random((1, 2, 8, 12, 3)), jnp.float32)
LIGHT = jnp.asarray(RNG.random((1, 2, 8, 8, 12)), jnp.float32)


def test_blur_times_the_change_leads_to_the_closed_form_where_it_is_bright():
    bright = 100 * LIGHT
    found = BLUR + BLUR * change_to_middle(bright)[..., None]
    short, long = bright[:, :, 2:6].mean(2), bright.mean(2)
    expected = closed_form(BLUR[0], short[0], long[0])
    np.testing.assert_allclose(jnp.clip(found[0], 0, 1), expected, atol=1e-3)


def test_constant_light_changes_nothing():
    light = jnp.broadcast_to(LIGHT[:, :, :1], LIGHT.shape)
    np.testing.assert_allclose(change_to_middle(light), 0, atol=1e-6)


def test_the_change_fades_with_the_confidence_and_never_bursts():
    plain = change_to_middle(1e6 * LIGHT)
    for scale in (1e-6, 1e-2, 1.0):
        light = scale * LIGHT
        found = change_to_middle(light)
        np.testing.assert_allclose(found, plain * confidence(light), atol=1e-5)
        assert np.abs(found).max() < 1
    lone = jnp.zeros((1, 1, 8, 1, 1)).at[:, :, 3].set(5.0)
    assert 0.9 < float(change_to_middle(lone)[0, 0, 0, 0]) < 1


def test_confidence_rises_from_zero_past_a_half_at_the_dark_towards_one():
    means = jnp.array([0.0, DARK_LIGHT, 99 * DARK_LIGHT])
    light = jnp.broadcast_to(means, (1, 1, 4, 1, 3))
    found = confidence(light)[0, 0, 0]
    np.testing.assert_allclose(found, [0, 0.5, 0.99], atol=1e-6)


def test_input_starts_at_zero_and_is_zero_without_spikes():
    layer = ClosedFormInput(6)
    found, variables = layer.init_with_output(jax.random.key(0), BLUR, LIGHT)
    assert found.shape == (1, 2, 8, 12, 6)
    assert not np.any(found)
    opened = jax.tree.map(lambda x: jnp.ones_like(x) / 7, variables)
    assert np.abs(layer.apply(opened, BLUR, LIGHT)).max() > 1e-3
    assert not np.any(layer.apply(opened, BLUR, 0 * LIGHT))


def test_spikes_of_fewer_pixels_are_brought_to_the_size_of_the_frames():
    layer = ClosedFormInput(6)
    blur = jnp.asarray(RNG.random((1, 2, 16, 24, 3)), jnp.float32)
    variables = layer.init(jax.random.key(0), blur, LIGHT)
    opened = jax.tree.map(lambda x: jnp.ones_like(x) / 7, variables)
    assert layer.apply(opened, blur, LIGHT).shape == (1, 2, 16, 24, 6)
