"""Spike consistency against values by hand, for cameras without noise."""

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline import transfer
from vrt_spike_jax.losses import spike_consistency
from vrt_spike_jax.losses.spike_consistency import reblur, spike_rate
from vrt_spike_jax.models.closed_form import DARK_LIGHT

GAIN = 2.5  # light of one spike per spike frame
COUNT = 20  # spike frames of the short window


def _lights(scale=1):
    """Grey light (1, 2, h, w) around the instants, and of the whole exposures."""
    rng = np.random.default_rng(0)
    return rng.uniform(0.2, 0.7, (2, 1, 2, 4, 4))


def _frames(light, scale=1):
    light = light.repeat(scale, axis=2).repeat(scale, axis=3)
    return jnp.asarray(np.repeat(light[..., None], 3, axis=-1), jnp.float32)


def _recorded(short, long, *, linear=False, scale=1):
    """blur, rates and transfer, as a batch has them."""
    blur = long ** (1 / 2.2) if linear else long
    rates = (jnp.asarray(light / GAIN, jnp.float32) for light in (short, long))
    return _frames(blur, scale), *rates, jnp.full(1, float(linear))


def test_the_gamma_is_that_of_the_data():
    assert spike_consistency.GAMMA == transfer.GAMMA


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("scale", [1, 2])
def test_sharp_frames_agree_with_the_spikes(linear, scale):
    short, long = _lights()
    sharp = _frames(short ** (1 / 2.2) if linear else short, scale)
    recorded = _recorded(short, long, linear=linear, scale=scale)
    assert float(reblur(sharp, *recorded)) == pytest.approx(0, abs=1e-6)
    assert float(spike_rate(sharp, *recorded, tfp_window=COUNT)) == 0


def test_the_wrong_transfer_does_not():
    short, long = _lights()
    blur, *rates, _ = _recorded(short, long, linear=True)
    found = reblur(_frames(short ** (1 / 2.2)), blur, *rates, jnp.zeros(1))
    assert float(found) > 0.02


def test_the_blurred_frame_by_hand():
    short, long = _lights()
    recorded = _recorded(short, long)
    dark, window = DARK_LIGHT, GAIN / COUNT
    expected = np.abs(long - short) * (long + dark) / (np.maximum(short, long) + dark)
    found = reblur(recorded[0], *recorded)
    assert float(found) == pytest.approx(expected.mean(), rel=1e-5)
    off = np.maximum(np.abs(long - short) - window, 0)
    found = spike_rate(recorded[0], *recorded, tfp_window=COUNT)
    assert float(found) == pytest.approx(off.mean(), rel=1e-5)


def test_sharp_frames_shifted_by_one_pixel_by_hand():
    short, long = _lights()
    shifted = np.roll(short, 1, axis=3)
    recorded = _recorded(short, long)
    share = (long + DARK_LIGHT) / (np.maximum(short, long) + DARK_LIGHT)
    found = reblur(_frames(shifted), *recorded)
    expected = (np.abs(shifted - short) * share).mean()
    assert float(found) == pytest.approx(expected, rel=1e-5)
    off = np.maximum(np.abs(shifted - short) - GAIN / COUNT, 0).mean()
    found = spike_rate(_frames(shifted), *recorded, tfp_window=COUNT)
    assert float(found) == pytest.approx(off, rel=1e-5)


def test_what_a_camera_rounds_to_whole_spikes_costs_nothing():
    short, long = _lights()
    blur, _, rate_long, space = _recorded(short, long)
    for rounded in (np.floor, np.ceil):
        rate = rounded(short / GAIN * COUNT) / COUNT
        recorded = (blur, jnp.asarray(rate, jnp.float32), rate_long, space)
        found = spike_rate(_frames(short), *recorded, tfp_window=COUNT)
        assert float(found) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("factor", [0.25, 2.0])  # not into saturation
def test_threshold_and_gain_cancel(factor):
    short, long = _lights()
    blur, rate_short, rate_long, space = _recorded(short, long)
    first, second = (
        float(reblur(blur, blur, f * rate_short, f * rate_long, space))
        for f in (1.0, factor)
    )
    assert second == pytest.approx(first, rel=1e-5)


def test_pixels_whose_spikes_are_saturated_do_not_count():
    short, long = _lights()
    blur, rate_short, rate_long, space = _recorded(short, long)
    sharp = _frames(short)
    # More light than the camera can report, in a pixel of the exposure and at another
    # of the instant: it fires at every spike frame.
    recorded = (
        blur.at[0, 0, 1, 2].set(5.0),
        rate_short.at[0, 1, 3, 3].set(1.0),
        rate_long.at[0, 0, 1, 2].set(1.0),
        space,
    )
    assert float(reblur(sharp, *recorded)) == pytest.approx(0, abs=1e-6)
    assert float(spike_rate(sharp, *recorded, tfp_window=COUNT)) == 0
    every = (blur, jnp.ones_like(rate_short), jnp.ones_like(rate_long), space)
    assert float(reblur(sharp, *every)) == 0


def test_shapes_that_do_not_fit_are_refused():
    short, long = _lights()
    blur, rate_short, rate_long, space = _recorded(short, long)
    with pytest.raises(ValueError, match="exactly 1, 2 or 4 times as large"):
        reblur(blur, blur, rate_short[..., :3], rate_long[..., :3], space)
    with pytest.raises(ValueError, match="take clips"):
        reblur(blur, blur, rate_short[0], rate_long[0], space)
