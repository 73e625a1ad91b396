"""E_warp on scenes whose occlusions and errors are derived by hand, and in NumPy."""

import cv2
import numpy as np
import pytest

from vrt_spike_jax.metrics.warping_error import occluded, pair_warping_error

_HEIGHT, _WIDTH = 24, 40
_TOP, _LEFT, _SIDE, _STEP = 8, 10, 8, 4  # of a square that moves to the right


def _scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two frames of a square in front of a still background, and their true flows."""
    rng = np.random.default_rng(0)
    background = rng.integers(0, 256, (_HEIGHT, _WIDTH, 3), np.uint8)
    square = rng.integers(0, 256, (_SIDE, _SIDE, 3), np.uint8)
    frames = np.stack([background, background])
    flows = np.zeros((2, 1, _HEIGHT, _WIDTH, 2), np.float32)
    for frame, flow, left, step in (
        (frames[0], flows[0], _LEFT, _STEP),
        (frames[1], flows[1], _LEFT + _STEP, -_STEP),
    ):
        place = slice(_TOP, _TOP + _SIDE), slice(left, left + _SIDE)
        frame[place] = square
        flow[0][place] = step, 0
    return frames, flows[0], flows[1]


def _expected_occlusion() -> np.ndarray:
    rows = slice(_TOP, _TOP + _SIDE)
    hidden = np.zeros((_HEIGHT, _WIDTH), bool)
    # The background that the square is going to cover: the flow back from there is the
    # square's.
    hidden[rows, _LEFT + _SIDE : _LEFT + _SIDE + _STEP] = True
    # Forward differences see the change of the flow one pixel before it: the square's
    # last column and row, and the background left of it and above. 16 pixels^2 are
    # above 0.01 * 16 + 0.002 everywhere.
    hidden[rows, _LEFT - 1] = True
    hidden[rows, _LEFT + _SIDE - 1] = True
    hidden[_TOP - 1, _LEFT : _LEFT + _SIDE] = True
    hidden[_TOP + _SIDE - 1, _LEFT : _LEFT + _SIDE] = True
    return hidden


def test_occlusions_of_a_moving_square_are_those_derived_by_hand():
    _, forward, backward = _scene()
    found = np.asarray(occluded(forward, backward))[0]
    np.testing.assert_array_equal(found, _expected_occlusion())


def test_the_scene_itself_has_no_error():
    frames, forward, backward = _scene()
    assert pair_warping_error(frames, forward, backward) == [0.0]


def test_flicker_has_exactly_its_square():
    frames, forward, backward = _scene()
    frames = frames // 2
    frames[1] += 10  # of every pixel of the second frame
    assert pair_warping_error(frames, forward, backward) == [(10 / 255) ** 2]


def test_what_is_occluded_does_not_count_and_the_rest_exactly():
    frames, forward, backward = _scene()
    hidden = _expected_occlusion()
    altered = frames.copy()
    altered[0][hidden] = 255 - altered[0][hidden]
    assert pair_warping_error(altered, forward, backward) == [0.0]
    # One channel of one visible pixel, 30 levels off.
    altered[0, 2, 3, 1] = frames[0, 2, 3, 1] ^ 64
    expected = (64 / 255) ** 2 / (3 * np.sum(~hidden))
    found = pair_warping_error(altered, forward, backward)
    np.testing.assert_allclose(found, [expected], rtol=1e-15)


@pytest.mark.parametrize(
    ("forward", "backward", "expected"),
    [
        # |f + b|^2 against 0.01 (|f|^2 + |b|^2) + 0.5, on both sides of the threshold:
        # with b = 0 it is 0.99 f^2 > 0.5.
        (0.710, 0.0, False),
        (0.711, 0.0, True),
        # With long flows a tenth of their length passes: 1.9^2 > 0.01 (20^2 + 18.1^2)
        # + 0.5 is not so, 2.9^2 > 0.01 (20^2 + 17.1^2) + 0.5 is.
        (20.0, -18.1, False),
        (20.0, -17.1, True),
    ],
)
def test_thresholds_of_consistency(forward, backward, expected):
    flows = [np.zeros((1, 6, 64, 2), np.float32) for _ in range(2)]
    flows[0][..., 0], flows[1][..., 0] = forward, backward
    assert np.all(np.asarray(occluded(*flows)) == expected)


@pytest.mark.parametrize(
    ("jump", "level", "expected"),
    # jump^2 > 0.01 level^2 + 0.002
    [(0.044, 0.0, False), (0.046, 0.0, True), (0.2, 2.0, False), (0.21, 2.0, True)],
)
def test_thresholds_of_motion_boundaries(jump, level, expected):
    forward = np.zeros((1, 6, 8, 2), np.float32)
    forward[..., 1] = level
    forward[:, :, 4:, 0] += jump
    found = np.asarray(occluded(forward, -forward))
    assert np.all(found[:, :, 3] == expected)
    assert not np.delete(found, 3, axis=2).any()


def test_equals_numpy_and_opencv_on_smooth_flow():
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (3, 20, 28, 3), np.uint8)
    flows = [
        np.stack(
            [
                cv2.GaussianBlur(rng.normal(mean, 15, (20, 28, 2)), (0, 0), 5)
                for _ in "ab"
            ]
        ).astype(np.float32)
        for mean in (2, -2)
    ]
    grid = np.stack(np.meshgrid(np.arange(28), np.arange(20)), -1).astype(np.float32)
    expected = []
    for t in range(2):
        fw, bw = flows[0][t], flows[1][t]

        def warp(image, flow=fw):
            # The precise bilinear samples, which cv2.remap rounds to 1/32 pixel.
            x, y = np.moveaxis((grid + flow).astype(np.float64), -1, 0)
            x, y = np.clip(x, 0, 27), np.clip(y, 0, 19)
            left, top = np.minimum(x.astype(int), 26), np.minimum(y.astype(int), 18)
            a, b = (x - left)[..., None], (y - top)[..., None]
            upper = image[top, left] * (1 - a) + image[top, left + 1] * a
            lower = image[top + 1, left] * (1 - a) + image[top + 1, left + 1] * a
            return upper * (1 - b) + lower * b

        back = warp(bw)
        hidden = ((fw + back) ** 2).sum(-1) > 0.01 * (
            (fw**2).sum(-1) + (back**2).sum(-1)
        ) + 0.5
        gradient = np.zeros((20, 28))
        gradient[:, :-1] += ((fw[:, :-1] - fw[:, 1:]) ** 2).sum(-1)
        gradient[:-1] += ((fw[:-1] - fw[1:]) ** 2).sum(-1)
        hidden |= gradient > 0.01 * (fw**2).sum(-1) + 0.002
        assert 0.05 < hidden.mean() < 0.95
        error = (warp(frames[t + 1] / 255) - frames[t] / 255) ** 2
        expected.append(error[~hidden].mean())
    found = pair_warping_error(frames, *flows)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_pair_that_is_occluded_everywhere_has_no_error():
    frames = np.random.default_rng(2).integers(0, 256, (2, 8, 8, 3), np.uint8)
    flow = np.full((1, 8, 8, 2), 3, np.float32)
    assert pair_warping_error(frames, flow, flow) == [0.0]


def test_a_target_outside_of_the_frame_is_the_nearest_pixel_inside():
    row = np.arange(0, 80, 10, dtype=np.uint8)
    frame = np.broadcast_to(row[None, :, None], (6, 8, 3))
    flow = np.zeros((1, 6, 8, 2), np.float32)
    flow[..., 0] = 3
    # 30 levels to the right, less where the last column is the nearest: 20, 10 and 0.
    found = pair_warping_error(np.stack([frame, frame]), flow, -flow)
    expected = (5 * 30**2 + 20**2 + 10**2) / 8 / 255**2
    np.testing.assert_allclose(found, [expected], rtol=1e-15)


def test_what_does_not_fit_is_refused():
    frames, forward, backward = _scene()
    with pytest.raises(ValueError, match="at least 2; got"):
        pair_warping_error(frames[:1], forward, backward)
    with pytest.raises(ValueError, match=r"backward flow must have shape \(1, 24, 40"):
        pair_warping_error(frames, forward, backward[:, 1:])
