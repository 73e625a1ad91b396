"""Spk-X4K1000FPS as records: frames, blur and spikes of one and the same time."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.records import unpack_spikes
from data_pipeline.sources.public_set import find_splits
from data_pipeline.sources.spk_x4k import (
    DEFAULTS,
    SPK_X4K,
    check_x4k_settings,
    frame_number,
)
from data_pipeline.spike_camera import SpikeCamera
from data_pipeline.spike_dat import write_dat
from data_pipeline.spike_input import SpikeInput
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "spike_height": 6,
    "spike_width": 12,
    "test_spike_height": 4,
    "test_spike_width": 12,
    "exposure": 17,
    "period": 30,
    "num_frames": 2,
}
FRAMES = 65
# how the folders of a split begin -> (group, sequence, height of its spikes)
SEQUENCES = {
    "train": ("002", "occ008.320_f2881", 6),
    "val": ("005", "occ010.001_f0001", 4),
}
CENTRES = (8, 23, 38, 53)


def film_of(start: str) -> np.ndarray:
    """The frames of a sequence, uint8 grey RGB (FRAMES, H, 24, 3), in motion."""
    rows = SEQUENCES[start][2]
    cells = np.random.default_rng(rows).integers(0, 256, (rows, 12 + FRAMES), np.uint8)
    film = np.stack([cells[:, t : t + 12] for t in range(FRAMES)])
    return np.repeat(film.repeat(2, axis=1).repeat(2, axis=2)[..., None], 3, axis=-1)


def name_of(number: int) -> str:
    """The name that the published set gives a frame."""
    whole, part = divmod(number, 4)
    return f"{whole:04d}.png" if part == 0 else f"{whole:04d}_{part - 1:03d}.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of Spk-X4K1000FPS."""
    root = tmp_path / "x4k"
    for start, (group, sequence, rows) in SEQUENCES.items():
        places = {
            kind: root / f"{start}_{kind}" / group / sequence
            for kind in ("fullRGB", "blurry_17", "spike_2xds")
        }
        for place in places.values():
            place.mkdir(parents=True)
        film = film_of(start)
        for number, frame in enumerate(film):
            cv2.imwrite(str(places["fullRGB"] / name_of(number)), frame)
        for number in CENTRES:
            blur = np.rint(film[number - 8 : number + 9].mean(axis=0))
            picture = places["blurry_17"] / name_of(number)
            cv2.imwrite(str(picture), blur.astype(np.uint8))
        camera = SpikeCamera(
            threshold=2.0, gain=1.0, phase=np.full((rows, 12), 0.5, np.float32)
        )
        light = film[:, ::2, ::2, 0].astype(np.float32) / np.float32(255)
        spikes = np.stack([camera.read(frame) for frame in light]).astype(np.uint8)
        write_dat(places["spike_2xds"] / "spike.dat", spikes, flip=True)
    return root


PREPARE = Prepare("spk_x4k", SMALL)
run, built = PREPARE.run, PREPARE.built


def test_frames_blur_and_spikes_are_of_the_same_time(
    root: Path, tmp_path: Path, capsys: Any
) -> None:
    assert run(root, tmp_path / "out") == 0
    assert "in no clip" not in capsys.readouterr().err
    for start, split in (("train", "train"), ("val", "test")):
        group, sequence, rows = SEQUENCES[start]
        records = built(tmp_path / "out", split)
        # What lies between the exposures of a clip makes a clip of its own.
        assert [r["name"] for r in records] == [
            f"{group}-{sequence}-8",
            f"{group}-{sequence}-23",
        ]
        film = film_of(start)
        for record, centres in zip(records, [(8, 38), (23, 53)], strict=True):
            first = max(0, centres[0] - 8 - 16)
            np.testing.assert_array_equal(record["sharp"], film[list(centres)])
            times = [centre - first + 0.5 for centre in centres]
            assert record["sharp_time"].tolist() == times
            assert record["exposure"].tolist() == [[t - 8.5, t + 8.5] for t in times]
            spikes = unpack_spikes(record["spikes"], 12)
            assert spikes.shape == (min(FRAMES, centres[1] + 9 + 16) - first, rows, 12)
            windows = record["exposure"].astype(int)
            for blur, (begin, end) in zip(record["blur"], windows, strict=True):
                seen = spikes[begin:end].mean(axis=0) * 2
                error = np.abs(seen - blur[::2, ::2, 0] / 255)
                assert error.max() <= 2 / 17 + 1 / 255
            assert record["spike_rate"] == 4000
            assert record["spike_scale"] == 2
            assert record["transfer"] == "gamma"
            assert np.isnan(record["threshold"])


