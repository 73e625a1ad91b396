"""Latent instants: the spikes of an exposure around any instant of it, and its code.

A blurred frame is the mean of the latent sharp frames of its exposure (Pan et al.,
CVPR 2019); which of them is asked for is one number, the instant. The data pipeline
hands over the spikes of the exposure as ever, whatever the instant, and the window is
moved here. So all that needs the whole exposure has it: the gain match, the long mean
of the closed form, which frames are silent. Several instants of a frame share one
reading of the spikes and one compiled program. And what happens at the instant is in
the middle of the encoder's time, where it learns once what to make of it.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# Sines and cosines of the code, the faster with one period in the exposure: training
# sees few instants, and between them the code has to stay smooth.
_WAVES = 2


def around_instant(
    light: Float[Array, "b t k h w"], instant: Float[Array, "b t"]
) -> Float[Array, "b t k h w"]:
    """Moves the window, as long as the exposure, to have the instant in its middle.

    Between the middles of the parts light is interpolated linearly. Beyond an end of
    the exposure lies its mirror image, which has as much light and noise as what is
    inside, and no spikes where there are none. At instant 0 the window is the exposure,
    bit for bit.

    Args:
      light: in k equal parts of each exposure.
      instant: relative, from -1, the start of the exposure, over 0, its middle, to 1.
    """
    parts = light.shape[2]
    place = jnp.arange(parts)[None, None] + instant[..., None] * (parts / 2)
    low = jnp.floor(place)
    share = (place - low)[..., None, None].astype(light.dtype)
    take = jax.vmap(jax.vmap(lambda x, at: x[_mirrored(at, parts)]))
    return (1 - share) * take(light, low) + share * take(light, low + 1)


def _mirrored(at: Float[Array, " k"], parts: int) -> Array:
    """The parts that lie there; beyond an end, those of the mirror image."""
    at = jnp.where(at < 0, -1 - at, at)
    return jnp.where(at >= parts, 2 * parts - 1 - at, at).astype(jnp.int32)


class TimeCode(nn.Module):
    """Sinusoidal features of the instant, projected to nothing at the start.

    As the codes of positions of Vaswani et al. (arXiv 1706.03762), of periods of two
    exposures and of one.
    """

    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, instant: Float[Array, "b t"]) -> Float[Array, "b t f"]:
        """Returns what to add to features that are to know the instant."""
        precise = jnp.promote_types(self.dtype, jnp.float32)
        turns = jnp.asarray(np.pi / 2 * 2.0 ** np.arange(_WAVES), precise)
        angle = instant.astype(precise)[..., None] * turns[None, None]
        waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        zeros = nn.initializers.zeros
        return nn.Dense(self.features, kernel_init=zeros, name="proj", **options)(waves)
