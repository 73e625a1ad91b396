"""Low-light noise suppression: each step by hand, the whole on a known sensor."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline import low_light
from data_pipeline.noise_maps import (
    DARK_RATE,
    NoiseMaps,
    estimated_maps,
    long_rate,
    measured_maps,
)
from data_pipeline.representations import voxel_grid
from data_pipeline.spike_camera import simulate


def test_flat_and_dark_correction_inverts_the_sensor() -> None:
    rng = np.random.default_rng(0)
    light = rng.random((3, 5, 6), np.float32)
    dark = rng.uniform(0.001, 0.02, (5, 6))
    response = rng.uniform(0.8, 1.2, (5, 6))
    found = low_light.correct_flat_dark(dark + light * response, dark, response)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, light, atol=1e-6)
    # Less than the dark is no light, and a pixel that does not answer shows none.
    assert not low_light.correct_flat_dark(dark / 2, dark, response).any()
    assert not low_light.correct_flat_dark(dark + 1, dark, 0 * response).any()


def test_hot_pixels_get_the_median_of_their_neighbours() -> None:
    rate = np.arange(30, dtype=np.float32).reshape(5, 6)
    hot = np.zeros((5, 6), bool)
    hot[0, 0] = hot[2, 3] = True
    hot[2, 4] = True  # no neighbour to rely on
    expected = rate.copy()
    expected[0, 0] = np.median([1, 6, 7])
    expected[2, 3] = np.median([8, 9, 10, 14, 20, 21, 22])
    expected[2, 4] = np.median([9, 10, 11, 17, 21, 22, 23])
    np.testing.assert_array_equal(low_light.fill_hot_pixels(rate, hot), expected)
    # Amid hot ones the search goes further out.
    hot[:] = False
    hot[1:4, 1:4] = True
    found = low_light.fill_hot_pixels(rate, hot)
    ring = [0, 1, 2, 3, 4, 6, 10, 12, 16, 18, 22, 24, 25, 26, 27, 28]
    assert found[2, 2] == np.median(ring)
    np.testing.assert_array_equal(found[~hot], rate[~hot])
    with pytest.raises(ValueError, match="All pixels are hot"):
        low_light.fill_hot_pixels(rate, np.ones_like(hot))


def test_confidence_by_hand() -> None:
    dark = np.float32([[1 / 224]])
    for rate, expected in (
        (1 / 224, 1 / 2),
        (9 / 224, 0.9),
        (1 / 447, 224 / (224 + 447)),
        (1 / 449, 0),  # an interval of more than 2 x 224
        (0, 0),
    ):
        found = low_light.confidence(np.full((1, 1), rate), dark)
        assert found.item() == pytest.approx(expected, rel=1e-6)


def stream_of(times: list[int], length: int = 20) -> np.ndarray:
    spikes = np.zeros((length, 1, 1), np.uint8)
    spikes[times] = 1
    return spikes


@pytest.mark.parametrize(
    "times, start, end, expected",
    [
        ([2, 12], 4, 8, 1 / 10),  # no spike in the window: the interval around it
        # Spikes end at 3, 7 and 17: 3 of the 4 and 2 of the 10 spike frames inside.
        ([2, 6, 16], 4, 9, (3 / 4 + 2 / 10) / 5),
        ([2, 6, 16], 3.5, 7.25, (3.5 / 4 + 0.25 / 10) / 3.75),
        ([6], 4, 9, 1 / 5),  # no interval: the count
        ([6, 16], 4, 9, (1 + 2 / 10) / 5),
        ([2, 6], 4, 9, 3 / 4 / 5),
        ([2], 4, 9, 0),
        ([16], 4, 9, 0),
        ([], 4, 9, 0),
        ([2, 6, 16], 0, 20, 3 / 20),  # the whole stream is counted
    ],
)
def test_interval_rates_by_hand(
    times: list[int], start: float, end: float, expected: float
) -> None:
    found = low_light.interval_rate(stream_of(times), start=start, end=end)
    assert found.dtype == np.float32
    assert found.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("start, end", [(60, 93), (60.5, 77.25), (70, 71)])
def test_interval_rates_are_finer_than_counts_by_the_rate(
    start: float, end: float
) -> None:
    light = np.random.default_rng(0).uniform(0.02, 1, (20, 30)).astype(np.float32)
    stream = np.broadcast_to(light, (160, 20, 30))
    spikes = simulate(stream, threshold=1, gain=1, rng=np.random.default_rng(1))
    found = low_light.interval_rate(spikes, start=start, end=end)
    # A spike comes less than a spike frame late, in which r of one is collected, so
    # that the shares are off by less than r, where a count is off by less than one.
    assert (np.abs(found - light) <= 1.001 * light / (end - start)).all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 28), st.floats(0.5, 10))
def test_windows_add_up(seed: int, start: float, length: float) -> None:
    rng = np.random.default_rng(seed)
    spikes = (rng.random((40, 2, 3)) < 0.1).astype(np.uint8)
    middle, end = start + length / 3, start + length
    parts = [
        (b - a) * low_light.interval_rate(spikes, start=a, end=b)
        for a, b in ((start, middle), (middle, end))
    ]
    whole = length * low_light.interval_rate(spikes, start=start, end=end)
    np.testing.assert_allclose(parts[0] + parts[1], whole, atol=1e-5)
    assert all((part >= -1e-6).all() for part in parts)


def known_sensor() -> tuple[np.ndarray, NoiseMaps, np.ndarray]:
    """A light (h, w) that doubles at 200, the sensor, and its 400 spike frames."""
    rng = np.random.default_rng(0)
    light = np.full((40, 50), 0.02)
    light[10:30, 10:40] = 0.06
    dark = 1 / rng.lognormal(np.log(224), 0.455, light.shape)
    response = np.clip(rng.normal(1, 0.05, light.shape), 0.8, 1.2)
    dark[5, 5] = dark[20, 20] = 0.4
    maps = measured_maps(dark, dark + 0.2 * response)
    first = dark + light * maps.response
    second = first + light * maps.response
    rates = np.concatenate([[first] * 200, [second] * 200]).astype(np.float32)
    return light, maps, simulate(rates, threshold=1, gain=1, rng=rng)


def test_the_light_of_a_known_sensor_comes_back() -> None:
    light, maps, spikes = known_sensor()
    assert np.argwhere(maps.hot).tolist() == [[5, 5], [20, 20]]
    for start, end, true in ((80, 113, light), (280, 313, 2 * light)):
        grid = voxel_grid(spikes, 8, start=start, end=end)
        found, trust = low_light.suppress_noise(
            grid, spikes, start=start, end=end, maps=maps
        )
        assert found.shape == (8, 40, 50) and trust.shape == (1, 40, 50)
        assert found.dtype == trust.dtype == np.float32
        rate = maps.dark_rate + true * maps.response
        bound = 1.001 * rate / (end - start) / maps.response + 1e-6
        off = np.abs(found.mean(axis=0) - true)
        assert (off <= bound)[~maps.hot].all()
        assert off[maps.hot].max() < 0.15 * true[maps.hot].min()
        np.testing.assert_array_equal(trust[0][maps.hot], 0)
        expected = rate / (rate + maps.dark_rate)
        assert np.abs(trust[0] - expected)[~maps.hot].max() < 0.02
        # Of the noise of a flat area little is left.
        flat = (slice(12, 19), slice(12, 38))
        assert np.std(found.mean(axis=0)[flat]) < 0.15 * np.std(grid.mean(axis=0)[flat])


def test_what_changes_within_the_exposure_stays() -> None:
    _, maps, spikes = known_sensor()
    grid = voxel_grid(spikes, 4, start=180, end=220)
    found, _ = low_light.suppress_noise(grid, spikes, start=180, end=220, maps=maps)
    usable = (grid.mean(axis=0) > 0) & ~maps.hot
    share, corrected = (x[:, usable] / x[:, usable].mean(axis=0) for x in (grid, found))
    np.testing.assert_allclose(corrected, share, rtol=1e-4)
    assert found[2:].mean() > 1.6 * found[:2].mean()
    # A pixel without a spike in the exposure has its light in every channel.
    short = voxel_grid(spikes, 4, start=180, end=184)
    found, _ = low_light.suppress_noise(short, spikes, start=180, end=184, maps=maps)
    silent = short.sum(axis=0) == 0
    assert silent.mean() > 0.5
    assert (found[:, silent] == found[0, silent]).all()
    assert (found[:, silent] > 0).mean() > 0.95


# Flat areas of the recording, by eye: the sky, grass, the dark around the screen.
FLAT = {
    "sky": (slice(26, 50), slice(130, 200)),
    "sky on the left": (slice(26, 48), slice(20, 90)),
    "grass": (slice(155, 188), slice(20, 220)),
    "dark": (slice(205, 235), slice(5, 95)),
}


def spatial_noise(rate: np.ndarray, area: tuple[slice, slice]) -> float:
    """The standard deviation of an area from the plane through it."""
    return float(np.std(rate[area] - plane_through(rate[area])))


def plane_through(values: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(values.shape)
    terms = np.stack([np.ones(values.size), rows.ravel(), columns.ravel()], axis=1)
    weights = np.linalg.lstsq(terms, values.ravel().astype(np.float64), rcond=None)[0]
    return (terms @ weights).reshape(values.shape)


@pytest.fixture(scope="module")
def recording(shared: Path) -> np.ndarray:
    path = shared / "data" / "uhsr.npz"
    if not path.is_file():
        pytest.skip(f"reference data not found: {path}")
    return np.load(path)["spk"]


def test_a_real_recording_gets_flatter_and_keeps_its_light(
    recording: np.ndarray,
) -> None:
    maps = estimated_maps(recording[:100])  # not of the window it is used on
    assert not maps.hot.any()
    start, end = 100, 133
    grid = voxel_grid(recording, 11, start=start, end=end)
    found, trust = low_light.suppress_noise(
        grid, recording, start=start, end=end, maps=maps
    )
    before, after = grid.mean(axis=0), found.mean(axis=0)
    for name, least in (
        ("sky", 2.5),
        ("sky on the left", 2.5),
        ("grass", 2),
        ("dark", 4),
    ):
        area = FLAT[name]
        assert spatial_noise(before, area) > least * spatial_noise(after, area), name
        # Only the pedestal is gone. (The count of 33 spike frames is of 0 or 1 spike
        # in the dark, and its mean is not that of the intervals.)
        lost = before[area].mean() - after[area].mean()
        assert lost == pytest.approx(DARK_RATE, abs=0.0006), name
    assert trust[0][FLAT["sky"]].mean() > 0.9 > trust[0][FLAT["dark"]].mean() > 0.7


def test_a_flat_area_calibrates_the_rest_of_a_real_recording(
    recording: np.ndarray,
) -> None:
    for name, least in (("sky", 2), ("sky on the left", 3), ("grass", 1.2)):
        area = FLAT[name]
        known, held_out = (
            long_rate(part)[area] for part in (recording[:100], recording[100:])
        )
        dark = np.full(known.shape, DARK_RATE)
        response = (known - dark) / (plane_through(known) - dark)
        found = low_light.correct_flat_dark(held_out, dark, response)
        whole = (slice(None), slice(None))
        ratio = spatial_noise(held_out, whole) / spatial_noise(found, whole)
        assert ratio > least, name


def test_errors_say_what_is_wrong() -> None:
    _, maps, spikes = known_sensor()
    grid = voxel_grid(spikes, 4)
    for window in ((-1, 5), (5, 5), (5, 401), (float("nan"), 5)):
        with pytest.raises(ValueError, match="must lie in the stream"):
            low_light.interval_rate(spikes, start=window[0], end=window[1])
    with pytest.raises(ValueError, match="must be .S, h, w"):
        low_light.interval_rate(spikes[0], start=0, end=1)
    with pytest.raises(ValueError, match="must be of one size"):
        low_light.suppress_noise(grid[:, 1:], spikes, start=0, end=9, maps=maps)
