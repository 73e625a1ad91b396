"""What a spike stream looks like over time, read block by block."""

from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from data_pipeline.spike_files import SpikeStream

_BLOCK = 2**24  # spike pixels in memory at a time
_WINDOWS = 16  # that a long stream is looked at in
_BAR_AFTER = 2.0  # seconds after which reading shows a progress bar

Window = tuple[int, int]  # first spike frame and the one after the last


def sample_windows(
    stream: SpikeStream, most: int, *, shortest: int = 1
) -> list[Window]:
    """Returns the windows of a stream that a statistic of it looks at.

    All of it where it has no more than `most` spike pixels, else windows of one length,
    evenly from its beginning to its end, that have about as many together.

    Args:
        stream: to look at.
        most: spike pixels of all windows.
        shortest: spike frames of a window; rather than shorter they are fewer, and one
            at least.

    Raises:
        ValueError: most or shortest is not positive.
    """
    for name, value in (("most", most), ("shortest", shortest)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    count, height, width = stream.shape
    if count * height * width <= most:
        return [(0, count)]
    frames = most // (height * width)
    number = max(1, min(_WINDOWS, frames // shortest))
    length = min(count, max(shortest, frames // number))
    starts = np.unique(np.linspace(0, count - length, number).astype(int))
    return [(start, start + length) for start in starts.tolist()]


def interval_histogram(
    stream: SpikeStream, longest: int, *, windows: Sequence[Window] | None = None
) -> np.ndarray:
    """Counts (longest + 1,) of the intervals between two spikes of a pixel.

    Entry n counts the intervals of n spike frames; entry 0 those of more than
    `longest`. What lies before a pixel's first spike and after its last is no interval.

    Args:
        stream: to look at.
        longest: interval with an entry of its own.
        windows: of the stream, the only ones that are read, each as if it were all;
            None takes the whole stream.

    Raises:
        ValueError: longest is not positive, or a window is empty or leaves the stream.
    """
    if longest < 1:
        raise ValueError(f"longest must be at least 1 spike frame, got {longest}.")
    counts = np.zeros(longest + 1, np.int64)
    pixels = stream.shape[1] * stream.shape[2]
    last = np.full(pixels, -1)
    for first, block, is_new in _blocks(stream, windows or [(0, len(stream))]):
        if is_new:
            last[:] = -1
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
    total = np.zeros(stream.shape[1:], np.int64)
    for _, block, _ in _blocks(stream, [(start, end)]):
        total += block.sum(0, dtype=np.int64)
    return (total / (end - start)).astype(np.float32)


def row_over_time(
    stream: SpikeStream, row: int, window: int = 1, *, most: int | None = None
) -> np.ndarray:
    """The x-t slice (S // window, w) of a row: float32 rates of `window` spike frames.

    With a window of 1 these are the spikes themselves: the raster of the row.

    Args:
        stream: to look at.
        row: of the spike pixels.
        window: spike frames that one row of the slice is the mean of.
        most: of them to read, the first of each window; None reads all.

    Raises:
        ValueError: there is no such row, the window is longer than the stream, or
            `most` is not positive.
    """
    count, height, width = stream.shape
    if not 0 <= row < height:
        raise ValueError(f"row must be from 0 to {height - 1}, got {row}.")
    if not 1 <= window <= count:
        raise ValueError(
            f"window must be from 1 to the {count} spike frames there are, "
            f"got {window}."
        )
    if most is not None and most < 1:
        raise ValueError(f"most must be at least 1 spike frame, got {most}.")
    kept = count // window * window
    length = window if most is None else min(window, most)
    if length == window:
        windows = [(0, kept)]
    else:
        windows = [(start, start + length) for start in range(0, kept, window)]
    rows = np.concatenate([block[:, row] for _, block, _ in _blocks(stream, windows)])
    return rows.reshape(-1, length, width).mean(1, dtype=np.float32)


def _blocks(
    stream: SpikeStream, windows: Sequence[Window]
) -> Iterator[tuple[int, np.ndarray, bool]]:
    """Yields first spike frame, spikes, and whether they are not right after others."""
    for start, end in windows:
        if not 0 <= start < end <= len(stream):
            raise ValueError(
                f"The window [{start}, {end}) must not be empty and must lie in the "
                f"stream, which covers [0, {len(stream)})."
            )
    length = max(1, _BLOCK // (stream.shape[1] * stream.shape[2]))
    total = sum(end - start for start, end in windows)
    with tqdm(
        total=total, desc="Reading", unit="spike frame", delay=_BAR_AFTER, leave=False
    ) as bar:
        for start, end in windows:
            for first in range(start, end, length):
                block = stream[first : min(first + length, end)]
                yield first, block, first == start
                bar.update(len(block))
