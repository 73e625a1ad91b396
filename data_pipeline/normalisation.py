"""Log and mean/variance normalisation of representations, with their inverses.

Channels are the third axis from the end: (..., C, h, w).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# What rounding alone makes of the values of a constant channel, relative to its mean.
_CONSTANT = 1e-6


def compress(rates: np.ndarray) -> np.ndarray:
    """Returns log(1 + rates), float32, which draws bright values together.

    Raises:
        ValueError: a rate is negative.
    """
    if rates.size and not rates.min() >= 0:
        raise ValueError(f"Rates cannot be negative, the least is {rates.min()}.")
    return np.log1p(rates.astype(np.float32))


def expand(compressed: np.ndarray) -> np.ndarray:
    """Returns exp(compressed) - 1, float32, the inverse of `compress`."""
    return np.expm1(compressed.astype(np.float32))


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and spread of every channel over all arrays seen so far.

    Attributes:
        count: values seen of each channel.
        mean: (C,) float64.
        squares: (C,) float64, the summed squared distances from the mean.
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """(C,) float64, over the values seen, not an estimate for those unseen."""
        return self.squares / self.count

    @property
    def scale(self) -> np.ndarray:
        """(C,) float64 standard deviations, 1 where a channel is constant."""
        deviation = np.sqrt(self.variance)
        return np.where(deviation > _CONSTANT * np.abs(self.mean), deviation, 1.0)

    def merge(self, other: "ChannelStatistics") -> "ChannelStatistics":
        """Returns the statistics of both samples together, in whatever order.

        Raises:
            ValueError: they are of different numbers of channels.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"Statistics of {len(self.mean)} and of {len(other.mean)} channels "
                "cannot be merged."
            )
        count = self.count + other.count
        apart = other.mean - self.mean
        return ChannelStatistics(
            count,
            self.mean + apart * (other.count / count),
            self.squares
            + other.squares
            + apart**2 * (self.count * other.count / count),
        )


def measure(arrays: Iterable[np.ndarray]) -> ChannelStatistics:
    """Measures arrays (..., C, h, w) one after another, keeping none of them.

    Raises:
        ValueError: there is no array, one is empty or not finite, or they differ in
            their number of channels.
    """
    total = None
    for array in arrays:
        if array.ndim < 3 or array.size == 0:
            raise ValueError(
                f"An array must be (..., C, h, w), none zero, got {array.shape}."
            )
        values = np.moveaxis(array, -3, 0).reshape(array.shape[-3], -1)
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("An array holds values that are not finite.")
        mean = values.mean(axis=1)
        squares = ((values - mean[:, None]) ** 2).sum(axis=1)
        found = ChannelStatistics(values.shape[1], mean, squares)
        total = found if total is None else total.merge(found)
    if total is None:
        raise ValueError("There is no array to measure.")
    return total


def standardise(array: np.ndarray, statistics: ChannelStatistics) -> np.ndarray:
    """Returns (array - mean) / scale per channel (..., C, h, w), float32.

    A channel that was constant in the sample is shifted, not scaled.

    Raises:
        ValueError: the statistics are of another number of channels.
    """
    mean, scale = per_channel(statistics, array.shape)
    return (array.astype(np.float32) - mean) / scale


def restore_scale(array: np.ndarray, statistics: ChannelStatistics) -> np.ndarray:
    """Returns array * scale + mean, float32, the inverse of `standardise`.

    Raises:
        ValueError: the statistics are of another number of channels.
    """
    mean, scale = per_channel(statistics, array.shape)
    return array.astype(np.float32) * scale + mean


def per_channel(
    statistics: ChannelStatistics, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and scale, float32 (C, 1, 1) each, for arrays of this shape.

    Raises:
        ValueError: such arrays are not (..., C, h, w) with the C of the statistics.
    """
    channels = len(statistics.mean)
    if len(shape) < 3 or shape[-3] != channels:
        raise ValueError(
            f"The statistics are of {channels} channels, the array is {shape}; it must "
            f"be (..., {channels}, h, w)."
        )
    mean, scale = statistics.mean[:, None, None], statistics.scale[:, None, None]
    return mean.astype(np.float32), scale.astype(np.float32)
