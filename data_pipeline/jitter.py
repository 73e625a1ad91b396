"""Training as if camera, light and mounting were others: threshold, shifts, time."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data_pipeline.records import Record, middle_sharp

NUM_DRAWS = 6  # reverse, threshold, down, right, later, light
_CHARGE = 2**16  # what one spike adds to a pixel's charge: whole, so sums are exact
_MOST_FACTOR = 2**14  # of a threshold, whose charge has to fit 32 bits


@dataclasses.dataclass(frozen=True)
class Jitter:
    """What is varied from sample to sample; the default varies nothing."""

    time_reversal: bool = False  # half of the samples run backwards
    # Lowest and highest factor of the threshold, between which its logarithm is drawn
    # evenly. A threshold n times as high is the same to the sensor as 1 / n of the
    # light; a lower one would need spikes that were not recorded.
    thresholds: tuple[float, float] = (1.0, 1.0)
    # Lowest and highest factor of the light on both cameras, drawn alike: the frames
    # are as much darker, without more noise, and the spikes as much rarer.
    light: tuple[float, float] = (1.0, 1.0)
    misaligned_pixels: int = 0  # spike pixels that spikes are shifted, at most
    misaligned_frames: int = 0  # spike frames that exposures are shifted, at most

    def __post_init__(self) -> None:
        """Raises a ValueError for what cannot be drawn."""
        if len(self.thresholds) != 2 or not (
            1 <= self.thresholds[0] <= self.thresholds[1] <= _MOST_FACTOR
        ):
            raise ValueError(
                "thresholds must be the lowest and the highest factor, at least 1 and "
                f"at most {_MOST_FACTOR}, such as (1, 4), got {self.thresholds}."
            )
        if len(self.light) != 2 or not 0 < self.light[0] <= self.light[1] <= 1:
            raise ValueError(
                "light must be the lowest and the highest factor, above 0 and at most "
                f"1, such as (0.25, 1), got {self.light}."
            )
        if self.thresholds[1] / self.light[0] > _MOST_FACTOR:
            raise ValueError(
                f"A threshold {self.thresholds[1]} times as high in {self.light[0]} of "
                f"the light is more than {_MOST_FACTOR} times as high together."
            )
        for name in ("misaligned_pixels", "misaligned_frames"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} must not be negative, got {getattr(self, name)}."
                )


class Shift(NamedTuple):
    """Where the spikes of a sample are taken from, instead of where they belong."""

    down: int = 0  # spike pixels
    right: int = 0  # spike pixels
    later: int = 0  # spike frames


def draw(seed: int, position: tf.Tensor) -> tf.Tensor:
    """Returns NUM_DRAWS uniform numbers in [0, 1), a function of (seed, position)."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(position, tf.int64)])
    # A stream of its own, beside that of `augment.draw`.
    return tf.random.stateless_uniform([NUM_DRAWS], seed=tf.random.fold_in(key, 1))


def draw_reversal(jitter: Jitter, draws: np.ndarray) -> bool:
    """Returns whether the sample runs backwards, as the first of `draws` says."""
    return jitter.time_reversal and bool(draws[0] < 0.5)


def draw_threshold(jitter: Jitter, draws: np.ndarray) -> float:
    """Returns the factor of the threshold that the second of `draws` chooses."""
    return _between(jitter.thresholds, draws[1])


def draw_light(jitter: Jitter, draws: np.ndarray) -> float:
    """Returns the factor of the light that the last of `draws` chooses."""
    return _between(jitter.light, draws[5])


def draw_shift(jitter: Jitter, draws: np.ndarray) -> Shift:
    """Returns the shift that three of `draws` choose."""

    def pick(draw_value: float, most: int) -> int:
        return min(int(draw_value * (2 * most + 1)), 2 * most) - most

    pixels, frames = jitter.misaligned_pixels, jitter.misaligned_frames
    return Shift(pick(draws[2], pixels), pick(draws[3], pixels), pick(draws[4], frames))


def check_reversible(record: Record) -> None:
    """Raises a ValueError unless backwards the sharp instants stay where they are."""
    times = middle_sharp(record)[1]
    off = np.abs(times - record["exposure"].mean(axis=1)).max()
    if off >= 1:
        raise ValueError(
            f"Clip {record['name']} has sharp frames {off:g} spike frames from the "
            "middle of their exposures, which time_reversal would move; leave it off."
        )


def draw_phase(seed: int, position: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns phases in [0, 1), float32, a function of (seed, position)."""
    generator = np.random.Philox(key=np.array([seed, position], np.uint64))
    return np.random.Generator(generator).random(shape, np.float32)


def raise_threshold(spikes: np.ndarray, factor: float, phase: np.ndarray) -> np.ndarray:
    """Returns the spikes that a camera of a higher threshold fires, as far as known.

    The recorded spikes are the light, in portions of one threshold, of a second camera:
    it collects them and fires at the spike that fills its own. Its rate is 1 / `factor`
    of theirs. At a whole factor n that is every n-th spike, which is exactly what n
    times the threshold fires; at others a spike comes later than that camera's, by less
    than one interval of the recorded spikes.

    Args:
        spikes: (T, L, h, w) uint8 of 0 and 1.
        factor: of the threshold, at least 1.
        phase: (T, h, w) in [0, 1), the part of the threshold that is collected when
            a window begins.
    """
    full = round(factor * _CHARGE)
    fired = np.empty_like(spikes)
    for frames, start, target in zip(spikes, phase, fired, strict=True):
        charge = np.floor(start * np.float64(full)).astype(np.int32)
        for frame, fires in zip(frames, target, strict=True):
            charge += frame * np.int32(_CHARGE)
            np.greater_equal(charge, full, out=fires.view(np.bool_))
            charge -= fires * np.int32(full)
    return fired


def reverse_exposure(exposure: np.ndarray, length: int) -> np.ndarray:
    """Turns exposures (T, 2) among `length` spike frames around in time."""
    return length - exposure[::-1, ::-1]


def _between(bounds: tuple[float, float], draw_value: float) -> float:
    """Turns a uniform number into one whose logarithm is uniform between bounds."""
    lowest, highest = bounds
    return float(lowest * (highest / lowest) ** float(draw_value))
