"""Warping of images and features by optical flow, and bilinear resizing.

Flow channels are (x, y) in pixels of the array they warp; a flow lives on the grid of
the target and points into the source (backward warping).
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


def _rows(
    x: Float[Array, "n h w c"],
    row: Int[Array, "n h2 w2"],
    column: Int[Array, "n h2 w2"],
) -> Float[Array, "n h2 w2 c"]:
    """Pixels at integer positions inside the image."""
    n, h, w, c = x.shape
    frame = jnp.arange(n, dtype=row.dtype)[:, None, None]
    index = (frame * h + row) * w + column
    return x.reshape(n * h * w, c).at[index].get(mode="promise_in_bounds")


def _inside(
    row: Float[Array, "n h2 w2"], column: Float[Array, "n h2 w2"], h: int, w: int
) -> Bool[Array, "n h2 w2"]:
    return (row >= 0) & (row <= h - 1) & (column >= 0) & (column <= w - 1)


def _pixels_or_zero(
    x: Float[Array, "n h w c"],
    row: Float[Array, "n h2 w2"],
    column: Float[Array, "n h2 w2"],
    weight: Float[Array, "n h2 w2"],
) -> Float[Array, "n h2 w2 c"]:
    """weight * x[row, column] for whole-numbered float positions; 0 outside."""
    h, w = x.shape[1:3]
    weight = jnp.where(_inside(row, column, h, w), weight, 0)
    row = jnp.clip(row, 0, h - 1).astype(jnp.int32)
    column = jnp.clip(column, 0, w - 1).astype(jnp.int32)
    return _rows(x, row, column) * weight[..., None].astype(x.dtype)


def _targets(flow: Float[Array, "n h w 2"]) -> tuple[Array, Array]:
    h, w = flow.shape[1:3]
    column = jnp.arange(w, dtype=flow.dtype)[None, None, :] + flow[..., 0]
    row = jnp.arange(h, dtype=flow.dtype)[None, :, None] + flow[..., 1]
    return row, column


def flow_warp(
    x: Float[Array, "n h w c"],
    flow: Float[Array, "n h w 2"],
    *,
    padding: Literal["zeros", "border"] = "zeros",
) -> Float[Array, "n h w c"]:
    """Samples x bilinearly at each pixel's position plus its flow.

    Args:
      x: source images or features.
      flow: displacement into x, pixels, in float32 or better.
      padding: 'zeros' counts what lies outside as 0, corner by corner; 'border'
        moves the position to the nearest one inside.
    """
    h, w = x.shape[1:3]
    row, column = _targets(flow)
    if padding == "border":
        row, column = jnp.clip(row, 0, h - 1), jnp.clip(column, 0, w - 1)
    top, left = jnp.floor(row), jnp.floor(column)
    down, right = row - top, column - left
    return (
        _pixels_or_zero(x, top, left, (1 - down) * (1 - right))
        + _pixels_or_zero(x, top, left + 1, (1 - down) * right)
        + _pixels_or_zero(x, top + 1, left, down * (1 - right))
        + _pixels_or_zero(x, top + 1, left + 1, down * right)
    )


def nearest4_warp(
    x: Float[Array, "n h w c"], flow: Float[Array, "n h w 2"]
) -> Float[Array, "n h w 4*c"]:
    """The four pixels around each flow target, unweighted, on the channels.

    Order: (floor x, floor y), (floor x, ceil y), (ceil x, floor y), (ceil x, ceil y).
    No gradient reaches the flow.
    """
    row, column = _targets(flow)
    one = jnp.ones_like(row)
    corners = [
        _pixels_or_zero(x, to_row(row), to_column(column), one)
        for to_column in (jnp.floor, jnp.ceil)
        for to_row in (jnp.floor, jnp.ceil)
    ]
    return jnp.concatenate(corners, -1)


def _resize_axis(x: Array, axis: int, length: int, align_corners: bool) -> Array:
    old = x.shape[axis]
    if old == length:
        return x
    target = np.arange(length, dtype=np.float64)
    if align_corners:
        source = target * (old - 1) / max(length - 1, 1)
    else:
        source = np.clip((target + 0.5) * old / length - 0.5, 0, old - 1)
    low = np.floor(source).astype(np.int32)
    high = np.minimum(low + 1, old - 1)
    shape = [1] * x.ndim
    shape[axis] = length
    weight = jnp.asarray((source - low).reshape(shape), x.dtype)
    return jnp.take(x, low, axis) * (1 - weight) + jnp.take(x, high, axis) * weight


def resize_bilinear(
    x: Float[Array, "*n h w c"],
    height: int,
    width: int,
    *,
    align_corners: bool = False,
) -> Float[Array, "*n height width c"]:
    """Resizes images bilinearly, without low-pass filter, edges held."""
    x = _resize_axis(x, x.ndim - 3, height, align_corners)
    return _resize_axis(x, x.ndim - 2, width, align_corners)
