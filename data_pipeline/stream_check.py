"""What tells a stream that cannot be meant: no spike at all, or rows cut wrongly."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_pipeline.spike_dat import SpikeDat
from data_pipeline.spike_files import SpikeStream

_SAMPLES = 16  # places where a spike is looked for before all of the stream is read
_SAMPLE_PIXELS = 2**20  # spike pixels looked at in one of them
_BLOCK_PIXELS = 2**26  # and at a time where all of the stream is read
_PICTURES = 4  # mean pictures that the order of height and width is judged by
_PICTURE_FRAMES = 128  # spike frames in each
_PICTURE_PIXELS = 2**25  # spike pixels read for one, at most
_FEWEST_PIXELS = 1024  # of a frame, below which chance looks like evidence
_JUDGED = 3  # streams of a data set that the order is judged by
_MARGIN = 2.0  # by which evidence has to exceed what a picture of even rows could show


def require_spikes(stream: SpikeStream, name: str | Path) -> None:
    """Checks that a stream holds a spike; how many, and where, does not matter.

    A stream that has one is known after one look, if not everything else is dark.

    Raises:
        ValueError: no pixel fires in any spike frame.
    """
    count, height, width = stream.shape
    length = max(1, _SAMPLE_PIXELS // (height * width))
    last = max(0, count - length)
    for start in np.unique(np.linspace(0, last, _SAMPLES).astype(int)).tolist():
        if _any_spike(stream, start, min(start + length, count)):
            return
    length = max(1, _BLOCK_PIXELS // (height * width))
    starts = range(0, count, length)
    for start in tqdm(starts, desc=f"Looking for a spike in {name}", delay=2):
        if _any_spike(stream, start, min(start + length, count)):
            return
    raise ValueError(
        f"{name} holds no spike in any of its {count} spike frames of {height}x{width};"
        " check that the lens was open, and that this is the file that was meant."
    )


def _any_spike(stream: SpikeStream, start: int, stop: int) -> bool:
    if isinstance(stream, SpikeDat):
        return stream.any_spike(start, stop)
    return bool(stream[start:stop].any())


def require_size_as_said(
    path: str | Path,
    height: int,
    width: int,
    *,
    insist: str,
    bit_order: str = "little",
    layout: str = "plain",
) -> None:
    """Checks that height and width of a .dat were not taken for each other.

    The size of the file fits both ways, but pixels below each other resemble each
    other in a picture, and do not where it is cut into rows of another length. Without
    evidence (darkness, noise, a picture of few pixels, nearly a square) nothing is
    refused.

    Args:
        path: of the .dat, whose size fits.
        height: spike pixels, as said.
        width: spike pixels, as said.
        insist: what to do where it is right as it is said, for the sentence.
        bit_order: as for SpikeDat.
        layout: as for SpikeDat.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the other order is much more likely.
    """
    if not _fits_swapped(height, width, layout):
        return
    # Rows as they are stored: turned around they would be cut where it was said.
    stream = SpikeDat(
        path, height, width, flip=False, bit_order=bit_order, layout=layout
    )
    pictures = _mean_pictures(stream)
    said, swapped = (_unlikeness(pictures, row) for row in (width, height))
    # Rows that are even from end to end differ least: those of the other order then
    # hold parts of two rows, and differ less by no more than the ratio of the sides.
    bound = _MARGIN * max(height, width) / min(height, width)
    if said > bound * swapped:
        times = "far" if not swapped else f"{said / swapped:.1f} times"
        raise ValueError(
            f"{path} looks like {width}x{height} pixels (height x width), not "
            f"{height}x{width}: pixels below each other differ {times} less so; swap "
            f"height and width, or, where they are right, {insist}."
        )


def check_streams(
    paths: Iterable[Path], height: int, width: int, *, trust_size: bool
) -> None:
    """Checks the .dat of a data set, all of one size, before anything is made of them.

    Args:
        paths: of the streams; all must hold a spike, the first few are judged by
            whether height and width were swapped.
        height: spike pixels.
        width: spike pixels.
        trust_size: whether height and width are right though they look swapped.

    Raises:
        ValueError: a stream holds no spike, or height and width look swapped.
    """
    streams = list(paths)
    for path in tqdm(streams, desc="Checking streams", unit="stream", delay=2):
        require_spikes(SpikeDat(path, height, width, flip=False), path)
    for path in streams[: 0 if trust_size else _JUDGED]:
        require_size_as_said(path, height, width, insist="add --trust_size=true")


def _fits_swapped(height: int, width: int, layout: str) -> bool:
    """Whether a file of this size could be of the other order at all."""
    # Header bits are beside every row, so a file with them fits one order only.
    return layout == "plain" and height != width and height * width >= _FEWEST_PIXELS


def _mean_pictures(stream: SpikeDat) -> np.ndarray:
    """Mean pictures (n, h * w), float32, of short windows all over the stream."""
    count, height, width = stream.shape
    length = min(count, _PICTURE_FRAMES, max(1, _PICTURE_PIXELS // (height * width)))
    starts = np.unique(np.linspace(0, count - length, _PICTURES).astype(int))
    return np.stack(
        [
            stream[start : start + length].mean(0, dtype=np.float32).ravel()
            for start in starts.tolist()
        ]
    )


def _unlikeness(pictures: np.ndarray, row: int) -> float:
    """Mean squared difference between a pixel and one of the rows below it.

    It is that of the next row or of the one after, whichever is less: behind colour
    filters only every other row has the same colour.
    """
    lags = [lag for lag in (row, 2 * row) if lag < pictures.shape[1]]
    return min(
        (float(np.square(pictures[:, n:] - pictures[:, :-n]).mean()) for n in lags),
        default=0.0,
    )
