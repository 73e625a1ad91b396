"""One interface to every representation: the spikes of an exposure as channels.

All of a window in spike-frame units, in NumPy. `graph_ops.represent` is the twin for
tf.data.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipeline.charge import gather_charge
from data_pipeline.choices import unknown_name
from data_pipeline.records import check_stream_shape
from data_pipeline.representations import (
    Binning,
    check_binning,
    check_tau,
    tfi,
    tfp,
    time_surface,
    voxel_grid,
)

# Representations that take the end of the stream for the end of the margin: where a
# pixel has no spike before or after, they know what to do.
OPEN_ENDED = ("charge",)
MIN_RAW_FRAMES = 32  # fewer hardly show what moves within an exposure


class Representation(NamedTuple):
    """A representation: what makes it, and how many channels it has.

    `compute` takes the spike frames (L, h, w) that may be looked at, start and end of
    the exposure among them, and the options. `count` takes the options alone, with
    their defaults, checks them and returns the number of channels.
    """

    compute: Callable[..., np.ndarray]
    count: Callable[..., int]


def represent(
    name: str,
    spikes: np.ndarray,
    *,
    start: float,
    end: float,
    margin: int = 0,
    **options: Any,
) -> np.ndarray:
    """Returns the spikes of one exposure as channels (C, h, w), float32.

    'voxel' (num_bins, binning='hard'): `voxel_grid` of the exposure.
    'time_surface' (num_instants, tau): in the middle of each of num_instants even
        parts of the exposure, the backward and then the forward `time_surface`.
    'raw' (num_frames): the spike frames around the middle of the exposure.
    'tfp' (windows): `tfp` around the middle of the exposure, one channel per window.
    'tfi' (num_instants): `tfi` in the middle of each of num_instants even parts.
    'charge' (num_bins): `charge_grid` of the exposure.

    Args:
        name: of the representation, a key of REPRESENTATIONS.
        spikes: (S, h, w) of 0 and 1.
        start: of the exposure in spike frames.
        end: of the exposure in spike frames.
        margin: spike frames before and after those of the exposure that may be looked
            at; spikes outside them change nothing. For those in OPEN_ENDED it ends
            where the stream does.
        **options: of the representation, as above.

    Raises:
        ValueError: the name or an option is unknown, an option is missing or out of
            its range, the exposure is empty or leaves the stream with its margin, or
            it has fewer spike frames with its margin than are asked for.
    """
    count_channels(name, **options)
    check_stream_shape(spikes)
    check_margin(margin)
    if not start < end:
        raise ValueError(f"The exposure [{start:g}, {end:g}) must not be empty.")
    first, last = math.floor(start) - margin, math.ceil(end) + margin
    if name in OPEN_ENDED:
        first = max(first, min(math.floor(start), 0))
        last = min(last, max(math.ceil(end), len(spikes)))
    if first < 0 or last > len(spikes):
        raise ValueError(
            f"The exposure [{start:g}, {end:g}) with its margin of {margin} covers the "
            f"spike frames [{first}, {last}), but the stream covers [0, {len(spikes)})."
        )
    seen = spikes[first:last]
    compute = REPRESENTATIONS[name].compute
    return compute(seen, start - first, end - first, **options)


def count_channels(name: str, **options: Any) -> int:
    """Returns how many channels a representation with these options has.

    Raises:
        ValueError: the name or an option is unknown, or an option is missing or out
            of its range.
    """
    if name not in REPRESENTATIONS:
        raise ValueError(unknown_name("representation", name, REPRESENTATIONS))
    count = REPRESENTATIONS[name].count
    known = inspect.signature(count).parameters
    for option in options:
        if option not in known:
            raise ValueError(unknown_name(f"option of {name}", option, known))
    missing = [
        option
        for option, parameter in known.items()
        if parameter.default is parameter.empty and option not in options
    ]
    if missing:
        raise ValueError(f"The representation {name} needs {', '.join(missing)}.")
    return count(**options)


def check_margin(margin: int) -> None:
    """Raises a ValueError unless there can be a margin of so many spike frames."""
    if margin < 0:
        raise ValueError(f"margin must not be negative, got {margin}.")


def first_around_middle(start: float, end: float, count: int) -> int:
    """Returns the first of `count` spike frames around the middle of an exposure."""
    (middle,) = _instants(start, end, 1)
    return middle - count // 2


def _voxel(
    seen: np.ndarray,
    start: float,
    end: float,
    *,
    num_bins: int,
    binning: Binning = "hard",
) -> np.ndarray:
    return voxel_grid(seen, num_bins, start=start, end=end, binning=binning)


def _voxel_count(*, num_bins: int, binning: str = "hard") -> int:
    check_binning(num_bins, binning)
    return num_bins


def _time_surface(
    seen: np.ndarray, start: float, end: float, *, num_instants: int, tau: float
) -> np.ndarray:
    return np.stack(
        [
            time_surface(seen, center, tau=tau, direction=direction)
            for center in _instants(start, end, num_instants)
            for direction in ("backward", "forward")
        ]
    )


def _time_surface_count(*, num_instants: int, tau: float) -> int:
    check_tau(tau)
    return 2 * _tfi_count(num_instants=num_instants)


def _raw(seen: np.ndarray, start: float, end: float, *, num_frames: int) -> np.ndarray:
    first = first_around_middle(start, end, num_frames)
    _check_inside(first, num_frames, len(seen))
    return seen[first : first + num_frames].astype(np.float32)


def _raw_count(*, num_frames: int) -> int:
    if num_frames < MIN_RAW_FRAMES:
        raise ValueError(
            f"num_frames must be at least {MIN_RAW_FRAMES} raw spike frames, got "
            f"{num_frames}."
        )
    return num_frames


def _tfp(
    seen: np.ndarray, start: float, end: float, *, windows: Sequence[int]
) -> np.ndarray:
    longest = max(windows)
    _check_inside(first_around_middle(start, end, longest), longest, len(seen))
    (middle,) = _instants(start, end, 1)
    return np.stack([tfp(seen, middle, window) for window in windows])


def _tfp_count(*, windows: Sequence[int]) -> int:
    if len(windows) == 0 or any(size < 1 or size % 2 == 0 for size in windows):
        raise ValueError(
            "windows must be odd numbers of spike frames, at least one, got "
            f"{list(windows)}."
        )
    return len(windows)


def _tfi(
    seen: np.ndarray, start: float, end: float, *, num_instants: int
) -> np.ndarray:
    return np.stack([tfi(seen, at) for at in _instants(start, end, num_instants)])


def _tfi_count(*, num_instants: int) -> int:
    if num_instants < 1:
        raise ValueError(f"num_instants must be at least 1, got {num_instants}.")
    return num_instants


def charge_grid(
    spikes: np.ndarray, num_bins: int, *, start: float, end: float
) -> np.ndarray:
    """Returns the rates (K, h, w), float32, of K even parts of a window.

    They are those of a voxel grid, but for the spikes at the edges of the parts: what a
    pixel has gathered between two spikes is shared evenly, see `gather_charge`. So a
    rate is off by what the light changes between two spikes, not by a whole spike. A
    pixel that never fires says nothing: its rates are 0.

    Raises:
        ValueError: spikes is not (S, h, w), or the window leaves it.
    """
    edges = start + (end - start) * np.arange(num_bins + 1) / num_bins
    gathered = gather_charge(spikes, edges).gathered
    rates = np.diff(gathered, axis=0) * np.float32(num_bins / (end - start))
    return np.where(spikes.any(0), rates, np.float32(0))


def _charge(seen: np.ndarray, start: float, end: float, *, num_bins: int) -> np.ndarray:
    return charge_grid(seen, num_bins, start=start, end=end)


def _charge_count(*, num_bins: int) -> int:
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}.")
    return num_bins


REPRESENTATIONS: dict[str, Representation] = {
    "voxel": Representation(_voxel, _voxel_count),
    "time_surface": Representation(_time_surface, _time_surface_count),
    "raw": Representation(_raw, _raw_count),
    "tfp": Representation(_tfp, _tfp_count),
    "tfi": Representation(_tfi, _tfi_count),
    "charge": Representation(_charge, _charge_count),
}


def _instants(start: float, end: float, count: int) -> list[int]:
    """The spike frames in the middle of `count` even parts of a window."""
    parts = (2 * np.arange(count) + 1) / (2 * count)
    return np.floor(start + (end - start) * parts).astype(int).tolist()


def _check_inside(first: int, count: int, seen: int) -> None:
    if first < 0 or first + count > seen:
        raise ValueError(
            f"{count} spike frames around the middle of the exposure leave it and its "
            f"margin, which are {seen} with {first + count // 2} before the middle; "
            "take fewer or a larger margin."
        )
