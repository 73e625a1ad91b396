"""The true flow is that of the rendered frames, and of closed forms."""

import cv2
import numpy as np
import pytest

from data_pipeline.sources.embedded import make_clip, scene_of
from data_pipeline.sources.motion import Path, Scene
from data_pipeline.sources.true_flow import Flow, clip_flows, scene_flow

SETTINGS = {
    "train_clips": 4,
    "test_clips": 2,
    "num_frames": 3,
    "height": 72,
    "width": 80,
    "exposure": 33,
    "period": 40,
    "spike_scale": 1,
    "threshold": 1.0,
    "gain": 0.6,
    "max_blur": 12.0,
    "seed": 0,
}


def moving(start: tuple[float, float, float, float], **drift: float) -> Path:
    """A path from `start` at time 0 with a constant drift a spike frame."""
    names = ("x", "y", "turn", "zoom")
    none = np.zeros((1, 4))
    step = np.array([drift.get(name, 0.0) for name in names])
    return Path(np.array(start), step, none, none, none, middle=0.0, exposure=1.0)


def warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    return cv2.remap(image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * np.log10(np.square(a - b).mean())


@pytest.mark.parametrize("index", [0, 1])
def test_the_next_sharp_frame_warped_by_it_is_this_one(index: int) -> None:
    sharp = make_clip(SETTINGS, "test", index)["sharp"].astype(np.float32) / 255
    flows = clip_flows(SETTINGS, "test", index)
    assert len(flows) == 2 * (len(sharp) - 1)
    pairs = [(t, t + 1) for t in range(len(sharp) - 1)]
    pairs += [(b, a) for a, b in pairs]
    for (here, there), (flow, known) in zip(pairs, flows, strict=True):
        assert flow.dtype == np.float32 and known.dtype == bool
        assert known.mean() > 0.5
        moved = np.linalg.norm(flow[known], axis=-1).mean()
        assert moved > 2
        aligned = warped(sharp[there], flow)
        assert psnr(aligned[known], sharp[here][known]) > 38
        assert psnr(sharp[there][known], sharp[here][known]) < 28


def test_there_and_back_is_nowhere() -> None:
    scene, times = scene_of(SETTINGS, "train", 2)
    onward, back = (
        scene_flow(scene, *(float(t) for t in pair))
        for pair in (times[:2], times[1::-1])
    )
    round_trip = onward.flow + warped(back.flow, onward.flow)
    # Away from borders, across which the flow back cannot be sampled.
    mixed = np.pad(~back.known[1:-1, 1:-1], 1, constant_values=True)
    mixed = cv2.dilate(mixed.astype(np.float32), np.ones((5, 5)))
    inside = onward.known & (warped(mixed, onward.flow) < 1e-3)
    assert inside.mean() > 0.3
    assert np.abs(round_trip[inside]).max() < 0.02


def test_a_panning_and_turning_camera_has_a_closed_form() -> None:
    picture = np.zeros((400, 600, 3), np.float32)
    pan = Scene(picture, moving((150, 100, 0, 0), x=0.5, y=-0.25), (), (20, 30))
    flow, known = scene_flow(pan, 2.0, 6.0)
    np.testing.assert_allclose(
        flow, np.broadcast_to([-2.0, 1.0], flow.shape), atol=1e-5
    )
    # What leaves the view on the left and at the bottom is not seen again.
    assert known[:19, 2:].all() and not known[:, :2].any() and not known[19:].any()
    turn = Scene(picture, moving((150, 100, 0, 0), turn=0.01), (), (21, 31))
    flow, _ = scene_flow(turn, 0.0, 4.0)
    y, x = np.mgrid[:21, :31] - np.array([10, 15])[:, None, None]
    cos, sin = np.cos(0.04), np.sin(0.04)
    expected = np.stack([cos * x + sin * y - x, cos * y - sin * x - y], -1)
    np.testing.assert_allclose(flow, expected, atol=1e-4)


def test_where_the_photograph_ends_nothing_is_known() -> None:
    picture = np.zeros((40, 60, 3), np.float32)
    scene = Scene(picture, moving((14.5, 9.5, 0, 0)), (), (20, 60))
    _, known = scene_flow(scene, 0.0, 1.0)
    # The photograph is 20 x 30 pixels of the view, around its middle.
    assert known[:19, 15:44].all()
    assert not known[:, :15].any() and not known[:, 45:].any()


def test_it_is_a_function_of_settings_split_and_index() -> None:
    first, again = (clip_flows(SETTINGS, "test", 1)[0] for _ in range(2))
    other = clip_flows(SETTINGS, "test", 0)[0]
    assert isinstance(first, Flow)
    np.testing.assert_array_equal(first.flow, again.flow)
    assert not np.array_equal(first.flow, other.flow)
    with pytest.raises(ValueError, match="Did you mean 'test'"):
        clip_flows(SETTINGS, "tst", 0)
