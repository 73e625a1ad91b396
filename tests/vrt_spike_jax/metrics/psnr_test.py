"""PSNR against its closed form and scikit-image."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from vrt_spike_jax.metrics.psnr import psnr


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (3, 17, 21, 3), np.uint8)


def test_equals_scikit_image_frame_by_frame(frames):
    other = np.clip(
        frames + np.random.default_rng(1).normal(0, 9, frames.shape), 0, 255
    )
    other = other.astype(np.uint8)
    expected = [
        peak_signal_noise_ratio(a, b, data_range=255)
        for a, b in zip(frames, other, strict=True)
    ]
    assert float(psnr(other, frames)) == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.parametrize("offset", [1, 7, 100])
def test_constant_offset_has_its_closed_form(offset):
    target = np.full((2, 8, 9, 3), 50, np.uint8)
    value = float(psnr(target + np.uint8(offset), target))
    assert value == pytest.approx(20 * math.log10(255 / offset), rel=1e-6)


def test_identical_frames_give_infinity(frames):
    assert math.isinf(float(psnr(frames, frames)))


def test_is_the_mean_over_frames_and_not_of_the_pooled_error():
    target = np.zeros((2, 8, 8, 3), np.uint8)
    prediction = target.copy()
    prediction[0], prediction[1] = 1, 100
    expected = 20 * math.log10(255) - (0 + 40) / 2
    assert float(psnr(prediction, target)) == pytest.approx(expected, rel=1e-6)


def test_floats_are_rounded_to_8_bits_and_clipped(frames):
    exact = frames.astype(np.float32) / 255
    jitter = np.random.default_rng(2).uniform(-0.4, 0.4, frames.shape) / 255
    assert math.isinf(float(psnr((exact + jitter).astype(np.float32), frames)))
    white = np.full((1, 8, 8, 3), 1.3, np.float32)
    assert math.isinf(float(psnr(white, np.full((1, 8, 8, 3), 255, np.uint8))))


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (np.zeros((8, 8, 3)), np.zeros((8, 9, 3)), r"\(8, 8, 3\) and \(8, 9, 3\)"),
        (np.zeros((8, 8)), np.zeros((8, 8)), r"RGB; got \(8, 8\)"),
        (np.zeros((8, 8, 1)), np.zeros((8, 8, 1)), r"RGB; got \(8, 8, 1\)"),
        (np.zeros((0, 8, 8, 3)), np.zeros((0, 8, 8, 3)), r"got \(0, 8, 8, 3\)"),
        (
            np.zeros((8, 8, 3), int),
            np.zeros((8, 8, 3)),
            "float in .* or uint8; got int",
        ),
        (np.full((8, 8, 3), 200.0), np.zeros((8, 8, 3)), "Divide 8-bit values by 255"),
        (np.full((8, 8, 3), np.nan), np.zeros((8, 8, 3)), "got values from nan"),
    ],
)
def test_what_is_not_a_pair_of_frames_is_refused(prediction, target, message):
    with pytest.raises(ValueError, match=message):
        psnr(prediction, target)
