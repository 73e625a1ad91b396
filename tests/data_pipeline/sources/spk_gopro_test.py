"""Spk-GoPro's layout as records: each blur with the spikes of its own exposure."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.records import unpack_spikes
from data_pipeline.sources.gopro_frames import sequence_of
from data_pipeline.sources.public_set import find_splits
from data_pipeline.sources.spk_gopro import DEFAULTS, SPK_GOPRO
from data_pipeline.spike_camera import SpikeCamera
from data_pipeline.spike_dat import write_dat
from data_pipeline.spike_input import SpikeInput
from public_sets import Prepare

SMALL: dict[str, Any] = {"spike_height": 6, "spike_width": 12, "num_frames": 2}
# sequence -> (split, numbers of its blurred frames, where the exposure of the first of
# them begins in the stream: 8 (yy // 2 - zz) less half of its 8 yy - 1 spike frames)
SEQUENCES = {
    "GOPR0001_03_00": ("train", (47, 48, 49, 50, 51, 52, 54), -3),
    "GOPR0003_05_02": ("train", (7, 8, 9, 10), -19),
    "GOPR0002_07_01": ("test", (1, 2, 3, 4), -11),
}


def light_of(sequence: str, number: int) -> np.ndarray:
    """What the scene looks like in an exposure, uint8 RGB (12, 24, 3)."""
    cells = np.random.default_rng([int(sequence[4:8]), number]).integers(
        0, 256, (6, 12, 1), np.uint8
    )
    return np.repeat(cells.repeat(2, axis=0).repeat(2, axis=1), 3, axis=2)


def stream_of(sequence: str, last: int) -> np.ndarray:
    """One stream over the sequence, whose scene changes between the exposures."""
    _, numbers, start = SEQUENCES[sequence]
    period = 8 * int(sequence[9:11])
    camera = SpikeCamera(
        threshold=1.0, gain=0.5, phase=np.full((6, 12), 0.5, np.float32)
    )
    frames = []
    for time in range(period * (last + 1 - numbers[0])):
        light = light_of(sequence, numbers[0] + (time - start) // period)
        frames.append(camera.read(light[::2, ::2, 0].astype(np.float32) / 255))
    return np.stack(frames).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of Spk-GoPro whose scene stands still in every exposure."""
    root = tmp_path / "spk"
    for sequence, (split, numbers, _) in SEQUENCES.items():
        pictures = root / "GOPRO_Large" / split / sequence
        streams = root / "GOPRO_Large_spike_seq" / split / sequence / "spike"
        for folder in (pictures / "blur_gamma", pictures / "blur", pictures / "sharp"):
            folder.mkdir(parents=True)
        streams.mkdir(parents=True)
        stream = stream_of(sequence, numbers[-1])
        period = 8 * int(sequence[9:11])
        for number in numbers:
            light = light_of(sequence, number)
            for kind, change in (("blur_gamma", 1), ("blur", 0), ("sharp", 0)):
                picture = light ^ np.uint8(change)  # a level apart, to be told apart
                cv2.imwrite(str(pictures / kind / f"{number:06d}.png"), picture)
            first = period * (number - numbers[0])
            write_dat(
                streams / f"{number:06d}.dat", stream[first : first + period], flip=True
            )
    (root / "GOPRO_Large" / "train" / ".DS_Store").touch()
    return root


PREPARE = Prepare("spk_gopro", SMALL)
run, built = PREPARE.run, PREPARE.built


