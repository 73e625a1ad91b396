"""Temporal losses against values by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.losses.temporal import flow_difference, temporal_consistency

SIZE = 10
SLOPE = 0.05  # white per pixel


def _ramp(shift=0.0):
    """A frame whose light rises to the right, moved there by `shift` pixels."""
    light = SLOPE * (np.arange(SIZE) - shift)
    return np.tile(light[None, :, None], (SIZE, 1, 3))


def _clip(*frames):
    return jnp.asarray(np.stack(frames)[None], jnp.float32)


def _flow(x):
    flow = np.zeros((1, 1, SIZE, SIZE, 2), np.float32)
    flow[..., 0] = x
    return jnp.asarray(flow), jnp.asarray(-flow)


def test_a_clip_that_moves_as_the_flow_says_changes_nothing():
    sharp = _clip(_ramp(), _ramp(1))
    flow = _flow(1.0)
    for relative in (True, False):
        found = temporal_consistency(sharp, sharp, *flow, relative=relative)
        assert float(found) == pytest.approx(0, abs=1e-6)


def test_a_clip_that_stands_still_is_off_by_the_slope():
    sharp, still = _clip(_ramp(), _ramp(1)), _clip(_ramp(), _ramp())
    for relative in (True, False):
        found = temporal_consistency(still, sharp, *_flow(1.0), relative=relative)
        assert float(found) == pytest.approx(SLOPE, rel=1e-5)


def test_errors_that_stay_cost_nothing_and_those_that_flicker_do():
    sharp = _clip(_ramp(), _ramp(1))
    found = [
        temporal_consistency(sharp + jnp.asarray(error), sharp, *_flow(1.0))
        for error in (0.1, np.float32([0.0, 0.3]).reshape(1, 2, 1, 1, 1))
    ]
    np.testing.assert_allclose(found, [0.0, 0.3], atol=1e-6)


def test_flat_frames_satisfy_the_loss_as_published_alone():
    # Blur is the way to it, which is why `relative` is the default.
    sharp, flat = _clip(_ramp(), _ramp(0.5)), _clip(_ramp() * 0, _ramp() * 0)
    flow = _flow(1.0)  # half a pixel more than there is
    assert float(temporal_consistency(flat, sharp, *flow, relative=False)) == 0
    assert float(temporal_consistency(flat, sharp, *flow)) > 0.4 * SLOPE


def test_occluded_pixels_do_not_count():
    sharp = _clip(_ramp(), _ramp())
    broken = sharp.at[0, 1, 4].add(1.0)  # one row of the second frame
    forward, backward = _flow(0.0)
    hidden = backward.at[0, 0, 4].set(3.0)  # which does not lead back
    assert float(temporal_consistency(broken, sharp, forward, backward)) > 0
    assert float(temporal_consistency(broken, sharp, forward, hidden)) == 0
    assert float(flow_difference(broken, sharp, forward, hidden)) > 0  # by its window


def test_nothing_visible_is_no_loss():
    sharp = _clip(_ramp(), _ramp(1))
    flow = _flow(2.0 * SIZE)  # all of it leaves the frame
    for loss in (temporal_consistency, flow_difference):
        assert float(loss(sharp * 0, sharp, *flow)) == 0


def test_a_shift_by_one_pixel_is_one_pixel_of_tof():
    """Of a ramp the step of Lucas and Kanade is known, also in windows at borders."""
    sharp, shifted = _clip(_ramp(), _ramp()), _clip(_ramp(), _ramp(1))
    inside = np.convolve(np.ones(SIZE), np.ones(7), "same") / 7
    texture = SLOPE**2 * inside[:, None] * inside[None]
    steps = texture / (texture + 1e-4)  # flat places have no flow of their own
    expected = np.sqrt(steps**2 + 1e-6) - 1e-3
    found = flow_difference(shifted, sharp, *_flow(0.0))
    assert 0.85 < float(found) == pytest.approx(expected.mean(), rel=1e-4)


def test_tof_is_seen_from_the_flow_of_the_sharp_frames():
    wave = 0.5 + 0.4 * np.sin(np.arange(32) * 2 * np.pi / 16)
    frames = [np.tile(np.roll(wave, n)[None, :, None], (SIZE, 1, 3)) for n in range(5)]
    flow = np.zeros((1, 1, SIZE, 32, 2), np.float32)
    flow[..., 0] = 3.0
    flow = jnp.asarray(flow), jnp.asarray(-flow)
    sharp = _clip(frames[0], frames[3])
    found = [
        float(flow_difference(_clip(frames[0], frames[n]), sharp, *flow))
        for n in (3, 2, 4)
    ]
    # A pixel too slow or too fast; at the borders windows see what is held there.
    np.testing.assert_allclose(found, [0, 1, 1], atol=0.1)


def test_tof_is_blind_to_brightness_that_stays():
    sharp = _clip(_ramp(), _ramp(1))
    assert float(flow_difference(sharp + 0.2, sharp, *_flow(1.0))) < 1e-5


@pytest.mark.parametrize("loss", [temporal_consistency, flow_difference])
def test_shapes_that_are_no_clips_are_refused(loss):
    sharp, flow = _clip(_ramp(), _ramp()), _flow(0.0)
    with pytest.raises(ValueError, match="at least 2 frames"):
        loss(sharp[:, :1], sharp[:, :1], *flow)
    with pytest.raises(ValueError, match="backward flow must have shape"):
        loss(sharp, sharp, flow[0], flow[1][:, :, 1:])
