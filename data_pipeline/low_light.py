"""Low-light noise suppression: the light of an exposure without the sensor's noise.

In the dark a sensor still fires, each pixel at its own rate, and a pixel that fires
less than twice in an exposure says little by its count (spike_facts 7, the recipe).
"""

import math

import numpy as np

from data_pipeline.noise_maps import NoiseMaps
from data_pipeline.records import check_stream_shape
from data_pipeline.representations import time_since_spike, time_to_spike


def correct_flat_dark(
    rate: np.ndarray, dark_rate: np.ndarray, response: np.ndarray
) -> np.ndarray:
    """Returns (rate - dark_rate) / response, at least 0, float32, of rates (..., h, w).

    With response = flat_rate - dark_rate this is the light in units of the even light;
    relative to that of the median pixel it stays a rate. 0 where the response is.
    """
    light = np.maximum(rate.astype(np.float32) - dark_rate.astype(np.float32), 0)
    answers = np.broadcast_to(response.astype(np.float32), light.shape)
    result = np.zeros_like(light)
    np.divide(light, answers, out=result, where=answers > 0)
    return result


def fill_hot_pixels(rate: np.ndarray, hot: np.ndarray) -> np.ndarray:
    """Gives each hot pixel (h, w) the median of the others within 1 pixel of it.

    Where there is none within 1 pixel, of those within 2, and so on.

    Raises:
        ValueError: all pixels are hot.
    """
    if hot.all():
        raise ValueError("All pixels are hot; there is nothing to fill them with.")
    filled = rate.copy()
    for row, column in np.argwhere(hot).tolist():
        radius = 0
        good = rate[:0, :0]
        while good.size == 0:
            radius += 1
            area = (
                slice(max(row - radius, 0), row + radius + 1),
                slice(max(column - radius, 0), column + radius + 1),
            )
            good = rate[area][~hot[area]]
        filled[row, column] = np.median(good)
    return filled


def confidence(rate: np.ndarray, dark_rate: np.ndarray) -> np.ndarray:
    """Returns rate / (rate + dark_rate), float32, how far to trust rates (..., h, w).

    From 1, far above the dark, to 1/2, no faster than in the dark. A pixel whose
    interval is more than twice that of its dark cannot be told from it and gets 0.
    """
    rate = rate.astype(np.float32)
    dark = np.broadcast_to(dark_rate, rate.shape).astype(np.float32)
    result = np.zeros_like(rate)
    np.divide(rate, rate + dark, out=result, where=(rate > 0) & (rate >= dark / 2))
    return result


def interval_rate(spikes: np.ndarray, *, start: float, end: float) -> np.ndarray:
    """Returns rates (h, w), float32, of a window from global inter-spike intervals.

    A spike stands for the time since the one before it, so that a window holds the
    spikes that end in it, and of the intervals that reach beyond it the share that
    lies inside. A pixel without a spike in the window has 1 / interval, with the last
    spike before the window and the first after it; one that fires often has its count
    but for the shares at both ends. So the rate stays the mean over the window, which
    it would not if only the pixels with few spikes were looked up: those with more
    than usual by chance would keep it. An interval that the stream does not show
    counts by its spike.

    Args:
        spikes: (S, h, w) of 0 and 1, the whole stream.
        start: of the window in spike frames.
        end: of the window in spike frames.

    Raises:
        ValueError: spikes is not (S, h, w), or the window is empty or leaves it.
    """
    check_stream_shape(spikes)
    if not 0 <= start < end <= len(spikes):
        raise ValueError(
            f"The window [{start:g}, {end:g}) must not be empty and must lie in the "
            f"stream, which covers [0, {len(spikes)})."
        )
    whole = spikes[math.floor(start) : math.floor(end)].sum(axis=0, dtype=np.float32)
    shares = _share_before(spikes, end) - _share_before(spikes, start)
    return ((whole + shares) / np.float32(end - start)).astype(np.float32)


def _share_before(spikes: np.ndarray, edge: float) -> np.ndarray:
    """How much (h, w) of the interval around an edge lies before it, in [0, 1)."""
    last = math.floor(edge) - 1  # the spike frame that ends at or before the edge
    if last < 0:
        return np.zeros(spikes.shape[1:], np.float32)
    since, until = time_since_spike(spikes, last), time_to_spike(spikes, last)
    share = np.zeros(since.shape, np.float32)
    known = np.isfinite(since) & np.isfinite(until)
    passed = since + np.float32(edge - last - 1)
    np.divide(passed, since + until, out=share, where=known)
    return share


def exposure_light(
    spikes: np.ndarray, *, start: float, end: float, maps: NoiseMaps
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the light of an exposure and the confidence in it, float32 (h, w) each.

    The rate by intervals, corrected for dark rate and response, hot pixels filled; the
    `confidence` is 0 where a pixel is hot.

    Args:
        spikes: (S, h, w) of 0 and 1, the whole stream.
        start: of the exposure in spike frames.
        end: of the exposure in spike frames.
        maps: noise of the sensor.

    Raises:
        ValueError: the window is empty or leaves the stream, or all pixels are hot.
    """
    # The recipe names the intervals last, but they give the rate that is corrected.
    rate = interval_rate(spikes, start=start, end=end)
    light = correct_flat_dark(rate, maps.dark_rate, maps.response)
    trust = np.where(maps.hot, 0, confidence(rate, maps.dark_rate))
    return fill_hot_pixels(light, maps.hot), trust.astype(np.float32)


def suppress_noise(
    channels: np.ndarray,
    spikes: np.ndarray,
    *,
    start: float,
    end: float,
    maps: NoiseMaps,
) -> tuple[np.ndarray, np.ndarray]:
    """Takes the noise of the sensor out of the rates of an exposure.

    Its `exposure_light` is found first. Then the channels of each pixel are multiplied
    by one factor, so that their mean is that light and what changes within the exposure
    stays; a pixel without a spike, or a hot one, has that light in all channels.
    Channel by channel the correction would be lost, since most bins of a dark pixel
    hold no spike to take the dark rate from.

    Args:
        channels: (C, h, w), rates of the exposure: a voxel grid, raw spikes or TFP.
        spikes: (S, h, w) of 0 and 1, the whole stream.
        start: of the exposure in spike frames.
        end: of the exposure in spike frames.
        maps: noise of the sensor.

    Returns:
        The channels (C, h, w), and one more (1, h, w), the `confidence` of each pixel,
        0 where it is hot; float32.

    Raises:
        ValueError: shapes do not fit each other, the window is empty or leaves the
            stream, or all pixels are hot.
    """
    if not channels.shape[1:] == spikes.shape[1:] == maps.hot.shape:
        raise ValueError(
            "channels (C, h, w), spikes (S, h, w) and maps (h, w) must be of one size, "
            f"got {channels.shape}, {spikes.shape} and {maps.hot.shape}."
        )
    light, trust = exposure_light(spikes, start=start, end=end, maps=maps)
    mean = channels.mean(axis=0, dtype=np.float32)
    usable = (mean > 0) & ~maps.hot
    factor = np.zeros_like(mean)
    np.divide(light, mean, out=factor, where=usable)
    corrected = np.where(usable, channels * factor, light)
    return corrected.astype(np.float32), trust[None]
