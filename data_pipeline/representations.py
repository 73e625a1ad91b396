"""Spike representations in NumPy: voxel grid, TFP, TFI and time surface.

Time is in spike-frame units: spike frame s covers [s, s + 1). `represent` has one
interface to all of them for the spikes of an exposure.
"""

from typing import Literal

import numpy as np

from data_pipeline.choices import unknown_name
from data_pipeline.records import check_stream_shape

Direction = Literal["backward", "forward"]
Binning = Literal["hard", "bilinear"]
BINNINGS = ("hard", "bilinear")


def bin_weights(
    start: float,
    end: float,
    num_bins: int,
    *,
    first: int,
    count: int,
    binning: Binning = "hard",
) -> np.ndarray:
    """Returns (num_bins, count) float32 weights that turn spike frames into rates.

    Hard bins split the window [start, end) evenly at real-valued edges. A spike frame
    that straddles an edge is shared by its overlap and each bin is divided by its
    length. Bilinear bins are centred on the first spike frame of the window, on the
    last, and evenly between: a spike frame is shared by the two bins beside it, the
    nearer one more, and each bin is divided by the sum of its weights.

    Either way every row sums to 1: a constant light gives constant bins whatever the
    number of spike frames and bins (counting per bin does not, spike_facts 0, trap 3).

    Args:
        start: of the window in spike frames.
        end: of the window in spike frames.
        num_bins: bins that the window is split into.
        first: index of the first spike frame that the weights are for.
        count: how many spike frames they are for.
        binning: 'hard' or 'bilinear'.

    Raises:
        ValueError: no bin, an empty window, one that these frames do not cover, an
            unknown binning, or bilinear bins shorter than a spike frame, some of
            which would be empty.
    """
    check_binning(num_bins, binning)
    if not first <= start < end <= first + count:
        raise ValueError(
            f"The window [{start:g}, {end:g}) must not be empty and must lie in the "
            f"spike frames [{first}, {first + count})."
        )
    frames = first + np.arange(count)
    if binning == "bilinear":
        return _bilinear_weights(start, end, num_bins, frames)
    edges = np.linspace(start, end, num_bins + 1)
    overlaps = np.minimum(edges[1:, None], frames + 1) - np.maximum(
        edges[:-1, None], frames
    )
    return (np.maximum(overlaps, 0.0) / np.diff(edges)[:, None]).astype(np.float32)