@pytest.mark.parametrize("blur_folder", ["blur_gamma", "blur"])
def test_every_exposure_sees_the_spikes_of_its_light(
    root: Path, tmp_path: Path, blur_folder: str, capsys: Any
) -> None:
    assert run(root, tmp_path / "out", blur_folder=blur_folder) == 0
    assert "1 of 15 streams are in no clip" in capsys.readouterr().err
    train, test = (built(tmp_path / "out", split) for split in ("train", "test"))
    # The first and the last of a row only tell what is seen around the exposures.
    # A gap ends a row, and what is left of a sequence is left out.
    names = {
        "GOPR0001_03_00-000048": 48,
        "GOPR0001_03_00-000050": 50,
        "GOPR0003_05_02-000008": 8,
        "GOPR0002_07_01-000002": 2,
    }
    assert [r["name"] for r in train] == list(names)[:3]
    assert [r["name"] for r in test] == list(names)[3:]
    for record in [*train, *test]:
        first, sequence = names[record["name"]], record["name"][:14]
        period, start = 8 * int(sequence[9:11]), SEQUENCES[sequence][2]
        light = [light_of(sequence, number) for number in (first, first + 1)]
        np.testing.assert_array_equal(record["sharp"], light)
        change = np.uint8(blur_folder == "blur_gamma")
        np.testing.assert_array_equal(record["blur"], np.bitwise_xor(light, change))
        lead = min(period, 16 - start)
        windows = record["exposure"].astype(int)
        begins = np.array([lead + start, lead + start + period])
        assert windows.tolist() == np.stack([begins, begins + period - 1], 1).tolist()
        # The sharp frame is frame yy // 2 - zz of every yy, and that is spike frame 8
        # times as many after the beginning of its .dat.
        middle = 8 * (int(sequence[9:11]) // 2 - int(sequence[12:14])) + 0.5
        assert record["sharp_time"].tolist() == [lead + middle, lead + middle + period]
        np.testing.assert_array_equal(record["sharp_time"], windows.mean(axis=1))
        spikes = unpack_spikes(record["spikes"], 12)
        at = period * (first - SEQUENCES[sequence][1][0])
        stream = stream_of(sequence, first + 2)
        rest = max(0, 16 - (1 - start))  # 1 - start are behind the last exposure
        np.testing.assert_array_equal(
            spikes, stream[at - lead : at + 2 * period + rest]
        )
        margins = (windows[0, 0], len(spikes) - windows[1, 1])
        assert margins[0] == 16
        assert margins[1] >= 16
        for (begin, end), frame in zip(windows, light, strict=True):
            seen = spikes[begin:end].mean(axis=0) / 0.5
            error = np.abs(seen - frame[::2, ::2, 0] / 255)
            assert error.max() <= 1 / (0.5 * (period - 1)) + 1e-6
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
            spike_input=SpikeInput("voxel", {"num_bins": 4}),
            batch_size=3,
            seed=0,
            start_step=0,
        )
    )
    assert batch["spikes"].shape == (3, 2, 4, 4, 4)
    clip = pipeline.test_clips(
        str(directory),
        spike_input=SpikeInput("voxel", {"num_bins": 4}),
        tfp_window=3,
    )[0]
    assert clip["tfp_short"].shape == (2, 6, 12)


def test_flip_is_what_the_setting_says(root: Path) -> None:
    settings = DEFAULTS | SMALL
    files = find_splits(SPK_GOPRO, root, settings)["test"][0]
    upright = SPK_GOPRO.make(files, settings)["spikes"]
    turned = SPK_GOPRO.make(files, settings | {"flip": False})["spikes"]
    np.testing.assert_array_equal(turned, upright[:, ::-1])


def test_exposures_of_the_published_set() -> None:
    names = ("GOPR0372_07_00", "GOPR0384_11_00", "GOPR0378_13_00")
    periods = [sequence_of(name).period(8) for name in names]
    assert periods == [56, 88, 104]  # spike_facts 1.4


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
        (None, {"spikes_per_frame": 4}, "holds 24 spike frames, but each of"),
        (None, {"spike_width": 20}, "not a whole number of 6x20"),
        (None, {"spike_scale": 4}, "is 12x24, but 24x48"),
        (None, {"spike_scale": 3}, "spike_scale must be one of"),
        (None, {"num_frames": 5}, "has 7 blurred frames in a row"),
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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("walk", "walk is not named GOPRxxxx_yy_zz"),
        ("GOPR0002_04_00", "of an even number it is not known which one is sharp"),
        ("GOPR0002_00_00", "0 frames make a blur"),
        ("GOPR0002_07_07", "7 frames are missing of a blur of 7"),
    ],
)
def test_a_sequence_whose_frames_are_not_known_is_refused(
    root: Path, name: str, message: str
) -> None:
    for tree in ("GOPRO_Large", "GOPRO_Large_spike_seq"):
        place = root / tree / "test"
        (place / "GOPR0002_07_01").rename(place / name)
    with pytest.raises(ValueError, match=message):
        find_splits(SPK_GOPRO, root, DEFAULTS | SMALL)
