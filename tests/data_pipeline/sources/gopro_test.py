"""GoPro as records: spikes of its footage, and the blur of the same light."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.records import unpack_spikes
from data_pipeline.sources.gopro import DEFAULTS, GOPRO, check_gopro_settings
from data_pipeline.sources.public_set import find_splits
from data_pipeline.sources.video_folder import SETTINGS as VIDEO
from data_pipeline.spike_camera import grey
from data_pipeline.spike_input import SpikeInput
from data_pipeline.transfer import to_spike_space
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "spikes_per_frame": 4,
    "in_between": "linear",
    "gain": 1.0,
    "num_frames": 2,
}
SETTINGS: dict[str, Any] = {
    **DEFAULTS,
    **SMALL,
    "spike_scale": 1,
    "threshold": 1.0,
    "seed": 0,
}
# sequence -> (split, number of its first blurred frame, blurred frames)
SEQUENCES = {
    "GOPR0001_03_00": ("train", 47, 9),
    "GOPR0001_03_02": ("train", 90, 9),
    "GOPR0002_05_00": ("test", 7, 6),
}
HEIGHT, WIDTH = 8, 12
TRANSFERS = {"blur": "gamma", "blur_gamma": "linear"}


def film_of(sequence: str) -> np.ndarray:
    """All that the camera filmed, uint8 RGB: yy frames of each blurred frame."""
    _, number, count = SEQUENCES[sequence]
    time = np.arange(count * int(sequence[9:11]))[:, None, None, None]
    y, x, c = np.mgrid[:HEIGHT, :WIDTH, :3]
    light = 0.5 + 0.45 * np.sin(0.5 * x + 0.4 * y + c + 0.12 * time + number)
    return np.rint(255 * light).astype(np.uint8)


def blur_of(sequence: str, blur: int, kind: str) -> np.ndarray:
    """The mean of the frames of a blurred frame, counted from 0, as its folder says."""
    length = int(sequence[9:11])
    frames = film_of(sequence)[blur * length : (blur + 1) * length] / 255
    if kind == "blur":
        return np.rint(255 * frames.mean(axis=0)).astype(np.uint8)
    mean = (frames**2.2).mean(axis=0) ** (1 / 2.2)
    return np.rint(255 * mean).astype(np.uint8)


def sharp_of(sequence: str, blur: int) -> np.ndarray:
    length = int(sequence[9:11])
    return film_of(sequence)[blur * length + length // 2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of GoPro; its footage lacks the first zz frames, as GoPro's does."""
    root = tmp_path / "gopro"
    for sequence, (split, number, count) in SEQUENCES.items():
        raw = root / "GOPRO_Large_all" / split / sequence
        raw.mkdir(parents=True)
        missing = int(sequence[12:14])
        for index, frame in enumerate(film_of(sequence)[missing:]):
            cv2.imwrite(str(raw / f"{300 + index:06d}.png"), frame[..., ::-1])
        pictures = root / "GOPRO_Large" / split / sequence
        for kind in ("blur", "blur_gamma", "sharp"):
            (pictures / kind).mkdir(parents=True)
        for blur in range(count):
            name = f"{number + blur:06d}.png"
            for kind in ("blur", "blur_gamma"):
                picture = blur_of(sequence, blur, kind)[..., ::-1]
                cv2.imwrite(str(pictures / kind / name), picture)
            sharp = sharp_of(sequence, blur)[..., ::-1]
            cv2.imwrite(str(pictures / "sharp" / name), sharp)
    return root


PREPARE = Prepare("gopro", SMALL)
run, built = PREPARE.run, PREPARE.built


