"""Any spike recording as records: every format, read as its options and .json say."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from record_checksum import record_checksum

from data_pipeline import pipeline, prepare
from data_pipeline.records import unpack_spikes
from data_pipeline.spike_dat import write_dat
from data_pipeline.spike_input import SpikeInput
from data_pipeline.spike_sidecar import write_sidecar
from moving_scene import GAIN, moving_light, record_spikes
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "exposure": 15,
    "period": 18,
    "num_frames": 1,
    "window": 22,
    "test_clips": 1,
}
DAT = {"spike_height": 32, "spike_width": 40, "flip": "true"}
COUNT = 101  # 4 clips, of which the first and the last share nothing
SPIKES = record_spikes(moving_light(COUNT, (32, 40)))
PREPARE = Prepare("spikes", SMALL)
run, built = PREPARE.run, PREPARE.built
FACTS: dict[str, Any] = {
    "height": 32,
    "width": 40,
    "flip": False,
    "spike_rate": 20000.0,
    "threshold": 2.0,
    "gain": 2 * GAIN,
    "spike_scale": 1,
    "exposure": [],
}


def write_gen1(path: Path) -> None:
    """As a camera of 40 columns would write it: 16 bits of header after each row."""
    rows = np.zeros((COUNT, 32, 56), np.uint8)
    rows[..., :40] = SPIKES[:, ::-1]
    path.write_bytes(np.packbits(rows, axis=-1, bitorder="little").tobytes())


def write(path: Path, kind: str) -> dict[str, Any]:
    """Writes SPIKES in a format; returns the options that reading it takes."""
    if kind == "npy":
        np.save(path / "a.npy", SPIKES)
    elif kind == "npz":
        np.savez(path / "a.npz", spk=SPIKES, label=3)
    elif kind == "h5":
        with h5py.File(path / "a.h5", "w") as file:
            file["0"], file["1"] = SPIKES, SPIKES[:, ::-1]
        return {"spike_key": "0"}
    elif kind == "big":
        write_dat(path / "a.dat", SPIKES, flip=False, bit_order="big")
        return {**DAT, "flip": "false", "spike_bit_order": "big"}
    elif kind == "gen1":
        write_gen1(path / "a.dat")
        return {**DAT, "spike_layout": "gen1"}
    else:
        write_dat(path / "a.dat", SPIKES, flip=True)
        return DAT
    return {}


@pytest.mark.parametrize("kind", ["dat", "big", "gen1", "npy", "npz", "h5"])
def test_every_format_gives_the_same_clips(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "in"
    place.mkdir()
    options = write(place, kind)
    assert run(place, tmp_path / "out", **options) == 0
    for split, start in (("train", 0), ("test", 54)):
        (record,) = built(tmp_path / "out", split)
        np.testing.assert_array_equal(
            unpack_spikes(record["spikes"], 40), SPIKES[start : start + 47]
        )
        assert record["blur"].shape == record["sharp"].shape == (1, 32, 40, 3)
        assert record["transfer"] == "linear" and np.isnan(record["spike_rate"])
        assert record["name"].startswith("a-")


def test_a_folder_holds_recordings_at_any_depth(tmp_path: Path, capsys: Any) -> None:
    root = tmp_path / "in"
    for name, count in (("b/x.npy", 66), ("a.npy", 47), ("b/short.npy", 46)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / name, SPIKES[:count])
    (root / "notes.txt").write_text("not a recording")
    assert run(root, tmp_path / "out") == 0
    names = [
        r["name"] for split in ("train", "test") for r in built(tmp_path / "out", split)
    ]
    assert names == ["a-npy-00000", "b-x-npy-00001"]
    shown = capsys.readouterr().err
    assert "1 of 3 recordings are shorter than a clip" in shown
    assert "1 of 3 clips are in neither train nor test" in shown


@pytest.mark.parametrize("changes", [{}, {"window": 143}, {"exposure": 18}])
def test_no_spike_is_behind_train_and_test(
    tmp_path: Path, changes: dict[str, int]
) -> None:
    """Other spikes where the test clips are change nothing to train on."""
    first = record_spikes(moving_light(400, (32, 40)))
    np.save(tmp_path / "a.npy", first)
    assert run(tmp_path / "a.npy", tmp_path / "first", test_clips=3, **changes) == 0
    trained, tested = (built(tmp_path / "first", name) for name in ("train", "test"))
    assert trained and len(tested) == 3
    step = 18 * int(tested[0]["name"][-5:])
    second = first.copy()
    second[step : step + 47] = second[step : step + 47][::-1]
    np.save(tmp_path / "a.npy", second)
    assert run(tmp_path / "a.npy", tmp_path / "second", test_clips=3, **changes) == 0
    for record, other in zip(trained, built(tmp_path / "second", "train"), strict=True):
        assert record_checksum(record) == record_checksum(other)


def test_what_the_json_knows_needs_no_option(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    write_dat(path, SPIKES, flip=False)
    write_sidecar(path, FACTS | {"transfer": "gamma", "cfa": "none"})
    assert run(path, tmp_path / "out") == 0
    (record,) = built(tmp_path / "out", "train")
    assert record["gain"] == np.float32(GAIN) and record["threshold"] == 1
    assert record["transfer"] == "gamma" and record["spike_rate"] == 20000
    np.testing.assert_array_equal(unpack_spikes(record["spikes"], 40), SPIKES[:47])
    # What is said by an option goes before what the .json knows.
    assert run(path, tmp_path / "other", white_rate=0.5, transfer="linear") == 0
    (record,) = built(tmp_path / "other", "train")
    assert record["gain"] == np.float32(0.5) and record["transfer"] == "linear"


def test_the_records_train(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", SPIKES)
    assert run(tmp_path / "a.npy", tmp_path / "out") == 0
    (directory,) = (tmp_path / "out" / "spike_deblur").glob("spikes-*/*.*.*")
    batch = next(
        pipeline.train_batches(
            str(directory),
            num_frames=1,
            crop_size=24,
            spike_input=SpikeInput("voxel", {"num_bins": 3}),
            batch_size=1,
            seed=0,
            start_step=0,
        )
    )
    (record,) = built(tmp_path / "out", "train")
    rate = batch["spikes"][:, 0].mean(axis=1) / float(record["gain"])
    assert np.abs(rate - batch["blur"][:, 0, ..., 0] ** 2.2).mean() < 0.05


def test_another_recording_or_setting_is_another_data_set(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, SPIKES)
    assert run(path, tmp_path / "out") == 0
    assert run(path, tmp_path / "out") == 0
    assert run(path, tmp_path / "out", transfer="gamma") == 0
    np.save(path, SPIKES[::-1])
    assert run(path, tmp_path / "out") == 0
    assert len(list((tmp_path / "out" / "spike_deblur").glob("spikes-*/*.*.*"))) == 3


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("none", {}, "There is no recording or folder"),
        ("empty", {}, "holds no .dat, .npy, .npz, .h5, .hdf5 file"),
        ("dat", {}, "pass --spike_height, --spike_width and --flip"),
        ("dat", {**DAT, "spike_width": 38}, "not a whole number of 32x38"),
        ("dat", {**DAT, "spike_layout": "gen3"}, "Unknown layout 'gen3'"),
        ("dat", {**DAT, "spike_key": "0"}, "leave key out"),
        ("npy", {"spike_height": 40}, "has height 32, not 40"),
        ("npy", {"spike_bit_order": "big"}, "leave bit_order out"),
        ("npy", {"num_frames": 5}, "as long as a clip, which takes 119"),
        ("npy", {"num_frames": 3}, "gives 1 clip"),
        ("npy", {"num_frames": 2}, "All of the other 1 clip(s) share spikes"),
        ("npy", {"cfa": "none-such"}, "Unknown cfa"),
        ("npy", {"cfa": "rggb", "dark_rate": 0.005}, "through colour filters"),
        ("npy", {"white_rate": 2}, "white_rate must be from 0"),
        ("npy", {"layout": "files"}, "--layout=records only"),
        ("npy", {"threshold": 1.0}, "--threshold has no meaning"),
        ("dark", {}, "holds no spike in any of its 101"),
        ("small", {}, "too small"),
        ("floats", {}, "spikes are 0 and 1"),
        ("broken", {}, "is not a whole .npy file"),
    ],
)
def test_mistakes_are_one_sentence(
    tmp_path: Path, capsys: Any, kind: str, options: dict[str, Any], message: str
) -> None:
    place = tmp_path / "in"
    if kind != "none":
        place.mkdir()
    if kind == "dark":
        np.save(place / "a.npy", np.zeros_like(SPIKES))
    elif kind == "small":
        np.save(place / "a.npy", SPIKES[:, :31])
    elif kind == "floats":
        np.save(place / "a.npy", SPIKES * 0.5)
    elif kind == "broken":
        (place / "a.npy").write_bytes(b"none")
    elif kind in ("dat", "npy"):
        write(place, kind)
    assert run(place, tmp_path / "out", **options) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.out == ""
    assert len([line for line in shown.err.splitlines() if "prepare:" in line]) == 1
    assert not (tmp_path / "out").exists()


def test_without_input_there_is_nothing_to_read(tmp_path: Path, capsys: Any) -> None:
    assert prepare.main(["--source=spikes", f"--output={tmp_path / 'out'}"]) == 2
    assert "needs --input, a spike file" in capsys.readouterr().err
