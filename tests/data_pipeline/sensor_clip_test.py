"""Clips of a calibrated sensor, beside those of the ideal camera."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.bayer import colour_map
from data_pipeline.sensor import (
    IDEAL_SENSOR,
    SCSIM_PHOTONS,
    Sensor,
    draw_sensor_maps,
)
from data_pipeline.sensor_clip import shot_noise, simulate_sensor
from data_pipeline.spike_camera import SpikeCamera, simulate

ONE = {"threshold_range": (1.0, 1.0), "light_range": (1.0, 1.0)}
ONLY_DARK = dataclasses.replace(IDEAL_SENSOR, dark_interval=224.0)


def even(value: float, length: int, height: int, width: int) -> np.ndarray:
    return np.broadcast_to(np.float32(value), (length, height, width))


def record(light: np.ndarray, seed: int = 0, **options: Any) -> Any:
    options = {"threshold": 1.0, "gain": 1.0} | ONE | options
    return simulate_sensor(light, rng=np.random.default_rng(seed), **options)


def mean_intervals(spikes: np.ndarray) -> np.ndarray:
    """The mean interval of every pixel that fired twice."""
    count = spikes.sum(axis=0, dtype=np.int64)
    first = spikes.argmax(axis=0)
    last = len(spikes) - 1 - spikes[::-1].argmax(axis=0)
    fired = count > 1
    return (last - first)[fired] / (count - 1)[fired]


def shortest_interval(spikes: np.ndarray) -> int:
    pixel, time = np.nonzero(spikes.reshape(len(spikes), -1).T)
    return int(np.diff(time)[np.diff(pixel) == 0].min())


def test_even_light_shows_the_response_that_was_measured() -> None:
    # 335 lux, where the median rate was 0.168; what is fired in the dark taken off.
    lit, unlit = (record(even(value, 800, 250, 400)) for value in (0.168, 0.0))
    rate = lit.noisy.mean(axis=0) - unlit.noisy.mean(axis=0)
    assert np.median(rate) == pytest.approx(0.168, rel=0.01)
    assert rate.std() / rate.mean() == pytest.approx(0.049, rel=0.08)
    assert rate.mean(axis=0).std() / rate.mean() == pytest.approx(0.033, rel=0.1)
    assert lit.clean.mean(axis=0).std() / 0.168 < 0.01


def test_the_dark_stream_has_the_measured_intervals() -> None:
    spikes = record(even(0.0, 5000, 60, 80)).noisy
    p5, p50, p95 = np.percentile(mean_intervals(spikes), [5, 50, 95])
    assert p50 == pytest.approx(224, rel=0.05)
    assert p5 == pytest.approx(110, rel=0.1)
    assert p95 == pytest.approx(492, rel=0.1)
    assert spikes.mean() == pytest.approx(0.0049, rel=0.05)


def test_dark_current_is_integrated_and_makes_no_short_intervals() -> None:
    light = even(0.2, 1500, 30, 40)
    lit = record(light, sensor=ONLY_DARK)
    total = 0.2 + lit.maps.dark.astype(np.float64)
    # The closed form of the ideal camera, with the dark rate beside that of light.
    counts = lit.noisy.sum(axis=0, dtype=np.int64)
    assert np.abs(counts - 1500 * total).max() <= 1.01
    assert shortest_interval(lit.noisy) >= math.floor(1 / total.max()) == 4

    # Spikes that are only added to the stream come at any time after another.
    unlit = record(even(0.0, 1500, 30, 40), maps=lit.maps, seed=1)
    assert shortest_interval(lit.clean | unlit.noisy) == 1


def test_dark_current_knows_nothing_of_the_clips_threshold_and_light() -> None:
    half = {"threshold_range": (0.5, 0.5), "light_range": (4.0, 4.0)}
    clip = record(even(0.0, 3000, 30, 30), sensor=ONLY_DARK, **half)
    assert (clip.threshold, clip.gain) == (0.5, 4.0)
    counts = clip.noisy.sum(axis=0, dtype=np.int64)
    assert np.abs(counts - 3000 * 2 * clip.maps.dark.astype(np.float64)).max() <= 1.01
    assert clip.clean.sum() == 0


def test_rates_are_those_of_the_maps() -> None:
    clip = record(even(0.3, 2000, 20, 30), threshold=2.0, gain=1.5)
    maps = clip.maps
    rate = (1.5 * 0.3 * maps.response + 2.0 * maps.dark) / (2.0 * maps.threshold)
    assert np.abs(clip.noisy.sum(axis=0) - 2000.0 * rate).max() <= 1.02


@pytest.mark.parametrize(
    ("value", "photons"), [(0.3, 100.0), (0.02, 50.0), (0.5, SCSIM_PHOTONS)]
)
def test_shot_noise_has_the_variance_of_counted_photons(
    value: float, photons: float
) -> None:
    light = np.full((500, 400), value, np.float32)
    seen = shot_noise(light, photons, np.random.default_rng(0))
    assert seen.dtype == np.float32
    assert seen.mean() == pytest.approx(value, rel=0.01)
    assert seen.var() == pytest.approx(value / photons, rel=0.02)
    # Photons are counted: the light comes in whole ones.
    counts = seen * photons
    np.testing.assert_allclose(counts, np.rint(counts), rtol=1e-6, atol=1e-4)


def test_shot_noise_adds_to_the_variance_of_quantisation() -> None:
    sensor = dataclasses.replace(IDEAL_SENSOR, photons=20.0)
    window = 201
    light = np.random.default_rng(3).uniform(0.3, 0.5, (80, 120)).astype(np.float32)
    stream = np.broadcast_to(light, (window, *light.shape))
    clip = record(stream, sensor=sensor, light_range=(2.0, 2.0), threshold=2.0)
    error = clip.noisy.sum(axis=0) - window * light
    # Twice the light brings twice the photons; half the gain for each.
    assert np.mean(error**2) == pytest.approx(window * 0.4 / 40 + 1 / 6, rel=0.06)
    clean_error = clip.clean.sum(axis=0) - window * light
    assert np.mean(clean_error**2) == pytest.approx(1 / 6, rel=0.06)


def test_bright_shot_noise_never_fires_more_than_once_nor_remembers() -> None:
    sensor = dataclasses.replace(IDEAL_SENSOR, photons=3.0)
    light = np.ones((60, 20, 20), np.float32)
    light[30:] = 0.0
    noisy = record(light, sensor=sensor).noisy
    assert 0 < noisy[:30].mean() < 1
    np.testing.assert_array_equal(noisy[30:], 0)


@settings(max_examples=60, deadline=None)
@given(
    threshold=st.floats(0.1, 8),
    gain=st.floats(0.1, 8),
    reset=st.sampled_from(["soft", "hard"]),
    seed=st.integers(0, 2**31),
)
def test_a_sensor_without_faults_is_the_ideal_camera(
    threshold: float, gain: float, reset: str, seed: int
) -> None:
    light = np.random.default_rng(seed).random((30, 5, 9), np.float32)
    clip = record(
        light,
        seed,
        threshold=threshold,
        gain=gain,
        reset=reset,
        sensor=IDEAL_SENSOR,
        threshold_range=(0.25, 4.0),
        light_range=(0.25, 4.0),
    )
    assert clip.clean.dtype == clip.noisy.dtype == np.uint8
    np.testing.assert_array_equal(clip.noisy, clip.clean)
    assert not clip.maps.hot.any() and not clip.maps.dark.any()


def test_the_clean_stream_is_that_of_simulate() -> None:
    light = np.random.default_rng(0).random((50, 12, 16), np.float32)
    clip = record(light, 5, threshold_range=(0.25, 4.0), light_range=(0.25, 4.0))
    # The phases are drawn after the factors and the maps.
    rng = np.random.default_rng(5)
    factors = [0.25 * 16 ** rng.random() for _ in range(2)]
    draw_sensor_maps(Sensor(), 12, 16, rng)
    np.testing.assert_allclose([clip.threshold, clip.gain], factors)
    expected = simulate(light, threshold=clip.threshold, gain=clip.gain, rng=rng)
    np.testing.assert_array_equal(clip.clean, expected)
    assert (clip.noisy != clip.clean).any()


def test_reading_frame_by_frame_gives_the_same_spikes() -> None:
    light = np.random.default_rng(0).random((40, 1200, 3)).astype(np.float32)
    narrow = draw_sensor_maps(Sensor(), 1200, 3, np.random.default_rng(0))
    phase = np.random.default_rng(1).random((1200, 3), np.float32)

    def camera() -> SpikeCamera:
        return narrow.camera(threshold=1.0, gain=1.0, phase=phase)

    one = camera()
    frames = np.stack([one.read(frame) for frame in light])
    np.testing.assert_array_equal(frames, camera().read_clip(light))


def test_colour_filters_give_each_pixel_its_colour() -> None:
    light = np.random.default_rng(0).random((40, 6, 10, 3), np.float32)
    colour = record(light, cfa="grbg")
    mono = [record(light[..., channel]) for channel in range(3)]
    seen = colour_map("grbg", 6, 10)
    for stream in ("clean", "noisy"):
        expected = np.choose(seen, [getattr(clip, stream) for clip in mono])
        np.testing.assert_array_equal(getattr(colour, stream), expected)


def test_factors_are_log_uniform_in_their_range() -> None:
    light = even(0.1, 1, 1, 1)
    rng = np.random.default_rng(0)
    logs = []
    for _ in range(2000):
        clip = simulate_sensor(light, threshold=3.0, gain=0.5, rng=rng)
        logs.append([math.log(clip.threshold / 3.0, 4), math.log(clip.gain / 0.5, 4)])
    values = np.array(logs)
    assert np.abs(values).max() <= 1
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(values.var(axis=0), 1 / 3, rtol=0.08)
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.08


def test_the_same_generator_gives_the_same_clip() -> None:
    light = np.random.default_rng(0).random((30, 8, 8), np.float32)
    sensor = Sensor(photons=50.0)
    first, again, other = (record(light, s, sensor=sensor) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.clean, again.clean)
    np.testing.assert_array_equal(first.noisy, again.noisy)
    for name, value in vars(first.maps).items():
        np.testing.assert_array_equal(value, getattr(again.maps, name))
    assert (first.noisy != other.noisy).any()
    assert (first.maps.response != other.maps.response).any()


def test_maps_of_one_specimen_serve_several_clips() -> None:
    light = even(0.2, 30, 6, 7)
    first = record(light, 1)
    second = record(light, 2, maps=first.maps)
    assert second.maps is first.maps
    assert (first.noisy != second.noisy).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "threshold must be a positive number, got 0.0"),
        ({"gain": math.nan}, "gain must be a positive number, got nan"),
        ({"threshold_range": (4.0, 0.25)}, "threshold_range must be a least and a"),
        ({"light_range": (0.0, 1.0)}, "light_range must be a least and a greatest"),
        ({"reset": "herd"}, "Did you mean 'hard'"),
        ({"cfa": "rgbb"}, "Did you mean 'rggb'"),
        ({"cfa": "rggb"}, r"needs RGB light \(..., h, w, 3\), got \(3, 4, 5\)"),
    ],
)
def test_errors_say_what_is_wrong(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        record(even(0.1, 3, 4, 5), **options)


def test_maps_of_another_size_are_refused() -> None:
    maps = draw_sensor_maps(Sensor(), 4, 6, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"maps are 4 x 6 pixels.*spikes are 4 x 5"):
        record(even(0.1, 3, 4, 5), maps=maps)
    with pytest.raises(ValueError, match=r"same size \(h, w\), got response \(4, 5\)"):
        dataclasses.replace(maps, response=maps.response[:, :5])
    with pytest.raises(ValueError, match="height and width must be positive, got 0"):
        draw_sensor_maps(Sensor(), 0, 6, np.random.default_rng(0))
