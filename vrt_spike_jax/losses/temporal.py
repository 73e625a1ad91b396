"""Temporal losses: what a clip does along the motion of the sharp one.

Both take the flow of the sharp frames, (x, y) in pixels: `flow_forward` of each frame
to the next, on the grid of the frame, and `flow_backward` of each next frame back, on
the grid of the next. Only pixels count that the next frame shows too, inside of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from vrt_spike_jax.losses.pair import compared, magnitude
from vrt_spike_jax.metrics.warping_error import occluded
from vrt_spike_jax.models.spike_encoder import GREY
from vrt_spike_jax.models.warping import flow_warp

# Pixels of the window of Lucas and Kanade, each way.
_WINDOW = 7
# Squared gradient, in white per pixel, below which a place has no motion of its own.
_FLAT = 1e-4
# Pixels of difference below which the length of a flow turns quadratic.
_SMALLEST = 1e-3


def temporal_consistency(
    prediction: Float[Array, "..."],
    target: Float[Array, "..."],
    flow_forward: Float[Array, "..."],
    flow_backward: Float[Array, "..."],
    *,
    relative: bool = True,
) -> Float[Array, ""]:
    """Mean absolute difference of each frame to the next one, warped to it.

    Source: the short-term loss of Lai et al., "Learning Blind Video Temporal
    Consistency", ECCV 2018, with the occlusions of its metric E_warp. That loss is
    smallest for frames without detail, which blur is the way to; `relative` takes the
    warped difference of the sharp frames off first, pixel by pixel, and so asks that
    the errors of a clip stay the same along its motion. It is 0 for sharp frames.

    Args:
      prediction: (B, T, H, W, 3), T at least 2.
      target: the sharp frames, of the same shape.
      flow_forward: (B, T - 1, H, W, 2).
      flow_backward: the same shape.
      relative: False for the loss as published.

    Raises:
      ValueError: shapes other than these.
    """
    prediction, target = _clips(prediction, target, flow_forward, flow_backward)
    frames = prediction - target if relative else prediction
    forward, visible = _motion(flow_forward, flow_backward, frames.dtype)
    change = _warped(frames, forward) - _folded(frames[:, :-1])
    return _mean(jnp.mean(magnitude(change), axis=-1), visible)


def flow_difference(
    prediction: Float[Array, "..."],
    target: Float[Array, "..."],
    flow_forward: Float[Array, "..."],
    flow_backward: Float[Array, "..."],
) -> Float[Array, ""]:
    """Mean length of the difference between the flows of both clips, in pixels.

    The tOF of Chu et al., "Learning Temporal Coherence via Self-Supervision for
    GAN-based Video Generation", SIGGRAPH 2020, in a form that has a gradient: both
    flows are one step of Lucas and Kanade (IJCAI 1981) from the flow of the sharp
    frames, in grey, with windows of 7x7 pixels. It measures differences of a pixel or
    two; of larger ones it only tells the direction. Flat places have no flow.

    Args:
      prediction: (B, T, H, W, 3), T at least 2.
      target: the sharp frames, of the same shape.
      flow_forward: (B, T - 1, H, W, 2).
      flow_backward: the same shape.

    Raises:
      ValueError: shapes other than these.
    """
    prediction, target = _clips(prediction, target, flow_forward, flow_backward)
    forward, visible = _motion(flow_forward, flow_backward, prediction.dtype)
    steps = [_flow_step(clip, forward) for clip in (prediction, target)]
    square = jnp.sum(jnp.square(steps[0] - steps[1]), axis=-1)
    return _mean(jnp.sqrt(square + _SMALLEST**2) - _SMALLEST, visible)


def _clips(
    prediction: Float[Array, "..."],
    target: Float[Array, "..."],
    flow_forward: Float[Array, "..."],
    flow_backward: Float[Array, "..."],
) -> tuple[Float[Array, "b t h w 3"], Float[Array, "b t h w 3"]]:
    prediction, target = compared(prediction, target)
    shape = prediction.shape
    if prediction.ndim != 5 or shape[1] < 2 or shape[-1] != 3:
        raise ValueError(
            "temporal losses take clips (batch, frames, height, width, 3), RGB, of at "
            f"least 2 frames; got {shape}."
        )
    wanted = (shape[0], shape[1] - 1, *shape[2:4], 2)
    for name, flow in (("forward", flow_forward), ("backward", flow_backward)):
        if flow.shape != wanted:
            raise ValueError(f"{name} flow must have shape {wanted}; got {flow.shape}.")
    return prediction, target


def _motion(
    flow_forward: Float[Array, "b p h w 2"],
    flow_backward: Float[Array, "b p h w 2"],
    dtype: jnp.dtype,
) -> tuple[Float[Array, "n h w 2"], Bool[Array, "n h w"]]:
    """The forward flow of all pairs of frames, and which of their pixels count."""
    forward, backward = (
        flow.astype(dtype).reshape(-1, *flow.shape[2:])
        for flow in (flow_forward, flow_backward)
    )
    height, width = forward.shape[1:3]
    column = jnp.arange(width, dtype=dtype)[None, None, :] + forward[..., 0]
    row = jnp.arange(height, dtype=dtype)[None, :, None] + forward[..., 1]
    inside = (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
    return forward, inside & ~occluded(forward, backward)


def _folded(clips: Float[Array, "b t h w c"]) -> Float[Array, "n h w c"]:
    return clips.reshape(-1, *clips.shape[2:])


def _warped(
    clips: Float[Array, "b t h w c"], forward: Float[Array, "n h w 2"]
) -> Float[Array, "n h w c"]:
    """Every frame but the first of a clip, where the one before it shows the same."""
    return flow_warp(_folded(clips[:, 1:]), forward, padding="border")


def _flow_step(
    clips: Float[Array, "b t h w 3"], forward: Float[Array, "n h w 2"]
) -> Float[Array, "n h w 2"]:
    """How far the motion of each pair of frames is from `forward`, in pixels."""
    weights = jnp.asarray(GREY, clips.dtype)
    grey = jnp.matmul(clips, weights, precision="highest")[..., None]
    first, second = _folded(grey[:, :-1])[..., 0], _warped(grey, forward)[..., 0]
    down, right = jnp.gradient((first + second) / 2, axis=(1, 2))
    change = second - first
    products = (right**2, down**2, right * down, right * change, down * change)
    xx, yy, xy, xt, yt = (_window_mean(x) for x in products)
    xx, yy = xx + _FLAT, yy + _FLAT
    determinant = xx * yy - xy**2
    return jnp.stack(
        [(xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant], axis=-1
    )


def _window_mean(x: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """The mean over a window, of which what lies outside the frame counts as 0."""
    window, strides = (1, _WINDOW, _WINDOW), (1, 1, 1)
    zero = np.zeros((), x.dtype)  # known while tracing, so that a sum is recognised
    return jax.lax.reduce_window(x, zero, jax.lax.add, window, strides, "SAME") / (
        _WINDOW**2
    )


def _mean(values: Float[Array, "n h w"], visible: Bool[Array, "n h w"]) -> Array:
    """The mean over the visible pixels of all clips; 0 where there are none."""
    total = jnp.sum(jnp.where(visible, values, 0))
    return total / jnp.maximum(jnp.sum(visible, dtype=jnp.int32), 1)
