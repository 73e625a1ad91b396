"""Restores whole videos of any length and size, by tiles in time and space."""

import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Num

from vrt_spike_jax.clip_restorer import ClipRestorer
from vrt_spike_jax.clip_streams import blended_clips, interpolated_clips
from vrt_spike_jax.frame_source import (
    FrameSource,
    FrameStream,
    read_frames,
    read_spikes,
)
from vrt_spike_jax.instants import planned_instants
from vrt_spike_jax.models.spike_encoder import spike_scale_of
from vrt_spike_jax.official_tiling import plan_official
from vrt_spike_jax.restorer import Restorer, Task, task_of
from vrt_spike_jax.tiles import AxisTiles, plan_axis
from vrt_spike_jax.video_gain import video_gain

TILINGS = ("blended", "official")
# Videos smaller than a tile are padded to multiples of these, so that many sizes share
# few compiled programs.
_BUCKET_FRAMES = 2
_BUCKET_PIXELS = 32

Progress = Callable[[int, int], None]
Axes = tuple[AxisTiles, AxisTiles, AxisTiles]


def restore_video(
    model: Restorer,
    params: Any,
    blur: Num[Array | np.ndarray, "..."],
    spikes: Num[Array | np.ndarray, "..."] | None = None,
    *,
    tile: Sequence[Any],
    overlap: Sequence[Any],
    tiling: str = "blended",
    sigma: int | float | None = None,
    instants: Any = None,
    progress: Progress | None = None,
) -> Float[np.ndarray, "t2 h2 w2 3"]:
    """Restores a video of any length, height and width.

    The video is cut into overlapping tiles of one size, padded by reflection where it
    is smaller than one, restored tile by tile and blended. One shape is compiled for a
    call, and again only for another model or shape.

    Args:
      model: `create_model(...)`.
      params: its parameters.
      blur: (T, H, W, 3) float RGB in [0, 1].
      spikes: (T, K, H / s, W / s), s = 1, 2 or 4: as the model was trained, such as
        the rates in the K bins of each frame's own exposure, in spikes per spike
        frame; None for a model without spikes.
      tile: (frames, height, width) of the most that the model sees at once; decides the
        memory. Height and width are multiples of `model.size_multiple`; 0 takes all
        frames or pixels there are. A model that interpolates has its own number of
        frames, and those of `tile` and `overlap` count for nothing.
      overlap: (frames, height, width) that neighbouring tiles share at least.
      tiling: 'blended', smooth and for videos of any size; or 'official', the public
        PyTorch code's, seams included, to compare numbers with published ones: square
        patches, uniform in time, and no padding of what is smaller than a tile.
      sigma: noise level of `blur`, the standard deviation on the scale 0 to 255, for a
        model with `nonblind_denoising`; None for others.
      instants: (N,), or (N, T) where those of the frames differ: what to restore of
        each exposure, rising in [-1, 1], where -1 is its start and 1 its end; for a
        model that takes an instant. None restores the middle.
      progress: called with (tiles done, tiles in all), first with none done.

    Returns:
      float32 RGB in [0, 1], the shape of `blur`; four times as high and wide for
      super-resolution; for interpolation 2 T - 1 frames, every second of them given;
      for N instants N T frames, all of the first exposure, then of the second.

    Raises:
      ValueError: arguments other than these, or a model that gives another shape.
      FloatingPointError: the model gave a value that is not finite.
    """
    blur = np.asarray(blur)
    spikes = None if spikes is None else np.asarray(spikes)
    _check_shapes(model, blur, spikes)
    # Whole, so that the last frame is not refused after hours of work.
    blur = read_frames(blur, 0, len(blur))
    if spikes is not None:
        spikes = read_spikes(spikes, 0, len(spikes))
    stream = restore_frames(
        model,
        params,
        blur,
        spikes,
        tile=tile,
        overlap=overlap,
        tiling=tiling,
        sigma=sigma,
        instants=instants,
        progress=progress,
    )
    restored = np.empty(stream.shape, np.float32)
    for index, frame in enumerate(stream):
        restored[index] = frame
    return restored


