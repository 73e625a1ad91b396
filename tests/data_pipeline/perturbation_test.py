"""Spikes that are off: what changes, by how much, and that nothing else does."""

import numpy as np
import pytest

from data_pipeline.perturbation import (
    KINDS,
    PERTURBATIONS,
    Perturbation,
    PerturbedRecords,
)
from data_pipeline.pipeline import TestClips
from data_pipeline.records import check_record, unpack_spikes
from data_pipeline.sources.embedded import make_clip
from data_pipeline.spike_input import SpikeInput

SETTINGS = {
    "train_clips": 1,
    "test_clips": 2,
    "num_frames": 2,
    "height": 48,
    "width": 56,
    "exposure": 17,
    "period": 20,
    "spike_scale": 1,
    "threshold": 1.0,
    "gain": 0.2,
    "max_blur": 4.0,
    "seed": 3,
}


def perturbed(kind, amount, index=0):
    return PerturbedRecords(SETTINGS, Perturbation(kind, amount))[index]


def spikes_of(record):
    return unpack_spikes(record["spikes"], SETTINGS["width"])


@pytest.fixture(scope="module")
def plain():
    return make_clip(SETTINGS, "test", 0)


@pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=str)
def test_the_frames_stay_and_the_record_keeps_its_contract(perturbation, plain):
    record = PerturbedRecords(SETTINGS, perturbation)[0]
    check_record(record)
    for name in ("blur", "sharp"):
        np.testing.assert_array_equal(record[name], plain[name])


def test_every_kind_is_measured_and_one_is_no_change():
    assert {case.kind for case in PERTURBATIONS} == set(KINDS)
    assert len(set(PERTURBATIONS)) == len(PERTURBATIONS)
    record, plain = perturbed("none", 0, 1), make_clip(SETTINGS, "test", 1)
    np.testing.assert_array_equal(record["spikes"], plain["spikes"])
    assert record["name"] == plain["name"]


@pytest.mark.parametrize("factor", [0.5, 2, 4])
def test_a_threshold_divides_the_rate(plain, factor):
    record = perturbed("threshold", factor)
    assert float(record["threshold"]) == factor
    count = len(record["spikes"])
    # The same charge, to one threshold of each at both ends.
    charge = spikes_of(record).sum(axis=0, dtype=int) * factor
    assert np.abs(charge - spikes_of(plain).sum(axis=0, dtype=int)).max() <= factor + 1
    assert count == len(plain["spikes"])


def test_less_light_is_a_higher_threshold_to_an_ideal_camera():
    dim, insensitive = perturbed("light", 0.25), perturbed("threshold", 4)
    np.testing.assert_array_equal(dim["spikes"], insensitive["spikes"])
    assert float(dim["gain"]) == pytest.approx(SETTINGS["gain"] / 4)


def test_misaligned_pixels_lie_to_the_right(plain):
    before, after = spikes_of(plain), spikes_of(perturbed("misaligned_pixels", 3))
    np.testing.assert_array_equal(after[..., 3:], before[..., :-3])
    for column in range(3):
        np.testing.assert_array_equal(after[..., column], before[..., 0])


def test_misaligned_frames_are_those_of_a_later_exposure(plain):
    clips = [
        TestClips(
            PerturbedRecords(SETTINGS, Perturbation(kind, amount)),
            spike_input=SpikeInput(options={"num_bins": 17}),
            tfp_window=3,
        )[0]
        for kind, amount in (("none", 0), ("misaligned_frames", 4))
    ]
    # A bin is a spike frame here.
    np.testing.assert_array_equal(clips[0]["spikes"][:, 4:], clips[1]["spikes"][:, :-4])
    start = int(plain["exposure"][0, 0])
    np.testing.assert_array_equal(
        clips[1]["spikes"][0], spikes_of(plain)[start + 4 : start + 21]
    )
    np.testing.assert_array_equal(clips[0]["moving"], clips[1]["moving"])


def test_dropped_spikes_are_missing_and_none_is_new(plain):
    before = spikes_of(plain)
    light, heavy = (spikes_of(perturbed("dropped_spikes", n)) for n in (0.1, 0.5))
    assert (light <= before).all()
    assert (heavy <= light).all()
    assert light.sum() / before.sum() == pytest.approx(0.9, abs=0.01)
    assert heavy.sum() / before.sum() == pytest.approx(0.5, abs=0.01)
    again = perturbed("dropped_spikes", 0.5)
    np.testing.assert_array_equal(spikes_of(again), heavy)


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(ValueError, match="threshold"):
        Perturbation("treshold", 2)
    records = PerturbedRecords(SETTINGS, Perturbation("none", 0))
    with pytest.raises(IndexError, match="There are 2 test clips, not 2"):
        records[2]
