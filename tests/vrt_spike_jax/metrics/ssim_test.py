"""SSIM against scikit-image's Gaussian form, computed in float64."""

import numpy as np
import pytest
import skimage.data
from skimage.metrics import structural_similarity

from vrt_spike_jax.metrics.ssim import ssim


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
    return skimage.data.astronaut()[100:260, 150:330]


def _noisy(frame: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("prediction", "target"),
    [
        (_noisy(_photograph(), 10), _photograph()),
        (np.roll(_photograph(), 3, axis=1), _photograph()),
        (_photograph()[:11, :13], _photograph()[1:12, :13]),
        # Flat bright frames, where float32 loses the variance if it is careless.
        (_noisy(np.full((90, 80, 3), 250), 1), _noisy(np.full((90, 80, 3), 249), 1)),
        (np.full((64, 64, 3), 255, np.uint8), np.full((64, 64, 3), 254, np.uint8)),
        (_noisy(np.full((90, 80, 3), 250), 1), _noisy(np.full((90, 80, 3), 3), 1)),
        (_noisy(np.full((90, 80, 3), 128), 90), _noisy(_photograph()[:90, :80], 60)),
    ],
    ids=["noise", "shift", "smallest", "bright", "flat", "opposite", "unrelated"],
)
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
