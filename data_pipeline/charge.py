"""How much light each pixel has gathered by an instant, read from when it fired.

A pixel fires when its charge reaches the threshold, somewhere within a spike frame: at
its middle, on average. So the charge is known at the firings, one threshold more at
each, and between two of them a straight line is the best that is known. A count of
spikes is off by up to one at both ends of a window; the line shares the spikes there.
"""

from typing import NamedTuple

import numpy as np

from data_pipeline.records import check_stream_shape

# Of the charge of a pixel before its first spike and after its last one nothing is
# known but that it is from 0 to 1: it is taken as a half. One that never fires has
# gathered less than one in all, a third if all rates that can be are as likely.
OPEN = 0.5
_SILENT = 1 / 3


class Charge(NamedTuple):
    """The charge of each pixel at E instants, and the firings around them.

    Attributes:
        gathered: float32 (E, h, w), in thresholds, since the start of the stream.
        before: float32 (E, h, w), the last firing at or before the instant, in spike
            frames; 0, the start of the stream, where there is none.
        after: float32 (E, h, w), the first firing after it; the end of the stream where
            there is none.
        known: bool (E, h, w), whether there are both.
    """

    gathered: np.ndarray
    before: np.ndarray
    after: np.ndarray
    known: np.ndarray


def gather_charge(spikes: np.ndarray, instants: np.ndarray) -> Charge:
    """Reads the charge at instants (E,), in spike frames, in the order of time.

    Args:
        spikes: (S, h, w) of 0 and 1. The more there is around the instants the better:
            the line at an instant runs to the firings before and after it.
        instants: from 0 to S; spike frame s covers [s, s + 1).

    Raises:
        ValueError: spikes is not (S, h, w), or an instant leaves the stream or is
            earlier than the one before it.
    """
    check_stream_shape(spikes)
    if not (
        len(instants)
        and 0 <= instants[0]
        and instants[-1] <= len(spikes)
        and (np.diff(instants) >= 0).all()
    ):
        raise ValueError(
            f"The instants must be in the order of time and in the stream, which covers"
            f" [0, {len(spikes)}], got {np.asarray(instants).tolist()}."
        )
    fired = spikes.view(np.bool_) if spikes.dtype == np.uint8 else spikes.astype(bool)
    shape = (len(instants), *spikes.shape[1:])
    before, after = np.empty(shape, np.float32), np.empty(shape, np.float32)
    count = np.empty(shape, np.int32)
    # The spike frames whose middle lies at or before each instant.
    passed = np.floor(np.asarray(instants, np.float64) + 0.5).astype(int)
    passed = np.minimum(passed, len(spikes))
    last, total = np.zeros(shape[1:], np.float32), np.zeros(shape[1:], np.int32)
    start = 0
    for edge, stop in enumerate(passed.tolist()):
        for frame in range(start, stop):
            np.putmask(last, fired[frame], np.float32(frame + 0.5))
        total += np.count_nonzero(fired[start:stop], axis=0)
        before[edge], count[edge] = last, total
        start = stop
    following = np.full(shape[1:], len(spikes), np.float32)
    stop = len(spikes)
    for edge in range(len(passed) - 1, -1, -1):
        for frame in range(stop - 1, passed[edge] - 1, -1):
            np.putmask(following, fired[frame], np.float32(frame + 0.5))
        after[edge] = following
        stop = passed[edge]
    has_before, has_after = count > 0, after < len(spikes)
    steps = np.array([_SILENT, OPEN, 1.0], np.float32)[
        has_before.astype(np.int8) + has_after
    ]
    base = np.where(has_before, count, np.where(has_after, OPEN, 0.0))
    times = np.asarray(instants, np.float32)[:, None, None]
    share = (times - before) / np.maximum(after - before, np.float32(1e-6))
    gathered = (base + steps * share).astype(np.float32)
    return Charge(gathered, before, after, has_before & has_after)


def mean_rate(spikes: np.ndarray, start: float, end: float) -> np.ndarray:
    """Returns the rates (h, w), float32 spikes per spike frame, of a window.

    It is the TFP of the window with the spikes at both ends shared by the charge.

    Raises:
        ValueError: spikes is not (S, h, w), or the window is empty or leaves it.
    """
    if not start < end:
        raise ValueError(f"The window [{start:g}, {end:g}) is empty.")
    gathered = gather_charge(spikes, np.array([start, end])).gathered
    return (gathered[1] - gathered[0]) / np.float32(end - start)
