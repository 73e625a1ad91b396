"""Latent instants: which sharp frame of an exposure is asked for, and when it is.

A record holds n sharp frames of each exposure. Their instants are told relative to the
exposure: -1 is its start, 0 its middle and 1 its end.
"""

import numpy as np

from data_pipeline.choices import unknown_name
from data_pipeline.records import Record

# 'middle': always the sharp frame of the middle. 'random': one of the n, drawn for each
# sample, the same of all its exposures.
INSTANTS = ("middle", "random")
_STREAM = 4  # of random numbers, beside those of other draws of (seed, position)


def check_instants(instants: str) -> None:
    """Raises a ValueError unless `instants` is one of INSTANTS."""
    if instants not in INSTANTS:
        raise ValueError(unknown_name("instants", instants, INSTANTS))


def draw(seed: int, position: int) -> float:
    """Returns a uniform number in [0, 1), a function of (seed, position)."""
    return float(np.random.default_rng([seed, position, _STREAM]).random())


def count_instants(record: Record) -> int:
    """Returns n, the sharp frames of each exposure."""
    return len(record["sharp"]) // len(record["blur"])


def check_several(record: Record) -> None:
    """Raises a ValueError unless there is a sharp frame to choose."""
    if count_instants(record) < 2:
        raise ValueError(
            f"Clip {record['name']} has one sharp frame of each exposure, so "
            "instants=random has none to choose; build the data set with "
            "sharp_instants=3 or more, or take instants=middle."
        )


def relative_instants(record: Record) -> np.ndarray:
    """Returns the instants (T, n), float32 in [-1, 1], of a record with sharp frames.

    They are in the order of time.
    """
    exposure = record["exposure"].astype(np.float64)
    times = record["sharp_time"].astype(np.float64).reshape(len(exposure), -1)
    middle = exposure.mean(axis=1, keepdims=True)
    half = np.diff(exposure, axis=1) / 2
    return ((times - middle) / half).astype(np.float32)


def nth_sharp(record: Record, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns of each exposure the sharp frame `number`, 0 .. n - 1, and its time.

    Returns:
        Frames (T, H, W, 3) uint8, and times (T,) float32 in spike frames.
    """
    count = count_instants(record)
    return record["sharp"][number::count], record["sharp_time"][number::count]
