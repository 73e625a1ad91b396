"""Moving pixels: a pan of a known speed, and the true motion of embedded clips."""

import cv2
import numpy as np
import pytest

from data_pipeline.motion_mask import moving_pixels
from data_pipeline.records import middle_sharp
from data_pipeline.sources.embedded import make_clip, scene_of
from data_pipeline.sources.true_flow import scene_flow

EXPOSURE = np.array([[0.0, 40.0], [50.0, 90.0], [100.0, 140.0]], np.float32)
MIDDLES = np.array([20.0, 70.0, 120.0], np.float32)
SETTINGS = {
    "train_clips": 1,
    "test_clips": 1,
    "num_frames": 3,
    "height": 96,
    "width": 128,
    "exposure": 49,
    "period": 56,
    "spike_scale": 1,
    "threshold": 1.0,
    "gain": 0.6,
    "seed": 0,
}


def texture(height, width):
    rng = np.random.default_rng(0)
    grey = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 2)
    grey = (grey - grey.min()) / np.ptp(grey)
    return np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=-1)


def half_panning(step):
    """Three frames whose left half moves by so many pixels a frame."""
    frames = []
    for time in range(3):
        frame = texture(64, 160)[:, :128].copy()
        start = 20 + time * step
        frame[:, :64] = texture(64, 160)[:, start : start + 64]
        frames.append(frame)
    return np.stack(frames)


def test_motion_counts_for_as_long_as_the_shutter_is_open():
    # 4 pixels a frame are 4 * 40 / 50 = 3.2 in an exposure, 2 are 1.6.
    fast, slow = (moving_pixels(half_panning(n), MIDDLES, EXPOSURE) for n in (4, 2))
    inner = np.s_[:, 8:-8, 12:52], np.s_[:, 8:-8, 76:-8]
    assert fast[inner[0]].mean() > 0.99
    assert not fast[inner[1]].any()
    assert not slow[inner[0]].any()
    # The same pan under a shutter that is open for longer.
    longer = EXPOSURE + np.array([[-5.0, 5.0]], np.float32) + 5
    slow = moving_pixels(half_panning(3), MIDDLES + 5, longer)
    assert slow[inner[0]].mean() > 0.99


def test_of_a_single_frame_no_motion_is_known():
    mask = moving_pixels(half_panning(4)[:1], MIDDLES[:1], EXPOSURE[:1])
    assert mask.shape == (1, 64, 128)
    assert mask.dtype == np.bool_
    assert not mask.any()


@pytest.mark.parametrize("max_blur", [2.5, 5.0, 12.0])
def test_it_agrees_with_the_true_motion(max_blur):
    settings = SETTINGS | {"max_blur": max_blur}
    record = make_clip(settings, "test", 0)
    scene, times = scene_of(settings, "test", 0)
    sharp, sharp_time = middle_sharp(record)
    found = moving_pixels(sharp, sharp_time, record["exposure"])
    for frame, (start, end) in enumerate(record["exposure"].tolist()):
        before, after = (
            scene_flow(scene, float(times[frame]), t) for t in (start, end)
        )
        length = np.linalg.norm(after.flow - before.flow, axis=-1)
        known = before.known & after.known & (np.abs(length - 2) > 0.5)
        assert known.any()
        assert ((length > 2) == found[frame])[known].mean() > 0.85


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sharp": np.zeros((3, 8, 8), np.uint8)}, r"must be \(T, H, W, 3\) of uint8"),
        ({"sharp_time": MIDDLES[:2]}, "3 sharp frames need as many instants"),
        ({"sharp_time": MIDDLES[::-1]}, "must be in the order of time"),
    ],
)
def test_what_does_not_fit_is_refused(change, sentence):
    arguments = {"sharp": half_panning(1), "sharp_time": MIDDLES, "exposure": EXPOSURE}
    with pytest.raises(ValueError, match=sentence):
        moving_pixels(**(arguments | change))
