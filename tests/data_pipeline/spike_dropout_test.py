"""Random sparse dropout: how many spikes go, and that nothing else changes."""

import math

import numpy as np
import pytest

from data_pipeline.gain_match import match_gain
from data_pipeline.spike_dropout import drop_spikes


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (97, 40, 50), np.uint8)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
def test_the_fraction_is_dropped_at_random(spikes: np.ndarray, fraction: float) -> None:
    left = drop_spikes(spikes, fraction, rng=np.random.default_rng(1))
    assert left.dtype == spikes.dtype
    assert (left <= spikes).all()
    total = int(spikes.sum())
    spread = math.sqrt(total * fraction * (1 - fraction))
    assert abs(left.sum() - (1 - fraction) * total) < 5 * spread
    # Independently: the counts of pixels spread as those of n coins, n its spikes.
    count = spikes.sum(axis=0)
    off = left.sum(axis=0) - (1 - fraction) * count
    score = off**2 / (count * fraction * (1 - fraction))
    assert score.mean() == pytest.approx(1, abs=5 * math.sqrt(2 / count.size) + 0.05)


def test_the_same_generator_drops_the_same(spikes: np.ndarray) -> None:
    first, again, other = (
        drop_spikes(spikes, 0.3, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_none_and_all(spikes: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(drop_spikes(spikes, 0, rng=rng), spikes)
    assert not drop_spikes(spikes, 1, rng=rng).any()


def test_the_gain_match_makes_up_for_it(spikes: np.ndarray) -> None:
    blur = np.full((1, 40, 50, 3), 0.5, np.float32)
    rate = spikes.mean(axis=0, dtype=np.float32)[None]
    left = drop_spikes(spikes, 0.2, rng=np.random.default_rng(1))
    fewer = left.mean(axis=0, dtype=np.float32)[None]
    matched = match_gain(fewer, blur) * fewer.mean()
    assert matched == pytest.approx(match_gain(rate, blur) * rate.mean(), rel=0.01)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan])
def test_fractions_out_of_range_are_refused(
    spikes: np.ndarray, fraction: float
) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        drop_spikes(spikes, fraction, rng=np.random.default_rng(1))
