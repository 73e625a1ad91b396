"""Training as if camera, light and mounting were others: threshold, shifts, time."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data_pipeline.records import Record

NUM_DRAWS = 5  # reverse, threshold, down, right, later


@dataclasses.dataclass(frozen=True)
class Jitter:
    """What is varied from sample to sample; the default varies nothing."""

    time_reversal: bool = False  # half of the samples run backwards
    # Factors of the threshold, drawn evenly. A threshold n times as high is the same to
    # the sensor as 1 / n of the light.
    thresholds: tuple[int, ...] = (1,)
    misaligned_pixels: int = 0  # spike pixels that spikes are shifted, at most
    misaligned_frames: int = 0  # spike frames that exposures are shifted, at most

    def __post_init__(self) -> None:
        """Raises a ValueError for what cannot be drawn."""
        if not self.thresholds or not all(
            isinstance(n, int) and n >= 1 for n in self.thresholds
        ):
            raise ValueError(
                "thresholds must be whole factors of at least 1, such as (1, 2, 4), "
                f"got {self.thresholds}."
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
    return tf.random.stateless_uniform([NUM_DRAWS], seed=_key(seed, position, 1))


def draw_shift(jitter: Jitter, draws: tf.Tensor) -> Shift:
    """Returns the shift that the last three of `draws` choose."""

    def pick(draw_value: float, most: int) -> int:
        return min(int(draw_value * (2 * most + 1)), 2 * most) - most

    pixels, frames = jitter.misaligned_pixels, jitter.misaligned_frames
    return Shift(pick(draws[2], pixels), pick(draws[3], pixels), pick(draws[4], frames))


def check_reversible(record: Record) -> None:
    """Raises a ValueError unless backwards the sharp instants stay where they are."""
    off = np.abs(record["sharp_time"] - record["exposure"].mean(axis=1)).max()
    if off >= 1:
        raise ValueError(
            f"Clip {record['name']} has sharp frames {off:g} spike frames from the "
            "middle of their exposures, which time_reversal would move; leave it off."
        )


def raise_threshold(
    jitter: Jitter,
    spikes: tf.Tensor,
    draws: tf.Tensor,
    *,
    seed: int,
    position: tf.Tensor,
) -> tf.Tensor:
    """Returns the spikes (T, L, h, w) that a camera of a higher threshold had fired.

    With n times the threshold a pixel fires at every n-th of its spikes; at which of
    the first n is as random as its charge when the exposure begins.
    """
    if jitter.thresholds == (1,):
        return spikes
    choices = tf.constant(jitter.thresholds, tf.int32)
    last = len(jitter.thresholds) - 1
    chosen = tf.cast(draws[1] * (last + 1), tf.int32)
    factor = choices[tf.minimum(chosen, last)]
    shape = tf.shape(spikes)
    phase = tf.random.stateless_uniform(
        tf.stack([shape[0], 1, shape[2], shape[3]]),
        seed=_key(seed, position, 2),
        maxval=factor,
        dtype=tf.int32,
    )
    return thin(spikes, factor, phase)


def thin(spikes: tf.Tensor, factor: tf.Tensor, phase: tf.Tensor) -> tf.Tensor:
    """Keeps every `factor`-th spike of each pixel, time being axis 1.

    `phase` is how many spikes of the first `factor` were before the window.
    """
    count = tf.cumsum(tf.cast(spikes, tf.int32), axis=1) + phase
    return tf.where(count % factor == 0, spikes, tf.zeros_like(spikes))


def reverse(jitter: Jitter, frames: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Turns the axis of the frames, the first, around in half of the samples."""
    return _reverse(jitter, frames, draws, [0])


def reverse_grids(jitter: Jitter, grids: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Turns frames and the bins inside each exposure (T, K, h, w) around alike."""
    return _reverse(jitter, grids, draws, [0, 1])


def _reverse(
    jitter: Jitter, values: tf.Tensor, draws: tf.Tensor, axes: list[int]
) -> tf.Tensor:
    if not jitter.time_reversal:
        return values
    return tf.cond(draws[0] < 0.5, lambda: tf.reverse(values, axes), lambda: values)


def _key(seed: int, position: tf.Tensor, stream: int) -> tf.Tensor:
    """A key of its own for each use, beside that of `augment.draw`."""
    key = tf.stack([tf.constant(seed, tf.int64), tf.cast(position, tf.int64)])
    return tf.random.fold_in(key, stream)
