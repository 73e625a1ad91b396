"""What a spike sensor adds to the light, pixel by pixel: measured or estimated."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_pipeline.records import check_stream_shape

# A gen-1 sensor in the dark: its median pixel fires every 224 spike frames, intervals
# are log-normal with this spread, and the mean rate is .0049 (spike_facts 7).
DARK_RATE = 0.0049
DARK_LOG_SPREAD = 0.455
HOT_SCORE = 5.0

_STRIPE_RADIUS = 8  # columns or rows on either side that a stripe stands out from
_NEIGHBOURS = 2  # pixels on either side that a hot pixel stands out from


@dataclass(frozen=True)
class NoiseMaps:
    """The noise of a sensor, (h, w) each.

    Attributes:
        dark_rate: float32 spikes per spike frame that come without light.
        response: float32 answer to light relative to that of the median pixel.
        hot: bool, pixels that are not to be used.
    """

    dark_rate: np.ndarray
    response: np.ndarray
    hot: np.ndarray


def measured_maps(dark_rate: np.ndarray, flat_rate: np.ndarray) -> NoiseMaps:
    """Makes maps of a calibration: long recordings in the dark and of an even light.

    Pixels that are hot or do not answer to light are marked as hot.

    Args:
        dark_rate: (h, w), mean spikes per spike frame in the dark.
        flat_rate: (h, w), mean spikes per spike frame of an evenly lit white.

    Raises:
        ValueError: the shapes differ, half of the pixels never fired in the dark, or
            half of them do not answer to light.
    """
    if dark_rate.ndim != 2 or dark_rate.shape != flat_rate.shape:
        raise ValueError(
            "dark_rate and flat_rate must be (h, w) of the same size, got "
            f"{dark_rate.shape} and {flat_rate.shape}."
        )
    dark = float(np.median(dark_rate))
    if not dark > 0:
        raise ValueError(
            "At least half of the pixels did not fire in the dark; record the dark "
            "for longer."
        )
    answer = flat_rate.astype(np.float64) - dark_rate
    middle = float(np.median(answer))
    if not middle > 0:
        raise ValueError(
            "At least half of the pixels fire no faster in the light than in the dark; "
            "check which recording is which."
        )
    return NoiseMaps(
        dark_rate=dark_rate.astype(np.float32),
        response=(answer / middle).astype(np.float32),
        hot=hot_pixels(dark_rate, np.full(dark_rate.shape, dark)) | (answer <= 0),
    )


def estimated_maps(spikes: np.ndarray, *, dark_rate: float = DARK_RATE) -> NoiseMaps:
    """Makes maps of a recording itself, for a sensor without a calibration.

    The dark rate is the given one with the stripes of the recording, the response is
    taken as even, and hot pixels are those that outshine their neighbours.

    Args:
        spikes: (S, h, w) of 0 and 1, the longer the better.
        dark_rate: of the sensor, spikes per spike frame.

    Raises:
        ValueError: spikes is not (S, h, w), or the dark rate not positive.
    """
    return maps_of_rate(long_rate(spikes), dark_rate=dark_rate)


def maps_of_rate(rate: np.ndarray, *, dark_rate: float = DARK_RATE) -> NoiseMaps:
    """Makes the `estimated_maps` of a recording of which the `long_rate` is known.

    Args:
        rate: (h, w), spikes per spike frame.
        dark_rate: of the sensor, spikes per spike frame.

    Raises:
        ValueError: the dark rate is not between 0 and 1.
    """
    if not 0 < dark_rate < 1:
        raise ValueError(
            f"dark_rate must be between 0 and 1 spikes per spike frame, got {dark_rate}"
        )
    near = _local_median(_local_median(rate, 0, _NEIGHBOURS), 1, _NEIGHBOURS)
    return NoiseMaps(
        dark_rate=np.maximum(dark_rate + stripes(rate), 0).astype(np.float32),
        response=np.ones(rate.shape, np.float32),
        hot=hot_pixels(rate, np.maximum(near, dark_rate)),
    )


def long_rate(spikes: np.ndarray) -> np.ndarray:
    """Returns rates (h, w), float32, of a whole recording (S, h, w).

    From the first spike of a pixel to its last there is a whole number of intervals,
    so that the rate is known to a spike frame of that time, where a count is only
    known to a spike. Pixels with fewer than two spikes are counted.

    Raises:
        ValueError: spikes is not (S, h, w).
    """
    return long_rate_of_parts([spikes])


def long_rate_of_parts(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Returns the `long_rate` of a recording that comes in parts, keeping none of them.

    Args:
        parts: (S, h, w) of 0 and 1, one after the other.

    Raises:
        ValueError: there is no part, or one is not (S, h, w).
    """
    total, count = 0, None
    for part in parts:
        check_stream_shape(part)
        fired = part.astype(bool)
        here = np.count_nonzero(fired, axis=0)
        begins = total + fired.argmax(axis=0)
        ends = total + len(part) - 1 - fired[::-1].argmax(axis=0)
        if count is None:
            count, first, last = here, begins, ends
        else:
            first = np.where(count > 0, first, begins)
            last = np.where(here > 0, ends, last)
            count = count + here
        total += len(part)
    if count is None:
        raise ValueError("There is no part of a recording to take the rate of.")
    rate = count / total
    np.divide(count - 1, last - first, out=rate, where=count > 1)
    return rate.astype(np.float32)


