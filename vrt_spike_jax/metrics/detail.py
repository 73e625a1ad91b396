"""PSNR where blur does its harm: of high frequencies, and at edges.

No definition of either is accepted in the field; these are ours, published in
docs/metrics.md.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from vrt_spike_jax.metrics.gaussian import WINDOW, window_blur
from vrt_spike_jax.metrics.protocol import Protocol, compared_frames, luma
from vrt_spike_jax.metrics.psnr import frame_psnr, psnr_of

# Levels of Y per pixel from which a place of the sharp frame is an edge.
EDGE_GRADIENT = 16.0
_HALF = WINDOW // 2


def frame_high_frequency_psnr(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    *,
    border: int = 0,
) -> Float[np.ndarray, " n"]:
    """PSNR of each frame's high frequencies: not for use inside jit.

    Of Y - G * Y, the luma without its mean under the Gaussian window of 11x11 pixels,
    sigma 1.5, only where the window lies inside the frame; rounded, data range 255. A
    difference of brightness or of slow shading costs nothing.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8; H and W at least 11 within
        the border.
      target: the same shape.
      border: pixels left out at each side.

    Returns:
      Decibels, float64, leading axes folded into one; infinity for identical frames.

    Raises:
      ValueError: shapes, types or values other than these.
    """
    protocol = Protocol(colour="y", border=border)
    prediction, target = compared_frames(prediction, target, protocol)
    height, width = prediction.shape[1:3]
    if min(height, width) < WINDOW:
        raise ValueError(
            "high-frequency PSNR needs frames of at least "
            f"{WINDOW}x{WINDOW} pixels, the size of its window; got {height}x{width}."
        )
    errors = np.asarray(_high_frequency_errors(prediction, target)).astype(np.float64)
    count = (height - 2 * _HALF) * (width - 2 * _HALF)
    return psnr_of(errors.sum(axis=1), np.full(len(errors), count))


@jax.jit
def _high_frequency_errors(
    prediction: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"]
) -> Float[Array, "n h2"]:
    """Squared errors of the high frequencies, summed over each row."""

    def of_frame(pair: tuple[Array, Array]) -> Float[Array, " h2"]:
        # The filter is linear, so that it may see the difference alone; that of two
        # 8-bit frames has no rounding error.
        error = luma(pair[0] - pair[1], offset=0.0)
        inside = error[_HALF : error.shape[0] - _HALF, _HALF : error.shape[1] - _HALF]
        return jnp.sum(jnp.square(inside - window_blur(error)), axis=(1, 2))

    return jax.lax.map(of_frame, (prediction, target))


def edge_mask(
    target: Num[Array | np.ndarray, "..."], *, gradient: float = EDGE_GRADIENT
) -> Bool[np.ndarray, "n h w"]:
    """Where frames have edges: the Sobel gradient of Y is at least so large.

    Args:
      target: sharp frames (..., H, W, 3), float in [0, 1] or uint8.
      gradient: levels of 255 per pixel; the 3x3 masks of Sobel divided by 8, borders
        repeated.

    Raises:
      ValueError: shapes, types or values other than these, or a gradient of 0 or less.
    """
    if gradient <= 0:
        raise ValueError(
            f"the gradient of an edge must be above 0 levels per pixel; got {gradient}."
        )
    frames, _ = compared_frames(target, target, Protocol(colour="y"))
    return np.asarray(_squared_gradient(frames) >= gradient**2)


@jax.jit
def _squared_gradient(frames: Float[Array, "n h w 3"]) -> Float[Array, "n h w"]:
    y = jnp.pad(luma(frames)[..., 0], ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = (y[:, 2:] - y[:, :-2]) / 2.0
    right = (y[:, :, 2:] - y[:, :, :-2]) / 2.0
    down = (down[:, :, :-2] + 2.0 * down[:, :, 1:-1] + down[:, :, 2:]) / 4.0
    right = (right[:, :-2] + 2.0 * right[:, 1:-1] + right[:, 2:]) / 4.0
    return jnp.square(down) + jnp.square(right)


def frame_edge_psnr(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    *,
    protocol: Protocol | None = None,
    gradient: float = EDGE_GRADIENT,
) -> Float[np.ndarray, " n"]:
    """PSNR over the pixels where the sharp frame has edges: not for use inside jit.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8.
      target: the same shape.
      protocol: as for `frame_psnr`.
      gradient: as for `edge_mask`.

    Returns:
      Decibels, float64, leading axes folded into one; NaN for a frame without edges.

    Raises:
      ValueError: as `frame_psnr` and `edge_mask`.
    """
    mask = edge_mask(target, gradient=gradient)
    return frame_psnr(prediction, target, protocol=protocol, mask=mask)