def _bilinear_weights(
    start: float, end: float, num_bins: int, frames: np.ndarray
) -> np.ndarray:
    if 1 < num_bins and end - start < num_bins:
        raise ValueError(
            f"The window [{start:g}, {end:g}) is too short for {num_bins} bilinear "
            "bins, which need a spike frame each; take fewer bins or binning 'hard'."
        )
    inside = np.minimum(end, frames + 1) - np.maximum(start, frames)
    between = np.clip((frames - start) / max(end - start - 1, 1), 0, 1)
    distance = np.abs(np.arange(num_bins)[:, None] - (num_bins - 1) * between)
    weights = np.maximum(1 - distance, 0) * np.maximum(inside, 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def voxel_grid(
    spikes: np.ndarray,
    num_bins: int,
    *,
    start: float = 0.0,
    end: float | None = None,
    binning: Binning = "hard",
) -> np.ndarray:
    """Returns rates (num_bins, h, w), float32 spikes per spike frame, of a window.

    Args:
        spikes: (S, h, w) of 0 and 1.
        num_bins: bins that the window is split into, more or fewer than spike frames.
        start: of the window in spike frames.
        end: of the window, the end of the stream where None.
        binning: 'hard' or 'bilinear', see `bin_weights`.

    Raises:
        ValueError: the window is empty, leaves the stream or is too short for so many
            bilinear bins, or the binning is unknown.
    """
    check_stream_shape(spikes)
    end = float(len(spikes)) if end is None else end
    first = int(np.floor(start))
    count = int(np.ceil(end)) - first
    if first < 0 or first + count > len(spikes):
        raise ValueError(
            f"The window [{start:g}, {end:g}) leaves the stream, which covers "
            f"[0, {len(spikes)})."
        )
    weights = bin_weights(
        start, end, num_bins, first=first, count=count, binning=binning
    )
    window = spikes[first : first + count].astype(np.float32)
    return np.tensordot(weights, window, axes=1)


def tfp(spikes: np.ndarray, center: int, window: int) -> np.ndarray:
    """Texture from playback: rates (h, w), float32, over a window of spike frames.

    The mean of spikes (S, h, w) over `window` frames, an odd number, around `center`.
    With rate r it is off by less than 1 / window, and as blurred as the window is long.

    Raises:
        ValueError: the window is even or leaves the stream.
    """
    check_stream_shape(spikes)
    if window < 1 or window % 2 == 0:
        raise ValueError(f"The TFP window must be odd to have a centre, got {window}.")
    first = center - window // 2
    if first < 0 or first + window > len(spikes):
        raise ValueError(
            f"The TFP window of {window} around spike frame {center} covers "
            f"[{first}, {first + window}), but the stream covers [0, {len(spikes)})."
        )
    return spikes[first : first + window].mean(axis=0, dtype=np.float32)


def tfi(
    spikes: np.ndarray, center: int, *, max_interval: int | None = None
) -> np.ndarray:
    """Texture from interval: rates (h, w), float32, 1 / time between two spikes.

    The two are the last spike at or before `center` and the first one after it. A
    pixel without both of them, or with more than `max_interval` spike frames between
    them, is given rate 0: its interval was not seen.

    Raises:
        ValueError: `center` is outside the stream.
    """
    since, until = time_since_spike(spikes, center), time_to_spike(spikes, center)
    interval = since + until
    limit = np.inf if max_interval is None else max_interval
    rate = np.zeros(interval.shape, np.float32)
    np.divide(1.0, interval, out=rate, where=interval <= min(limit, len(spikes)))
    return rate


def time_since_spike(spikes: np.ndarray, center: int) -> np.ndarray:
    """Returns spike frames (h, w) since the last spike at or before `center`, or inf.

    Raises:
        ValueError: `center` is outside the stream.
    """
    _check_center(spikes, center)
    past = spikes[center::-1].astype(bool)
    return np.where(past.any(axis=0), past.argmax(axis=0), np.inf).astype(np.float32)


def time_to_spike(spikes: np.ndarray, center: int) -> np.ndarray:
    """Returns spike frames (h, w) to the first spike after `center`, or inf.

    Raises:
        ValueError: `center` is outside the stream.
    """
    _check_center(spikes, center)
    future = spikes[center + 1 :].astype(bool)
    if len(future) == 0:
        return np.full(spikes.shape[1:], np.inf, np.float32)
    steps = 1 + future.argmax(axis=0)
    return np.where(future.any(axis=0), steps, np.inf).astype(np.float32)


def time_surface(
    spikes: np.ndarray,
    center: int,
    *,
    tau: float,
    direction: Direction = "backward",
) -> np.ndarray:
    """Returns exp(-dt / tau) (h, w), float32, and 0 where there is no spike.

    `dt` is the time in spike frames since the last spike at or before `center`
    (backward) or to the first one after it (forward).

    Raises:
        ValueError: `center` is outside the stream, tau not positive, or the direction
            unknown.
    """
    check_tau(tau)
    times = {"backward": time_since_spike, "forward": time_to_spike}
    if direction not in times:
        raise ValueError(unknown_name("direction", direction, times))
    return np.exp(-times[direction](spikes, center) / np.float32(tau))


def check_binning(num_bins: int, binning: str) -> None:
    """Raises a ValueError unless there can be so many bins of this kind."""
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}.")
    if binning not in BINNINGS:
        raise ValueError(unknown_name("binning", binning, BINNINGS))


def check_tau(tau: float) -> None:
    """Raises a ValueError unless a time surface can decay so fast."""
    if not 0 < tau < np.inf:
        raise ValueError(f"tau must be a number of spike frames above 0, got {tau}.")


def _check_center(spikes: np.ndarray, center: int) -> None:
    check_stream_shape(spikes)
    if not 0 <= center < len(spikes):
        raise ValueError(
            f"Spike frame {center} is outside the stream, which covers "
            f"[0, {len(spikes)})."
        )
