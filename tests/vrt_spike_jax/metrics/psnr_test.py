"""PSNR against its closed form, scikit-image and OpenCV."""

import math

import cv2
import numpy as np
import pytest
import skimage.color
from skimage.metrics import peak_signal_noise_ratio

from vrt_spike_jax.metrics.protocol import Protocol
from vrt_spike_jax.metrics.psnr import frame_psnr, psnr


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


def _noisy(frames: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(4).normal(0, sigma, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def _luma(frames: np.ndarray) -> np.ndarray:
    """Y of BT.601 by scikit-image: 16...235, float64, not rounded."""
    return skimage.color.rgb2ycbcr(frames)[..., 0]


@pytest.mark.parametrize("sigma", [0.5, 9, 200])
@pytest.mark.parametrize("colour", ["rgb", "y"])
@pytest.mark.parametrize("border", [0, 3])
def test_frames_equal_scikit_image_to_the_last_digit(frames, sigma, colour, border):
    other = _noisy(frames, sigma)
    found = frame_psnr(other, frames, protocol=Protocol(colour=colour, border=border))
    cut = slice(border, -border or None)
    pair = other[:, cut, cut], frames[:, cut, cut]
    if colour == "y":
        pair = _luma(pair[0]), _luma(pair[1])
    expected = [
        peak_signal_noise_ratio(a, b, data_range=255)
        for a, b in zip(*pair, strict=True)
    ]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_large_frames_have_exact_sums():
    rng = np.random.default_rng(5)
    target = rng.integers(0, 256, (1, 300, 2000, 3), np.uint8)
    other = rng.integers(0, 256, target.shape, np.uint8)
    expected = peak_signal_noise_ratio(target[0], other[0], data_range=255)
    assert frame_psnr(other, target)[0] == pytest.approx(expected, abs=1e-9)


def test_without_rounding_equals_scikit_image_on_floats(frames):
    target = (frames / 255).astype(np.float32)
    noise = np.random.default_rng(6).normal(0, 0.02, frames.shape)
    other = (target + noise).astype(np.float32)
    expected = [
        peak_signal_noise_ratio(b, a, data_range=1)
        for a, b in zip(
            np.clip(other, 0, 1).astype(np.float64),
            target.astype(np.float64),
            strict=True,
        )
    ]
    found = frame_psnr(other, target, protocol=Protocol(rounding=False))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_equals_opencv(frames):
    other = _noisy(frames, 9)
    expected = [cv2.PSNR(a, b, 255) for a, b in zip(other, frames, strict=True)]
    np.testing.assert_allclose(frame_psnr(other, frames), expected, rtol=0, atol=1e-6)


def test_the_mean_is_that_of_the_frames(frames):
    other = _noisy(frames, 9)
    assert float(psnr(other, frames)) == pytest.approx(
        frame_psnr(other, frames).mean(), abs=1e-5
    )


def test_grey_errors_have_their_luma_by_hand():
    target = np.full((1, 8, 8, 3), 90, np.uint8)
    # 219 of 255 levels of Y a level of grey.
    found = frame_psnr(target + np.uint8(10), target, protocol=Protocol(colour="y"))
    assert found[0] == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)), abs=1e-9)


def test_a_mask_counts_its_pixels_alone(frames):
    other = _noisy(frames, 9)
    mask = np.random.default_rng(7).random(frames.shape[:3]) < 0.3
    expected = [
        10 * np.log10(255**2 / np.mean((a[m].astype(float) - b[m]) ** 2))
        for a, b, m in zip(other, frames, mask, strict=True)
    ]
    found = frame_psnr(other, frames, mask=mask)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    # Outside of it anything may stand.
    other[~mask] = 0
    np.testing.assert_array_equal(frame_psnr(other, frames, mask=mask), found)


def test_the_mask_of_everything_changes_nothing_and_the_empty_one_gives_nan(frames):
    other = _noisy(frames, 9)
    whole = np.ones(frames.shape[:3], bool)
    protocol = Protocol(border=2)
    np.testing.assert_array_equal(
        frame_psnr(other, frames, protocol=protocol, mask=whole),
        frame_psnr(other, frames, protocol=protocol),
    )
    # Only the border, which is cut.
    whole[:, 2:-2, 2:-2] = False
    assert np.isnan(frame_psnr(other, frames, protocol=protocol, mask=whole)).all()


def test_a_shift_by_one_pixel_has_its_value_by_hand():
    # A ramp of 3 levels a pixel: shifted by one it is 3 levels off, everywhere but in
    # the column that wraps around.
    ramp = np.broadcast_to(
        3 * np.arange(40, dtype=np.uint8)[None, :, None], (20, 40, 3)
    )
    shifted = np.roll(ramp, 1, axis=1)
    expected = 20 * math.log10(255 / 3)
    inside = frame_psnr(shifted, ramp, protocol=Protocol(border=1))
    assert inside[0] == pytest.approx(expected, abs=1e-9)
    mean = (39 * 9 + (39 * 3) ** 2) / 40
    whole = frame_psnr(shifted, ramp)
    assert whole[0] == pytest.approx(10 * math.log10(255**2 / mean), abs=1e-9)


def test_a_blurred_step_has_its_value_by_hand():
    sharp = np.zeros((16, 16, 3), np.uint8)
    sharp[:, 8:] = 200
    blurred = sharp.copy()
    blurred[:, 7], blurred[:, 8] = 50, 150  # a step spread over two columns
    expected = 10 * math.log10(255**2 / (2 * 50**2 / 16))
    assert frame_psnr(blurred, sharp)[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "rgba"}, "unknown colour 'rgba'; valid: rgb, y.*mean 'rgb'"),
        ({"border": -1}, "at least 0 pixels; got -1"),
    ],
)
def test_unknown_protocols_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Protocol(**options)


def test_a_border_that_leaves_nothing_is_refused(frames):
    with pytest.raises(ValueError, match="9 pixels leaves nothing of frames of 17x21"):
        frame_psnr(frames, frames, protocol=Protocol(border=9))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((3, 17, 20), bool), r"3 frames of 17x21; got \(3, 17, 20\)"),
        (np.ones((3, 17, 21)), "must be boolean; got float64"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(frames, mask, message):
    with pytest.raises(ValueError, match=message):
        frame_psnr(frames, frames, mask=mask)


def test_a_protocol_says_what_it_is():
    assert Protocol().describe() == (
        "RGB, rounded to 8 bits, no border cut, data range 255"
    )
    assert Protocol(colour="y", rounding=False, border=4).describe() == (
        "Y of BT.601, not rounded, 4 px of each border cut, data range 255"
    )
