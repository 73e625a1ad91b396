"""RSB's layout as records: real spikes and blur, nothing sharp."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.records import unpack_spikes
from data_pipeline.sources.public_set import find_splits
from data_pipeline.sources.rsb import DEFAULTS, RSB
from data_pipeline.spike_dat import write_dat
from data_pipeline.spike_input import SpikeInput
from public_sets import Prepare

SMALL: dict[str, Any] = {"spike_height": 6, "spike_width": 12, "exposure": 9}
LENGTHS = {"car-a": 20, "car-b": 21, "fan-a": 9}  # clip -> spike frames


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of RSB."""
    rng = np.random.default_rng(0)
    for clip, length in LENGTHS.items():
        sequence, name = clip.split("-")
        streams = tmp_path / "RSB" / "spike_data" / sequence
        pictures = tmp_path / "RSB" / "blur_data" / sequence
        streams.mkdir(parents=True, exist_ok=True)
        pictures.mkdir(parents=True, exist_ok=True)
        write_dat(streams / f"{name}.dat", rng.integers(0, 2, (length, 6, 12)))
        colour = np.full((24, 48, 3), (30, 120, 210), np.uint8)  # BGR
        cv2.imwrite(str(pictures / f"{name}.jpg"), colour)
    return tmp_path / "RSB"


PREPARE = Prepare("rsb", SMALL)
run, built = PREPARE.run, PREPARE.built


def test_records_have_the_exposure_in_the_middle(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out") == 0
    records = [*built(tmp_path / "out", "train"), *built(tmp_path / "out", "test")]
    assert [r["name"] for r in records] == list(LENGTHS)
    rng = np.random.default_rng(0)
    for record, length in zip(records, LENGTHS.values(), strict=True):
        spikes = unpack_spikes(record["spikes"], 12)
        np.testing.assert_array_equal(spikes, rng.integers(0, 2, (length, 6, 12)))
        middle = length // 2
        assert record["exposure"].tolist() == [[middle - 4, middle + 5]]
        assert record["sharp"].shape == (0, 24, 48, 3)
        assert np.isnan(record["sharp_time"]).all()
        assert record["blur"].shape == (1, 24, 48, 3)
        # JPEG keeps one colour to a few levels: red first.
        error = record["blur"].astype(int) - np.array([210, 120, 30])
        assert np.abs(error).max() <= 3
        assert record["transfer"] == "unknown"
        assert np.isnan(
            [record["spike_rate"], record["threshold"], record["gain"]]
        ).all()


def test_training_with_them_says_that_nothing_is_sharp(
    root: Path, tmp_path: Path
) -> None:
    assert run(root, tmp_path / "out") == 0
    (directory,) = (tmp_path / "out" / "spike_deblur").glob("rsb-*/*.*.*")
    with pytest.raises(ValueError, match="no sharp frames"):
        pipeline.test_clips(
            str(directory),
            spike_input=SpikeInput("voxel", {"num_bins": 3}),
            tfp_window=3,
        )[0]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("blur_data/car/b.jpg", {}, "has no blur named b"),
        ("spike_data/car/b.dat", {}, "has no stream named b"),
        ("blur_data/fan", {}, "has no blur folder named fan"),
        ("spike_data", {}, "There is no folder"),
        (None, {"exposure": 11}, "holds 9 spike frames, too few for exposure=11"),
        (None, {"spike_width": 20}, "not a whole number of 6x20"),
        (None, {"spike_scale": 2}, "is 24x48, but 12x24"),
        (None, {"test_clips": 3}, "gives 3 clip(s); test_clips must leave"),
        (None, {"num_frames": 2}, "--num_frames has no meaning"),
    ],
)
def test_mistakes_are_one_sentence_and_no_data_set(
    root: Path,
    tmp_path: Path,
    capsys: Any,
    change: str | None,
    options: dict[str, Any],
    message: str,
) -> None:
    if change is not None:  # taken away
        (root / change).rename(tmp_path / "away")
    assert run(root, tmp_path / "out", **options) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert not list(tmp_path.glob("out/spike_deblur/*/*.*.*/*"))


def test_flip_is_what_the_setting_says(root: Path) -> None:
    settings = DEFAULTS | SMALL
    files = find_splits(RSB, root, settings)["all"][0]
    upright = RSB.make(files, settings)["spikes"]
    turned = RSB.make(files, settings | {"flip": False})["spikes"]
    np.testing.assert_array_equal(turned, upright[:, ::-1])
