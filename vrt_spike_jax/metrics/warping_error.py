"""Temporal consistency: the warping error E_warp between successive frames.

Source: Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, with the
thresholds of its published code; the occlusions are those of Ruder et al., "Artistic
Style Transfer for Videos", GCPR 2016. Flow is (x, y) in pixels.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from vrt_spike_jax.metrics.quantise import frame_pair
from vrt_spike_jax.models.warping import flow_warp

# Of the squared lengths of flow, in pixels^2.
_INCONSISTENT = (0.01, 0.5)
_BOUNDARY = (0.01, 0.002)


@jax.jit
def occluded(
    forward: Float[Array, "n h w 2"], backward: Float[Array, "n h w 2"]
) -> Bool[Array, "n h w"]:
    """Pixels of a frame that the next one does not show, or at the edge of motion.

    A pixel is occluded where going forward and back does not return, |f + b'|^2 > 0.01
    (|f|^2 + |b'|^2) + 0.5 with b' the backward flow at its target, or where the forward
    flow changes, |grad u|^2 + |grad v|^2 > 0.01 |f|^2 + 0.002.

    Args:
      forward: flow f of frame t, to frame t + 1.
      backward: flow b of frame t + 1, to frame t.
    """
    back = flow_warp(backward, forward, padding="border")
    forward_square = _square(forward)
    relative, absolute = _INCONSISTENT
    inconsistent = (
        _square(forward + back) > relative * (forward_square + _square(back)) + absolute
    )
    relative, absolute = _BOUNDARY
    right = jnp.diff(forward, axis=2, append=forward[:, :, -1:])
    down = jnp.diff(forward, axis=1, append=forward[:, -1:])
    boundary = _square(right) + _square(down) > relative * forward_square + absolute
    return inconsistent | boundary


def pair_warping_error(
    frames: Num[Array | np.ndarray, "..."],
    forward: Float[Array | np.ndarray, "..."],
    backward: Float[Array | np.ndarray, "..."],
) -> Float[np.ndarray, " p"]:
    """E_warp of each pair of successive frames: not for use inside jit.

    The mean over the colours of the pixels that are not occluded of the square of frame
    t + 1, warped to frame t, minus frame t. A target outside of the frame counts as the
    nearest pixel inside, and a pair that is occluded everywhere has no error, as in the
    published code.

    Args:
      frames: (T, H, W, 3) of one clip, float in [0, 1] or uint8; rounded to 8 bits.
      forward: (T - 1, H, W, 2) flow from each frame to the next, of what the clip
        shows: of its sharp frames, not of the restored ones.
      backward: the same, from the next frame back.

    Returns:
      float64 values of squares of [0, 1]; often printed times 1000.

    Raises:
      ValueError: shapes, types or values other than these, or fewer than 2 frames.
    """
    scaled, _ = frame_pair(frames, frames)
    if frames.ndim != 4 or len(frames) < 2:
        raise ValueError(
            "E_warp takes the frames of one clip, (frames, height, width, 3), at least "
            f"2; got {frames.shape}."
        )
    shape = (len(frames) - 1, *frames.shape[1:3], 2)
    for name, flow in (("forward", forward), ("backward", backward)):
        if flow.shape != shape:
            raise ValueError(f"{name} flow must have shape {shape}; got {flow.shape}.")
    forward, backward = (jnp.asarray(f, jnp.float32) for f in (forward, backward))
    errors, counts = _pair_errors(scaled, forward, backward)
    total = np.asarray(errors).astype(np.float64).sum(axis=1) / 255.0**2
    return total / np.maximum(3 * np.asarray(counts).astype(np.int64).sum(axis=1), 1)


@jax.jit
def _pair_errors(
    frames: Float[Array, "t h w 3"],
    forward: Float[Array, "p h w 2"],
    backward: Float[Array, "p h w 2"],
) -> tuple[Float[Array, "p h"], Num[Array, "p h"]]:
    """Squared errors of what is visible, and its pixels, summed over each row."""

    def of_pair(pair: tuple[Array, ...]) -> tuple[Float[Array, " h"], Num[Array, " h"]]:
        first, second, flow, back = (x[None] for x in pair)
        visible = ~occluded(flow, back)
        error = flow_warp(second, flow, padding="border") - first
        error = jnp.where(visible[..., None], error, 0.0)
        count = jnp.sum(visible, axis=2, dtype=jnp.int32)
        return jnp.sum(jnp.square(error), axis=(2, 3))[0], count[0]

    pairs = (frames[:-1], frames[1:], forward, backward)
    errors, counts = jax.lax.map(of_pair, pairs)
    return errors, counts


def _square(flow: Float[Array, "n h w 2"]) -> Float[Array, "n h w"]:
    return jnp.square(flow[..., 0]) + jnp.square(flow[..., 1])
