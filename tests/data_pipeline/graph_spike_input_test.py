"""The input of a model in a graph against its NumPy twin, for every combination."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from data_pipeline import graph_spike_input
from data_pipeline.normalisation import measure
from data_pipeline.spike_input import CORRECTABLE, NORMALISATIONS, SpikeInput
from data_pipeline.transfer import to_spike_space

EXPOSURE = np.array([[20, 69], [76.25, 123.5], [132, 181]], np.float64)
MARGIN = 5
OPTIONS: dict[str, dict[str, Any]] = {
    "voxel": {"num_bins": 8, "binning": "bilinear"},
    "time_surface": {"num_instants": 4, "tau": 16.0},
    "raw": {"num_frames": 40},
    "tfp": {"windows": (5, 9, 41)},
    "tfi": {"num_instants": 8},
    "charge": {"num_bins": 8},
}
CASES = [
    (name, normalisation, low_light)
    for name in OPTIONS
    for normalisation in NORMALISATIONS
    for low_light in (False, True)
    if name in CORRECTABLE or not low_light
    if name != "time_surface" or normalisation in ("none", "standard")
]


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    rng = np.random.default_rng(0)
    rates = rng.choice([0.0, 0.004, 0.05, 0.4], (12, 16), p=[0.1, 0.2, 0.3, 0.4])
    return (rng.random((200, 12, 16)) < rates).astype(np.uint8)


@pytest.fixture(scope="module")
def blur() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 24, 32, 3), np.uint8)


def cut(spikes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows as long as the longest, more than some need, and the exposures there."""
    first = np.floor(EXPOSURE[:, 0]).astype(int) - MARGIN - np.array([0, 2, 1])
    length = int((np.ceil(EXPOSURE[:, 1]) + MARGIN - first).max())
    return np.stack([spikes[at : at + length] for at in first]), (
        EXPOSURE - first[:, None]
    )


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
@pytest.mark.parametrize(("name", "normalisation", "low_light"), CASES)
def test_it_equals_its_twin(
    spikes: np.ndarray,
    blur: np.ndarray,
    name: str,
    normalisation: str,
    low_light: bool,
    transfer: str,
) -> None:
    made = SpikeInput(name, OPTIONS[name], MARGIN, normalisation, low_light)
    twin: dict[str, Any] = {"blur": blur, "transfer": transfer}
    if made.standardises:
        before = made.before_statistics().of_clip(spikes, EXPOSURE, **twin)
        rates = before[:, : made.num_channels - made.side_channels]
        made = dataclasses.replace(made, statistics=measure([rates]))
    expected = made.of_clip(spikes, EXPOSURE, **twin)
    windows, exposure = cut(spikes)

    @tf.function
    def run(blur: tf.Tensor, is_linear: tf.Tensor) -> tf.Tensor:
        return graph_spike_input.of_exposures(
            made,
            tf.constant(windows),
            exposure=tf.constant(exposure),
            blur=graph_spike_input.to_spike_space(blur, is_linear),
            maps=made.estimate_maps(spikes),
        )

    frames = tf.constant(blur.astype(np.float32) / np.float32(255))
    found = run(frames, tf.constant(transfer == "linear"))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("transfer", ["gamma", "linear", "unknown"])
def test_the_space_of_the_spikes_is_that_of_its_twin(
    blur: np.ndarray, transfer: str
) -> None:
    frames = blur.astype(np.float32) / np.float32(255)
    is_linear = tf.constant(transfer == "linear")
    found = graph_spike_input.to_spike_space(tf.constant(frames), is_linear)
    np.testing.assert_allclose(found, to_spike_space(blur, transfer), rtol=1e-5)


def test_dropout_is_that_of_the_seed_and_thins_all_rates_alike(
    spikes: np.ndarray,
) -> None:
    made = SpikeInput("voxel", {"num_bins": 8}, dropout=0.25)
    windows, exposure = cut(spikes)

    def run(seed: list[int] | None) -> np.ndarray:
        chosen = None if seed is None else tf.constant(seed)
        return graph_spike_input.of_exposures(
            made, tf.constant(windows), exposure=exposure, dropout_seed=chosen
        ).numpy()

    whole, thinned = run(None), run([3, 4])
    np.testing.assert_array_equal(thinned, run([3, 4]))
    assert (thinned != run([3, 5])).any()
    assert (thinned <= whole + 1e-6).all()
    # Of n spikes a share of 1/4 is lost, give or take sqrt(3 n) / 4.
    count = windows.sum()
    assert abs(thinned.sum() / whole.sum() - 0.75) < 4 * np.sqrt(3 / count) / 4


def test_what_is_missing_is_named(spikes: np.ndarray) -> None:
    windows, exposure = cut(spikes)
    for options, sentence in (
        ({"normalisation": "log"}, "light and blur are needed"),
        ({"low_light": True}, "maps are needed"),
    ):
        with pytest.raises(ValueError, match=sentence):
            made = SpikeInput(**options)
            graph_spike_input.of_exposures(made, windows, exposure=exposure)
