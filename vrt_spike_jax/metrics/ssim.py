"""Structural similarity of RGB frames, as the deblurring tables measure it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from vrt_spike_jax.metrics.quantise import frame_pair

_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2


def ssim(
    prediction: Num[Array | np.ndarray, "..."], target: Num[Array | np.ndarray, "..."]
) -> Float[Array, ""]:
    """Mean over the frames of each frame's SSIM: RGB, 8-bit rounded.

    Wang et al. 2004 in BasicSR's form: a Gaussian window of 11x11 pixels, sigma 1.5,
    only where it lies inside the frame, per channel, K1 = 0.01, K2 = 0.03.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8; H and W at least 11.
      target: the same shape.

    Returns:
      A float32 scalar, 1 for identical frames.

    Raises:
      ValueError: shapes, types or values other than these.
    """
    prediction, target = frame_pair(prediction, target)
    height, width = prediction.shape[1:3]
    if min(height, width) < _WINDOW:
        raise ValueError(
            f"SSIM needs frames of at least {_WINDOW}x{_WINDOW} pixels, the size of "
            f"its window; got {height}x{width}."
        )
    return _mean_over_frames(prediction, target)


@jax.jit
def _mean_over_frames(
    prediction: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"]
) -> Float[Array, ""]:
    # One frame at a time: the working set of a long video would not fit in memory.
    return jnp.mean(jax.lax.map(_frame_ssim, (prediction, target)))


def _frame_ssim(
    frames: tuple[Float[Array, "h w 3"], Float[Array, "h w 3"]],
) -> Float[Array, ""]:
    # Variances do not depend on the origin. From each frame's own level the squares are
    # small, which keeps E[x^2] - E[x]^2 exact enough in float32; whole numbers keep the
    # shift itself exact.
    level_x, level_y = (
        jnp.round(jnp.mean(v, axis=(0, 1), keepdims=True)) for v in frames
    )
    x, y = frames[0] - level_x, frames[1] - level_y
    variance_x, variance_y, variance_difference = (_variance(v) for v in (x, y, x - y))
    mean_x, mean_y = _blur(x) + level_x, _blur(y) + level_y
    # 2ab + c = a^2 + b^2 + c - (a - b)^2 makes both factors one minus an error, which
    # float32 resolves also where the frames are nearly equal.
    luminance = 1.0 - jnp.square(mean_x - mean_y) / (
        jnp.square(mean_x) + jnp.square(mean_y) + _C1
    )
    structure = 1.0 - variance_difference / (variance_x + variance_y + _C2)
    return jnp.mean(luminance * structure)


def _variance(frames: Float[Array, "h w c"]) -> Float[Array, "h2 w2 c"]:
    return _blur(jnp.square(frames)) - jnp.square(_blur(frames))


def _blur(frames: Float[Array, "h w c"]) -> Float[Array, "h2 w2 c"]:
    """The mean under the Gaussian window wherever it fits."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-0.5 * np.square(offsets / _SIGMA))
    weights = (weights / weights.sum()).astype(np.float32)
    # Shifted sums: full float32 on every device, and several times faster on a CPU than
    # a convolution of one channel a group.
    for axis in (0, 1):
        size = frames.shape[axis] - _WINDOW + 1
        frames = sum(
            weight * jax.lax.slice_in_dim(frames, start, start + size, axis=axis)
            for start, weight in enumerate(weights)
        )
    return frames
