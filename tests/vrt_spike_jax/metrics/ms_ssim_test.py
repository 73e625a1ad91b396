"""MS-SSIM against TensorFlow, and against OpenCV in float64."""

import cv2
import numpy as np
import pytest
import skimage.data

from vrt_spike_jax.metrics.ms_ssim import frame_ms_ssim
from vrt_spike_jax.metrics.protocol import Protocol


def _photograph(height: int = 176, width: int = 176) -> np.ndarray:
    return skimage.data.astronaut()[60 : 60 + height, 130 : 130 + width]


def _noisy(frame: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


_PAIRS = pytest.mark.parametrize(
    ("prediction", "target"),
    [
        (_noisy(_photograph(), 15), _photograph()),
        (np.roll(_photograph(), 1, axis=1), _photograph()),
        (_photograph()[::-1], _photograph()),
    ],
    ids=["noise", "shift", "unrelated"],
)


@_PAIRS
def test_equals_tensorflow(prediction, target):
    import tensorflow as tf

    expected = tf.image.ssim_multiscale(prediction[None], target[None], 255)
    found = frame_ms_ssim(prediction, target)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4)


@_PAIRS
def test_equals_opencv_in_float64(prediction, target):
    kernel = cv2.getGaussianKernel(11, 1.5)
    window = np.outer(kernel, kernel)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def blur(image):
        return cv2.filter2D(image, -1, window)[5:-5, 5:-5]

    x, y = prediction.astype(np.float64), target.astype(np.float64)
    value = np.ones(3)
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mean_x, mean_y = blur(x), blur(y)
        variance = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
        terms = (2 * (blur(x * y) - mean_x * mean_y) + c2) / (variance + c2)
        if scale == 4:
            terms *= (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        value *= np.maximum(terms.mean(axis=(0, 1)), 0) ** weight
        # Halving by area is the mean of 2x2 pixels.
        size = (x.shape[1] // 2, x.shape[0] // 2)
        x, y = (cv2.resize(v, size, interpolation=cv2.INTER_AREA) for v in (x, y))
    found = frame_ms_ssim(prediction, target)
    assert found[0] == pytest.approx(value.mean(), abs=1e-5)


def test_identical_frames_give_one_and_opposite_ones_no_nan():
    frame = _photograph()
    assert frame_ms_ssim(frame, frame)[0] == 1.0
    opposite = frame_ms_ssim(255 - frame, frame)
    assert opposite[0] == 0.0


def test_grey_luma_equals_its_single_channel():
    grey = np.repeat(_photograph()[..., :1], 3, axis=-1)
    noisy = np.repeat(_noisy(grey[..., :1], 15), 3, axis=-1)
    # Y of grey is grey with less contrast and an offset, which changes it a little.
    luma = frame_ms_ssim(noisy, grey, protocol=Protocol(colour="y"))
    np.testing.assert_allclose(luma, frame_ms_ssim(noisy, grey), atol=2e-2)
    assert luma[0] != frame_ms_ssim(noisy, grey)[0]


def test_an_odd_last_row_is_left_out():
    # 177 rows are 88 and a rest at the next scale, which the finest alone sees.
    frame = _photograph(177, 177)
    noisy = _noisy(frame, 15)
    found, even = (
        frame_ms_ssim(noisy[:size, :size], frame[:size, :size]) for size in (177, 176)
    )
    assert found[0] == pytest.approx(float(even[0]), abs=1e-3)
    assert found[0] != even[0]


def test_frames_too_small_are_refused():
    frame = np.zeros((175, 200, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 176x176 pixels.*got 175x200"):
        frame_ms_ssim(frame, frame)
