"""Random sparse dropout of spikes, an augmentation for sensors that miss some."""

import numpy as np


def drop_spikes(
    spikes: np.ndarray, fraction: float, *, rng: np.random.Generator
) -> np.ndarray:
    """Returns spikes of the same shape and dtype, each left out with one probability.

    Spikes are dropped independently and none is added, so that a rate r becomes
    (1 - fraction) r on average, which the gain match makes up for, and the count of n
    spikes spreads by sqrt(n fraction (1 - fraction)). It cannot be undone.

    Args:
        spikes: of 0 and 1.
        fraction: of the spikes that is left out on average, in [0, 1].
        rng: draws which.

    Raises:
        ValueError: the fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"The fraction to drop must be in [0, 1], got {fraction}.")
    return spikes * (rng.random(spikes.shape, np.float32) >= fraction)