@pytest.mark.parametrize("kind", ["blur", "blur_gamma"])
def test_published_blur_is_the_mean_of_the_spikes_beside_it(
    root: Path, tmp_path: Path, kind: str
) -> None:
    transfer = TRANSFERS[kind]
    output = tmp_path / "out"
    assert run(root, output, blur_folder=kind, transfer=transfer) == 0
    # clip -> its first blurred frame, counted from 0 in its sequence
    clips = {
        "train": {
            "GOPR0001_03_00-000049": 2,
            "GOPR0001_03_00-000051": 4,
            "GOPR0001_03_02-000093": 3,
            "GOPR0001_03_02-000095": 5,
        },
        "test": {"GOPR0002_05_00-000008": 1, "GOPR0002_05_00-000010": 3},
    }
    for split, firsts in clips.items():
        records = built(output, split)
        assert [r["name"] for r in records] == list(firsts)
        for record in records:
            sequence, first = record["name"][:14], firsts[record["name"]]
            expected = [blur_of(sequence, first + i, kind) for i in range(2)]
            np.testing.assert_array_equal(record["blur"], expected)
            sharp = [sharp_of(sequence, first + i) for i in range(2)]
            np.testing.assert_array_equal(record["sharp"], sharp)
            period = 4 * int(sequence[9:11])
            windows = record["exposure"].astype(int)
            assert (windows[:, 1] - windows[:, 0] == period - 1).all()
            assert windows[1, 0] - windows[0, 0] == period
            np.testing.assert_array_equal(record["sharp_time"], windows.mean(axis=1))
            spikes = unpack_spikes(record["spikes"], WIDTH)
            light = grey(to_spike_space(record["blur"], transfer))
            for seen, (begin, end) in zip(light, windows, strict=True):
                rate = spikes[begin:end].mean(axis=0)
                # A spike more or less, and the ends of the mean, that weigh less.
                assert np.abs(rate - seen).max() <= 1 / (period - 1) + 0.02
            assert record["transfer"] == transfer
            assert record["blur_kind"].startswith(f"{kind}: mean of {sequence[10]} ")
            assert record["licence"].startswith("CC BY 4.0")
            assert record["spike_rate"] == 960


def test_the_other_blur_is_not_the_mean_of_the_spikes(root: Path) -> None:
    """What the refusal of blur_gamma with gamma-coded spikes is for."""
    light = grey(to_spike_space(blur_of("GOPR0002_05_00", 2, "blur"), "gamma"))
    linear = grey(to_spike_space(blur_of("GOPR0002_05_00", 2, "blur_gamma"), "gamma"))
    assert np.abs(light - linear).max() > 2 / 255


def test_own_blur_needs_the_footage_alone(root: Path, tmp_path: Path) -> None:
    (root / "GOPRO_Large").rename(tmp_path / "away")
    options = {"blur_folder": "own", "transfer": "linear", "sharp_instants": 3}
    assert run(root, tmp_path / "out", **options) == 0
    records = built(tmp_path / "out", "train")
    assert records[0]["name"] == "GOPR0001_03_00-00000"
    film = film_of("GOPR0001_03_00")
    for record in records[:1]:
        windows = record["exposure"].astype(int)
        assert windows.tolist() == [[19, 30], [31, 42]]
        assert record["sharp_time"].tolist() == [20.5, 24.5, 28.5, 32.5, 36.5, 40.5]
        np.testing.assert_array_equal(record["sharp"], film[5:11])
        assert record["transfer"] == "linear"
        assert record["blur_kind"].startswith("blur_gamma: mean of linear light")
        spikes = unpack_spikes(record["spikes"], WIDTH)
        light = grey(to_spike_space(record["blur"], "linear"))
        for seen, (begin, end) in zip(light, windows, strict=True):
            rate = spikes[begin:end].mean(axis=0)
            assert np.abs(rate - seen).max() <= 1 / 11 + 2 / 255


def test_own_exposures_are_those_of_all_sequences(root: Path) -> None:
    given = {"blur_folder": "own", "exposure": 5, "period": 8}
    settings = check_gopro_settings(SETTINGS | given)
    found = find_splits(GOPRO, root, settings)
    for split in ("train", "test"):
        record = GOPRO.make(found[split][0], settings)
        assert record["exposure"].tolist() == [[18, 23], [26, 31]]


def test_several_sharp_instants_have_the_published_one_in_the_middle(
    root: Path,
) -> None:
    settings = check_gopro_settings(SETTINGS | {"sharp_instants": 3})
    clip = find_splits(GOPRO, root, settings)["test"][0]
    record = GOPRO.make(clip, settings)
    film = film_of("GOPR0002_05_00")
    middles = [7, 12]  # of the blurred frames 1 and 2
    expected = [film[m + step] for m in middles for step in (-2, 0, 2)]
    np.testing.assert_array_equal(record["sharp"], expected)


