"""Training on every input of the spikes, against NumPy on the very same spikes."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.gain_match import match_gain
from data_pipeline.jitter import Jitter
from data_pipeline.noise_maps import NoiseMaps, estimated_maps
from data_pipeline.normalisation import measure
from data_pipeline.records import unpack_spikes
from data_pipeline.spike_deblur import open_split
from data_pipeline.spike_input import SpikeInput
from tests.helpers.batches import take

LENGTH, MARGIN = 9, 16  # of the exposures of the data set, and of its clips
WINDOW = np.array([[MARGIN, MARGIN + LENGTH]], np.float64)
# Spike frame by spike frame all that is seen of an exposure.
RAW = SpikeInput("raw", {"num_frames": LENGTH + 2 * MARGIN}, margin=MARGIN)
INPUTS = [
    SpikeInput("voxel", {"num_bins": 4, "binning": "bilinear"}, 0, "log"),
    SpikeInput("voxel", {"num_bins": 4}, MARGIN, "log_standard"),
    SpikeInput("voxel", {"num_bins": 8}, MARGIN),
    SpikeInput("time_surface", {"num_instants": 4, "tau": 5.0}, MARGIN),
    SpikeInput("time_surface", {"num_instants": 2, "tau": 5.0}, MARGIN, "standard"),
    SpikeInput("raw", {"num_frames": 32}, MARGIN, "gain_match"),
    SpikeInput("tfp", {"windows": (3, 9)}, MARGIN, "standard"),
    SpikeInput("tfi", {"num_instants": 3}, MARGIN, "log"),
]
JITTERS = [Jitter(), Jitter(time_reversal=True, misaligned_pixels=3)]


def expected_channels(
    spike_input: SpikeInput,
    raw: np.ndarray,
    blur: np.ndarray,
    maps: NoiseMaps | None = None,
) -> np.ndarray:
    """Channels (T, C, h, w) of the raw spike frames (T, L, h, w) of a sample."""
    gain = 1.0
    streams = raw.astype(np.uint8)
    if spike_input.matches_gain:
        rates = [next(spike_input.rates(s, WINDOW, maps=maps)) for s in streams]
        gain = match_gain(np.stack(rates), blur)
    made = [
        spike_input.of_exposures(stream, WINDOW, gain=gain, maps=maps)
        for stream in streams
    ]
    return np.concatenate(made)


@pytest.mark.parametrize("jitter", JITTERS)
@pytest.mark.parametrize("spike_input", INPUTS)
def test_training_serves_what_numpy_makes_of_the_same_spikes(
    directory: str, spike_input: SpikeInput, jitter: Jitter
) -> None:
    options: dict[str, Any] = {"jitter": jitter}
    if spike_input.standardises:
        before = take(
            directory, 2, spike_input=spike_input.before_statistics(), **options
        )
        statistics = measure(batch["spikes"] for batch in before)
        spike_input = dataclasses.replace(spike_input, statistics=statistics)
    found = take(directory, 3, spike_input=spike_input, **options)
    raw = take(directory, 3, spike_input=RAW, **options)
    for batch, same in zip(found, raw, strict=True):
        for name in ("blur", "sharp"):
            np.testing.assert_array_equal(batch[name], same[name])
        assert batch["spikes"].dtype == np.float32
        for channels, frames, blur in zip(
            batch["spikes"], same["spikes"], batch["blur"], strict=True
        ):
            expected = expected_channels(spike_input, frames, blur)
            np.testing.assert_allclose(channels, expected, rtol=1e-4, atol=1e-5)


def maps_under(directory: str, blur: np.ndarray) -> NoiseMaps:
    """The noise maps of the clip of a sample, cut and turned as its frames."""
    frame = np.rint(blur[0] * 255).astype(np.uint8)
    size = len(frame)
    for record in open_split(directory, "train"):
        height, width = record["blur"].shape[1:3]
        places = itertools.product(
            record["blur"], range(height - size + 1), range(width - size + 1)
        )
        for whole, row, column in places:
            part = whole[row : row + size, column : column + size]
            for turns in itertools.product((1, -1), (1, -1), (False, True)):
                if np.array_equal(turned(part, turns), frame):
                    maps = estimated_maps(unpack_spikes(record["spikes"], width))
                    area = slice(row, row + size), slice(column, column + size)
                    return NoiseMaps(
                        *(
                            turned(values[area], turns)
                            for values in (maps.dark_rate, maps.response, maps.hot)
                        )
                    )
    raise AssertionError("no clip holds this sample")


def turned(values: np.ndarray, turns: tuple[int, int, bool]) -> np.ndarray:
    flipped = values[:: turns[0], :: turns[1]]
    return flipped.swapaxes(0, 1) if turns[2] else flipped


@pytest.mark.parametrize(
    ("spike_input", "threshold"),
    [
        (SpikeInput("voxel", {"num_bins": 4}, MARGIN, "none", low_light=True), 1.0),
        (SpikeInput("raw", {"num_frames": 32}, MARGIN, "log", low_light=True), 2.0),
    ],
)
def test_noise_is_suppressed_with_the_maps_of_the_clip(
    directory: str, spike_input: SpikeInput, threshold: float
) -> None:
    """Where the threshold is raised, a pixel fires more seldom in the dark too."""
    jitter = Jitter(thresholds=(threshold, threshold))
    (batch,) = take(directory, 1, spike_input=spike_input, jitter=jitter)
    (raw,) = take(directory, 1, spike_input=RAW, jitter=jitter)
    for number, channels in enumerate(batch["spikes"]):
        blur = batch["blur"][number]
        found = maps_under(directory, blur)
        maps = dataclasses.replace(found, dark_rate=found.dark_rate / threshold)
        expected = expected_channels(spike_input, raw["spikes"][number], blur, maps)
        np.testing.assert_allclose(channels, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_is_a_function_of_seed_and_step(directory: str) -> None:
    made = SpikeInput("voxel", {"num_bins": 4}, 4, "log", low_light=True, dropout=0.3)
    whole = take(directory, 3, spike_input=made)
    (last,) = take(directory, 1, spike_input=made, start_step=2)
    for name, value in last.items():
        np.testing.assert_array_equal(value, whole[2][name])
    halves = [
        take(
            directory,
            3,
            spike_input=made,
            batch_size=1,
            process_index=process,
            process_count=2,
        )
        for process in (0, 1)
    ]
    for step, batch in enumerate(whole):
        for process in (0, 1):
            half = halves[process][step]["spikes"][0]
            np.testing.assert_array_equal(half, batch["spikes"][process])


def test_dropout_leaves_out_other_spikes_each_time(directory: str) -> None:
    made = dataclasses.replace(RAW, dropout=0.3)
    options: dict[str, Any] = {"batch_size": 1, "num_frames": 4}
    (whole,) = take(directory, 1, spike_input=RAW, **options)
    (thinned,) = take(directory, 1, spike_input=made, **options)
    assert (thinned["spikes"] <= whole["spikes"]).all()
    count = whole["spikes"].sum()
    kept = thinned["spikes"].sum() / count
    assert abs(kept - 0.7) < 4 * np.sqrt(0.21 / count)
    # The same clip in another epoch: drawn anew, at another position.
    positions = [
        batch["spikes"][0]
        for batch in take(directory, 2, spike_input=made, **options, seed=3)
    ]
    assert (positions[0] != positions[1]).any()


@pytest.mark.parametrize(
    ("spike_input", "sentence"),
    [
        (dataclasses.replace(RAW, margin=17), "margin"),
        (dataclasses.replace(RAW, margin=4), "41 spike frames around the middle"),
        (SpikeInput("voxel", {"num_bins": 4}, 0, "standard"), "statistics"),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(
    directory: str, spike_input: SpikeInput, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        pipeline.train_batches(
            directory,
            spike_input=spike_input,
            num_frames=2,
            crop_size=24,
            batch_size=2,
            seed=0,
            start_step=0,
        )
