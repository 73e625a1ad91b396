"""What a spike stream looks like over time, read block by block."""

from collections.abc import Iterator

import numpy as np

from data_pipeline.spike_files import SpikeStream

_BLOCK = 2**24  # spike pixels in memory at a time


def interval_histogram(stream: SpikeStream, longest: int) -> np.ndarray:
    """Counts (longest + 1,) of the intervals between two spikes of a pixel.

    Entry n counts the intervals of n spike frames; entry 0 those of more than
    `longest`. What lies before a pixel's first spike and after its last is no interval.

    Raises:
        ValueError: longest is not positive.
    """
    if longest < 1:
        raise ValueError(f"longest must be at least 1 spike frame, got {longest}.")
    counts = np.zeros(longest + 1, np.int64)
    pixels = stream.shape[1] * stream.shape[2]
    last = np.full(pixels, -1)
    for first, block in _blocks(stream):
        # All spikes of a pixel in a row, in the order of time.
        pixel, time = np.nonzero(block.reshape(len(block), pixels).T)
        time += first
        same = pixel[1:] == pixel[:-1]
        starts = np.ones(len(pixel), bool)
        starts[1:] = ~same
        before = last[pixel[starts]]
        joined = time[starts] - before
        intervals = np.concatenate([np.diff(time)[same], joined[before >= 0]])
        intervals[intervals > longest] = 0
        counts += np.bincount(intervals, minlength=longest + 1)
        last[pixel] = time  # the last of several wins
    return counts


def mean_rate(
    stream: SpikeStream, start: int = 0, end: int | None = None
) -> np.ndarray:
    """Mean (h, w), float32 spikes per spike frame, of the spike frames [start, end).

    Raises:
        ValueError: the window is empty or leaves the stream.
    """
    end = len(stream) if end is None else end
    if not 0 <= start < end <= len(stream):
        raise ValueError(
            f"The window [{start}, {end}) must not be empty and must lie in the "
            f"stream, which covers [0, {len(stream)})."
        )
    total = np.zeros(stream.shape[1:], np.int64)
    length = _block_length(stream)
    for at in range(start, end, length):
        total += stream[at : min(at + length, end)].sum(0, dtype=np.int64)
    return (total / (end - start)).astype(np.float32)


def row_over_time(stream: SpikeStream, row: int, window: int = 1) -> np.ndarray:
    """The x-t slice (S // window, w) of a row: float32 rates of `window` spike frames.

    With a window of 1 these are the spikes themselves: the raster of the row.

    Raises:
        ValueError: there is no such row, or the window is longer than the stream.
    """
    count, height, width = stream.shape
    if not 0 <= row < height:
        raise ValueError(f"row must be from 0 to {height - 1}, got {row}.")
    if not 1 <= window <= count:
        raise ValueError(
            f"window must be from 1 to the {count} spike frames there are, "
            f"got {window}."
        )
    kept = count // window * window
    rows = np.concatenate([block[:, row] for _, block in _blocks(stream)])[:kept]
    return rows.reshape(-1, window, width).mean(1, dtype=np.float32)


def _blocks(stream: SpikeStream) -> Iterator[tuple[int, np.ndarray]]:
    length = _block_length(stream)
    for first in range(0, len(stream), length):
        yield first, stream[first : first + length]


def _block_length(stream: SpikeStream) -> int:
    """Spike frames of a block."""
    return max(1, _BLOCK // (stream.shape[1] * stream.shape[2]))