def test_the_records_train_and_test(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out") == 0
    (directory,) = (tmp_path / "out" / "spike_deblur").glob("gopro-*/*.*.*")
    batch = next(
        pipeline.train_batches(
            str(directory),
            num_frames=2,
            crop_size=8,
            spike_input=SpikeInput("voxel", {"num_bins": 3}),
            batch_size=2,
            seed=0,
            start_step=0,
        )
    )
    assert batch["spikes"].shape == (2, 2, 3, 8, 8)


TRAIN = "GOPRO_Large/train/GOPR0001_03_00"
RAW = "GOPRO_Large_all/train/GOPR0001_03_00"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (f"{TRAIN}/sharp/000055.png", {}, "has no sharp named 000055"),
        (f"{TRAIN}/sharp/000049.png", {}, "no picture between 000048.png and number"),
        (f"{TRAIN}/blur", {}, "There is no folder"),
        (TRAIN, {}, "has no picture folder named GOPR0001_03_00"),
        (RAW, {}, "has no footage named GOPR0001_03_00"),
        (f"{RAW}/000311.png", {}, "between 000310.png and number 312, so time jumps"),
        ("GOPRO_Large_all", {}, "blur_folder=own does without."),
        ("GOPRO_Large_all/test", {}, "holds train but not the other"),
        ("GOPRO_Large", {}, "There is no folder"),
        (None, {"blur_folder": "blurr"}, "Did you mean 'blur'?"),
        (None, {"blur_folder": "blur_gamma"}, "mean of linear light, which spikes of"),
        (None, {"transfer": "linear"}, "mean of gamma-coded light, which spikes of"),
        (None, {"read_noise": 1.0}, "those of blur_folder=blur are as published"),
        (None, {"rgb_gain": 2.0}, "rgb_gain=2 would change the blurred frames"),
        (None, {"exposure": 5, "period": 8}, "exposure=5 would change the blurred"),
        (None, {"exposure": 5}, "exposure and period are both given, or both 0"),
        (None, {"sharp_instants": 5}, "has room for 3 sharp"),
        (None, {"num_frames": 7}, "GOPR0001_03_00 (26 of 31)"),
        (None, {"num_frames": 0}, "num_frames must be at least 1"),
        (None, {"leave_out": "GOPR0002_05_01"}, "Did you mean 'GOPR0002_05_00'?"),
        (None, {"spikes_per_frame": 0}, "spikes_per_frame must be above 0"),
        (None, {"in_between": "flow"}, "needs at least 32x32"),
        (None, {"spike_scale": 8}, "spike_scale must be one of"),
        (None, {"white_rate": 1.0}, "--white_rate has no meaning"),
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


def shift_by_one(root: Path) -> None:
    """Takes the first frame of the footage away, so that all others come too early."""
    (root / RAW / "000300.png").unlink()


def test_footage_of_another_time_is_refused_and_can_be_left_out(
    root: Path, tmp_path: Path, capsys: Any
) -> None:
    shift_by_one(root)
    assert run(root, tmp_path / "out") == 2
    shown = capsys.readouterr().err
    # Blurred frame 2 shows frame 7, which is now where frame 6 should be.
    assert "000049.png shows" in shown
    assert "000307.png, but frame 000308.png is where its blur was taken from" in shown
    assert "leave_out=GOPR0001_03_00" in shown
    assert run(root, tmp_path / "out", leave_out="GOPR0001_03_00") == 0
    names = [record["name"] for record in built(tmp_path / "out", "train")]
    assert names == ["GOPR0001_03_02-000093", "GOPR0001_03_02-000095"]


def test_a_sharp_picture_of_something_else_is_refused(root: Path) -> None:
    """In the middle of a sequence it is found when its clip is made."""
    picture = root / TRAIN / "sharp" / "000050.png"
    cv2.imwrite(str(picture), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    settings = check_gopro_settings(SETTINGS)
    clip = find_splits(GOPRO, root, settings)["train"][0]
    with pytest.raises(ValueError, match="000050.png is .* grey levels from its frame"):
        GOPRO.make(clip, settings)


def test_pictures_of_another_size_are_refused(root: Path) -> None:
    small = np.zeros((HEIGHT, WIDTH - 2, 3), np.uint8)
    cv2.imwrite(str(root / RAW / "000303.png"), small)
    settings = check_gopro_settings(SETTINGS)
    with pytest.raises(ValueError, match="000303.png is 8x10, but 000300.png is 8x12"):
        find_splits(GOPRO, root, settings)


def test_a_sequence_whose_blurred_frames_end_too_early_is_named(root: Path) -> None:
    for kind in ("blur", "sharp"):
        for number in range(50, 56):
            (root / TRAIN / kind / f"{number:06d}.png").unlink()
    settings = check_gopro_settings(SETTINGS)
    with pytest.raises(ValueError, match="has 3 blurred frames, but its first clip"):
        find_splits(GOPRO, root, settings)


def test_settings_keep_what_the_sequences_decide() -> None:
    checked = check_gopro_settings(SETTINGS)
    assert (checked["exposure"], checked["period"]) == (0, 0)
    assert set(VIDEO) <= set(checked)
