"""The MS-SSIM loss on small crops against OpenCV in float64, and its limits."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from vrt_spike_jax.losses.ms_ssim import ms_ssim
from vrt_spike_jax.metrics import frame_ssim
from vrt_spike_jax.metrics.protocol import Protocol

FAST = {"xla_backend_optimization_level": 0}
# The exponents of the paper; of three scales, divided by their sum.
FINEST = np.array([0.0448, 0.2856, 0.3001])


def _crop(size):
    return skimage.data.astronaut()[60 : 60 + size, 130 : 130 + size] / 255


def _loss(prediction, target):
    pair = (jnp.asarray(x[None], jnp.float32) for x in (prediction, target))
    return float(jax.jit(ms_ssim, compiler_options=FAST)(*pair))


def test_three_scales_equal_opencv_with_exponents_of_the_sum_one():
    target = _crop(45)  # odd, and above 44
    prediction = cv2.GaussianBlur(target, (0, 0), 1.0) + 0.05
    window = np.outer(*[cv2.getGaussianKernel(11, 1.5)] * 2)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def blur(image):
        return cv2.filter2D(image, -1, window)[5:-5, 5:-5]

    x, y = 255 * prediction, 255 * target  # neither clipped nor rounded
    value = np.ones(3)
    for scale, exponent in enumerate(FINEST / FINEST.sum()):
        mean_x, mean_y = blur(x), blur(y)
        variance = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
        terms = (2 * (blur(x * y) - mean_x * mean_y) + c2) / (variance + c2)
        if scale == 2:
            terms *= (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        value *= terms.mean(axis=(0, 1)) ** exponent
        half = x.shape[0] // 2
        x, y = (
            v[: 2 * half, : 2 * half].reshape(half, 2, half, 2, 3).mean(axis=(1, 3))
            for v in (x, y)
        )
    assert _loss(prediction, target) == pytest.approx(1 - value.mean(), abs=1e-5)


def test_one_scale_is_ssim():
    target = _crop(21)
    shifted = np.roll(target, 1, axis=1)
    expected = frame_ssim(
        shifted.astype(np.float32),
        target.astype(np.float32),
        protocol=Protocol(rounding=False),
    )
    assert _loss(shifted, target) == pytest.approx(1 - expected[0], abs=1e-5)


def test_flat_frames_by_hand():
    # Structure is that of flat frames, 1, so luminance alone is left, of one scale.
    first, second = 0.25 * 255, 0.75 * 255
    c1 = (0.01 * 255) ** 2
    luminance = (2 * first * second + c1) / (first**2 + second**2 + c1)
    flat = np.full((11, 11, 3), 0.25)
    assert _loss(flat, flat + 0.5) == pytest.approx(1 - luminance, abs=1e-5)


def test_opposite_structure_keeps_a_finite_gradient():
    pattern = np.indices((11, 11)).sum(axis=0) % 2
    target = jnp.asarray(np.tile(pattern[None, ..., None], (1, 1, 1, 3)), jnp.float32)
    function = jax.jit(jax.value_and_grad(ms_ssim), compiler_options=FAST)
    value, gradient = function(1 - target, target)
    # Structure below 0 counts as 0.0001.
    assert float(value) == pytest.approx(1 - 1e-4, abs=1e-6)
    assert np.isfinite(gradient).all()


def test_too_small_crops_are_refused():
    with pytest.raises(ValueError, match="at least 11x11 pixels.*got 10x12"):
        ms_ssim(jnp.zeros((1, 10, 12, 3)), jnp.zeros((1, 10, 12, 3)))
