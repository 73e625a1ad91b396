"""Frequency losses against NumPy's whole transform, and against values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.losses.frequency import focal_frequency, frequency

SMALLEST = 1e-3


def _weights(height, width, boost):
    radius = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width)[None] ** 2
    weights = 1 + boost * radius / radius.max()
    return (weights / weights.mean())[None, :, :, None]


def _transform(frames):
    return np.fft.fft2(frames, axes=(1, 2), norm="ortho")


@pytest.mark.parametrize("boost", [0.0, 3.0])
def test_both_equal_numpy_over_all_frequencies(boost):
    rng = np.random.default_rng(0)
    # Both sizes even, so that the highest frequency of both directions is there.
    prediction, target = rng.random((2, 6, 8, 3)), rng.random((2, 6, 8, 3))
    weights = _weights(6, 8, boost)
    first, second = _transform(prediction), _transform(target)
    size_first, size_second = np.abs(first), np.abs(second)
    phase = np.sqrt(size_first * size_second) * np.abs(
        np.exp(1j * np.angle(first)) - np.exp(1j * np.angle(second))
    )
    expected = (weights * (np.abs(size_first - size_second) + phase) / 2).mean()
    found = frequency(jnp.asarray(prediction), jnp.asarray(target), boost=boost)
    assert float(found) == pytest.approx(expected, abs=2 * SMALLEST)
    focus = np.abs(first - second) ** 1.5
    focus /= focus.max(axis=(1, 2), keepdims=True)
    expected = (weights * focus * np.abs(first - second) ** 2).mean()
    found = focal_frequency(
        jnp.asarray(prediction), jnp.asarray(target), alpha=1.5, boost=boost
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_odd_widths_count_every_frequency_once():
    rng = np.random.default_rng(0)
    pair = [jnp.asarray(rng.random((1, 6, 7, 3))) for _ in range(2)]
    # Without focus it is the squared error, by Parseval.
    found = focal_frequency(*pair, alpha=0.0)
    assert float(found) == pytest.approx(
        float(jnp.mean((pair[0] - pair[1]) ** 2)), 1e-5
    )


def test_values_by_hand():
    width = 16
    wave = 0.5 + 0.25 * np.cos(2 * np.pi * np.arange(width) * 2 / width)
    sharp = np.tile(wave[None, None, :, None], (1, width, 1, 3))
    # Two of the 256 frequencies have the amplitude 16 * 0.25 / 2 = 2, and the mean 8.
    shifted = np.roll(sharp, 1, axis=2)
    # A shift turns the phase of the wave by 2 pi 2 / 16, and no amplitude.
    chord = 2 * np.sin(np.pi * 2 / width)
    assert float(frequency(jnp.asarray(shifted), jnp.asarray(sharp))) == pytest.approx(
        2 * 2 * chord / 2 / 256, rel=2e-3
    )
    # The mean over 3 pixels shrinks the wave and turns nothing.
    blurred = (np.roll(sharp, 1, 2) + sharp + np.roll(sharp, -1, 2)) / 3
    kept = (1 + 2 * np.cos(2 * np.pi * 2 / width)) / 3
    assert float(frequency(jnp.asarray(blurred), jnp.asarray(sharp))) == pytest.approx(
        2 * 2 * (1 - kept) / 2 / 256, rel=2e-3
    )
    # The wave's two frequencies are the hardest, so that both have the focus 1.
    assert float(
        focal_frequency(jnp.asarray(blurred), jnp.asarray(sharp))
    ) == pytest.approx(2 * (2 * (1 - kept)) ** 2 / 256, rel=1e-4)


def test_high_bands_count_more():
    base = np.full((1, 8, 8, 3), 0.5)
    ways = np.cos(2 * np.pi * np.arange(8) / 8), np.cos(np.pi * np.arange(8))
    # A wave across the frame, and a chequerboard, which is the highest frequency.
    low, high = ways[0][:, None], (ways[1][:, None] * ways[1])[..., None]
    wanted = _weights(8, 8, 4.0)[0, [0, 4], [1, 4], 0]
    for loss in (frequency, focal_frequency):
        ratios = [
            float(loss(jnp.asarray(base + 0.1 * x), jnp.asarray(base), boost=4.0))
            / float(loss(jnp.asarray(base + 0.1 * x), jnp.asarray(base)))
            for x in (low, high)
        ]
        np.testing.assert_allclose(ratios, wanted, rtol=1e-3)
    assert wanted[0] < 1 < wanted[1]


def test_the_focal_gradient_keeps_the_focus_fixed():
    rng = np.random.default_rng(0)
    shape = (1, 8, 8, 3)
    target, direction = rng.random(shape), rng.normal(size=shape)
    with jax.enable_x64(True):
        prediction = rng.random(shape)
        focus = np.abs(_transform(prediction - target))
        focus /= focus.max(axis=(1, 2), keepdims=True)

        def value(x):
            return (focus * np.abs(_transform(x - target)) ** 2).mean()

        slope = (
            value(prediction + 1e-6 * direction) - value(prediction - 1e-6 * direction)
        ) / 2e-6
        gradient = jax.grad(focal_frequency)(
            jnp.asarray(prediction), jnp.asarray(target)
        )
        assert float(jnp.vdot(gradient, direction)) == pytest.approx(slope, rel=1e-6)
