"""Whatever bytes a reader gets, it reads them exactly or says what is wrong.

The readers of .dat, .npy, .npz, .h5, of the .json beside a .dat, and of records; what
they may raise is ValueError, in one sentence without a line break.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from data_pipeline import spike_dat, spike_sidecar
from data_pipeline.records import Record, check_record
from data_pipeline.spike_deblur import open_split
from data_pipeline.spike_files import open_spikes

fast = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
few = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SPIKES = np.random.default_rng(0).integers(0, 2, (13, 5, 16), np.uint8)


def read(get: Callable[[], Any]) -> Any:
    """What a reader gives, or None where it refuses in one sentence."""
    try:
        return get()
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) > 20
        return None


def decode(
    content: bytes, height: int, width: int, *, flip: bool, big: bool, layout: str
) -> np.ndarray | None:
    """A .dat bit by bit, as its description reads; None where it is not one."""
    parts, header = {"plain": (1, 0), "gen1": (1, 16), "gen2": (2, 12)}[layout]
    if width % parts:
        return None
    stored = width + parts * header
    frame = (height * stored + 7) // 8
    if not content or len(content) % frame:
        return None
    frames = []
    for start in range(0, len(content), frame):
        bits = []
        for byte in content[start : start + frame]:
            order = range(7, -1, -1) if big else range(8)
            bits += [byte >> n & 1 for n in order]
        if any(bits[height * stored :]):
            return None
        rows = [bits[y * stored : (y + 1) * stored] for y in range(height)]
        piece = stored // parts
        rows = [
            [b for x, b in enumerate(r) if x % piece < piece - header] for r in rows
        ]
        frames.append(rows[::-1] if flip else rows)
    return np.array(frames, np.uint8)


@fast
@given(
    content=st.binary(max_size=400),
    height=st.integers(1, 6),
    width=st.integers(1, 20),
    flip=st.booleans(),
    big=st.booleans(),
    layout=st.sampled_from(["plain", "plain", "gen1", "gen2"]),
    repeat=st.integers(0, 4),
)
def test_any_bytes_are_the_dat_that_they_are_or_none(
    tmp_path: Path,
    content: bytes,
    height: int,
    width: int,
    flip: bool,
    big: bool,
    layout: str,
    repeat: int,
) -> None:
    if repeat and not width % 2:
        # Random sizes seldom fit: cut to whole frames more often than not.
        frame = spike_dat.frame_bytes(height, width, layout=layout)
        content = (content * frame)[: frame * repeat]
    path = tmp_path / "a.dat"
    path.write_bytes(content)
    stream = read(
        lambda: spike_dat.read_dat(
            path,
            height,
            width,
            flip=flip,
            bit_order="big" if big else "little",
            layout=layout,
        )
    )
    expected = decode(content, height, width, flip=flip, big=big, layout=layout)
    if expected is None:
        assert stream is None
    else:
        np.testing.assert_array_equal(stream, expected)


def write(folder: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    path = folder / f"a{kind.partition('_')[0]}"
    if kind == ".dat":
        spike_dat.write_dat(path, SPIKES)
        return path, {"height": 5, "width": 16, "flip": True}
    if kind == ".npy":
        np.save(path, SPIKES)
    elif kind == ".npz_uhsr":
        np.savez_compressed(path, spk=SPIKES)
    elif kind == ".npz_rsir":
        packed = np.packbits(SPIKES, axis=0, bitorder="little")
        np.savez(path, seq=packed, length=len(SPIKES))
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=SPIKES, chunks=(4, 5, 16), compression="gzip")
    return path, {}


KINDS = (".dat", ".npy", ".npz_uhsr", ".npz_rsir", ".h5")


@pytest.mark.parametrize("kind", KINDS)
@fast
@given(share=st.floats(0, 1))
def test_a_file_that_is_cut_reads_as_what_is_left_or_not_at_all(
    tmp_path: Path, kind: str, share: float
) -> None:
    path, options = write(tmp_path, kind)
    content = path.read_bytes()
    kept = content[: int(share * (len(content) - 1))]
    path.write_bytes(kept)
    stream = read(lambda: open_spikes(path, **options)[:])
    if kind == ".dat" and kept and len(kept) % 10 == 0:
        np.testing.assert_array_equal(stream, SPIKES[: len(kept) // 10])
    elif stream is not None:
        # Only where nothing of the stream was cut: HDF5 may end in unused bytes.
        np.testing.assert_array_equal(stream, SPIKES)
        assert kind == ".h5"


HEADS = {
    ".npy": [b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\x10\x00{'descr': '|u1'}"],
    ".npz": [b"", b"PK\x03\x04", b"PK\x05\x06"],
    ".h5": [b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n\x00\x00\x00\x00\x00\x08"],
}


@pytest.mark.parametrize("suffix", HEADS)
@fast
@given(data=st.data(), rest=st.binary(max_size=200))
def test_bytes_of_something_else_are_refused(
    tmp_path: Path, suffix: str, data: st.DataObject, rest: bytes
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data.draw(st.sampled_from(HEADS[suffix])) + rest)
    assert read(lambda: open_spikes(path)[:]) is None


FACTS: dict[str, Any] = {
    "height": 5,
    "width": 16,
    "flip": True,
    "spike_rate": None,
    "threshold": 1.0,
    "gain": 0.6,
    "spike_scale": 1,
    "exposure": [[0.0, 4.0]],
}
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["little", "gen1", 1, 4, 0.5]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@fast
@given(
    changes=st.dictionaries(
        st.sampled_from([*FACTS, "bit_order", "layout", "other"]), anything, max_size=3
    ),
    missing=st.sets(st.sampled_from([*FACTS]), max_size=1),
)
def test_any_json_is_facts_or_refused(
    tmp_path: Path, changes: dict[str, Any], missing: set[str]
) -> None:
    facts = {name: v for name, v in (FACTS | changes).items() if name not in missing}
    (tmp_path / "a.json").write_text(json.dumps(facts))
    found = read(lambda: spike_sidecar.read_sidecar(tmp_path / "a.dat"))
    if found is None:
        assert facts != FACTS
        return
    assert not missing & found.keys() and "other" not in found
    for name, value in facts.items():
        assert found[name] == value or (value is None and np.isnan(found[name]))
    assert found["height"] > 0 and found["spike_scale"] in (1, 2, 4)


@pytest.mark.parametrize(
    ("content", "times"), [(b"[", 100_000), (b'{"a":', 100_000), (b"1", 5000)]
)
def test_json_without_end_is_refused(
    tmp_path: Path, content: bytes, times: int
) -> None:
    (tmp_path / "a.json").write_bytes(content * times)
    assert read(lambda: spike_sidecar.read_sidecar(tmp_path / "a.dat")) is None


@fast
@given(st.binary(max_size=60))
def test_bytes_that_are_no_json_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read(lambda: spike_sidecar.read_sidecar(tmp_path / "a.dat")) is None


@pytest.fixture(scope="module")
def built(directory: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a built data set, to be damaged."""
    copy = tmp_path_factory.mktemp("copy") / "set"
    shutil.copytree(directory, copy)
    return copy


