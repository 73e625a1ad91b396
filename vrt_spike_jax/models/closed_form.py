"""The closed form of spike-guided deblurring, offered to the network as an input.

Source: the spike model of deblurring of S-SDM (NeurIPS 2024): the sharp frame is the
blurred one times the light around its instant over the light of the whole exposure.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.warping import resize_bilinear

# Light, in units of white, below which spikes are trusted by less than a half: that of
# the dark current of a calibrated camera, 0.005 spikes a frame, beside 0.5 at white.
DARK_LIGHT = 0.01


def confidence(
    light: Float[Array, "*b k h w"], dark: float | Array = DARK_LIGHT
) -> Float[Array, "*b h w"]:
    """How far to trust each pixel, from 0 without light to 1 far above the dark.

    Args:
      light: light or rates, never negative, in parts of an exposure.
      dark: what the sensor reports in the dark, in the same unit.
    """
    mean = light.mean(-3)
    return mean / (mean + dark)


def change_to_middle(
    light: Float[Array, "b t k h w"], exposure: Float[Array, "b t k h w"] | None = None
) -> Float[Array, "b t h w"]:
    """Relative difference of the light of the middle half to that of the exposure.

    Divided by the light and that of the dark together, so that it is the difference
    times the confidence: it stays below 1 however dark, and is 0 without spikes.

    Args:
      light: in equal parts of a window, as long as the exposure, around the instant.
      exposure: in equal parts of the exposure; None where it is that window.
    """
    bins = light.shape[2]
    aside = bins // 4
    short = light[:, :, aside : bins - aside].mean(2)
    long = (light if exposure is None else exposure).mean(2)
    return (short - long) / (long + DARK_LIGHT)


class ClosedFormInput(nn.Module):
    """Features of the closed form and of the confidence in it, for the first layer.

    Zero at the start, by the last projection, and zero where there are no spikes, since
    no layer has a bias.
    """

    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        blur: Float[Array, "b t H W 3"],
        light: Float[Array, "b t k h w"],
        exposure: Float[Array, "b t k h w"] | None = None,
    ) -> Float[Array, "b t H W c"]:
        """Returns what to add to the first features of the frames.

        Args:
          blur: RGB in [0, 1].
          light: gain-matched rates in equal parts of a window, as long as the exposure,
            around the instant that is asked for.
          exposure: the same of the exposure itself; None where it is that window.
        """
        options: dict[str, Any] = {
            "use_bias": False,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        change = change_to_middle(light, exposure)
        trust = confidence(light if exposure is None else exposure)
        known = jnp.stack([change, trust], -1)
        known = resize_bilinear(known, blur.shape[2], blur.shape[3])
        change, trust = known[..., :1], known[..., 1:]
        x = jnp.concatenate([blur * change, change, trust], -1)
        x = nn.gelu(nn.Conv(self.features, (3, 3), name="conv", **options)(x))
        zeros = nn.initializers.zeros
        return nn.Dense(self.features, kernel_init=zeros, name="proj", **options)(x)
