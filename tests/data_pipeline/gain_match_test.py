"""The gain match: threshold and light cancel, to the quantisation of spikes."""

import numpy as np
import pytest

from data_pipeline.exposure import mean_blur
from data_pipeline.gain_match import match_gain
from data_pipeline.representations import voxel_grid
from data_pipeline.spike_camera import grey, simulate

LENGTH, BINS = 97, 8
FACTORS = (0.25, 0.5, 1, 2, 4)


@pytest.fixture(scope="module")
def light() -> np.ndarray:
    """A picture in colour that moves a pixel every four spike frames, up to 0.25."""
    picture = np.random.default_rng(0).random((24, 40, 3), np.float32) / 4
    return np.stack([np.roll(picture, step // 4, axis=1) for step in range(LENGTH)])


def matched_voxels(
    light: np.ndarray, blur: np.ndarray, *, threshold: float, gain: float
) -> tuple[np.ndarray, np.ndarray]:
    """Voxels times the gain match, and how far that may be from the true light.

    With n the length of a bin, |V_n - r| < 1 / n for the rate r = light g / threshold,
    and the mean rate R of the exposure of length N is within 1 / N of its rate. With
    G the grey of the blur, within q = 1/510 of the mean light a R', a = threshold / g,
    the match <R, G> / <R, R> is off a by no more than (q + a / N) sum R / sum R^2.
    """
    rng = np.random.default_rng(1)
    spikes = simulate(grey(light), threshold=threshold, gain=gain, rng=rng)
    rate = voxel_grid(spikes, 1)
    factor = match_gain(rate, blur)
    true = threshold / gain
    off = (1 / 510 + true / LENGTH) * rate.sum() / (rate * rate).sum()
    assert abs(factor - true) <= off
    bound = factor * BINS / LENGTH + off * grey(light).max() / true
    return factor * voxel_grid(spikes, BINS), bound


@pytest.mark.parametrize("factor", FACTORS)
def test_threshold_cancels_up_to_quantisation(light: np.ndarray, factor: float) -> None:
    blur = mean_blur(light, np.array([[0, LENGTH]], np.float32)).astype(np.float32)
    truth = voxel_grid(grey(light), BINS)
    found, bound = matched_voxels(light, blur / 255, threshold=factor, gain=1)
    assert np.abs(found - truth).max() <= 1.001 * bound
    # Over all pixels quantisation averages out, and what is left is no offset.
    assert np.abs(found.mean(axis=(1, 2)) - truth.mean(axis=(1, 2))).max() < 0.01


@pytest.mark.parametrize("factor", FACTORS)
def test_light_of_the_spike_camera_alone_cancels(
    light: np.ndarray, factor: float
) -> None:
    # The RGB camera adapts its exposure, the spike camera gets more or less light.
    blur = mean_blur(light, np.array([[0, LENGTH]], np.float32)).astype(np.float32)
    truth = voxel_grid(grey(light), BINS)
    found, bound = matched_voxels(light, blur / 255, threshold=1, gain=factor)
    assert np.abs(found - truth).max() <= 1.001 * bound


@pytest.mark.parametrize("factor", FACTORS)
def test_light_of_both_cameras_is_kept(light: np.ndarray, factor: float) -> None:
    brighter = light * np.float32(factor)
    blur = mean_blur(brighter, np.array([[0, LENGTH]], np.float32)).astype(np.float32)
    truth = voxel_grid(grey(brighter), BINS)
    found, bound = matched_voxels(brighter, blur / 255, threshold=1, gain=1)
    assert np.abs(found - truth).max() <= 1.001 * bound


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_factor_is_the_least_squares_one(scale: int) -> None:
    rng = np.random.default_rng(2)
    rate = 0.7 * rng.random((2, 5, 6), np.float32)
    blur = rng.random((2, 5 * scale, 6 * scale, 3), np.float32)
    cells = grey(blur).reshape(2, 5, scale, 6, scale).mean(axis=(2, 4))
    (expected,), *_ = np.linalg.lstsq(rate.reshape(-1, 1), cells.ravel(), rcond=None)
    assert match_gain(rate, blur) == pytest.approx(expected, rel=1e-5)


def test_saturated_pixels_do_not_count_unless_the_others_say_nothing() -> None:
    rng = np.random.default_rng(3)
    light = rng.random((2, 5, 6), np.float32)
    blur = np.repeat(light[..., None], 3, axis=3)
    rate = np.minimum(light / 0.4, 1)  # the brighter 60 % fire in every spike frame
    assert match_gain(rate, blur) == pytest.approx(0.4, rel=1e-5)
    # Beside saturated pixels, ones so dark that what they fire is chance.
    rate[:, 2:], rate[:, :2] = 1, 0.004
    blur[:, 2:], blur[:, :2] = 0.8, 0.3
    assert match_gain(rate, blur) == pytest.approx(0.8, rel=0.01)
    bright = np.maximum(blur, 0.5)
    expected = float(grey(bright).mean())
    assert match_gain(np.ones_like(rate), bright) == pytest.approx(expected)


def test_darkness_gets_a_factor_of_one() -> None:
    assert match_gain(np.zeros((2, 3, 4)), np.ones((2, 3, 4, 3), np.float32)) == 1


def test_errors_say_what_is_wrong() -> None:
    rate, blur = np.ones((2, 3, 4)), np.ones((2, 6, 8, 3), np.float32)
    for rates, frames, message in (
        (rate, blur.astype(np.uint8), "must be float .* divide 8 bits"),
        (rate[:1], blur, "1, 2 or 4 times"),
        (rate, blur[:, :5], "1, 2 or 4 times"),
        (rate[0], blur, "1, 2 or 4 times"),
        (rate, blur[..., :1], "1, 2 or 4 times"),
    ):
        with pytest.raises(ValueError, match=message):
            match_gain(rates, frames)