@few
@given(at=st.floats(0, 1, exclude_max=True), damage=st.binary(min_size=1, max_size=300))
def test_damaged_records_are_as_they_were_or_refused(
    directory: str, built: Path, at: float, damage: bytes
) -> None:
    (file,) = built.glob("*train*.array_record*")
    (whole,) = Path(directory).glob("*train*.array_record*")
    content = bytearray(whole.read_bytes())
    first = int(at * len(content))
    damage = damage[: len(content) - first]
    assume(content[first : first + len(damage)] != damage)
    content[first : first + len(damage)] = damage
    file.write_bytes(bytes(content))
    originals = open_split(directory, "train")
    records = read(lambda: open_split(built, "train"))
    for index in range(len(originals) if records is not None else 0):
        record = read(lambda index=index: records[index])
        if record is not None:
            assert_same(record, originals[index])


@few
@given(share=st.floats(0, 1, exclude_max=True))
def test_records_that_are_cut_are_refused(
    directory: str, built: Path, share: float
) -> None:
    (file,) = built.glob("*train*.array_record*")
    (whole,) = Path(directory).glob("*train*.array_record*")
    content = whole.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert read(lambda: list(open_split(built, "train"))) is None


def assert_same(first: Record, second: Record) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


@fast
@given(
    name=st.sampled_from(["blur", "sharp", "spikes", "exposure", "sharp_time"]),
    shape=st.lists(st.integers(0, 4), max_size=4),
    dtype=st.sampled_from([np.uint8, np.float32, np.int64, np.float16]),
)
def test_arrays_of_any_shape_are_a_record_or_refused(
    record: Record, name: str, shape: list[int], dtype: type
) -> None:
    changed = record | {name: np.zeros(shape, dtype)}
    if read(lambda: check_record(changed) or True) is None:
        return
    # What is let through has the shapes of the contract.
    frames, height, width, _ = record["blur"].shape
    assert changed["blur"].shape == (frames, height, width, 3)
    assert changed["exposure"].shape == (frames, 2)
    assert len(changed["sharp"]) in (0, frames)


@fast
@given(
    name=st.sampled_from(["spike_rate", "threshold", "gain", "seed"]), value=anything
)
def test_numbers_of_any_kind_are_a_record_or_refused(
    record: Record, name: str, value: Any
) -> None:
    read(lambda: check_record(record | {name: value}))
