"""Temporal window, crop, flips and transposition, applied to all modalities alike."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from data_pipeline import filter_phase, latent_instants
from data_pipeline.jitter import Shift
from data_pipeline.orientation import UPRIGHT, Orientation
from data_pipeline.records import Record, middle_sharp, packed_width

NUM_DRAWS = 6  # first frame, top, left, mirror, upside down, transpose
_ALIGNED = Shift()


@dataclass(frozen=True)
class Crop:
    """A window of a record in time and space, its spikes still packed.

    The first bit of each row of `spikes` is the leftmost pixel of the crop.
    """

    blur: np.ndarray  # (T, size, size, 3) uint8
    sharp: np.ndarray  # (T, size, size, 3) uint8
    spikes: np.ndarray  # (T, L, size / scale, n) bytes: each frame's exposure
    exposure: np.ndarray  # (T, 2) float64, spike frames among the L
    place: tuple[int, int]  # row and column of the first spike pixel in the record
    instant: np.ndarray  # (T,) float32 that sharp shows, relative to the exposure


def draw(seed: int, position: tf.Tensor) -> tf.Tensor:
    """Returns NUM_DRAWS uniform numbers in [0, 1), a function of (seed, position)."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(position, tf.int64)])
    return tf.random.stateless_uniform([NUM_DRAWS], seed=key)


def draw_orientation(
    draws: np.ndarray, record: Record, *, crop_size: int
) -> Orientation:
    """Returns the orientation that the last three of NUM_DRAWS `draws` choose.

    Behind colour filters a crop as large as the clip stays as it is where turning it
    would change its filters.
    """
    orientation = Orientation(*(bool(value < 0.5) for value in draws[3:6]))
    size, room = _room(record, crop_size)
    fits = filter_phase.fits(record["cfa"], orientation, size, room)
    return orientation if fits else UPRIGHT


def crop_record(
    record: Record,
    draws: np.ndarray,
    *,
    num_frames: int,
    crop_size: int,
    margin: int = 0,
    shift: Shift = _ALIGNED,
    instant: float | None = None,
) -> Crop:
    """Cuts the window that the first three of `draws` choose out of a record.

    Args:
        record: a clip record with sharp frames.
        draws: NUM_DRAWS numbers in [0, 1).
        num_frames: of the window.
        crop_size: height and width of the window in RGB pixels.
        margin: spike frames to cut before and after those of each exposure.
        shift: of the spikes against the frames, as far as the record reaches.
        instant: a number in [0, 1) that chooses one of the sharp frames of each
            exposure; None takes the one that is nearest to its middle.

    Raises:
        ValueError: the clip is too short, too small, has no sharp frames or fewer
            spike frames around its exposures than `margin`.
    """
    check_fits(record, num_frames=num_frames, crop_size=crop_size, margin=margin)
    scale = int(record["spike_scale"])
    first = _pick(draws[0], len(record["blur"]) - num_frames + 1)
    # Steps of one spike pixel, so that both modalities are cut at the same place.
    (row, column), spikes_at = _places(record, draws, crop_size=crop_size, shift=shift)
    frames = slice(first, first + num_frames)
    area = (
        frames,
        slice(row * scale, row * scale + crop_size),
        slice(column * scale, column * scale + crop_size),
    )
    size = crop_size // scale
    row, column = spikes_at
    exposure = record["exposure"][frames].astype(np.float64)
    room = len(record["spikes"]) - margin - np.ceil(exposure.max())
    later = min(max(shift.later, margin - np.floor(exposure.min())), room)
    windows, exposure = cut_windows(
        record["spikes"][:, row : row + size], exposure + later, margin=margin
    )
    sharp, shown = _cut_sharp(record, area, instant)
    return Crop(
        blur=record["blur"][area],
        sharp=sharp,
        spikes=_cut_columns(windows, column, size),
        exposure=exposure,
        place=(row, column),
        instant=shown,
    )


def _room(record: Record, crop_size: int) -> tuple[int, tuple[int, int]]:
    """A crop's size, and how much higher and wider the record is, in spike pixels."""
    scale = int(record["spike_scale"])
    height, width = record["blur"].shape[1:3]
    return crop_size // scale, (
        (height - crop_size) // scale,
        (width - crop_size) // scale,
    )


