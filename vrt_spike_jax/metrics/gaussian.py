"""The Gaussian window of SSIM, 11 pixels and sigma 1.5, over areas and volumes."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WINDOW = 11
SIGMA = 1.5
_HALF = WINDOW // 2


def window_blur(frames: Float[Array, "h w c"]) -> Float[Array, "h2 w2 c"]:
    """The mean under the Gaussian window, channel by channel, wherever it fits."""
    # Plane by plane, since the last axis should be a long one.
    planes = [_plane_blur(frames[..., i]) for i in range(frames.shape[-1])]
    return jnp.stack(planes, axis=-1)


def _plane_blur(plane: Float[Array, "h w"]) -> Float[Array, "h2 w2"]:
    # Shifted sums: full float32 on every device, and several times faster on a CPU than
    # a convolution.
    for axis in (0, 1):
        size = plane.shape[axis] - WINDOW + 1
        plane = sum(
            weight * jax.lax.slice_in_dim(plane, start, start + size, axis=axis)
            for start, weight in enumerate(_weights().astype(np.float32))
        )
    return plane


def volume_blur(frames: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
    """The mean under the window in three dimensions, borders repeated.

    The third dimension is that of the channels.
    """
    padded = jnp.pad(frames, ((_HALF, _HALF), (_HALF, _HALF), (0, 0)), mode="edge")
    mixing = _channel_mixing(frames.shape[-1])
    blurred = window_blur(padded)
    channels = [
        sum(weight * blurred[..., i] for i, weight in enumerate(row)) for row in mixing
    ]
    return jnp.stack(channels, axis=-1)


def _weights() -> Float[np.ndarray, " k"]:
    offsets = np.arange(WINDOW) - _HALF
    weights = np.exp(-0.5 * np.square(offsets / SIGMA))
    return weights / weights.sum()


def _channel_mixing(channels: int) -> Float[np.ndarray, "c c"]:
    """What each channel takes from which, along the window with its ends repeated."""
    mixing = np.zeros((channels, channels))
    for channel in range(channels):
        for offset, weight in enumerate(_weights(), start=-_HALF):
            mixing[channel, min(max(channel + offset, 0), channels - 1)] += weight
    return mixing.astype(np.float32)
