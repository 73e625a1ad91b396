"""Restores whole videos of any length and size, by blended tiles in time and space."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from vrt_spike_jax.models.spike_encoder import match_gain, spike_scale_of
from vrt_spike_jax.tiles import AxisTiles, plan_axis

Progress = Callable[[int, int], None]


@runtime_checkable
class Restorer(Protocol):
    """What a model must offer to restore videos; VRT and VRTSpike do, hashable too."""

    takes_spikes: bool
    size_multiple: int
    min_size: int
    min_frames: int

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
        """Flax's `apply`: (1, T, H, W, 3) blur, and spikes, to frames of that shape."""


def restore_video(
    model: Restorer,
    params: Any,
    blur: Num[Array | np.ndarray, "..."],
    spikes: Num[Array | np.ndarray, "..."] | None = None,
    *,
    tile: Sequence[int],
    overlap: Sequence[int],
    progress: Progress | None = None,
) -> Float[np.ndarray, "t h w 3"]:
    """Restores a video of any length, height and width.

    The video is cut into overlapping tiles of one size, padded by reflection where it
    is smaller than the smallest, restored tile by tile and blended. One shape is
    compiled for a call, and again only for another model or shape.

    Args:
      model: `create_model(...)`.
      params: its parameters.
      blur: (T, H, W, 3) float RGB in [0, 1].
      spikes: (T, K, H / s, W / s) rates, the K bins of each frame's own exposure in
        spikes per spike frame, s = 1, 2 or 4; None for a model without spikes.
      tile: (frames, height, width) of the most that the model sees at once; decides the
        memory. Height and width are multiples of `model.size_multiple`.
      overlap: (frames, height, width) that neighbouring tiles share at least.
      progress: called with (tiles done, tiles in all), first with none done.

    Returns:
      float32 RGB in [0, 1], the shape of `blur`.

    Raises:
      ValueError: arguments other than these, or a model that gives another shape.
      FloatingPointError: the model gave a value that is not finite.
    """
    blur = _checked_blur(blur)
    spikes, scale = _checked_spikes(model, spikes, blur)
    axes = _plan(model, blur.shape[:3], tile, overlap, scale=scale)
    sizes = tuple(axis.tile for axis in axes)
    tiles = list(itertools.product(*(range(len(axis.starts)) for axis in axes)))
    gain = None if spikes is None else _video_gain(spikes, blur)
    params = jax.device_put(params)  # once, and not with every tile
    restored = np.zeros(blur.shape, np.float32)
    if progress is not None:
        progress(0, len(tiles))
    for done, indices in enumerate(tiles, start=1):
        starts = tuple(axis.starts[i] for axis, i in zip(axes, indices, strict=True))
        spike_tile = None
        if spikes is not None:
            spike_tile = _cut_spikes(spikes, starts, sizes, scale=scale)
        output = _apply(model, params, _cut(blur, starts, sizes), spike_tile, gain)
        _blend(restored, _checked_output(output, sizes, starts), axes, indices)
        if progress is not None:
            progress(done, len(tiles))
    return np.clip(restored, 0.0, 1.0)


@functools.partial(jax.jit, static_argnums=0)
def _apply(
    model: Restorer,
    params: Any,
    blur: Float[Array, "t h w 3"],
    spikes: Float[Array, "t k h2 w2"] | None,
    gain: Float[Array, " 1"] | None,
) -> Float[Array, "..."]:
    # The model is static and compares by its fields, so an equal model meets the same
    # compiled program in every later call.
    if spikes is None:
        return model.apply({"params": params}, blur[None])
    return model.apply({"params": params}, blur[None], spikes[None], spike_gain=gain)


def _checked_blur(blur: Num[Array | np.ndarray, "..."]) -> Float[np.ndarray, "t h w 3"]:
    if blur.ndim != 4 or blur.shape[-1] != 3 or 0 in blur.shape:
        raise ValueError(
            "blur must be (frames, height, width, 3), RGB, with at least one frame and "
            f"pixel; got {blur.shape}."
        )
    if not jnp.issubdtype(blur.dtype, jnp.floating):
        raise ValueError(
            f"blur must be float in [0, 1]; got {blur.dtype}. Divide 8-bit frames by "
            "255."
        )
    blur = np.asarray(blur, np.float32)
    low, high = float(blur.min()), float(blur.max())
    # Resampling leaves rounding errors around 0 and 1; NaN fails the comparison too.
    if not -1e-3 <= low <= high <= 1 + 1e-3:
        raise ValueError(
            f"blur must lie in [0, 1]; got values from {low:g} to {high:g}. Divide "
            "8-bit frames by 255, and remove NaN."
        )
    return blur


