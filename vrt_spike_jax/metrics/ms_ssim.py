"""Multi-scale structural similarity of frames.

Source: Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality
assessment", Asilomar 2003: five scales with the weights of the paper.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from vrt_spike_jax.metrics.gaussian import WINDOW
from vrt_spike_jax.metrics.protocol import Protocol, compared_frames, luma
from vrt_spike_jax.metrics.ssim import similarity

# The exponents of the paper, finest scale first.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Pixels of a side at which the window still fits at the coarsest scale.
SMALLEST = WINDOW * 2 ** (len(WEIGHTS) - 1)


def frame_ms_ssim(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    *,
    protocol: Protocol | None = None,
) -> Float[Array, " n"]:
    """MS-SSIM of each frame: each colour by itself, then their mean.

    The windows are those of `ssim`, only where they lie inside. From scale to scale 2x2
    pixels become their mean, and an odd last row or column is left out. Structure below
    0, of opposite frames, counts as 0, since it has no fractional power.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8; H and W at least 176 within
        the border.
      target: the same shape.
      protocol: None for the default one: RGB, rounded, no border cut.

    Returns:
      A value for each frame, leading axes folded into one; 1 for identical frames.

    Raises:
      ValueError: shapes, types or values other than these.
    """
    protocol = protocol or Protocol()
    prediction, target = compared_frames(prediction, target, protocol)
    height, width = prediction.shape[1:3]
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"MS-SSIM needs frames of at least {SMALLEST}x{SMALLEST} pixels, on whose "
            f"coarsest scale its window fits; got {height}x{width}."
        )
    return _frame_values(prediction, target, colour=protocol.colour)


@jax.jit(static_argnames="colour")
def _frame_values(
    prediction: Float[Array, "n h w 3"],
    target: Float[Array, "n h w 3"],
    *,
    colour: str,
) -> Float[Array, " n"]:
    pair = (luma(x) if colour == "y" else x for x in (prediction, target))
    planes = tuple(jnp.moveaxis(x, -1, 1) for x in pair)
    count, channels, height, width = planes[0].shape
    folded = tuple(x.reshape(-1, height, width, 1) for x in planes)
    # One plane at a time: the working set of a long video would not fit in memory.
    values = jax.lax.map(lambda plane: multi_scale(*plane), folded)
    return jnp.mean(values.reshape(count, channels), axis=1)


def multi_scale(
    x: Float[Array, "h w c"],
    y: Float[Array, "h w c"],
    *,
    exponents: Sequence[float] = WEIGHTS,
    least: float = 0.0,
) -> Float[Array, ""]:
    """MS-SSIM of two images of values 0...255, the mean over their channels.

    Args:
      x: at least as large as the window is at the coarsest scale.
      y: the same shape.
      exponents: one for each scale, finest first.
      least: what the structure of a scale counts as where it is less.
    """
    value = jnp.ones(x.shape[-1], x.dtype)
    for scale, exponent in enumerate(exponents):
        luminance, structure = similarity(x, y)
        if scale == len(exponents) - 1:
            structure = luminance * structure
        else:
            x, y = _halve(x), _halve(y)
        factor = jnp.maximum(jnp.mean(structure, axis=(0, 1)), least)
        value *= factor**exponent
    return jnp.mean(value)


def _halve(image: Float[Array, "h w c"]) -> Float[Array, "h2 w2 c"]:
    """The mean of each 2x2 pixels."""
    height, width = (size // 2 * 2 for size in image.shape[:2])
    image = image[:height, :width]
    return image.reshape(height // 2, 2, width // 2, 2, -1).mean(axis=(1, 3))
