"""One spike gain for a whole video, summed over it in one pass."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vrt_spike_jax.frame_source import FrameSource, read_frames, read_spikes
from vrt_spike_jax.models.spike_encoder import GREY, LEAST_ENERGY, SATURATED

_FRAMES_AT_ONCE = 4


def video_gain(
    blur: FrameSource,
    spikes: FrameSource,
    *,
    spike_scale: int,
    side_channels: int = 0,
) -> Float[Array, " 1"]:
    """`match_gain` of a whole video: tiles with gains of their own would show.

    Args:
      blur: (T, H, W, 3) RGB in [0, 1].
      spikes: (T, K, H / s, W / s) rates in spikes per spike frame.
      spike_scale: s, RGB pixels per spike pixel.
      side_channels: how many of the K, the last ones, are no rates.

    Raises:
      ValueError: a value that is not RGB in [0, 1], or no rate.
    """
    grey = np.asarray(GREY, np.float32)
    sums = np.zeros((2, 2))  # product and energy, of unsaturated pixels and of all
    for start in range(0, blur.shape[0], _FRAMES_AT_ONCE):
        stop = min(start + _FRAMES_AT_ONCE, blur.shape[0])
        channels = read_spikes(spikes, start, stop)
        rates = channels[:, : channels.shape[1] - side_channels]
        low, high = float(rates.min()), float(rates.max())
        if low < 0:
            raise ValueError(
                "spikes must be rates of at least 0, in spikes per spike frame, for a "
                f"model that matches their gain; got values from {low:g} to {high:g}."
            )
        rate = rates.mean(axis=1)
        frames, height, width = rate.shape
        blocks = (frames, height, spike_scale, width, spike_scale)
        light = (read_frames(blur, start, stop) @ grey).reshape(blocks).mean((2, 4))
        for row, counted in enumerate((rate <= SATURATED, np.ones_like(rate, bool))):
            chosen = rate[counted]
            sums[row] += np.vdot(chosen, light[counted]), np.vdot(chosen, chosen)
    (product, energy), (all_products, all_energy) = sums.tolist()
    if energy < LEAST_ENERGY * all_energy:
        product, energy = all_products, all_energy
    return jnp.full(1, product / energy if energy > 0 else 1.0, jnp.float32)
