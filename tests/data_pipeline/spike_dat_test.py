"""Raw .dat streams: layout, round trips, ranges, and errors that say what to do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data_pipeline import spike_dat
from data_pipeline.records import pack_spikes

FACTS: dict[str, Any] = {
    "height": 4,
    "width": 6,
    "flip": True,
    "spike_rate": float("nan"),
    "threshold": 2.0,
    "gain": 1.0,
    "spike_scale": 2,
    "exposure": [[0.0, 3.0], [4.0, 7.0]],
}


def test_the_layout_bit_by_bit(tmp_path: Path) -> None:
    # One spike, at row 1, column 3 of 3 rows of 5: pixel 1 * 5 + 3 = 8 of the frame.
    spikes = np.zeros((2, 3, 5), np.uint8)
    spikes[1, 1, 3] = 1
    path = tmp_path / "a.dat"
    spike_dat.write_dat(path, spikes, flip=False)
    assert path.read_bytes() == bytes([0, 0, 0, 1])
    spikes = np.zeros((1, 2, 8), np.uint8)
    spikes[0, 0, 0] = 1
    spike_dat.write_dat(path, spikes)
    assert path.read_bytes() == bytes([0, 1])  # the top row is stored last


@hypothesis_settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 19),
    st.booleans(),
    st.data(),
)
def test_round_trip_of_any_size_and_range(
    tmp_path: Path, count: int, height: int, width: int, flip: bool, data: Any
) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    spikes = np.random.default_rng(seed).integers(
        0, 2, (count, height, width), np.uint8
    )
    path = tmp_path / "a.dat"
    spike_dat.write_dat(path, spikes, flip=flip)
    assert spike_dat.count_frames(path, height, width) == count
    read = spike_dat.read_dat(path, height, width, flip=flip)
    np.testing.assert_array_equal(read, spikes)
    start = data.draw(st.integers(0, count - 1))
    length = data.draw(st.integers(1, count - start))
    part = spike_dat.read_dat(path, height, width, start=start, count=length, flip=flip)
    np.testing.assert_array_equal(part, spikes[start : start + length])
    other = spike_dat.read_dat(path, height, width, flip=not flip)
    np.testing.assert_array_equal(other, spikes[:, ::-1])


def test_packed_records_are_written_as_the_same_stream(tmp_path: Path) -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (300, 3, 11), np.uint8)
    spike_dat.write_dat(tmp_path / "a.dat", spikes)
    spike_dat.write_packed(tmp_path / "b.dat", pack_spikes(spikes), 11)
    assert (tmp_path / "a.dat").read_bytes() == (tmp_path / "b.dat").read_bytes()


def test_the_reference_recordings_read_as_documented(shared: Path) -> None:
    path = shared / "data" / "s_reds" / "203_part2_key_id151.dat"
    if not path.is_file():
        path = next((shared / "data" / "s_reds").glob("203_part2*.dat"))
    spikes = spike_dat.read_dat(path, 250, 400)
    assert spikes.shape == (301, 250, 400)
    bits = np.unpackbits(np.fromfile(path, np.uint8), bitorder="little")
    np.testing.assert_array_equal(spikes[:, ::-1].ravel(), bits)


def test_a_wrong_size_names_both_sizes_and_what_would_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(bytes(3 * 250 * 416 // 8))
    with pytest.raises(
        ValueError, match=r"39000 bytes.*250x400 frames of 12500.*37500.*fit 250x416"
    ):
        spike_dat.read_dat(path, 250, 400)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        spike_dat.read_dat(path, 250, 400)


@pytest.mark.parametrize(
    ("start", "count"), [(-1, 1), (3, 1), (1, 3), (0, 0), (3, None)]
)
def test_a_range_outside_the_stream_is_refused(
    tmp_path: Path, start: int, count: int | None
) -> None:
    path = tmp_path / "a.dat"
    spike_dat.write_dat(path, np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="holds the spike frames 0 to 2"):
        spike_dat.read_dat(path, 4, 4, start=start, count=count)


def test_missing_files_and_impossible_frames(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no spike file"):
        spike_dat.read_dat(tmp_path / "none.dat", 4, 4)
    with pytest.raises(ValueError, match="cannot be 0x4"):
        spike_dat.frame_bytes(0, 4)


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.full((1, 2, 2), 2, np.uint8), "0 and 1, got uint8 from 2 to 2"),
        (np.full((1, 2, 2), -1), "0 and 1"),
        (np.zeros((1, 2, 2), np.float32), "0 and 1, got float32"),
        (np.zeros((2, 2), np.uint8), r"must be \(S, h, w\)"),
        (np.zeros((0, 2, 2), np.uint8), r"must be \(S, h, w\)"),
    ],
)
def test_what_is_no_spike_stream_is_not_written(
    tmp_path: Path, spikes: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        spike_dat.write_dat(tmp_path / "a.dat", spikes)
    assert not any(tmp_path.iterdir())


def test_the_sidecar_round_trips_with_unknown_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    spike_dat.write_sidecar(path, FACTS)
    assert '"spike_rate": null' in (tmp_path / "a.json").read_text()
    read = spike_dat.read_sidecar(path)
    assert np.isnan(read.pop("spike_rate"))
    assert read == {k: v for k, v in FACTS.items() if k != "spike_rate"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "one JSON object"),
        ('{"height": 4}', "must hold exactly height, width"),
    ],
)
def test_a_broken_sidecar_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        spike_dat.read_sidecar(tmp_path / "a.dat")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("height", "4"),
        ("width", True),
        ("flip", 1),
        ("gain", "big"),
        ("exposure", [[1]]),
        ("exposure", None),
    ],
)
def test_a_wrong_fact_is_named(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be"):
        spike_dat.write_sidecar(tmp_path / "a.dat", FACTS | {name: value})
    assert not any(tmp_path.iterdir())


def test_a_missing_sidecar_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a.json"):
        spike_dat.read_sidecar(tmp_path / "a.dat")
