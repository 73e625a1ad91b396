"""Temporal window, crop, flips and transposition, applied to all modalities alike."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from data_pipeline.jitter import Shift
from data_pipeline.records import Record
from data_pipeline.representations import bin_weights

NUM_DRAWS = 6  # first frame, top, left, mirror, upside down, transpose
_ALIGNED = Shift()


@dataclass(frozen=True)
class Crop:
    """A window of a record in time and space, its spikes still packed.

    `spikes` holds the whole bytes that cover the crop; its pixels begin `bit_offset`
    columns into them. `weights` turns them into the voxel grids of the exposures.
    """

    blur: np.ndarray  # (T, size, size, 3) uint8
    sharp: np.ndarray  # (T, size, size, 3) uint8
    spikes: np.ndarray  # (T, L, size / scale, n) bytes: each frame's exposure
    weights: np.ndarray  # (T, K, L) float32
    bit_offset: int


def draw(seed: int, position: tf.Tensor) -> tf.Tensor:
    """Returns NUM_DRAWS uniform numbers in [0, 1), a function of (seed, position)."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(position, tf.int64)])
    return tf.random.stateless_uniform([NUM_DRAWS], seed=key)


def crop_record(
    record: Record,
    draws: np.ndarray,
    *,
    num_frames: int,
    crop_size: int,
    num_bins: int,
    shift: Shift = _ALIGNED,
) -> Crop:
    """Cuts the window that the first three of `draws` choose out of a record.

    Args:
        record: a clip record with sharp frames.
        draws: NUM_DRAWS numbers in [0, 1).
        num_frames: of the window.
        crop_size: height and width of the window in RGB pixels.
        num_bins: of the voxel grids.
        shift: of the spikes against the frames, as far as the record reaches.

    Raises:
        ValueError: the clip is too short, too small or has no sharp frames.
    """
    check_fits(record, num_frames=num_frames, crop_size=crop_size)
    scale = int(record["spike_scale"])
    total, height, width = record["blur"].shape[:3]
    first = _pick(draws[0], total - num_frames + 1)
    # Steps of one spike pixel, so that both modalities are cut at the same place.
    row = _pick(draws[1], (height - crop_size) // scale + 1)
    column = _pick(draws[2], (width - crop_size) // scale + 1)
    frames = slice(first, first + num_frames)
    area = (
        frames,
        slice(row * scale, row * scale + crop_size),
        slice(column * scale, column * scale + crop_size),
    )
    size = crop_size // scale
    row = min(max(row + shift.down, 0), height // scale - size)
    column = min(max(column + shift.right, 0), width // scale - size)
    rows = slice(row, row + size)
    columns = slice(column // 8, -(-(column + size) // 8))
    exposure = record["exposure"][frames]
    later = min(
        max(shift.later, -exposure.min()), len(record["spikes"]) - exposure.max()
    )
    spikes, weights = cut_windows(
        record["spikes"][:, rows, columns], exposure + later, num_bins
    )
    return Crop(
        blur=record["blur"][area],
        sharp=record["sharp"][area],
        spikes=spikes,
        weights=weights,
        bit_offset=column % 8,
    )


def cut_windows(
    spikes: np.ndarray, exposure: np.ndarray, num_bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Stacks the spike frames that each exposure touches, with their bin weights.

    Args:
        spikes: (S, ...), packed or not.
        exposure: (T, 2) in spike frames, of any length each.
        num_bins: of the voxel grids.

    Returns:
        (T, L, ...) spike frames and (T, num_bins, L) float32 weights, L being what
        the longest exposure touches.
    """
    starts = np.floor(exposure[:, 0]).astype(int)
    length = int((np.ceil(exposure[:, 1]).astype(int) - starts).max())
    # A short exposure at the end of the stream is padded with frames of before.
    starts = np.minimum(starts, len(spikes) - length)
    windows = np.stack([spikes[start : start + length] for start in starts])
    weights = np.stack(
        [
            bin_weights(float(a), float(b), num_bins, first=int(first), count=length)
            for (a, b), first in zip(exposure, starts, strict=True)
        ]
    )
    return windows, weights


def orient(frames: tf.Tensor, draws: tf.Tensor, axes: tuple[int, int]) -> tf.Tensor:
    """Mirrors, turns upside down and transposes as the last three of `draws` say.

    Args:
        frames: any array with a vertical and a horizontal axis of the same size.
        draws: NUM_DRAWS numbers in [0, 1).
        axes: the vertical and the horizontal axis.
    """
    vertical, horizontal = axes
    order = list(range(frames.shape.rank))
    order[vertical], order[horizontal] = horizontal, vertical
    mirror, turn, transpose = (draws[index] < 0.5 for index in (3, 4, 5))
    frames = tf.cond(mirror, lambda: tf.reverse(frames, [horizontal]), lambda: frames)
    turned = frames
    frames = tf.cond(turn, lambda: tf.reverse(turned, [vertical]), lambda: turned)
    upright = frames
    return tf.cond(transpose, lambda: tf.transpose(upright, order), lambda: upright)


def check_fits(record: Record, *, num_frames: int, crop_size: int) -> None:
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


def _pick(draw_value: float, count: int) -> int:
    """Turns a uniform number into one of 0 .. count - 1."""
    return min(int(draw_value * count), count - 1)
