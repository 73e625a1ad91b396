"""Jitter is what another camera had seen, and leaves the rest of a batch alone."""

from typing import Any

import numpy as np
import pytest

from batches import take
from data_pipeline import augment, jitter
from data_pipeline.capture import capture
from data_pipeline.exposure import exposure_windows
from data_pipeline.jitter import Jitter, Shift
from data_pipeline.records import Record
from data_pipeline.samples import Sampler
from data_pipeline.spike_camera import simulate
from data_pipeline.spike_input import SpikeInput
from data_pipeline.transfer import to_spike_space


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_every_nth_spike_is_what_n_times_the_threshold_fires(factor: int) -> None:
    rng = np.random.default_rng(0)
    # Dyadic light and phases, so that the sums of both cameras are exact.
    light = np.broadcast_to(rng.integers(0, 65, (8, 9)) / 64, (90, 8, 9))
    phase = rng.integers(0, 16, (8, 9)) / 16
    before = rng.integers(0, factor, (8, 9))
    camera = {"gain": 1.0, "rng": rng}
    spikes = simulate(light, threshold=1.0, phase=phase, **camera)
    charge = (before + phase) / factor
    expected = simulate(light, threshold=float(factor), phase=charge, **camera)
    kept = (before + 0.5) / factor  # between whole spikes, where nothing rounds
    found = jitter.raise_threshold(spikes[None], factor, kept[None])
    if factor in (1, 2):  # thirds of a charge are not dyadic
        np.testing.assert_array_equal(found[0], expected)
    else:
        assert (found[0] != expected).mean() < 0.02


@pytest.mark.parametrize("factor", [1.0, 1.25, 1.5, 2.0, 2.7, 6.4])
def test_a_raised_threshold_fires_when_its_multiples_are_crossed(
    factor: float,
) -> None:
    rng = np.random.default_rng(1)
    spikes = (rng.random((3, 200, 5, 6)) < rng.random((5, 6))).astype(np.uint8)
    phase = rng.random((3, 5, 6), np.float32)
    found = jitter.raise_threshold(spikes, factor, phase)
    count = np.cumsum(spikes, axis=1, dtype=np.float64)
    expected = np.floor(count / factor + phase[:, None])
    # Sums are in 65536ths of a spike: one that comes so close may round.
    assert (np.cumsum(found, axis=1) != expected).mean() < 1e-3
    assert not (found & ~spikes & 1).any()  # only where the recorded camera fired
    assert found.dtype == np.uint8


@pytest.mark.parametrize("factor", [1.5, 2.7])
def test_a_raised_threshold_is_late_by_less_than_an_interval(factor: float) -> None:
    # Of the camera that the factor describes, spike n comes with (n - phase) * factor
    # thresholds of light: the spike that completes them has to be waited for.
    rate, phase = 0.31, 0.4
    light = np.full((2000, 1, 1), rate)
    camera = {"gain": 1.0, "rng": np.random.default_rng(0), "threshold": 1.0}
    spikes = simulate(light, phase=np.zeros((1, 1)), **camera)
    start = np.full((1, 1, 1), phase)
    fired = np.flatnonzero(jitter.raise_threshold(spikes[None], factor, start))
    numbers = 1 + np.arange(len(fired))
    late = fired + 1 - (numbers - phase) * factor / rate  # end of the spike frame
    assert -1e-2 < late.min() and late.max() < 1 / rate + 1
    assert len(fired) == pytest.approx(2000 * rate / factor, abs=1)


def test_nothing_is_varied_unless_asked_for(directory: str) -> None:
    for first, second in zip(
        take(directory, 3), take(directory, 3, jitter=Jitter()), strict=True
    ):
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])


def test_half_of_the_samples_run_backwards_in_all_modalities(directory: str) -> None:
    plain = take(directory, 12)
    varied = take(directory, 12, jitter=Jitter(time_reversal=True))
    backwards = 0
    for first, second in zip(plain, varied, strict=True):
        for sample in range(2):
            kept = np.array_equal(first["blur"][sample], second["blur"][sample])
            step = slice(None) if kept else slice(None, None, -1)
            backwards += not kept
            for name in ("blur", "sharp"):
                np.testing.assert_array_equal(
                    second[name][sample], first[name][sample][step]
                )
            np.testing.assert_allclose(
                second["spikes"][sample], first["spikes"][sample][step, step], atol=1e-6
            )
    assert 4 < backwards < 20


def test_thresholds_divide_the_rates_and_nothing_else(directory: str) -> None:
    plain = take(directory, 4)
    for factor in (2, 4):
        varied = take(directory, 4, jitter=Jitter(thresholds=(factor, factor)))
        for first, second in zip(plain, varied, strict=True):
            np.testing.assert_array_equal(first["blur"], second["blur"])
            ratio = second["spikes"].mean() / first["spikes"].mean()
            assert ratio == pytest.approx(1 / factor, rel=0.05)


def test_thresholds_are_drawn_evenly_between_lowest_and_highest() -> None:
    varied = Jitter(thresholds=(1.5, 6.0))
    rng = np.random.default_rng(0)
    drawn = [
        jitter.draw_threshold(varied, rng.random(jitter.NUM_DRAWS, np.float32))
        for _ in range(1000)
    ]
    assert 1.5 <= min(drawn) < 1.51 and 5.9 < max(drawn) <= 6
    # Half of the factors are below the geometric mean.
    assert np.mean(np.array(drawn) < 3) == pytest.approx(0.5, abs=0.05)