def stripes(rate: np.ndarray) -> np.ndarray:
    """Returns what columns and rows add to the rates (h, w) of a long window, float32.

    Of each pixel what it has beyond the median of those beside it in its row, of that
    the median down each column, and the same of the rows: what is wide, or not along a
    whole column or row, is the scene. The medians of a picture without any stripes
    scatter too; by their expected share of the scatter all stripes are shrunk.
    """
    columns = _stripes_of_columns(rate)
    rows = _stripes_of_columns((rate - columns).T)
    return (columns + rows[:, None]).astype(np.float32)


def _stripes_of_columns(rate: np.ndarray) -> np.ndarray:
    excess = rate - _local_median(rate, 1, _STRIPE_RADIUS)
    found = np.median(excess, axis=0)
    scatter = 1.4826 * np.median(np.abs(excess - found))
    # The variance of the median of n normal values is pi / 2 of that of their mean.
    chance = np.pi / 2 * scatter**2 / len(rate)
    power = np.mean(found**2)
    return found * (max(power - chance, 0) / power if power > 0 else 0)


def hot_pixels(rate: np.ndarray, usual_rate: np.ndarray) -> np.ndarray:
    """Returns which pixels (h, w) fire at intervals far too short, bool.

    Those whose interval is more than HOT_SCORE standard deviations below the usual, in
    the logarithm, where intervals are normal. The deviation is that of these pixels,
    estimated from their median distance, but no less than that of a real sensor.

    Args:
        rate: (h, w) spikes per spike frame, in the dark or over a long window.
        usual_rate: (h, w), above 0, what is to be expected.
    """
    seen = rate > 0
    excess = np.log(np.where(seen, rate, usual_rate) / usual_rate)
    excess[~seen] = -np.inf  # a pixel that never fires is not hot
    found = excess[seen]
    distance = np.abs(found - np.median(found)) if found.size else np.zeros(1)
    spread = max(1.4826 * float(np.median(distance)), DARK_LOG_SPREAD)
    return excess > HOT_SCORE * spread


def _local_median(values: np.ndarray, axis: int, radius: int) -> np.ndarray:
    """The median of each value and those up to `radius` beside it along an axis."""
    radius = min(radius, values.shape[axis] - 1)
    pads = [(0, 0)] * values.ndim
    pads[axis] = (radius, radius)
    padded = np.pad(values, pads, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis)
    return np.median(windows, axis=-1)