def restore_frames(
    model: Restorer,
    params: Any,
    blur: FrameSource,
    spikes: FrameSource | None = None,
    *,
    tile: Sequence[Any],
    overlap: Sequence[Any],
    tiling: str = "blended",
    sigma: int | float | None = None,
    instants: Any = None,
    progress: Progress | None = None,
) -> FrameStream:
    """Restores a video as a stream, in memory that does not grow with its length.

    `blur` and `spikes` are read by slices `[start:stop]` along time, forward only; with
    spikes they are read once before, for the gain. The stream is a source itself: give
    it to `restore_frames` with another model, and the two work in turn, such as
    super-resolution and interpolation, without rounding in between.

    Args and errors are those of `restore_video`. Arguments are checked now, the values
    of frames and spikes as they are read.

    Returns:
      The restored frames (H, W, 3), float32 RGB in [0, 1], to iterate over once.
    """
    _check_shapes(model, blur, spikes)
    task = task_of(model)
    _check_sigma(task, sigma)
    asked = planned_instants(model, instants, blur.shape[0])
    count = 1 if asked is None else len(asked)
    scale = 1
    if spikes is not None:
        scale = spike_scale_of((1, *spikes.shape), (1, *blur.shape))
    axes = _plan(model, task, blur.shape, tile, overlap, tiling=tiling, scale=scale)
    time, rows, columns = axes
    clips = blur.shape[0] - 1 if task.clip_frames else len(time.starts)
    tiles = count * clips * len(rows.starts) * len(columns.starts)
    counter = _Counter(tiles, progress)
    gain = None
    if spikes is not None and getattr(model, "matches_gain", True):
        side = getattr(model, "side_channels", 0)
        gain = video_gain(blur, spikes, spike_scale=scale, side_channels=side)
    restorer = ClipRestorer(
        model,
        params,
        task=task,
        rows=rows,
        columns=columns,
        spike_scale=scale,
        gain=gain,
        noise_level=None if sigma is None else sigma / 255,
        tile_done=counter.step,
    )
    frames_made, height, width, channels = task.restored_shape(blur.shape)
    shape = (count * frames_made, height, width, channels)
    if task.clip_frames:
        frames = interpolated_clips(
            restorer,
            blur,
            spikes,
            clip_frames=task.clip_frames,
            restored_shape=shape,
        )
    else:
        frames = blended_clips(
            restorer, blur, spikes, time=time, instants=asked, restored_shape=shape
        )
    return FrameStream(frames, shape)


