"""What saturated spikes cannot tell, told by the blurred frame.

A spike camera fires once a spike frame at most. A pixel that fires in every one has had
at least that much light, nobody knows how much; but the blurred frame knows the light
of the whole exposure, and the parts in which the pixel did not saturate are known too.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vrt_spike_jax.models.spike_encoder import grey_at_spikes

# Spikes per spike frame above which a part of an exposure may be saturated; the charge
# of a part is known to a few hundredths.
_FULL = 0.95
# A part counts where it lies in a run of such parts that makes up one of so many equal
# shares of the exposure: a shorter run can be the chance of few spikes.
_RUNS = 8


def saturated(rates: Float[Array, "b t k h w"]) -> Bool[Array, "b t k h w"]:
    """Which parts of the exposure may have had more light than the spikes can tell."""
    parts = rates.shape[2]
    run = -(-parts // _RUNS)
    full = rates >= _FULL
    starts = parts - run + 1
    # Runs by their first part: full where all of their parts are.
    runs = functools.reduce(
        jnp.logical_and, [full[:, :, i : i + starts] for i in range(run)]
    )
    runs = jnp.pad(runs, [(0, 0), (0, 0), (run - 1, run - 1), (0, 0), (0, 0)])
    return functools.reduce(
        jnp.logical_or, [runs[:, :, i : i + parts] for i in range(run)]
    )


def fill_saturated(
    light: Float[Array, "b t k h w"],
    rates: Float[Array, "b t k h w"],
    blur: Float[Array, "b t H W 3"],
) -> Float[Array, "b t k h w"]:
    """Puts into saturated parts the light that the blurred frame leaves for them.

    The mean light of an exposure is the grey of its blurred frame. What the other parts
    have had is taken from it, and the rest is shared evenly by the saturated ones,
    which have had at least what fires in every spike frame.

    Args:
      light: rates times the gain, in equal parts of each exposure.
      rates: in spikes per spike frame.
      blur: RGB in [0, 1].
    """
    full = saturated(rates)
    grey = grey_at_spikes(blur, blur.shape[2] // light.shape[3])
    known = jnp.where(full, 0, light).sum(2)
    count = full.sum(2)
    left = (light.shape[2] * grey - known) / jnp.maximum(count, 1)
    return jnp.where(full, jnp.maximum(left[:, :, None], light), light)
