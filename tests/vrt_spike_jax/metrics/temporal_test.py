"""tOF, tLP and moving pixels against OpenCV called by hand, and moving scenes."""

import cv2
import numpy as np
import pytest
import skimage.data

from random_features import random_linear_state_dict, random_torchvision_state_dict
from vrt_spike_jax.feature_weights import convert_features, convert_lpips_linear
from vrt_spike_jax.metrics.lpips import (
    CHANNELS,
    LPIPSWeights,
    feature_network,
    frame_lpips,
)
from vrt_spike_jax.metrics.optical_flow import clip_flow, moving_mask
from vrt_spike_jax.metrics.temporal import tlp, tof


def _clip(frames: int = 7, size=(70, 85), step: int = 3) -> np.ndarray:
    """A window that goes over a photograph."""
    image = skimage.data.astronaut()
    return np.stack(
        [
            image[100 : 100 + size[0], 100 + step * t : 100 + step * t + size[1]]
            for t in range(frames)
        ]
    )


def _noisy(frames: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def _flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    greys = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (first, second)]
    return cv2.calcOpticalFlowFarneback(*greys, None, 0.5, 3, 15, 3, 5, 1.2, 0)


@pytest.fixture(scope="module")
def weights() -> LPIPSWeights:
    network = feature_network("alex")
    params = convert_features(random_torchvision_state_dict(network), network)
    linear = convert_lpips_linear(
        random_linear_state_dict(CHANNELS["alex"]), CHANNELS["alex"]
    )
    return LPIPSWeights("alex", params, linear)


def test_tof_equals_opencv_exactly():
    target = _clip()
    prediction = _noisy(target, 20)
    expected = []
    # Two frames less at each end; 70x85 leaves a middle of 32x64.
    for t in range(2, 4):
        difference = _flow(prediction[t], prediction[t + 1]) - _flow(
            target[t], target[t + 1]
        )
        middle = difference[19:51, 10:74].astype(np.float64)
        expected.append(np.sqrt((middle**2).sum(-1)).mean())
    found = tof(prediction, target)
    np.testing.assert_array_equal(found, expected)
    assert found.min() > 0.01


def test_identical_clips_have_no_temporal_difference(weights):
    clip = _clip()
    np.testing.assert_array_equal(tof(clip, clip), np.zeros(2))
    np.testing.assert_allclose(tlp(clip, clip, weights), np.zeros(2), atol=1e-9)


def test_a_clip_that_stands_still_misses_the_motion():
    texture = np.random.default_rng(1).normal(0, 1, (96, 160))
    texture = cv2.GaussianBlur(texture, (0, 0), 3)
    texture = np.clip(127 + 40 * texture / texture.std(), 0, 255).astype(np.uint8)
    clip = np.stack([texture[:, 3 * t : 3 * t + 128] for t in range(6)])
    target = np.repeat(clip[..., None], 3, axis=-1)
    still = np.broadcast_to(target[3], target.shape)
    # The flow of a window that goes 3 pixels to the right is 3 pixels to the left.
    assert tof(still, target) == pytest.approx(3.0, abs=0.1)


def test_tlp_is_made_of_lpips_between_frames(weights):
    target = _clip()
    prediction = _noisy(target, 20)
    changes = [
        np.asarray(
            frame_lpips(clip[2:4, 19:51, 10:74], clip[3:5, 19:51, 10:74], weights)
        )
        for clip in (prediction, target)
    ]
    expected = 100 * np.abs(changes[0].astype(np.float64) - changes[1])
    np.testing.assert_array_equal(tlp(prediction, target, weights), expected)


def test_fewer_frames_may_be_dropped():
    target = _clip(frames=3)
    assert tof(_noisy(target, 20), target, dropped=0).shape == (2,)
    with pytest.raises(ValueError, match=r"at least 6, of which 2 at each end"):
        tof(target, target)
    with pytest.raises(ValueError, match="at least 0 frames; got -1"):
        tof(target, target, dropped=-1)


def test_frames_without_a_middle_are_refused():
    clip = np.zeros((6, 47, 80, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 48x48 pixels; got 47x80"):
        tof(clip, clip)


def test_flow_both_ways():
    clip = _clip(frames=3)
    forward, backward = clip_flow(clip), clip_flow(clip, backward=True)
    np.testing.assert_array_equal(forward[1], _flow(clip[1], clip[2]))
    np.testing.assert_array_equal(backward[1], _flow(clip[2], clip[1]))
    floats = (clip / 255).astype(np.float32)
    np.testing.assert_array_equal(clip_flow(floats), forward)
    with pytest.raises(ValueError, match="at least 2; got"):
        clip_flow(clip[:1])


def test_moving_pixels_are_those_that_move():
    image = skimage.data.astronaut()[:96, 200:328]
    clip = np.stack([image] * 3)
    for t in range(3):  # a part of the picture slides by 4 pixels a frame
        clip[t, 32:64, 32:96] = image[32:64, 32 + 4 * t : 96 + 4 * t]
    found = moving_mask(clip)
    assert found.shape == clip.shape[:3]
    assert found[:, 40:56, 44:80].mean() > 0.9
    assert not found[:, :16].any() and not found[:, 80:].any()
    last = np.square(_flow(clip[2], clip[1])).sum(-1) > 4
    np.testing.assert_array_equal(found[2], last)
    assert moving_mask(clip, threshold=20.0).sum() == 0
    with pytest.raises(ValueError, match="at least 0 pixels; got -1.0"):
        moving_mask(clip, threshold=-1.0)