class _Counter:
    """Tells `progress` of every tile."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done = -1
        self._total = total
        self._progress = progress
        self.step()

    def step(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _check_shapes(
    model: Restorer, blur: FrameSource, spikes: FrameSource | None
) -> None:
    shape = tuple(blur.shape)
    if len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        raise ValueError(
            "blur must be (frames, height, width, 3), RGB, with at least one frame and "
            f"pixel; got {shape}."
        )
    if not model.takes_spikes:
        if spikes is not None:
            raise ValueError(
                "spikes were given to a model that takes none; pass spikes=None, or "
                "use a model with a fusion."
            )
        return
    if spikes is None:
        raise ValueError(
            "this model needs spikes beside the blur: pass spikes (frames, bins, "
            "height, width), or use a model with fusion='none'."
        )
    found = tuple(spikes.shape)
    if len(found) != 4 or found[0] != shape[0] or found[1] == 0:
        raise ValueError(
            f"spikes must be (frames, bins, height, width) of the {shape[0]} frames of "
            f"the blur, with at least one bin; got {found}."
        )
    spike_scale_of((1, *found), (1, *shape))


def _check_sigma(task: Task, sigma: int | float | None) -> None:
    if task.nonblind and sigma is None:
        raise ValueError(
            "this model is told the noise level: pass sigma, the standard deviation of "
            "the noise on the scale 0 to 255."
        )
    if sigma is None:
        return
    if not task.nonblind:
        raise ValueError(
            f"sigma={sigma:g} was given to a model that is not told the noise level; "
            "leave it out, or use one of non-blind denoising (task 008)."
        )
    if not 0 <= sigma <= 255:
        raise ValueError(
            f"sigma must be a number from 0 to 255, where 255 is white; got {sigma:g}."
        )


def _plan(
    model: Restorer,
    task: Task,
    shape: tuple[int, ...],
    tile: Sequence[Any],
    overlap: Sequence[Any],
    *,
    tiling: str,
    scale: int,
) -> Axes:
    """Checks tile and overlap, and plans time, height and width."""
    if tiling not in TILINGS:
        nearest = difflib.get_close_matches(tiling, TILINGS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown tiling {tiling!r}; did you mean {nearest!r}? "
            f"There are {', '.join(TILINGS)}."
        )
    if len(tile) != 3 or len(overlap) != 3:
        raise ValueError(
            "tile and overlap must be (frames, height, width); got "
            f"{tuple(tile)} and {tuple(overlap)}."
        )
    # A float would lose its fraction.
    if not all(isinstance(x, int | np.integer) for x in (*tile, *overlap)):
        raise ValueError(
            "tile and overlap must be whole numbers; got "
            f"{tuple(tile)} and {tuple(overlap)}."
        )
    frames, height, width = shape[:3]
    tile_sizes, shared = (
        (int(sizes[0]), int(sizes[1]), int(sizes[2])) for sizes in (tile, overlap)
    )
    if task.clip_frames:
        tile_sizes, shared = (0, *tile_sizes[1:]), (0, *shared[1:])
    if tiling == "blended":
        return _plan_blended(model, task, shape, tile_sizes, shared, scale=scale)
    axes = plan_official(
        (frames, height, width),
        tile=tile_sizes,
        overlap=shared,
        window=task.window,
        scale=task.upscale,
    )
    for axis in axes[1:]:
        if any(position % scale for position in (*axis.starts, axis.tile)):
            raise ValueError(
                f"tiling='official' cuts patches of {axis.tile} pixels at "
                f"{axis.starts}, which do not fall on spike pixels of {scale}x{scale}; "
                "use tiling='blended'."
            )
    return axes


def _plan_blended(
    model: Restorer,
    task: Task,
    shape: tuple[int, ...],
    tile: tuple[int, int, int],
    overlap: tuple[int, int, int],
    *,
    scale: int,
) -> Axes:
    unit = math.lcm(model.size_multiple, scale)
    limits = [
        ("frames", 1, model.min_frames, _BUCKET_FRAMES, 1),
        ("height", unit, model.min_size, _BUCKET_PIXELS, task.upscale),
        ("width", unit, model.min_size, _BUCKET_PIXELS, task.upscale),
    ]
    if task.clip_frames:
        # Clips of interpolation are not tiles: nothing of the time is planned here.
        limits[0] = ("frames", 1, 1, 1, 1)
    axes = []
    for (name, step, least, bucket, upscale), size, length, shared in zip(
        limits, shape, tile, overlap, strict=False
    ):
        if length == 0:  # all there is
            length, shared = max(size, least) + -max(size, least) % step, 0
        if length < least or length % step:
            raise ValueError(
                f"tile {name} must be a multiple of {step} and at least {least}, or 0 "
                f"for all; got {length} in tile {tile}."
            )
        if not 0 <= shared <= length - step:
            raise ValueError(
                f"overlap {name} must be from 0 to {length - step}, so that each tile "
                f"of {length} brings at least {step} new; got {shared} in overlap "
                f"{overlap}."
            )
        axes.append(
            plan_axis(
                size,
                tile=length,
                overlap=shared,
                unit=step,
                minimum=least,
                bucket=bucket,
                scale=upscale,
            )
        )
    time, rows, columns = axes
    return time, rows, columns
