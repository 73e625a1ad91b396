"""The gain of a video in one pass is that of the whole arrays."""

import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.spike_encoder import match_gain
from vrt_spike_jax.video_gain import video_gain


@pytest.mark.parametrize("frames", [1, 4, 11])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_it_equals_match_gain(frames, scale):
    rng = np.random.default_rng(frames)
    blur = rng.random((frames, 16, 24, 3), np.float32)
    spikes = rng.random((frames, 3, 16 // scale, 24 // scale), np.float32)
    gain = video_gain(blur, spikes, spike_scale=scale)
    expected = match_gain(jnp.asarray(spikes[None]), jnp.asarray(blur[None]))
    assert gain.shape == expected.shape
    np.testing.assert_allclose(gain, expected, rtol=1e-5)
    dark = np.where(spikes[:, :1] > 0.5, 1, 0.01) + 0 * spikes
    for bright in (np.minimum(4 * spikes, 1), np.ones_like(spikes), dark):
        gain = video_gain(blur, bright, spike_scale=scale)
        expected = match_gain(jnp.asarray(bright[None]), jnp.asarray(blur[None]))
        np.testing.assert_allclose(gain, expected, rtol=1e-5)


def test_side_channels_are_no_rates():
    rng = np.random.default_rng(5)
    blur = rng.random((5, 16, 24, 3), np.float32)
    spikes = rng.random((5, 4, 16, 24), np.float32)
    gain = video_gain(blur, spikes, spike_scale=1, side_channels=1)
    expected = video_gain(blur, spikes[:, :3], spike_scale=1)
    np.testing.assert_array_equal(gain, expected)


def test_without_a_spike_it_is_one():
    blur = np.ones((2, 8, 8, 3), np.float32)
    assert video_gain(blur, np.zeros((2, 3, 8, 8), np.float32), spike_scale=1) == 1
