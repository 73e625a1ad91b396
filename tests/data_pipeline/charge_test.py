"""The charge of pixels: known at their firings, a line between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.charge import gather_charge, mean_rate
from data_pipeline.spike_camera import SpikeCamera


def stream(light: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """What an ideal camera of threshold 1 makes of light (S, h, w)."""
    phase = np.random.default_rng(seed).random(light.shape[1:], np.float32)
    camera = SpikeCamera(threshold=1.0, gain=1.0, phase=phase)
    return np.stack([camera.read(frame) for frame in light]).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), rate=st.floats(0.0, 0.7))
def test_it_is_the_line_through_the_firings(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    spikes = (rng.random((23, 2, 3)) < rate).astype(np.uint8)
    instants = np.sort(rng.uniform(0, 23, 6))
    charge = gather_charge(spikes, instants)
    for y, x in np.ndindex(2, 3):
        firings = np.flatnonzero(spikes[:, y, x]) + 0.5
        n = len(firings)
        # With what is taken of a pixel's charge where the stream does not show it.
        times = np.concatenate([[0], firings, [23]])
        values = [0.5, *range(1, n + 1), n + 0.5] if n else [0, 1 / 3]
        expected = np.interp(instants, times, values)
        np.testing.assert_allclose(charge.gathered[:, y, x], expected, atol=1e-4)
        inside = [bool(n) and firings[0] <= t < firings[-1] for t in instants]
        assert charge.known[:, y, x].tolist() == inside
        for edge, instant in enumerate(instants):
            before = firings[firings <= instant]
            after = firings[firings > instant]
            assert charge.before[edge, y, x] == (before[-1] if len(before) else 0)
            assert charge.after[edge, y, x] == (after[0] if len(after) else 23)


def test_a_still_pixel_shows_its_rate_far_better_than_its_count() -> None:
    rates = np.linspace(0.03, 0.95, 100, dtype=np.float32).reshape(10, 10)
    spikes = stream(np.repeat(rates[None], 400, axis=0))
    shared = mean_rate(spikes, 180.25, 221.25)
    counted = spikes[180:221].mean(axis=0)
    # Each end is off by half of what a spike frame brings; of a count, by a spike.
    assert (np.abs(shared - rates) <= rates / 41 + 1e-5).all()
    assert np.square(shared - rates).mean() < np.square(counted - rates).mean() / 4


def test_time_runs_alike_in_both_directions() -> None:
    # A ramp of light: a lag of a fraction of a spike frame would show in its mean.
    ramp = np.linspace(0.1, 0.7, 301, dtype=np.float32)[:, None, None]
    light = np.broadcast_to(ramp, (301, 40, 40))
    spikes = stream(light)
    edges = np.arange(20.0, 281.0, 10.0)
    rates = np.diff(gather_charge(spikes, edges).gathered, axis=0).mean((1, 2)) / 10
    expected = [light[int(edge) : int(edge) + 10, 0, 0].mean() for edge in edges[:-1]]
    assert np.abs(rates - expected).max() < 6e-4  # 0.3 of a spike frame of the ramp
    backwards = gather_charge(spikes[::-1], (301 - edges)[::-1]).gathered
    back = np.diff(backwards, axis=0).mean((1, 2))[::-1] / 10
    np.testing.assert_allclose(back, rates, atol=2e-5)


def test_mistakes_are_one_sentence() -> None:
    spikes = np.zeros((5, 2, 2), np.uint8)
    for instants in ([], [-0.5], [5.5], [2.0, 1.0]):
        with pytest.raises(ValueError, match=r"order of time and in the stream"):
            gather_charge(spikes, np.array(instants))
    with pytest.raises(ValueError, match=r"spikes must be \(S, h, w\)"):
        gather_charge(spikes[0], np.array([1.0]))
    with pytest.raises(ValueError, match=r"\[3, 3\) is empty"):
        mean_rate(spikes, 3, 3)