def test_the_published_numbers() -> None:
    settings = check_x4k_settings(DEFAULTS)
    assert [2 * settings[f"spike_{side}"] for side in ("height", "width")] == [768] * 2
    assert 2 * settings["test_spike_height"] == 512
    # What SpkDeblurNet calls a strange system of base four.
    names = ["0000", "0000_000", "0000_002", "0001", "0001_002", "0064"]
    numbers = [frame_number(Path(f"{name}.png")) for name in names]
    assert numbers == [0, 1, 3, 4, 7, 256]
    centres = range(33 // 2, 257 - 33 // 2, 15)
    assert len(centres) == 3 * settings["num_frames"]


def test_the_records_train_and_test(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out") == 0
    (directory,) = (tmp_path / "out" / "spike_deblur").glob("spk_x4k-*/*.*.*")
    batch = next(
        pipeline.train_batches(
            str(directory),
            num_frames=2,
            crop_size=8,
            spike_input=SpikeInput("voxel", {"num_bins": 4}),
            batch_size=2,
            seed=0,
            start_step=0,
        )
    )
    assert batch["spikes"].shape == (2, 2, 4, 4, 4)


TRAIN = "002/occ008.320_f2881"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (f"train_fullRGB/{TRAIN}/0003_001.png", {}, "the first of them number 14"),
        (f"train_blurry_17/{TRAIN}/0005_002.png", {}, "but frame 23 is missing"),
        (f"train_spike_2xds/{TRAIN}/spike.dat", {}, "There is no stream"),
        (f"train_spike_2xds/{TRAIN}", {}, "holds no sequence"),
        ("train_blurry_17", {}, "There is no folder"),
        ("val_fullRGB", {}, "but not the other of train_fullRGB and val_fullRGB"),
        (None, {"exposure": 5}, "train_blurry_5. Spk-X4K1000FPS has"),
        (None, {"exposure": 16}, "exposure must be an odd number"),
        (None, {"period": 15}, "30 is the least, got 15"),
        (None, {"period": 31}, "period must be a multiple of 15"),
        (None, {"spike_height": 12}, "not a whole number of 12x12"),
        (None, {"test_spike_width": 20}, "holds 39 spike frames of 4x20, but"),
        (None, {"spike_scale": 4}, "is 12x24, but 24x48"),
        (None, {"num_frames": 3}, "has 4 blurred frames, which give none 3 times"),
        (None, {"spikes_per_frame": 1}, "--spikes_per_frame has no meaning"),
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


@pytest.mark.parametrize("name", ["seven", "0001_003", "0001_", "_001", "0001_000_1"])
def test_a_name_that_is_no_place_in_time_is_refused(root: Path, name: str) -> None:
    folder = root / "val_fullRGB" / "005" / "occ010.001_f0001"
    (folder / "0002.png").rename(folder / f"{name}.png")
    with pytest.raises(ValueError, match="its place in time is not known"):
        find_splits(SPK_X4K, root, DEFAULTS | SMALL)


def test_pictures_that_are_not_of_the_set_are_refused(root: Path) -> None:
    folder = root / "train_blurry_17" / "002" / "occ008.320_f2881"
    shutil.copy(folder / "0002.png", folder / "0003.png")
    with pytest.raises(ValueError, match="but frame 12 is there"):
        find_splits(SPK_X4K, root, DEFAULTS | SMALL)
