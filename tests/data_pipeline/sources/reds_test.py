"""REDS as footage: every frame of its folders is a sample of the light."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline.records import unpack_spikes
from data_pipeline.sources.public_set import find_splits
from data_pipeline.sources.reds import DEFAULTS, REDS, check_reds_settings
from data_pipeline.spike_camera import grey
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "spikes_per_frame": 2,
    "in_between": "linear",
    "exposure": 9,
    "period": 10,
    "gain": 1.0,
    "num_frames": 2,
}
CAMERAS: dict[str, Any] = {"spike_scale": 1, "threshold": 1.0, "seed": 0}
FRAMES = 40
SEQUENCES = {"train": ("000", "001"), "val": ("000",)}


def film_of(part: str, name: str) -> np.ndarray:
    """Frames of noise, uint8 RGB: each is like no other."""
    seed = [len(part), int(name)]
    shape = (FRAMES, 8, 12, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of REDS' two versions."""
    root = tmp_path / "reds"
    for part, names in SEQUENCES.items():
        for name in names:
            for kind, step in (("orig", 1), ("sharp", -1)):
                folder = root / part / f"{part}_{kind}" / name
                folder.mkdir(parents=True)
                for index, frame in enumerate(film_of(part, name)[::step]):
                    picture = folder / f"{index:08d}.png"
                    cv2.imwrite(str(picture), frame[..., ::-1])
    return root


PREPARE = Prepare("reds", SMALL)
run, built = PREPARE.run, PREPARE.built


@pytest.mark.parametrize(("kind", "fps"), [("orig", 120), ("sharp", 24)])
def test_clips_are_of_the_frames(
    root: Path, tmp_path: Path, kind: str, fps: int
) -> None:
    assert run(root, tmp_path / "out", frames_folder=kind) == 0
    train, test = (built(tmp_path / "out", split) for split in ("train", "test"))
    # 79 spike frames have room for 2 clips, of 2 exposures each.
    assert [record["name"] for record in train] == [
        "train-000-00000",
        "train-000-00001",
        "train-001-00000",
        "train-001-00001",
    ]
    assert [r["name"] for r in test] == ["val-000-00000", "val-000-00001"]
    for record in [*train, *test]:
        part, name, index = record["name"].split("-")
        film = film_of(part, name)[:: 1 if kind == "orig" else -1]
        # The first exposure is around frame 10, spike frame 20; others follow every 5.
        numbers = [10 + 5 * (2 * int(index) + frame) for frame in range(2)]
        np.testing.assert_array_equal(record["sharp"], film[numbers])
        assert record["exposure"].tolist() == [[16, 25], [26, 35]]
        assert record["sharp_time"].tolist() == [20.5, 30.5]
        spikes = unpack_spikes(record["spikes"], 12)
        for blur, (begin, end) in zip(
            record["blur"], [(16, 25), (26, 35)], strict=True
        ):
            rate = spikes[begin:end].mean(axis=0)
            assert np.abs(rate - grey(blur / 255)).max() <= 1 / 9 + 1 / 255
        assert record["spike_rate"] == 2 * fps
        assert record["source"].startswith(f"REDS ({kind}) {part}-{name}, 2 spike")
        assert record["licence"] == "CC BY 4.0 (REDS)"
        assert record["transfer"] == "gamma"


def test_the_published_rates() -> None:
    settings = check_reds_settings(
        DEFAULTS | CAMERAS | {"in_between": "flow", "gain": 1.0}
    )
    rate = settings["spikes_per_frame"]
    assert 120 * rate / settings["period"] == 24
    assert settings["exposure"] == 4 * rate + 1


def test_a_sequence_can_be_left_out(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out", leave_out="train-000") == 0
    names = [record["name"] for record in built(tmp_path / "out", "train")]
    assert names == ["train-001-00000", "train-001-00001"]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("train/train_orig/001/00000004.png", {}, "and number 5, so time jumps there"),
        ("train/train_orig", {}, "There is no folder"),
        ("val/val_orig/000", {}, "holds no sequence. REDS has"),
        ("val", {}, "holds train but not the other of train and val"),
        (None, {"frames_folder": "origin"}, "Did you mean 'orig'?"),
        (None, {"num_frames": 9}, "train-000 (40 of 61), train-001 (40 of 61); take"),
        (None, {"leave_out": "val-001"}, "Did you mean 'val-000'?"),
        (None, {"leave_out": "val-000"}, "test split would hold no clip"),
        (None, {"exposure": 8}, "exposure must be an odd number"),
        (None, {"period": 11}, "period must be a multiple of spikes_per_frame"),
        (None, {"blur_folder": "blur"}, "--blur_folder has no meaning"),
        (None, {"test_clips": 1}, "; leave test_clips out"),
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
    assert len([line for line in shown.err.splitlines() if "prepare:" in line]) == 1
    assert not list(tmp_path.glob("out/spike_deblur/*/*.*.*/*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("first.png", "first.png is not named by a number"),
        ("00000040.jpg", "00000040.jpg is not named by a number and .png"),
        ("00000040.png", "00000040.png cannot be read: it is not a PNG"),
    ],
)
def test_files_that_do_not_belong_there_are_refused(
    root: Path, name: str, message: str
) -> None:
    (root / "train" / "train_orig" / "001" / name).write_bytes(b"picture")
    settings = check_reds_settings(DEFAULTS | CAMERAS | SMALL)
    with pytest.raises(ValueError, match=message):
        find_splits(REDS, root, settings)


def test_a_root_without_splits_is_refused(tmp_path: Path) -> None:
    settings = check_reds_settings(DEFAULTS | CAMERAS | SMALL)
    with pytest.raises(
        FileNotFoundError, match="holds neither train nor val. REDS has"
    ):
        find_splits(REDS, tmp_path, settings)