def _places(
    record: Record, draws: np.ndarray, *, crop_size: int, shift: Shift
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the frames are cut, row and column in spike pixels, and the spikes."""
    size, room = _room(record, crop_size)
    moves = (shift.down, shift.right)
    if record["cfa"] == "none":
        starts = tuple(
            _pick(share, last + 1) for share, last in zip(draws[1:3], room, strict=True)
        )
        moved = tuple(
            min(max(start + move, 0), last)
            for start, move, last in zip(starts, moves, room, strict=True)
        )
    else:
        orientation = draw_orientation(draws, record, crop_size=crop_size)
        phase = filter_phase.crop_phase(record["cfa"], orientation, size)
        starts = tuple(map(filter_phase.place, draws[1:3], room, phase))
        moved = tuple(map(filter_phase.shifted, starts, moves, room, phase))
    return (starts[0], starts[1]), (moved[0], moved[1])


def cut_windows(
    spikes: np.ndarray, exposure: np.ndarray, *, margin: int = 0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Cuts the spike frames that each exposure touches out of a stream.

    Args:
        spikes: (S, ...), packed or not.
        exposure: (T, 2) in spike frames, of any length each.
        margin: spike frames to cut before and after as well; the stream has them.

    Returns:
        T views (L, ...) of spike frames, L being what the longest exposure needs, and
        (T, 2) the exposures in them, float64.
    """
    starts = np.floor(exposure[:, 0]).astype(int) - margin
    length = int((np.ceil(exposure[:, 1]).astype(int) + margin - starts).max())
    # A short exposure at the end of the stream is padded with frames of before.
    starts = np.minimum(starts, len(spikes) - length)
    windows = [spikes[start : start + length] for start in starts]
    return windows, exposure.astype(np.float64) - starts[:, None]


def _cut_sharp(
    record: Record, area: tuple[slice, slice, slice], instant: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the sharp frames that `instant` chooses, and their relative instants."""
    frames, rows, columns = area
    instants = latent_instants.count_instants(record)
    several = slice(frames.start * instants, frames.stop * instants)
    cut = {name: record[name][frames] for name in ("blur", "exposure")}
    cut["sharp"] = record["sharp"][several, rows, columns]
    cut["sharp_time"] = record["sharp_time"][several]
    if instant is None:
        sharp, times = middle_sharp(cut)
    else:
        number = _pick(instant, instants)
        sharp, times = latent_instants.nth_sharp(cut, number)
    shown = latent_instants.relative_instants({**cut, "sharp_time": times})
    return sharp, shown[:, 0]


def _cut_columns(windows: list[np.ndarray], column: int, width: int) -> np.ndarray:
    """Cuts `width` spike pixels from `column` on out of packed rows, still packed."""
    offset, count = column % 8, packed_width(width)
    last = packed_width(column + width)
    parts = [window[..., column // 8 : last] for window in windows]
    cut = np.empty((len(parts), *parts[0].shape[:-1], count), np.uint8)
    for part, target in zip(parts, cut, strict=True):
        if not offset:
            target[...] = part
            continue
        np.right_shift(part[..., :count], offset, out=target)
        following = part[..., 1 : count + 1]
        target[..., : following.shape[-1]] |= following << (8 - offset)
    return cut


def check_fits(
    record: Record, *, num_frames: int, crop_size: int, margin: int = 0
) -> None:
    """Raises a ValueError unless a window of this size fits the record."""
    name = record["name"]
    total, height, width = record["blur"].shape[:3]
    scale = int(record["spike_scale"])
    if len(record["sharp"]) == 0:
        raise ValueError(
            f"Clip {name} has no sharp frames, so it cannot be trained on; use it for "
            "restoring only."
        )
    if num_frames < 1 or total < num_frames:
        raise ValueError(
            f"Clip {name} has {total} frames, but num_frames is {num_frames}; ask for "
            "fewer or build longer clips."
        )
    if crop_size < 1 or crop_size > min(height, width):
        raise ValueError(
            f"Clip {name} is {height}x{width}, but crop_size is {crop_size}; ask for a "
            "smaller crop or build larger clips."
        )
    if crop_size % scale:
        raise ValueError(
            f"crop_size must be a multiple of the spike scale {scale} of clip {name}, "
            f"got {crop_size}."
        )
    exposure = record["exposure"]
    around = int(
        min(np.floor(exposure.min()), len(record["spikes"]) - np.ceil(exposure.max()))
    )
    if around < margin:
        raise ValueError(
            f"Clip {name} has {around} spike frames around its exposures, but {margin} "
            "are looked at; build clips with a larger margin."
        )


def _pick(draw_value: float, count: int) -> int:
    """Turns a uniform number into one of 0 .. count - 1."""
    return min(int(draw_value * count), count - 1)
