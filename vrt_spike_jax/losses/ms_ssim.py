"""MS-SSIM as a loss: of frames as they are, neither rounded nor clipped."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vrt_spike_jax.losses.pair import frames_of
from vrt_spike_jax.metrics.gaussian import WINDOW
from vrt_spike_jax.metrics.ms_ssim import WEIGHTS, multi_scale
from vrt_spike_jax.metrics.protocol import DATA_RANGE

# What the structure of a scale counts as at least: the slope of a power is infinite at
# 0, and below it there is none.
_LEAST_STRUCTURE = 1e-4


def ms_ssim(
    prediction: Float[Array, "..."], target: Float[Array, "..."]
) -> Float[Array, ""]:
    """1 - MS-SSIM, the mean over frames and colours; 0 for identical frames.

    Source: Wang, Simoncelli and Bovik, Asilomar 2003; as a loss, Zhao et al., "Loss
    Functions for Image Restoration with Neural Networks", TCI 2017. The computation is
    that of `metrics.frame_ms_ssim`. Frames too small for its five scales have as many
    as leave the window of 11x11 pixels room at the coarsest, with the exponents of
    those divided by their sum: five from 176 pixels on, four from 88, three from 44,
    two from 22, and from 11 on one, which is SSIM.

    Args:
      prediction: (..., H, W, 3), RGB in [0, 1]; H and W at least 11.
      target: the same shape.

    Raises:
      ValueError: the shapes differ, or are not of RGB frames, or of too small ones.
    """
    prediction, target = frames_of(prediction, target)
    height, width = prediction.shape[1:3]
    exponents = _exponents(min(height, width))
    if not exponents:
        raise ValueError(
            f"the MS-SSIM loss needs frames of at least {WINDOW}x{WINDOW} pixels, the "
            f"size of its window; got {height}x{width}: take larger crops, or another "
            "loss."
        )
    planes = (
        DATA_RANGE * jnp.moveaxis(x, -1, 1).reshape(-1, height, width, 1)
        for x in (prediction, target)
    )
    values = jax.vmap(
        lambda x, y: multi_scale(x, y, exponents=exponents, least=_LEAST_STRUCTURE)
    )(*planes)
    return 1 - jnp.mean(values)


def _exponents(side: int) -> tuple[float, ...]:
    """Those of the scales at which the window fits, with the sum 1."""
    count = sum(side // 2**scale >= WINDOW for scale in range(len(WEIGHTS)))
    total = sum(WEIGHTS[:count])
    return tuple(weight / total for weight in WEIGHTS[:count])
