"""Spk-GoPro's layout as records: each blur with the spikes of its own exposure."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.records import unpack_spikes
from data_pipeline.sources.spike_folders import find_splits
from data_pipeline.sources.spk_gopro import DEFAULTS, SPK_GOPRO, exposure_of
from data_pipeline.spike_camera import SpikeCamera
from data_pipeline.spike_dat import write_dat
from public_sets import Prepare

SMALL: dict[str, Any] = {"spike_height": 6, "spike_width": 12, "num_frames": 2}
# sequence -> (split, numbers of its blurred frames)
SEQUENCES = {
    "GOPR0001_03_00": ("train", (47, 48, 49, 50, 52)),
    "GOPR0003_05_01": ("train", (7, 8, 9)),
    "GOPR0002_04_00": ("test", (1, 2)),
}


def light_of(sequence: str, number: int) -> np.ndarray:
    """What the scene looks like in an exposure, uint8 RGB (12, 24, 3)."""
    cells = np.random.default_rng([int(sequence[4:8]), number]).integers(
        0, 256, (6, 12, 1), np.uint8
    )
    return np.repeat(cells.repeat(2, axis=0).repeat(2, axis=1), 3, axis=2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of Spk-GoPro whose scene stands still in every exposure."""
    root = tmp_path / "spk"
    for sequence, (split, numbers) in SEQUENCES.items():
        pictures = root / "GOPRO_Large" / split / sequence
        streams = root / "GOPRO_Large_spike_seq" / split / sequence / "spike"
        for folder in (pictures / "blur_gamma", pictures / "blur", pictures / "sharp"):
            folder.mkdir(parents=True)
        streams.mkdir(parents=True)
        for number in numbers:
            light = light_of(sequence, number)
            for kind, change in (("blur_gamma", 1), ("blur", 0), ("sharp", 0)):
                picture = light ^ np.uint8(change)  # a level apart, to be told apart
                cv2.imwrite(str(pictures / kind / f"{number:06d}.png"), picture)
            camera = SpikeCamera(
                threshold=1.0, gain=0.5, phase=np.full((6, 12), 0.5, np.float32)
            )
            grey = light[::2, ::2, 0].astype(np.float32) / np.float32(255)
            count = 8 * int(sequence[9:11])
            spikes = np.stack([camera.read(grey) for _ in range(count)])
            write_dat(streams / f"{number:06d}.dat", spikes.astype(np.uint8), flip=True)
    (root / "GOPRO_Large" / "train" / ".DS_Store").touch()
    return root


PREPARE = Prepare("spk_gopro", SMALL)
run, built = PREPARE.run, PREPARE.built


@pytest.mark.parametrize("blur_folder", ["blur_gamma", "blur"])
def test_every_exposure_sees_the_spikes_of_its_light(
    root: Path, tmp_path: Path, blur_folder: str, capsys: Any
) -> None:
    assert run(root, tmp_path / "out", blur_folder=blur_folder) == 0
    assert "2 of 10 streams are in no clip" in capsys.readouterr().err
    train, test = (built(tmp_path / "out", split) for split in ("train", "test"))
    # A gap ends a run, and what is left of a sequence is left out.
    starts = {
        "GOPR0001_03_00-000047": (47, 24),
        "GOPR0001_03_00-000049": (49, 24),
        "GOPR0003_05_01-000007": (7, 40),
        "GOPR0002_04_00-000001": (1, 32),
    }
    assert [r["name"] for r in train] == list(starts)[:3]
    assert [r["name"] for r in test] == list(starts)[3:]
    for record in [*train, *test]:
        first, length = starts[record["name"]]
        sequence = record["name"][:14]
        light = [light_of(sequence, number) for number in (first, first + 1)]
        np.testing.assert_array_equal(record["sharp"], light)
        change = np.uint8(blur_folder == "blur_gamma")
        np.testing.assert_array_equal(record["blur"], np.bitwise_xor(light, change))
        windows = record["exposure"].astype(int)
        assert windows.tolist() == [[0, length], [length, 2 * length]]
        assert record["sharp_time"].tolist() == [length / 2, 3 * length / 2]
        spikes = unpack_spikes(record["spikes"], 12)
        assert spikes.shape == (2 * length, 6, 12)
        for (start, end), frame in zip(windows, light, strict=True):
            seen = spikes[start:end].mean(axis=0) / 0.5
            error = np.abs(seen - frame[::2, ::2, 0] / 255)
            assert error.max() <= 1 / (0.5 * length)
        assert record["spike_scale"] == 2
        assert record["spike_rate"] == 1920
        assert record["transfer"] == "gamma"
        assert record["blur_kind"].startswith(f"{blur_folder}:")
        assert ("linear light" in record["blur_kind"]) == bool(change)


def test_the_records_train_and_test(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out") == 0
    (directory,) = (tmp_path / "out" / "spike_deblur").glob("spk_gopro-*/*.*.*")
    batch = next(
        pipeline.train_batches(
            str(directory),
            num_frames=2,
            crop_size=8,
            num_bins=4,
            batch_size=3,
            seed=0,
            start_step=0,
        )
    )
    assert batch["spikes"].shape == (3, 2, 4, 4, 4)
    clip = pipeline.test_clips(str(directory), num_bins=4, tfp_short_window=3)[0]
    assert clip["tfp_short"].shape == (2, 6, 12)


def test_flip_is_what_the_setting_says(root: Path) -> None:
    settings = DEFAULTS | SMALL
    files = find_splits(SPK_GOPRO, root, settings)["test"][0]
    upright = SPK_GOPRO.make(files, settings)["spikes"]
    turned = SPK_GOPRO.make(files, settings | {"flip": False})["spikes"]
    np.testing.assert_array_equal(turned, upright[:, ::-1])


def test_exposures_of_the_published_set() -> None:
    lengths = [exposure_of(f"GOPR0372_{n}_00", DEFAULTS) for n in ("07", "11", "13")]
    assert lengths == [56, 88, 104]  # spike_facts 1.4


TRAIN = "GOPRO_Large/train/GOPR0001_03_00"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (f"{TRAIN}/sharp/000048.png", {}, "has no sharp named 000048"),
        (f"{TRAIN}/blur_gamma/000048.png", {}, "has no blur named 000048"),
        (f"{TRAIN}/blur_gamma", {}, "blur_gamma. Spk-GoPro has GOPRO_Large/"),
        (TRAIN, {}, "has no picture folder named GOPR0001_03_00"),
        ("GOPRO_Large_spike_seq/test", {}, "There is no folder"),
        ("GOPRO_Large", {}, "There is no folder"),
        ("GOPRO_Large/test", {}, "holds train but not the other"),
        (None, {"spikes_per_frame": 4}, "holds 24 spike frames, but the exposures"),
        (None, {"spike_width": 20}, "not a whole number of 6x20"),
        (None, {"spike_scale": 4}, "is 12x24, but 24x48"),
        (None, {"spike_scale": 3}, "spike_scale must be one of"),
        (None, {"num_frames": 5}, "has 5 blurred frames in a row"),
        (None, {"blur_folder": "blur_gama"}, "Did you mean 'blur_gamma'"),
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


def test_a_sequence_of_another_name_is_refused(root: Path, tmp_path: Path) -> None:
    for tree in ("GOPRO_Large", "GOPRO_Large_spike_seq"):
        place = root / tree / "test"
        (place / "GOPR0002_04_00").rename(place / "walk")
    with pytest.raises(ValueError, match="walk is not named GOPRxxxx_yy_zz"):
        find_splits(SPK_GOPRO, root, DEFAULTS | SMALL)
