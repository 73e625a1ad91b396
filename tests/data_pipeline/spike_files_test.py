"""Spike streams of every format read the same, and broken ones say what is wrong."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data_pipeline import spike_dat
from data_pipeline.spike_files import open_spikes

SPIKES = np.random.default_rng(0).integers(0, 2, (21, 6, 16), np.uint8)


def write(folder: Path, kind: str, spikes: np.ndarray) -> tuple[Path, dict[str, Any]]:
    """Writes a stream in one of the formats; the path and how to open it."""
    path = folder / f"spikes{kind.partition('_')[0]}"
    if kind == ".dat":
        spike_dat.write_dat(path, spikes)
        return path, {"height": spikes.shape[1], "width": spikes.shape[2], "flip": True}
    if kind == ".npy":
        np.save(path, spikes.astype(bool))
    elif kind == ".npz_uhsr":
        np.savez(path, spk=spikes, label=3, label_name="c")
    elif kind == ".npz_rsir":
        packed = np.packbits(spikes, axis=0, bitorder="little")
        np.savez(path, seq=packed, tag=spikes.mean(0), length=len(spikes))
    else:
        with h5py.File(path, "w") as file:
            file["0"], file["1"] = 1 - spikes, spikes.astype(np.float32)
        return path, {"key": "1"}
    return path, {}


KINDS = (".dat", ".npy", ".npz_uhsr", ".npz_rsir", ".h5")


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_reads_the_same(tmp_path: Path, kind: str) -> None:
    path, options = write(tmp_path, kind, SPIKES)
    stream = open_spikes(path, **options)
    assert stream.shape == (21, 6, 16) and len(stream) == 21
    for key in (slice(None), slice(3, 7), slice(-2, None), slice(9, 9)):
        window = stream[key]
        assert window.dtype == np.uint8
        np.testing.assert_array_equal(window, SPIKES[key])


@pytest.mark.parametrize("kind", [k for k in KINDS if k != ".dat"])
def test_rows_bottom_up_and_header_columns(tmp_path: Path, kind: str) -> None:
    stored = np.concatenate([SPIKES, np.ones((21, 6, 16), np.uint8)], 2)[:, ::-1]
    path, options = write(tmp_path, kind, stored)
    stream = open_spikes(path, flip=True, layout="gen1", **options)
    assert stream.shape == (21, 6, 16)
    np.testing.assert_array_equal(stream[2:5], SPIKES[2:5])


def test_the_real_low_light_recording(shared: Path) -> None:
    stream = open_spikes(shared / "data" / "uhsr.npz")
    assert stream.shape == (200, 250, 250)
    assert stream[:].mean() == pytest.approx(0.031, abs=5e-4)


@pytest.mark.parametrize("kind", KINDS)
@hypothesis_settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_reads_as_spikes(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    path, options = write(tmp_path, kind, SPIKES)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] ^= 0x5A
    path.write_bytes(bytes(content))
    try:
        window = open_spikes(path, **options)[:4]
    except ValueError as error:
        assert "\n" not in str(error) and "spikes" in str(error)
        return
    assert window.dtype == np.uint8 and window.max() <= 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("spikes.raw", {}, "Unknown suffix '.raw'"),
        ("none.npz", {}, "There is no spike file"),
        ("a.dat", {"height": 6, "width": 16}, "give height, width and flip"),
        ("a.dat", {"height": 6, "width": 16, "flip": True, "key": "x"}, "leave key"),
        ("a.npy", {"key": "x"}, "leave key out"),
        ("a.npy", {"width": 8}, "has width 16, not 8"),
        ("a.npy", {"layout": "gen1"}, "Rows of 16 bits are not of layout 'gen1'"),
        ("a.npz", {"key": "x"}, "holds nothing named 'x', but p, q"),
        ("a.npz", {}, "holds p, q; say with key"),
        ("grey.npy", {}, "values from 0 to 7"),
        ("flat.npy", {}, r"stream \(S, h, w\)"),
        ("rsir.npz", {}, "length the whole number S of spike frames.*999"),
    ],
)
def test_what_is_no_stream_is_named(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "spikes.raw").write_bytes(b"")
    spike_dat.write_dat(tmp_path / "a.dat", SPIKES)
    np.save(tmp_path / "a.npy", SPIKES)
    np.savez(tmp_path / "a.npz", p=SPIKES, q=SPIKES)
    np.save(tmp_path / "grey.npy", SPIKES * 7)
    np.save(tmp_path / "flat.npy", SPIKES[0])
    np.savez(tmp_path / "rsir.npz", seq=SPIKES, length=np.int64(999))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_spikes(tmp_path / name, **options)[:]


def test_a_dat_of_which_nothing_is_said_names_what_it_fits(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(bytes(3 * 250 * 400 // 8))
    with pytest.raises(ValueError, match=r"cameras do\. Its size fits 250x400"):
        open_spikes(tmp_path / "a.dat")
    (tmp_path / "a.dat").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"cameras do\.$"):
        open_spikes(tmp_path / "a.dat")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_no_sequence_of_frames(tmp_path: Path, kind: str) -> None:
    path, options = write(tmp_path, kind, SPIKES)
    stream = open_spikes(path, **options)
    for key in (3, None, (slice(None), 0)):
        with pytest.raises(TypeError, match=r"take stream\[3:4\]"):
            stream[key]
    with pytest.raises(TypeError):
        list(stream)
    window = stream[0:2]
    window[:] = 0  # a copy: the stream stays
    np.testing.assert_array_equal(stream[0:2], SPIKES[0:2])


def test_other_arrays_beside_the_stream_do_no_harm(tmp_path: Path) -> None:
    others = np.array([{"a": 1}], object)
    np.savez(tmp_path / "a.npz", spk=SPIKES, label_name=others)
    np.testing.assert_array_equal(open_spikes(tmp_path / "a.npz")[:], SPIKES)


@pytest.mark.parametrize(
    "array", [np.array([[["a"]]]), np.zeros((2, 2, 2), "i4,f4"), np.float32(3)]
)
def test_arrays_that_are_no_numbers_are_refused(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match="must hold a stream"):
        open_spikes(tmp_path / "a.npy")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", spk=SPIKES)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="several arrays"):
        open_spikes(tmp_path / "a.npy")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=h5py.Empty("f4"))
    with pytest.raises(ValueError, match="must hold a stream"):
        open_spikes(tmp_path / "a.h5")


def test_a_dat_that_is_cut_short_while_it_is_read_says_so(tmp_path: Path) -> None:
    path, options = write(tmp_path, ".dat", SPIKES)
    stream = open_spikes(path, **options)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="was cut short while it was read"):
        stream[10:]
