"""The record's checks: what is right passes, and each fault is named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipeline.records import (
    Record,
    check_exposure,
    check_record,
    middle_sharp,
    pack_spikes,
    unpack_spikes,
)


def test_a_valid_record_passes(record: Record) -> None:
    check_record(record)


def test_a_recording_without_sharp_frames_passes(record: Record) -> None:
    record["sharp"] = record["sharp"][:0]
    record["sharp_time"][:] = np.nan
    record["spike_rate"] = np.float32(np.nan)
    check_record(record)


def test_several_sharp_instants_pass_and_the_middle_one_is_picked(
    record: Record,
) -> None:
    one = {name: record[name] for name in ("sharp", "sharp_time")}
    for name, picked in zip(one, middle_sharp(record), strict=True):
        assert picked is one[name]
    # Three instants of each exposure, of which another is the nearest each time.
    offsets = np.float32([[-2, -0.5, 1], [-0.25, 1, 2], [-2, -1.5, 1]])
    record["sharp_time"] = (one["sharp_time"][:, None] + offsets).ravel()
    noise = np.random.default_rng(0).integers(0, 256, (9, 16, 24, 3), np.uint8)
    record["sharp"] = noise
    check_record(record)
    sharp, times = middle_sharp(record)
    np.testing.assert_array_equal(sharp, noise[[1, 3, 8]])
    np.testing.assert_array_equal(times, record["sharp_time"][[1, 3, 8]])


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([-1, 0, 0], r"order of time, but those of frame 0 are \[5.5, 6.5, 6.5"),
        ([1, 0, -1], "in the order of time"),
        ([-1, 0, 3], r"sharp_time of frame 0 is 9.5, outside its exposure \[4.0, 9.0"),
    ],
)
def test_sharp_instants_out_of_order_or_exposure(
    record: Record, offsets: list[float], message: str
) -> None:
    record["sharp"] = np.repeat(record["sharp"], 3, axis=0)
    times = record["sharp_time"][:, None] + np.float32(offsets)
    record["sharp_time"] = times.ravel()
    with pytest.raises(ValueError, match=message):
        check_record(record)


def test_without_sharp_frames_none_is_picked(record: Record) -> None:
    record["sharp"] = record["sharp"][:0]
    sharp, times = middle_sharp(record)
    assert len(sharp) == 0 and len(times) == 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("blur", np.zeros((3, 16, 24, 3), np.float32), "blur must be a uint8 array"),
        ("blur", np.zeros((0, 16, 24, 3), np.uint8), "blur must be"),
        ("blur", [1, 2], "blur must be a uint8 array with 4 axes, got list"),
        ("sharp", np.zeros((2, 16, 24, 3), np.uint8), "sharp must have the shape"),
        ("sharp", np.zeros((3, 16, 16, 3), np.uint8), "sharp must have the shape"),
        (
            "sharp",
            np.zeros((6, 16, 24, 3), np.uint8),
            r"sharp_time \(6,\) for 3 frames",
        ),
        (
            "spikes",
            np.zeros((25, 8, 12), np.uint8),
            "spikes must be packed to .S, 8, 2",
        ),
        ("spikes", np.zeros((20, 8, 2), np.uint8), r"frame 2 is \[16, 21\].*\[0, 20\]"),
        ("spike_scale", 3, "spike_scale must be one of"),
        ("spike_scale", 1.5, "spike_scale must be a whole number"),
        ("threshold", -1.0, "threshold must be a positive number"),
        ("gain", "much", "gain must be one number"),
        ("transfer", "gama", "Did you mean 'gamma'"),
        ("cfa", "RGGB", "Did you mean 'rggb'"),
        ("name", "", "name must be a non-empty string"),
        ("rgb_from_spike", np.eye(2, dtype=np.float32), "rgb_from_spike must be .3, 3"),
        ("exposure", np.zeros((2, 2), np.float32), "exposure must be .3, 2"),
        ("sharp_time", np.array([6.5, 12.5, 99], np.float32), "sharp_time of frame 2"),
        ("sharp_time", np.full(3, np.nan, np.float32), "sharp_time of frame 0"),
    ],
)
def test_a_fault_is_named(record: Record, field: str, value: Any, message: str) -> None:
    record[field] = value
    with pytest.raises(ValueError, match=message):
        check_record(record)


def test_missing_and_unknown_fields_are_named(record: Record) -> None:
    with pytest.raises(ValueError, match="Did you mean 'blur'"):
        check_record(record | {"blurr": record["blur"]})
    del record["gain"]
    with pytest.raises(ValueError, match="lacks the field.* gain"):
        check_record(record)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([[5, 5]], "must start before it ends"),
        ([[0, np.nan]], "must start before it ends"),
        ([[-1, 5]], r"cover \[0, 30\]"),
        ([[0, 31]], r"cover \[0, 30\]"),
        ([[10, 15], [0, 5]], "in the order of time"),
        ([[0, 15], [5, 15]], "in the order of time"),
    ],
)
def test_exposures_out_of_order_or_range(
    windows: list[list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_exposure(np.array(windows), 30)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_packing_round_trips_with_the_lowest_bit_leftmost(
    width: int, seed: int
) -> None:
    spikes = np.random.default_rng(seed).integers(0, 2, (2, 3, width), np.uint8)
    packed = pack_spikes(spikes)
    np.testing.assert_array_equal(unpack_spikes(packed, width), spikes)
    for x in range(width):
        bit = packed[:, :, x // 8] >> (x % 8) & 1
        np.testing.assert_array_equal(bit, spikes[:, :, x])
