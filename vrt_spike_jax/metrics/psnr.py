"""Peak signal-to-noise ratio of RGB frames, as the deblurring tables measure it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

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


@jax.jit
def _mean_over_frames(
    prediction: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"]
) -> Float[Array, ""]:
    error = jnp.mean(jnp.square(prediction - target), axis=(1, 2, 3))
    return jnp.mean(20.0 * jnp.log10(255.0) - 10.0 * jnp.log10(error))
