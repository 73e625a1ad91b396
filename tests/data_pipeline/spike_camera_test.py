"""The ideal camera against its closed form."""

import numpy as np
import pytest

from data_pipeline.spike_camera import grey, simulate


def constant(light: np.ndarray, length: int) -> np.ndarray:
    return np.broadcast_to(light, (length, *light.shape)).astype(np.float32)


def test_constant_light_follows_the_closed_form() -> None:
    # Dyadic rates and phases, so that the sums are exact and the floor decides.
    rate = np.arange(257, dtype=np.float64)[:, None] / 256
    phase = np.broadcast_to(np.arange(64) / 64, (257, 64))
    spikes = simulate(
        constant(np.broadcast_to(rate, phase.shape), 500),
        threshold=1.0,
        gain=1.0,
        rng=np.random.default_rng(0),
        phase=phase,
    )
    t = np.arange(500)[:, None, None]
    expected = np.floor(phase + (t + 1) * rate) - np.floor(phase + t * rate)
    np.testing.assert_array_equal(spikes, expected)


@pytest.mark.parametrize(("threshold", "gain"), [(2.0, 1.0), (4.0, 1.0), (1.0, 0.5)])
def test_the_rate_is_gain_times_light_over_threshold(
    threshold: float, gain: float
) -> None:
    light = np.random.default_rng(1).random((8, 8))
    spikes = simulate(
        constant(light, 400),
        threshold=threshold,
        gain=gain,
        rng=np.random.default_rng(2),
    )
    rate = gain * light / threshold
    assert np.abs(spikes.sum(axis=0) - 400 * rate).max() <= 1.01


def test_the_error_of_a_window_has_the_variance_of_a_sixth() -> None:
    # f (1 - f) averaged over the fraction f of a window, spike_facts 7.
    light = np.random.default_rng(3).random((200, 200))
    window = 21
    spikes = simulate(
        constant(light, window), threshold=1, gain=1, rng=np.random.default_rng(4)
    )
    error = spikes.sum(axis=0) - window * light
    assert np.mean(error**2) == pytest.approx(1 / 6, rel=0.02)


def test_hard_reset_fires_every_ceil_of_threshold_over_light() -> None:
    light = np.array([[0.3, 0.5, 0.51, 1.0]])
    spikes = simulate(
        constant(light, 12),
        threshold=1.0,
        gain=1.0,
        rng=np.random.default_rng(0),
        reset="hard",
        phase=np.zeros((1, 4)),
    )
    np.testing.assert_array_equal(spikes.sum(axis=0), [[3, 6, 6, 12]])


def test_saturated_pixels_fire_always_and_remember_nothing() -> None:
    light = np.ones((20, 1, 1), np.float32)
    light[10:] = 0.0
    spikes = simulate(light, threshold=1.0, gain=3.5, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(spikes[:10], 1)
    np.testing.assert_array_equal(spikes[10:], 0)


def test_the_same_generator_gives_the_same_spikes() -> None:
    light = np.random.default_rng(0).random((30, 5, 5))

    def run(seed: int) -> np.ndarray:
        return simulate(light, threshold=1, gain=1, rng=np.random.default_rng(seed))

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()


def test_grey_is_the_luma_of_the_standard() -> None:
    colour = np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(grey(colour), [0.299, 0.587, 0.114])


@pytest.mark.parametrize(
    ("light", "options", "message"),
    [
        (np.full((2, 2, 2), 1.1), {}, r"must lie in \[0, 1\]"),
        (np.full((2, 2, 2), np.nan), {}, r"must lie in \[0, 1\]"),
        (np.zeros((2, 2)), {}, r"must be \(S, h, w\)"),
        (np.zeros((0, 2, 2)), {}, r"must be \(S, h, w\)"),
        (np.zeros((2, 2, 2)), {"threshold": 0.0}, "threshold must be a positive"),
        (np.zeros((2, 2, 2)), {"gain": -1.0}, "gain must be a positive"),
        (np.zeros((2, 2, 2)), {"reset": "sof"}, "Did you mean 'soft'"),
    ],
)
def test_errors_say_what_is_wrong(
    light: np.ndarray, options: dict, message: str
) -> None:
    arguments = {"threshold": 1.0, "gain": 1.0} | options
    with pytest.raises(ValueError, match=message):
        simulate(light, rng=np.random.default_rng(0), **arguments)
