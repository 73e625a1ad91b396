"""Peak signal-to-noise ratio of frames: of all pixels, or of those of a mask."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num, Shaped

from vrt_spike_jax.metrics.protocol import (
    DATA_RANGE,
    LUMA,
    Protocol,
    compared_frames,
    compared_pixels,
)
from vrt_spike_jax.metrics.quantise import frame_pair


def psnr(
    prediction: Num[Array | np.ndarray, "..."], target: Num[Array | np.ndarray, "..."]
) -> Float[Array, ""]:
    """Mean over the frames of each frame's PSNR: RGB, 8-bit rounded, no border cut.

    BasicSR's definition, 10 log10(255^2 / mean squared error). Identical frames give
    infinity.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8.
      target: the same shape.

    Returns:
      Decibels, a float32 scalar.

    Raises:
      ValueError: shapes, types or values other than these.
    """
    return _mean_over_frames(*frame_pair(prediction, target))


def frame_psnr(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    *,
    protocol: Protocol | None = None,
    mask: Shaped[Array | np.ndarray, "..."] | None = None,
) -> Float[np.ndarray, " n"]:
    """PSNR of each frame, to the last digit: not for use inside jit.

    8-bit errors are summed as integers, and the rest is computed in float64.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8.
      target: the same shape.
      protocol: None for the default one: RGB, rounded, no border cut.
      mask: (..., H, W), which pixels count; None for all of them.

    Returns:
      Decibels, float64, leading axes folded into one: infinity for identical frames,
      NaN for a frame of which the mask leaves no pixel.

    Raises:
      ValueError: shapes, types or values other than these.
    """
    protocol = protocol or Protocol()
    prediction, target = compared_frames(prediction, target, protocol)
    pixels = compared_pixels(mask, prediction, protocol)
    products, counts = _error_products(
        prediction, target, pixels, exact=protocol.rounding
    )
    products = np.asarray(products).astype(np.float64).sum(axis=1)
    if protocol.colour == "y":
        errors = np.einsum("nij,i,j->n", products, LUMA / 255.0, LUMA / 255.0)
    else:
        errors = np.trace(products, axis1=1, axis2=2) / 3.0
    return psnr_of(errors, np.asarray(counts).astype(np.int64).sum(axis=1))


def psnr_of(
    squared_errors: Float[np.ndarray, " n"], counts: Num[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Decibels of sums of squared errors over so many values each.

    Infinity where the error is 0, NaN where there is no value.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.asarray(squared_errors, np.float64) / counts
        return 20.0 * np.log10(DATA_RANGE) - 10.0 * np.log10(mean)


@jax.jit(static_argnames="exact")
def _error_products(
    prediction: Float[Array, "n h w 3"],
    target: Float[Array, "n h w 3"],
    pixels: Bool[Array, "n h w"],
    *,
    exact: bool,
) -> tuple[Num[Array, "n h 3 3"], Num[Array, "n h"]]:
    """Sums over each row of the products of the channels' errors, and of its pixels.

    The products, not the squares alone, since the error of Y is a weighted sum. A row
    of integers fits into 32 bits up to 33,000 pixels.
    """
    error = jnp.where(pixels[..., None], prediction - target, 0.0)
    if exact:
        error = error.astype(jnp.int32)
    products = jnp.sum(error[..., :, None] * error[..., None, :], axis=2)
    return products, jnp.sum(pixels, axis=2, dtype=jnp.int32)


@jax.jit
def _mean_over_frames(
    prediction: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"]
) -> Float[Array, ""]:
    error = jnp.mean(jnp.square(prediction - target), axis=(1, 2, 3))
    return jnp.mean(20.0 * jnp.log10(255.0) - 10.0 * jnp.log10(error))
