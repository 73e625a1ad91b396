"""Saturated spikes: found in runs alone, and filled with what the blur leaves."""

import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.saturation import fill_saturated, saturated

RNG = np.random.default_rng(0)


def rgb(grey, scale=1):
    return np.repeat(np.repeat(grey, scale, 2), scale, 3)[..., None] * np.ones(3)


def test_only_runs_of_an_eighth_of_the_exposure_are_saturated():
    rates = np.zeros((1, 1, 32, 1, 4), np.float32)
    rates[0, 0, 5:9, 0, 0] = 1  # four in a row
    rates[0, 0, [5, 6, 7, 9, 10, 11], 0, 1] = 1  # never four in a row
    rates[0, 0, 28:, 0, 2] = 0.96  # at the end
    rates[0, 0, :, 0, 3] = 0.9  # below what can be saturated
    found = np.asarray(saturated(jnp.asarray(rates)))[0, 0, :, 0]
    expected = np.zeros((32, 4), bool)
    expected[5:9, 0] = expected[28:, 2] = True
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("parts, run", [(8, 1), (12, 2), (15, 2), (32, 4)])
def test_a_run_is_an_eighth_of_the_exposure_or_longer(parts, run):
    for length in (run - 1, run):
        rates = np.zeros((1, 1, parts, 1, 1))
        rates[:, :, 2 : 2 + length] = 1
        found = np.asarray(saturated(jnp.asarray(rates)))
        assert found.sum() == (length if length == run else 0)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_light_that_is_even_where_it_saturates_is_found_exactly(scale):
    light = RNG.uniform(0, 0.45, (2, 3, 1, 4, 6)) * np.ones((32, 1, 1))
    light[:, :, 12:20] += 0.5
    rates = np.minimum(light / 0.5, 1)
    told = 0.5 * rates
    blur = rgb(light.mean(2), scale)
    assert np.abs(told - light).max() > 0.3
    found = fill_saturated(*map(jnp.asarray, (told, rates, blur)))
    np.testing.assert_allclose(found, light, atol=1e-6)


def test_the_mean_of_a_saturated_exposure_is_that_of_its_frame():
    light = RNG.uniform(0.6, 1, (1, 2, 16, 3, 5))
    rates = np.ones_like(light)
    found = fill_saturated(*map(jnp.asarray, (0.5 * rates, rates, rgb(light.mean(2)))))
    np.testing.assert_allclose(found, light.mean(2, keepdims=True) + 0 * light, 1e-6)


def test_what_fires_in_every_spike_frame_had_no_less_light_than_that():
    rates = np.ones((1, 1, 8, 2, 2))
    dark = jnp.zeros((1, 1, 2, 2, 3))  # a frame that says otherwise
    found = fill_saturated(jnp.asarray(0.5 * rates), jnp.asarray(rates), dark)
    np.testing.assert_array_equal(found, 0.5 * rates)


def test_rates_below_saturation_stay_bit_for_bit():
    rates = jnp.asarray(RNG.uniform(0, 0.94, (2, 2, 8, 4, 4)), jnp.float32)
    blur = jnp.asarray(RNG.random((2, 2, 4, 4, 3)), jnp.float32)
    np.testing.assert_array_equal(fill_saturated(rates * 2, rates, blur), rates * 2)
