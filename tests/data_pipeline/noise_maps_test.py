"""Noise maps: what a sensor adds is found where it is, and only there."""

import numpy as np
import pytest

from data_pipeline import noise_maps as maps
from data_pipeline.spike_camera import simulate


def dark_rates(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Rates of the published law: log-normal intervals of median 224."""
    rng = np.random.default_rng(seed)
    return 1 / rng.lognormal(np.log(224), 0.455, shape)


def test_the_rate_of_a_recording_is_known_to_a_spike_frame_of_it() -> None:
    light = np.random.default_rng(0).uniform(0.015, 0.9, (20, 30)).astype(np.float32)
    stream = np.broadcast_to(light, (200, 20, 30))
    spikes = simulate(stream, threshold=1, gain=1, rng=np.random.default_rng(1))
    found = maps.long_rate(spikes)
    # n - 1 intervals take (n - 1) / r spike frames, but for less than one.
    first = spikes.argmax(axis=0)
    last = 199 - spikes[::-1].argmax(axis=0)
    assert (np.abs(found - light) <= 1.001 * light / (last - first)).all()
    counted = np.abs(spikes.mean(axis=0) - light)
    assert np.abs(found - light).mean() < 0.75 * counted.mean()


def test_pixels_with_fewer_than_two_spikes_are_counted() -> None:
    spikes = np.zeros((10, 1, 3), np.uint8)
    spikes[4, 0, 1] = 1
    spikes[[2, 7], 0, 2] = 1
    np.testing.assert_allclose(maps.long_rate(spikes), [[0, 0.1, 0.2]])


def test_hot_pixels_are_those_beyond_the_law_of_the_dark() -> None:
    dark = dark_rates(0, (200, 250))
    usual = np.full(dark.shape, np.median(dark))
    assert not maps.hot_pixels(dark, usual).any()
    dark[3, 4], dark[100, 249] = 0.06, 0.5
    dark[7, 7] = 0
    found = maps.hot_pixels(dark, usual)
    assert np.argwhere(found).tolist() == [[3, 4], [100, 249]]
    # Without a spread of their own the limit is e^(5 x 0.455) = 9.73 times the usual.
    even = np.full((4, 4), 0.005)
    even[0, 0], even[1, 1] = 0.005 * 9.7, 0.005 * 9.8
    found = maps.hot_pixels(even, np.full((4, 4), 0.005))
    assert np.argwhere(found).tolist() == [[1, 1]]
    assert not maps.hot_pixels(np.zeros((2, 2)), np.ones((2, 2))).any()


def test_stripes_are_found_where_they_are() -> None:
    rows, columns = np.mgrid[:60, :80]
    scene = 0.05 + 1e-6 * rows + 2e-6 * columns
    stripe = np.zeros((60, 80))
    stripe[:, 10:71:5] += np.random.default_rng(0).normal(0, 0.003, 13)
    stripe[12:50:6] += np.random.default_rng(1).normal(0, 0.002, 7)[:, None]
    np.testing.assert_allclose(maps.stripes(scene + stripe), stripe, atol=3e-5)


def test_edges_of_a_scene_are_no_stripes() -> None:
    scene = np.full((120, 160), 0.02)
    scene[30:90, 40:120] = 0.08
    scene[40:50] += 0.02
    np.testing.assert_allclose(maps.stripes(scene), 0, atol=1e-7)


def test_noise_is_no_stripes() -> None:
    rng = np.random.default_rng(0)
    noise = 0.02 + rng.normal(0, 0.005, (120, 160))
    # Unshrunk, medians of 120 and of 160 would scatter by 0.005 sqrt(pi/2 (1/120 +
    # 1/160)) = 7.6e-4.
    assert maps.stripes(noise).std() < 3e-4
    stripe = rng.normal(0, 0.005, 160)
    left = maps.stripes(noise + stripe) - stripe
    assert np.std(left) < 0.3 * np.std(stripe)


def test_a_calibration_gives_back_what_the_sensor_is() -> None:
    rng = np.random.default_rng(0)
    dark = dark_rates(1, (30, 40))
    response = rng.normal(1, 0.05, (30, 40))
    dark[5, 6], response[7, 8] = 0.3, -0.1  # hot, and dead to light
    found = maps.measured_maps(dark, dark + 0.17 * response)
    np.testing.assert_allclose(found.dark_rate, dark, rtol=1e-6)
    np.testing.assert_allclose(
        found.response, response / np.median(response), rtol=1e-5
    )
    assert np.argwhere(found.hot).tolist() == [[5, 6], [7, 8]]
    assert found.dark_rate.dtype == found.response.dtype == np.float32


def test_a_recording_gives_its_stripes_and_hot_pixels() -> None:
    rate = np.full((60, 80), 0.02, np.float32)
    rate[:, 20:61:8] += 0.006
    rate[30, 33] = 0.9
    stream = np.broadcast_to(rate, (1000, 60, 80))
    spikes = simulate(stream, threshold=1, gain=1, rng=np.random.default_rng(0))
    found = maps.estimated_maps(spikes, dark_rate=0.004)
    assert np.argwhere(found.hot).tolist() == [[30, 33]]
    np.testing.assert_array_equal(found.response, 1)
    expected = np.full((60, 80), 0.004)
    expected[:, 20:61:8] += 0.006
    np.testing.assert_allclose(found.dark_rate, expected, atol=2e-4)


def test_errors_say_what_is_wrong() -> None:
    even = np.full((4, 4), 0.005)
    spikes = np.zeros((9, 4, 4), np.uint8)
    for call, message in (
        (lambda: maps.measured_maps(even, even[:2]), "of the same size"),
        (lambda: maps.measured_maps(even[0], even[0]), r"must be \(h, w\)"),
        (lambda: maps.measured_maps(0 * even, even), "record the dark for longer"),
        (lambda: maps.measured_maps(even, even), "no faster in the light"),
        (lambda: maps.estimated_maps(spikes, dark_rate=0), "dark_rate must be"),
        (lambda: maps.estimated_maps(spikes[0]), "must be .S, h, w"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
