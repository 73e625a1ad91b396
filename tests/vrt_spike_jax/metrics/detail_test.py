"""High-frequency and edge PSNR against SciPy and OpenCV, and values by hand."""

import math

import cv2
import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import skimage.data

from vrt_spike_jax.metrics.detail import (
    edge_mask,
    frame_edge_psnr,
    frame_high_frequency_psnr,
)
from vrt_spike_jax.metrics.psnr import frame_psnr


def _photographs() -> np.ndarray:
    image = skimage.data.astronaut()
    return np.stack([image[100:148, 180:240], image[300:348, 100:160]])


def _noisy(frames: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def _luma(frames: np.ndarray) -> np.ndarray:
    return skimage.color.rgb2ycbcr(frames)[..., 0]


def _high_frequencies(frame: np.ndarray) -> np.ndarray:
    y = _luma(frame)
    return (y - scipy.ndimage.gaussian_filter(y, 1.5, radius=5))[5:-5, 5:-5]


@pytest.mark.parametrize("sigma", [1, 15])
def test_high_frequencies_equal_scipy(sigma):
    target = _photographs()
    prediction = _noisy(target, sigma)
    expected = [
        10
        * np.log10(255**2 / np.mean((_high_frequencies(a) - _high_frequencies(b)) ** 2))
        for a, b in zip(prediction, target, strict=True)
    ]
    found = frame_high_frequency_psnr(prediction, target)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_high_frequencies_do_not_see_brightness_and_shading():
    # Levels that stay within 0...255 after what is added.
    target = _photographs() // 2
    shading = (np.arange(60) // 2)[None, None, :, None]
    assert frame_psnr(target + 20, target).max() < 25
    assert frame_high_frequency_psnr(target + np.uint8(20), target).min() > 100
    shaded = (target + shading).astype(np.uint8)
    # Steps of one level stand for a slope of half a level a pixel.
    assert frame_high_frequency_psnr(shaded, target).min() > 55


def test_the_more_blur_the_less_is_left():
    target = _photographs()
    blurred = [
        np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in target])
        for sigma in (0.5, 1.0, 2.0)
    ]
    for measure in (frame_high_frequency_psnr, frame_edge_psnr):
        values = np.stack([measure(frames, target) for frames in blurred])
        assert np.all(np.diff(values, axis=0) < -1)
    # Edges are where blur does most of its harm.
    assert np.all(frame_edge_psnr(blurred[2], target) < frame_psnr(blurred[2], target))


def test_identical_frames_and_one_pixel_by_hand():
    target = np.full((1, 32, 32, 3), 60, np.uint8)
    assert math.isinf(frame_high_frequency_psnr(target, target)[0])
    other = target.copy()
    other[0, 16, 16] += 50
    # The impulse minus its Gaussian: 1 - 2 g0^2 + sum g^2 of squares, g being the
    # weights of both directions.
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    energy = 1 - 2 * weights[5, 5] + np.sum(weights**2)
    error = (50 * 219 / 255) ** 2 * energy / 22**2
    expected = 10 * math.log10(255**2 / error)
    found = frame_high_frequency_psnr(other, target)
    assert found[0] == pytest.approx(expected, abs=1e-5)


def test_edges_equal_those_of_opencv():
    target = _photographs()
    for frame, found in zip(target, edge_mask(target), strict=True):
        y = _luma(frame)
        right = cv2.Sobel(y, -1, 1, 0, scale=1 / 8, borderType=cv2.BORDER_REPLICATE)
        down = cv2.Sobel(y, -1, 0, 1, scale=1 / 8, borderType=cv2.BORDER_REPLICATE)
        expected = np.hypot(right, down) >= 16
        assert 0.02 < expected.mean() < 0.6
        np.testing.assert_array_equal(found, expected)


def test_a_step_has_the_edges_derived_by_hand():
    frame = np.zeros((8, 16, 3), np.uint8)
    frame[:, 8:] = 40  # a gradient of 20 on both sides of it, of 17.2 in Y
    expected = np.zeros((1, 8, 16), bool)
    expected[:, :, 7:9] = True
    np.testing.assert_array_equal(edge_mask(frame), expected)
    assert not edge_mask(frame, gradient=18.0).any()


def test_edge_psnr_is_the_psnr_at_the_edges():
    target = _photographs()
    prediction = _noisy(target, 10)
    found = frame_edge_psnr(prediction, target)
    mask = edge_mask(target)
    np.testing.assert_array_equal(found, frame_psnr(prediction, target, mask=mask))
    # What happens elsewhere is not seen.
    prediction[~mask] = 0
    np.testing.assert_array_equal(frame_edge_psnr(prediction, target), found)
    flat = np.full((1, 16, 16, 3), 9, np.uint8)
    assert np.isnan(frame_edge_psnr(flat, flat)).all()


def test_what_has_no_meaning_is_refused():
    frame = np.zeros((10, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 11x11 pixels.*got 10x40"):
        frame_high_frequency_psnr(frame, frame)
    with pytest.raises(ValueError, match="above 0 levels per pixel; got 0.0"):
        edge_mask(frame, gradient=0.0)