def test_less_light_darkens_the_frames_and_rarefies_the_spikes(directory: str) -> None:
    plain = take(directory, 4)
    varied = take(directory, 4, jitter=Jitter(light=(0.5, 0.5)))
    with_threshold = Jitter(thresholds=(2, 2), light=(0.5, 0.5))
    both = take(directory, 4, jitter=with_threshold)
    for first, second, third in zip(plain, varied, both, strict=True):
        for name in ("blur", "sharp"):
            np.testing.assert_allclose(second[name], first[name] / 2, rtol=1e-6)
            np.testing.assert_array_equal(third[name], second[name])
        rate = first["spikes"].mean()
        assert second["spikes"].mean() / rate == pytest.approx(1 / 2, rel=0.05)
        assert third["spikes"].mean() / rate == pytest.approx(1 / 4, rel=0.05)


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
def test_frames_and_spikes_darken_in_the_space_of_the_spikes(transfer: str) -> None:
    record = moving_edge()
    record["transfer"] = transfer
    sampler = Sampler(
        [record],
        num_frames=2,
        crop_size=40,
        spike_input=SpikeInput(),
        seed=0,
        jitter=Jitter(light=(0.25, 0.25)),
    )
    draws = np.full(augment.NUM_DRAWS, 0.5, np.float32)
    cut = sampler.cut(record, 0, draws, np.zeros(jitter.NUM_DRAWS, np.float32))
    blur, sharp = np.empty((2, 2, 40, 40, 3), np.float32)
    sampler.fill_frames(cut, blur, sharp)
    lit = (sharp > 0).all(axis=-1)
    light = to_spike_space(sharp, transfer)
    np.testing.assert_allclose(light[lit], 0.25, rtol=1e-5)
    assert cut.threshold == 4
    # The edge lights a pixel up for good, which then fires at every fourth spike frame.
    fired = cut.spikes[:, :, lit[0] & lit[1]].mean()
    assert fired == pytest.approx(1 / 4, abs=0.05)


def test_jitter_too_is_a_function_of_seed_and_step(directory: str) -> None:
    every = Jitter(True, (1, 3), (0.5, 1), 2, 2)
    whole = take(directory, 6, jitter=every)
    resumed = take(directory, 4, jitter=every, start_step=2)
    for first, second in zip(whole[2:], resumed, strict=True):
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])


def moving_edge() -> Record:
    """An edge that moves one pixel right in every spike frame; 3 frames of 48x80."""
    light = np.zeros((40, 48, 80, 3), np.float32)
    for sample in range(40):
        light[sample, :, : 24 + sample] = 1.0
    return capture(
        light,
        exposure_windows(3, first_start=8, exposure=5, period=7),
        threshold=1.0,
        gain=1.0,
        spike_scale=1,
        rng=np.random.default_rng(0),
        name="edge",
        source="edge",
        licence="none",
        seed=0,
    )


@pytest.mark.parametrize("shift", [Shift(0, 3, 0), Shift(2, -4, 0), Shift(0, 0, 3)])
def test_shifted_spikes_are_those_of_another_place_or_time(shift: Shift) -> None:
    record = moving_edge()
    draws = np.full(augment.NUM_DRAWS, 0.5, np.float32)
    options: dict[str, Any] = {"num_frames": 2, "crop_size": 40}
    aligned = augment.crop_record(record, draws, **options)
    shifted = augment.crop_record(record, draws, **options, shift=shift)
    np.testing.assert_array_equal(aligned.blur, shifted.blur)

    def edge(crop: augment.Crop) -> float:
        bits = np.unpackbits(crop.spikes, axis=-1, bitorder="little")
        return float(bits[..., :40].mean((0, 1, 2)).sum())

    moved = edge(shifted) - edge(aligned)
    assert moved == pytest.approx(shift.later - shift.right, abs=0.5)


def test_a_shift_stays_inside_the_record() -> None:
    record = moving_edge()
    draws = np.zeros(augment.NUM_DRAWS, np.float32)
    far = augment.crop_record(
        record, draws, num_frames=3, crop_size=48, shift=Shift(-9, -9, -99)
    )
    assert far.spikes.shape[2:] == (48, 6)
    np.testing.assert_array_equal(far.spikes[0], record["spikes"][:5, :48, :6])


@pytest.mark.parametrize("most", [0, 1, 3])
def test_shifts_are_drawn_evenly_up_to_the_most(most: int) -> None:
    varied = Jitter(misaligned_pixels=most, misaligned_frames=most)
    rng = np.random.default_rng(0)
    drawn = [
        jitter.draw_shift(varied, rng.random(jitter.NUM_DRAWS, np.float32))
        for _ in range(700)
    ]
    for part in zip(*drawn, strict=True):
        values, counts = np.unique(part, return_counts=True)
        assert values.tolist() == list(range(-most, most + 1))
        assert counts.min() > 0.6 * 700 / len(values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": ()}, "lowest and the highest factor"),
        ({"thresholds": (0.5, 2)}, "at least 1"),
        ({"thresholds": (3, 2)}, "such as \\(1, 4\\), got \\(3, 2\\)"),
        ({"thresholds": (1, 1e9)}, "at most 16384"),
        ({"light": (0.5,)}, "lowest and the highest factor"),
        ({"light": (0, 1)}, "above 0 and at most 1"),
        ({"light": (0.5, 2)}, "such as \\(0.25, 1\\), got \\(0.5, 2\\)"),
        ({"light": (1e-3, 1), "thresholds": (1, 100)}, "more than 16384 times"),
        ({"misaligned_pixels": -1}, "misaligned_pixels must not be negative, got -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Jitter(**options)


def test_sharp_frames_off_the_middle_cannot_run_backwards() -> None:
    record = moving_edge()
    record["sharp_time"] = record["sharp_time"] + np.float32(2)
    with pytest.raises(ValueError, match="2 spike frames from the middle"):
        jitter.check_reversible(record)
