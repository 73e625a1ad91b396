"""The one interface to representations, against the functions behind it."""

from typing import Any

import numpy as np
import pytest

from data_pipeline import representations as rep
from data_pipeline.represent import REPRESENTATIONS, count_channels, represent

OPTIONS: dict[str, dict[str, Any]] = {
    "voxel": {"num_bins": 8},
    "time_surface": {"num_instants": 4, "tau": 6.0},
    "raw": {"num_frames": 32},
    "tfp": {"windows": (5, 9, 21)},
    "tfi": {"num_instants": 3},
    "charge": {"num_bins": 8},
}


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((120, 5, 6)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_every_representation_is_channels_of_rates(
    spikes: np.ndarray, name: str
) -> None:
    found = represent(name, spikes, start=40.25, end=73.5, margin=10, **OPTIONS[name])
    assert found.shape == (count_channels(name, **OPTIONS[name]), 5, 6)
    assert found.dtype == np.float32
    assert 0 <= found.min() and found.max() < 1 + 1e-6
    assert found.std() > 0.01


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_only_the_exposure_and_its_margin_are_looked_at(
    spikes: np.ndarray, name: str
) -> None:
    other = 1 - spikes
    other[30:84] = spikes[30:84]
    window = {"start": 40.25, "end": 73.5, "margin": 10, **OPTIONS[name]}
    first, second = (represent(name, stream, **window) for stream in (spikes, other))
    np.testing.assert_array_equal(first, second)


def test_channels_are_what_the_functions_give(spikes: np.ndarray) -> None:
    window = {"start": 40.0, "end": 73.0, "margin": 40}
    np.testing.assert_array_equal(
        represent("voxel", spikes, **window, num_bins=7),
        rep.voxel_grid(spikes, 7, start=40, end=73),
    )
    np.testing.assert_array_equal(
        represent("voxel", spikes, **window, num_bins=7, binning="bilinear"),
        rep.voxel_grid(spikes, 7, start=40, end=73, binning="bilinear"),
    )
    # The middle of [40, 73) is 56.5, within spike frame 56.
    raw = represent("raw", spikes, **window, num_frames=33)
    np.testing.assert_array_equal(raw, spikes[40:73])
    playback = represent("tfp", spikes, **window, windows=(1, 33, 41))
    for channel, size in zip(playback, (1, 33, 41), strict=True):
        np.testing.assert_array_equal(channel, rep.tfp(spikes, 56, size))
    interval = represent("tfi", spikes, **window, num_instants=1)
    np.testing.assert_array_equal(interval[0], rep.tfi(spikes, 56))
    # Three parts of 11 spike frames have their middles in 45, 56 and 67.
    surface = represent("time_surface", spikes, **window, num_instants=3, tau=4.0)
    for index, instant in enumerate((45, 56, 67)):
        for channel, direction in enumerate(("backward", "forward")):
            expected = rep.time_surface(spikes, instant, tau=4, direction=direction)
            np.testing.assert_array_equal(surface[2 * index + channel], expected)


def test_charge_of_constant_light_is_its_rate_in_every_bin() -> None:
    # Spikes every 12 frames: a bin of 4 holds one or none, but its charge is a third.
    spikes = np.zeros((240, 1, 12), np.uint8)
    for phase in range(12):
        spikes[phase::12, 0, phase] = 1
    window = {"start": 90.0, "end": 122.0, "margin": 16, "num_bins": 8}
    found = represent("charge", spikes, **window)
    np.testing.assert_allclose(found, 1 / 12, atol=1e-6)
    counted = represent("voxel", spikes, **window)
    assert np.unique(counted).tolist() == [0, 0.25]


def test_charge_of_all_bins_is_that_between_the_edges_of_the_exposure() -> None:
    spikes = np.zeros((60, 1, 1), np.uint8)
    spikes[[10, 30, 34, 50]] = 1
    # From 20, half way between the first two spikes, to 42.5, half way between the
    # last two: half a charge, one, and half of one.
    window = {"start": 20.5, "end": 42.5, "margin": 16}
    (found,) = represent("charge", spikes, **window, num_bins=1)
    np.testing.assert_allclose(found, (0.5 + 1 + 0.5) / 22, rtol=1e-6)
    parts = represent("charge", spikes, **window, num_bins=11)
    np.testing.assert_allclose(parts.mean(0), found, rtol=1e-6)
    np.testing.assert_allclose(parts[:4, 0, 0], 1 / 20, rtol=1e-5)
    np.testing.assert_allclose(parts[5, 0, 0], 1 / 4, rtol=1e-5)


def test_charge_of_a_pixel_that_never_fires_is_nothing() -> None:
    spikes = np.zeros((65, 2, 2), np.uint8)
    spikes[[4, 30], 0, 0] = 1
    window = {"start": 8.0, "end": 57.0, "margin": 8, "num_bins": 4}
    found = represent("charge", spikes, **window)
    assert (found[:, 0, 0] > 0).all()
    assert not found[:, 0, 1].any() and not found[:, 1].any()


def test_the_margin_of_charge_ends_where_the_stream_does() -> None:
    spikes = (np.random.default_rng(3).random((60, 3, 4)) < 0.2).astype(np.uint8)
    whole = {"start": 0.0, "end": 60.0, "num_bins": 4}
    found = represent("charge", spikes, **whole, margin=8)
    np.testing.assert_array_equal(found, represent("charge", spikes, **whole, margin=0))
    with pytest.raises(ValueError, match="covers the"):
        represent("charge", spikes, start=-1.0, end=20.0, num_bins=4, margin=8)
    with pytest.raises(ValueError, match="covers the"):
        represent("tfi", spikes, start=0.0, end=60.0, num_instants=4, margin=8)


def test_both_directions_of_a_surface_are_the_interval(spikes: np.ndarray) -> None:
    window = {"start": 40.0, "end": 73.0, "margin": 40, "num_instants": 5}
    surface = represent("time_surface", spikes, **window, tau=4.0)
    times = -4.0 * np.log(surface)
    interval = 1 / represent("tfi", spikes, **window)
    np.testing.assert_allclose(times[::2] + times[1::2], interval, rtol=1e-5)


def test_the_smallest_margin_that_is_enough(spikes: np.ndarray) -> None:
    window = {"start": 50.0, "end": 61.0, "num_frames": 32}
    raw = represent("raw", spikes, **window, margin=11)
    np.testing.assert_array_equal(raw, spikes[39:71])
    with pytest.raises(ValueError, match="32 spike frames around .* which are 31"):
        represent("raw", spikes, **window, margin=10)


def test_errors_say_what_is_wrong(spikes: np.ndarray) -> None:
    for name, options, message in (
        ("voxels", {"num_bins": 8}, "Unknown representation.*mean 'voxel'"),
        ("voxel", {"num_bin": 8}, "option of voxel.*mean 'num_bins'"),
        ("voxel", {}, "voxel needs num_bins"),
        ("voxel", {"num_bins": 0}, "num_bins must be at least 1"),
        ("voxel", {"num_bins": 8, "binning": "bilinea"}, "mean 'bilinear'"),
        ("voxel", {"num_bins": 40, "binning": "bilinear"}, "too short for 40"),
        ("time_surface", {"num_instants": 2}, "time_surface needs tau"),
        (
            "time_surface",
            {"num_instants": 2, "tau": 0},
            "tau must be a number of spike frames above 0",
        ),
        ("time_surface", {"num_instants": 0, "tau": 1}, "num_instants must be"),
        ("raw", {"num_frames": 31}, "at least 32 raw spike frames, got 31"),
        ("tfp", {"windows": (5, 8)}, r"odd numbers .* got \[5, 8\]"),
        ("tfp", {"windows": ()}, "at least one, got"),
        ("tfp", {"windows": (5, 41)}, "41 spike frames around"),
        ("tfi", {"num_instants": 0}, "num_instants must be at least 1"),
        ("charge", {"num_bins": 0}, "num_bins must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            represent(name, spikes, start=40, end=73, **options)
    for window, message in (
        ({"start": 4, "end": 37, "margin": 5}, r"covers the spike frames \[-1, 42\)"),
        ({"start": 4, "end": 117, "margin": 4}, r"the stream covers \[0, 120\)"),
        ({"start": 4, "end": 4}, "must not be empty"),
        ({"start": 4, "end": float("nan")}, "must not be empty"),
        ({"start": 4, "end": 37, "margin": -1}, "margin must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            represent("voxel", spikes, num_bins=8, **window)
    with pytest.raises(ValueError, match="must be .S, h, w"):
        represent("voxel", spikes[0], start=0, end=1, num_bins=8)
