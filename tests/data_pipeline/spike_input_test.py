"""What a model is given of the spikes, against its parts, closed forms and its twin."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from data_pipeline.gain_match import match_gain
from data_pipeline.low_light import suppress_noise
from data_pipeline.noise_maps import estimated_maps
from data_pipeline.normalisation import measure
from data_pipeline.represent import represent
from data_pipeline.representations import voxel_grid
from data_pipeline.spike_input import NORMALISATIONS, SpikeInput
from data_pipeline.transfer import to_spike_space

EXPOSURE = np.array([[10, 43], [50.25, 83.5], [90, 123]], np.float32)
SETTINGS: dict[str, Any] = {
    "representation": "voxel",
    "voxel": {"num_bins": 8, "binning": "hard"},
    "time_surface": {"num_instants": 4, "tau": 16.0},
    "raw": {"num_frames": 32},
    "tfp": {"windows": (5, 9)},
    "tfi": {"num_instants": 8},
    "margin": 0,
    "normalisation": "none",
    "low_light": False,
    "dropout": 0.0,
}


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    rng = np.random.default_rng(0)
    rates = rng.choice([0.0, 0.004, 0.05, 0.4], (140, 12, 16), p=[0.1, 0.2, 0.3, 0.4])
    return (rng.random(rates.shape) < rates[:1]).astype(np.uint8)


@pytest.fixture(scope="module")
def blur() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 24, 32, 3), np.uint8)


def input_of(**changes: Any) -> SpikeInput:
    return SpikeInput.from_settings(SETTINGS | changes)


@pytest.mark.parametrize("name", ["voxel", "time_surface", "raw", "tfp", "tfi"])
def test_each_exposure_is_represented_with_its_margin(
    name: str, spikes: np.ndarray, blur: np.ndarray
) -> None:
    made = input_of(representation=name, margin=4)
    found = made.of_clip(spikes, EXPOSURE, blur=blur, transfer="gamma")
    assert found.shape == (3, made.num_channels, 12, 16)
    assert found.dtype == np.float32
    for channels, (start, end) in zip(found, EXPOSURE.tolist(), strict=True):
        expected = represent(
            name, spikes, start=start, end=end, margin=4, **SETTINGS[name]
        )
        np.testing.assert_array_equal(channels, expected)


def test_the_default_is_the_voxel_grid_of_each_exposure(spikes: np.ndarray) -> None:
    exposure = np.array([[16, 65], [72, 121]], np.float32)
    found = SpikeInput().of_exposures(spikes, exposure)
    expected = [voxel_grid(spikes, 32, start=a, end=b) for a, b in exposure.tolist()]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
def test_matched_rates_are_the_light_of_the_frames(
    spikes: np.ndarray, blur: np.ndarray, transfer: str
) -> None:
    """In the space of the spikes, whatever threshold and gain were."""
    made = input_of(representation="tfp", normalisation="gain_match")
    found = made.of_clip(spikes, EXPOSURE, blur=blur, transfer=transfer)
    rates = np.stack(
        [voxel_grid(spikes, 1, start=a, end=b)[0] for a, b in EXPOSURE.tolist()]
    )
    gain = match_gain(rates, to_spike_space(blur, transfer))
    plain = dataclasses.replace(made, normalisation="none")
    expected = gain * plain.of_exposures(spikes, EXPOSURE)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_higher_threshold_leaves_the_matched_light() -> None:
    light = np.random.default_rng(2).uniform(0.2, 1.0, (12, 16))
    blur = np.broadcast_to(light[None, ..., None], (1, 12, 16, 3)).astype(np.float32)
    made = input_of(normalisation="log")
    channels = []
    for threshold in (1.0, 2.0, 4.0):
        charge = np.arange(1001)[:, None, None] * light / threshold
        spikes = np.diff(np.floor(charge), axis=0).astype(np.uint8)
        exposure = np.array([[0, 1000]], np.float32)
        found = made.of_clip(spikes, exposure, blur=blur, transfer="gamma")
        np.testing.assert_allclose(
            found, np.broadcast_to(np.log1p(light), found.shape), atol=threshold / 100
        )
        channels.append(found)
    assert np.abs(channels[0] - channels[2]).max() < 4 / 100


def test_standardised_channels_have_the_mean_and_spread_of_the_data(
    spikes: np.ndarray, blur: np.ndarray
) -> None:
    made = input_of(normalisation="log_standard", low_light=True, margin=8)
    before = made.before_statistics()
    assert before.normalisation == "log"
    measured = before.of_clip(spikes, EXPOSURE, blur=blur, transfer="gamma")
    statistics = measure([measured[:, :-1]])
    ready = dataclasses.replace(made, statistics=statistics)
    found = ready.of_clip(spikes, EXPOSURE, blur=blur, transfer="gamma")
    np.testing.assert_allclose(found[:, :-1].mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(found[:, :-1].std(axis=(0, 2, 3)), 1, atol=1e-5)
    np.testing.assert_array_equal(found[:, -1], measured[:, -1])
    with pytest.raises(ValueError, match="needs the statistics of the training data"):
        made.of_clip(spikes, EXPOSURE, blur=blur, transfer="gamma")


@pytest.mark.parametrize("name", ["voxel", "raw"])
def test_noise_is_suppressed_with_maps_of_the_clip(
    name: str, spikes: np.ndarray, blur: np.ndarray
) -> None:
    made = input_of(representation=name, low_light=True, margin=8)
    found = made.of_clip(spikes, EXPOSURE, blur=blur, transfer="gamma")
    assert made.side_channels == 1
    assert found.shape[1] == made.num_channels == {"voxel": 9, "raw": 33}[name]
    maps = estimated_maps(spikes)
    for channels, (start, end) in zip(found, EXPOSURE.tolist(), strict=True):
        first = int(np.floor(start)) - 8
        seen = spikes[first : int(np.ceil(end)) + 8]
        span = start - first, end - first
        if name == "raw":
            middle = int(np.floor((span[0] + span[1]) / 2))
            span = middle - 16, middle + 16
        plain = represent(
            name, spikes, start=start, end=end, margin=8, **SETTINGS[name]
        )
        expected = suppress_noise(plain, seen, start=span[0], end=span[1], maps=maps)
        np.testing.assert_allclose(channels[:-1], expected[0], rtol=1e-6)
        np.testing.assert_array_equal(channels[-1:], expected[1])


def test_what_the_model_has_to_match_is_said() -> None:
    assert SpikeInput().is_unmatched
    assert not input_of(representation="time_surface").is_unmatched
    matched = [input_of(normalisation=n).is_unmatched for n in NORMALISATIONS]
    assert matched == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"representation": "voxels"}, "Did you mean 'voxel'"),
        ({"normalisation": "gain"}, "Did you mean 'gain_match'"),
        ({"margin": -1}, "margin must not be negative"),
        ({"dropout": 1.0}, r"in \[0, 1\), got 1.0"),
        ({"voxel": {"num_bins": 0}}, "num_bins must be at least 1"),
        (
            {"representation": "time_surface", "normalisation": "log"},
            "time_surface holds none; take none or standard",
        ),
        ({"representation": "tfp", "low_light": True}, "take voxel or raw"),
    ],
)
def test_what_does_not_go_together_is_refused(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        input_of(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"margin": 18}, "Clip a has no margin of 18 .* or a margin of 10 at most"),
        (
            {"representation": "raw", "raw": {"num_frames": 64}},
            "Clip a: 64 spike frame",
        ),
        ({"voxel": {"num_bins": 40, "binning": "bilinear"}}, "Clip a: .* too short"),
    ],
)
def test_exposures_that_do_not_fit_are_refused(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        input_of(**changes).check_exposures(EXPOSURE, 140, source="Clip a")
    input_of(margin=10).check_exposures(EXPOSURE, 140, source="Clip a")


def test_without_maps_no_noise_is_suppressed_in_silence(spikes: np.ndarray) -> None:
    made = input_of(low_light=True)
    with pytest.raises(ValueError, match="needs the noise maps"):
        made.of_exposures(spikes, EXPOSURE)
    maps = estimated_maps(spikes)
    with pytest.raises(ValueError, match="leaves the spikes"):
        wide = dataclasses.replace(made, margin=50)
        list(wide.rates(spikes, EXPOSURE, maps=maps))
