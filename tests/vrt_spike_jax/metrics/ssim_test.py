"""SSIM against scikit-image, OpenCV and SciPy, computed in float64."""

import cv2
import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import skimage.data
from skimage.metrics import structural_similarity

from vrt_spike_jax.metrics.protocol import Protocol
from vrt_spike_jax.metrics.ssim import frame_ssim, ssim


def reference(prediction: np.ndarray, target: np.ndarray) -> float:
    """The mean over the frames, colours and pixels whose window lies inside."""
    values = []
    for a, b in zip(prediction, target, strict=True):
        _, image = structural_similarity(
            a.astype(np.float64),
            b.astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=-1,
            full=True,
        )
        values.append(image[5:-5, 5:-5].mean())
    return float(np.mean(values))


def _photograph() -> np.ndarray:
    # Of one size with the others, so that each function is compiled once.
    return skimage.data.astronaut()[100:190, 180:260]


def _noisy(frame: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


_PAIRS = pytest.mark.parametrize(
    ("prediction", "target"),
    [
        (_noisy(_photograph(), 10), _photograph()),
        (np.roll(_photograph(), 3, axis=1), _photograph()),
        (_photograph()[:11, :13], _photograph()[1:12, :13]),
        # Flat bright frames, where float32 loses the variance if it is careless.
        (_noisy(np.full((90, 80, 3), 250), 1), _noisy(np.full((90, 80, 3), 249), 1)),
        (np.full((90, 80, 3), 255, np.uint8), np.full((90, 80, 3), 254, np.uint8)),
        (_noisy(np.full((90, 80, 3), 250), 1), _noisy(np.full((90, 80, 3), 3), 1)),
        (_noisy(np.full((90, 80, 3), 128), 90), _noisy(_photograph(), 60)),
    ],
    ids=["noise", "shift", "smallest", "bright", "flat", "opposite", "unrelated"],
)


@_PAIRS
def test_equals_scikit_image(prediction, target):
    pair = np.stack([prediction, target]), np.stack([target, prediction])
    assert float(ssim(*pair)) == pytest.approx(reference(*pair), abs=1e-6)


def test_identical_frames_give_exactly_one():
    frames = _photograph()[None]
    assert float(ssim(frames, frames)) == 1.0


def test_floats_are_rounded_to_8_bits():
    target = _photograph()
    noisy = _noisy(target, 10)
    value = ssim((noisy / 255 + 0.3 / 255).astype(np.float32), target)
    assert float(value) == float(ssim(noisy, target))


def test_a_frame_smaller_than_the_window_is_refused():
    frame = np.zeros((10, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 11x11 pixels.*got 10x64"):
        ssim(frame, frame)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        ssim(np.zeros((16, 16, 3)), np.zeros((2, 16, 16, 3)))


def _by_opencv(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """BasicSR's way: cv2.filter2D in float64, cut to where the window fits."""
    kernel = cv2.getGaussianKernel(11, 1.5)
    window = np.outer(kernel, kernel)

    def blur(image):
        return cv2.filter2D(image, -1, window)[5:-5, 5:-5]

    return _similarity(prediction, target, blur)


def _by_scipy(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """MATLAB's ssim of an RGB array: a Gaussian over a volume, its ends repeated."""

    def blur(volume):
        return scipy.ndimage.gaussian_filter(volume, 1.5, mode="nearest", radius=5)

    return _similarity(prediction, target, blur)


def _similarity(prediction, target, blur) -> np.ndarray:
    x, y = prediction.astype(np.float64), target.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = blur(x), blur(y)
    variance = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance + c2)
    )


@_PAIRS
def test_gaussian_form_equals_opencv(prediction, target):
    found = frame_ssim(prediction, target)
    assert found[0] == pytest.approx(_by_opencv(prediction, target).mean(), abs=1e-6)


@_PAIRS
def test_volumetric_form_equals_scipy(prediction, target):
    found = frame_ssim(prediction, target, form="volumetric")
    assert found[0] == pytest.approx(_by_scipy(prediction, target).mean(), abs=1e-6)


@_PAIRS
def test_luma_equals_opencv(prediction, target):
    pair = [skimage.color.rgb2ycbcr(x)[..., 0] for x in (prediction, target)]
    found = frame_ssim(prediction, target, protocol=Protocol(colour="y"))
    assert found[0] == pytest.approx(_by_opencv(*pair).mean(), abs=1e-6)


@pytest.mark.parametrize("form", ["gaussian", "volumetric"])
def test_border_and_mask_choose_from_the_values(form):
    prediction, target = _noisy(_photograph(), 10), _photograph()
    cut = slice(7, -7)
    found = frame_ssim(prediction, target, form=form, protocol=Protocol(border=7))
    assert found == frame_ssim(prediction[cut, cut], target[cut, cut], form=form)
    mask = np.random.default_rng(1).random(target.shape[:2]) < 0.2
    if form == "gaussian":
        expected = _by_opencv(prediction, target)[mask[5:-5, 5:-5]].mean()
    else:
        expected = _by_scipy(prediction, target)[mask].mean()
    found = frame_ssim(prediction, target, form=form, mask=mask)
    assert found[0] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(frame_ssim(prediction, target, form=form, mask=mask & False)[0])


def test_frames_without_rounding():
    target = (_photograph() / 255).astype(np.float32)
    prediction = np.clip(target * 0.9 + 0.003, 0, 1)
    found = frame_ssim(prediction, target, protocol=Protocol(rounding=False))
    expected = _by_opencv(prediction * 255.0, target * 255.0).mean()
    assert found[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("form", ["gaussian", "volumetric"])
def test_each_frame_has_its_own_value(form):
    target = np.stack([_photograph()] * 2)
    prediction = np.stack([_noisy(target[0], 10), target[1]])
    found = frame_ssim(prediction, target, form=form)
    assert found[1] == 1.0
    assert found[0] == frame_ssim(prediction[0], target[0], form=form)
    if form == "gaussian":
        assert float(ssim(prediction, target)) == pytest.approx(found.mean(), abs=1e-6)


def test_flat_frames_have_their_value_by_hand():
    # Without variance only the luminance is left.
    target = np.full((16, 16, 3), 100, np.uint8)
    prediction = np.full((16, 16, 3), 110, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)
    for form in ("gaussian", "volumetric"):
        found = frame_ssim(prediction, target, form=form)
        assert found[0] == pytest.approx(expected, abs=1e-6)


def test_unknown_forms_are_refused():
    frame = _photograph()
    with pytest.raises(ValueError, match="form of SSIM 'volume'.*mean 'volumetric'"):
        frame_ssim(frame, frame, form="volume")
    with pytest.raises(ValueError, match="take the form 'gaussian' for Y"):
        frame_ssim(frame, frame, form="volumetric", protocol=Protocol(colour="y"))


@pytest.mark.parametrize("form", ["gaussian", "volumetric"])
def test_a_shift_by_one_pixel_has_its_value_by_hand(form):
    # A grey ramp of 2 levels a pixel, shifted by one: the same structure everywhere, 2
    # levels darker, so that only the luminance differs.
    ramp = 20 + 2 * np.arange(60)
    level = ramp[6:-6].astype(np.float64)
    c1 = (0.01 * 255) ** 2
    expected = np.mean(
        (2 * level * (level - 2) + c1) / (level**2 + (level - 2) ** 2 + c1)
    )
    frame, shifted = (
        np.broadcast_to(values.astype(np.uint8)[None, :, None], (30, 60, 3))
        for values in (ramp, ramp - 2)
    )
    inside = np.zeros((30, 60), bool)
    inside[:, 6:-6] = True
    found = frame_ssim(shifted, frame, form=form, mask=inside)
    assert found[0] == pytest.approx(expected, abs=1e-6)


def test_blur_that_leaves_nothing_has_its_value_by_hand():
    # Stripes of one pixel, and the grey that a long blur makes of them: no covariance,
    # and what is left of SSIM is c2 / (variance + c2), but for what of the stripes
    # passes through the window.
    stripes = np.where(np.arange(40) % 2, 150, 50)
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    passed = np.sum(weights * (-1.0) ** np.arange(-5, 6)) / weights.sum()
    variance = 50**2 * (1 - passed**2)
    c2 = (0.03 * 255) ** 2
    frame, blurred = (
        np.broadcast_to(values.astype(np.uint8)[None, :, None], (30, 40, 3))
        for values in (stripes, np.full(40, 100))
    )
    found = frame_ssim(blurred, frame)
    # The luminance is 1 but for the square of half a percent.
    assert abs(passed) < 0.02
    assert found[0] == pytest.approx(c2 / (variance + c2), abs=1e-5)