def _checked_spikes(
    model: Restorer,
    spikes: Num[Array | np.ndarray, "..."] | None,
    blur: Float[np.ndarray, "t h w 3"],
) -> tuple[Float[np.ndarray, "t k h2 w2"] | None, int]:
    """Gives the spikes as float32, and the RGB pixels per spike pixel."""
    if not model.takes_spikes:
        if spikes is not None:
            raise ValueError(
                "spikes were given to a model that takes none; pass spikes=None, or "
                "use a model with a fusion."
            )
        return None, 1
    if spikes is None:
        raise ValueError(
            "this model needs spikes beside the blur: pass spikes (frames, bins, "
            "height, width), or use a model with fusion='none'."
        )
    frames = blur.shape[0]
    if spikes.ndim != 4 or spikes.shape[0] != frames or spikes.shape[1] == 0:
        raise ValueError(
            f"spikes must be (frames, bins, height, width) of the {frames} frames of "
            f"the blur, with at least one bin; got {spikes.shape}."
        )
    scale = spike_scale_of((1, *spikes.shape), (1, *blur.shape))
    spikes = np.asarray(spikes, np.float32)
    low, high = float(spikes.min()), float(spikes.max())
    if not 0 <= low <= high < math.inf:
        raise ValueError(
            "spikes must be finite rates of at least 0, in spikes per spike frame; got "
            f"values from {low:g} to {high:g}."
        )
    return spikes, scale


def _video_gain(
    spikes: Float[np.ndarray, "t k h2 w2"], blur: Float[np.ndarray, "t h w 3"]
) -> Float[Array, " 1"]:
    """One gain for all tiles: a gain of its own each would show as steps of light."""
    # The gain depends on each frame's mean rate alone, K times less to move and hold.
    rate = spikes.mean(axis=1, keepdims=True)
    return match_gain(jnp.asarray(rate[None]), jnp.asarray(blur[None]))


def _plan(
    model: Restorer,
    shape: tuple[int, ...],
    tile: Sequence[int],
    overlap: Sequence[int],
    *,
    scale: int,
) -> tuple[AxisTiles, ...]:
    """Checks tile and overlap, and plans time, height and width."""
    if len(tile) != 3 or len(overlap) != 3:
        raise ValueError(
            "tile and overlap must be (frames, height, width); got "
            f"{tuple(tile)} and {tuple(overlap)}."
        )
    unit = math.lcm(model.size_multiple, scale)
    limits = (
        ("frames", 1, model.min_frames),
        ("height", unit, model.min_size),
        ("width", unit, model.min_size),
    )
    axes = []
    for (name, step, least), size, length, shared in zip(
        limits, shape, tile, overlap, strict=True
    ):
        if length < least or length % step:
            raise ValueError(
                f"tile {name} must be a multiple of {step} and at least {least}; got "
                f"{length} in tile {tuple(tile)}."
            )
        if not 0 <= shared <= length - step:
            raise ValueError(
                f"overlap {name} must be from 0 to {length - step}, so that each tile "
                f"of {length} brings at least {step} new; got {shared} in overlap "
                f"{tuple(overlap)}."
            )
        axes.append(
            plan_axis(size, tile=length, overlap=shared, unit=step, minimum=least)
        )
    return tuple(axes)


def _cut(
    video: Float[np.ndarray, "t h w c"], starts: Sequence[int], sizes: Sequence[int]
) -> Float[np.ndarray, "tt th tw c"]:
    """One tile; what lies past the end of the video is its mirror image."""
    part = video[tuple(slice(a, a + n) for a, n in zip(starts, sizes, strict=True))]
    missing = [n - have for n, have in zip(sizes, part.shape[:3], strict=True)]
    return np.pad(part, [*((0, n) for n in missing), (0, 0)], mode="symmetric")


def _cut_spikes(
    spikes: Float[np.ndarray, "t k h w"],
    starts: Sequence[int],
    sizes: Sequence[int],
    *,
    scale: int,
) -> Float[np.ndarray, "tt k th tw"]:
    divisors = (1, scale, scale)
    tile = _cut(
        spikes.transpose(0, 2, 3, 1),
        [a // d for a, d in zip(starts, divisors, strict=True)],
        [n // d for n, d in zip(sizes, divisors, strict=True)],
    )
    return tile.transpose(0, 3, 1, 2)


def _checked_output(
    output: Float[Array, "..."], sizes: tuple[int, ...], starts: tuple[int, ...]
) -> Float[np.ndarray, "tt th tw 3"]:
    if output.shape != (1, *sizes, 3):
        raise ValueError(
            "restore_video needs a model that keeps the shape; got "
            f"{tuple(output.shape)} from a tile of {(1, *sizes, 3)}."
        )
    frames = np.asarray(output).astype(np.float32)[0]
    if not np.isfinite(frames).all():
        raise FloatingPointError(
            "the model gave a value that is not finite in the tile at (frame, row, "
            f"column) {starts}; its parameters are damaged, or the training diverged."
        )
    return frames


def _blend(
    restored: Float[np.ndarray, "t h w 3"],
    frames: Float[np.ndarray, "tt th tw 3"],
    axes: Sequence[AxisTiles],
    indices: Sequence[int],
) -> None:
    """Adds one tile's share to the video, in place."""
    time, rows, columns = (
        axis.weights[i] for axis, i in zip(axes, indices, strict=True)
    )
    weighted = frames * (time[:, None, None] * (rows[:, None] * columns))[..., None]
    place = tuple(
        slice(axis.starts[i], min(axis.starts[i] + axis.tile, axis.size))
        for axis, i in zip(axes, indices, strict=True)
    )
    t, h, w = (s.stop - s.start for s in place)
    restored[place] += weighted[:t, :h, :w]
