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
    with pytest.raises(ValueError, match="17 spike pixels take 3 bytes a row"):
        spike_dat.write_packed(tmp_path / "c.dat", pack_spikes(spikes), 17)


@pytest.mark.parametrize("flip", [False, True])
def test_the_highest_bit_first(tmp_path: Path, flip: bool) -> None:
    spikes = np.random.default_rng(1).integers(0, 2, (3, 3, 11), np.uint8)
    path = tmp_path / "a.dat"
    spike_dat.write_dat(path, spikes, flip=flip, bit_order="big")
    rows = spikes[0, ::-1] if flip else spikes[0]
    assert path.read_bytes()[:5] == np.packbits(rows.ravel()).tobytes()
    read = spike_dat.read_dat(path, 3, 11, flip=flip, bit_order="big")
    np.testing.assert_array_equal(read, spikes)


def camera_file(path: Path, spikes: np.ndarray, layout: str) -> None:
    """Writes rows bottom-up with header bits of 1, column by column."""
    parts = 2 if layout == "gen2" else 1
    header = np.ones((*spikes.shape[:2], 12 if layout == "gen2" else 16), np.uint8)
    pieces = np.split(spikes[:, ::-1], parts, axis=2)
    rows = np.concatenate([x for piece in pieces for x in (piece, header)], axis=2)
    frames = rows.reshape(len(spikes), -1)
    path.write_bytes(np.packbits(frames, axis=1, bitorder="little").tobytes())


@pytest.mark.parametrize(
    ("layout", "size", "columns"),
    [
        ("gen1", (250, 400), [*range(400, 416)]),
        ("gen2", (1000, 1000), [*range(500, 512), *range(1012, 1024)]),
    ],
)
def test_the_header_columns_of_cameras_are_left_out(
    tmp_path: Path, layout: str, size: tuple[int, int], columns: list[int]
) -> None:
    spikes = np.random.default_rng(2).integers(0, 2, (2, *size), np.uint8)
    path = tmp_path / "a.dat"
    camera_file(path, spikes, layout)
    read = spike_dat.read_dat(path, *size, layout=layout)
    np.testing.assert_array_equal(read, spikes)
    stored = spike_dat.read_dat(path, size[0], size[1] + len(columns))
    assert stored[..., columns].all()
    np.testing.assert_array_equal(np.delete(stored, columns, axis=2), spikes)


def test_a_stream_is_read_slice_by_slice(tmp_path: Path) -> None:
    spikes = np.random.default_rng(3).integers(0, 2, (20, 5, 7), np.uint8)
    spike_dat.write_dat(tmp_path / "a.dat", spikes)
    stream = spike_dat.SpikeDat(tmp_path / "a.dat", 5, 7, flip=True)
    assert stream.shape == (20, 5, 7) and len(stream) == 20
    for key in (slice(3, 8), slice(None), slice(-4, None), slice(2, 19, 5)):
        np.testing.assert_array_equal(stream[key], spikes[key])
    # A hole in a sparse file takes no room: only the window is read of 50 GB.
    with (tmp_path / "long.dat").open("wb") as file:
        file.truncate(50_000_000_000)
    long = spike_dat.SpikeDat(tmp_path / "long.dat", 250, 400, flip=True)
    assert long[3_999_990:].shape == (10, 250, 400)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "gen3"}, "unknown layout 'gen3'.*gen"),
        ({"layout": "gen2", "width": 5}, "multiple of 2, got 5"),
        ({"bit_order": "litle"}, "unknown bit_order 'litle'.*little"),
    ],
)
def test_unknown_ways_of_storing_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.dat"
    spike_dat.write_dat(path, np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(ValueError, match=f"(?i){message}"):
        spike_dat.read_dat(path, 4, **{"width": 4, **options})


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
        ValueError,
        match=r"39000 bytes.*of 12500.*37500.*fit 250x400 of layout 'gen1'",
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


@pytest.mark.parametrize("bit_order", ["little", "big"])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize(
    ("layout", "size", "stored"),
    [("plain", (3, 5), 15), ("gen1", (5, 11), 135), ("gen2", (6, 10), 204)],
)
def test_every_layout_that_is_read_is_written(
    tmp_path: Path,
    layout: str,
    size: tuple[int, int],
    stored: int,
    flip: bool,
    bit_order: str,
) -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (300, *size), np.uint8)
    path = tmp_path / "a.dat"
    options: dict[str, Any] = {"flip": flip, "bit_order": bit_order, "layout": layout}
    spike_dat.write_dat(path, spikes, **options)
    assert path.stat().st_size == 300 * -(-stored // 8)
    found = spike_dat.read_dat(path, *size, **options)
    np.testing.assert_array_equal(found, spikes)
    order: Any = bit_order
    bits = np.unpackbits(np.fromfile(path, np.uint8), bitorder=order)
    assert bits.sum() == spikes.sum()  # header and padding are 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "gen3"}, "Unknown layout 'gen3'"),
        ({"layout": "gen2"}, "width must be a multiple of 2, got 5"),
    ],
)
def test_what_no_camera_stores_is_not_written(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.dat"
    with pytest.raises(ValueError, match=message):
        spike_dat.write_dat(path, np.zeros((2, 3, 5), np.uint8), **options)
    assert not path.exists()


@pytest.mark.parametrize("bit_order", ["little", "big"])
@pytest.mark.parametrize("bit", range(8))
def test_bits_beyond_the_pixels_of_a_frame_are_refused(
    tmp_path: Path, bit: int, bit_order: str
) -> None:
    path = tmp_path / "a.dat"  # 15 pixels in 16 bits
    spikes = np.zeros((9, 3, 5), np.uint8)
    spike_dat.write_dat(path, spikes, bit_order=bit_order)
    content = bytearray(path.read_bytes())
    content[2 * 6 + 1] |= 1 << bit
    path.write_bytes(bytes(content))
    beyond = bit == (7 if bit_order == "little" else 0)
    stream = spike_dat.SpikeDat(path, 3, 5, flip=True, bit_order=bit_order)
    assert stream[:6].max() == stream[7:].max() == 0
    if not beyond:
        assert stream[:].sum() == 1
        return
    for key in (slice(4, 8), slice(None, None, 3), slice(6, 7)):
        with pytest.raises(ValueError, match="last byte of spike frame 6 has bits"):
            stream[key]
