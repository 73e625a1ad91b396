"""S-SDM's GOPRO layout as records: joined streams keep every exposure in its place."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.records import unpack_spikes
from data_pipeline.sources.public_set import find_splits
from data_pipeline.sources.s_sdm import DEFAULTS, S_SDM, check_sdm_settings
from data_pipeline.spike_camera import SpikeCamera
from data_pipeline.spike_dat import write_dat
from data_pipeline.spike_input import SpikeInput
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "spike_height": 6,
    "spike_width": 12,
    "spike_scale": 2,
    "spikes_per_frame": 4,
    "exposure": 9,
    "period": 12,
    "pad": 4,
    "num_frames": 2,
}
# split -> the numbers of its streams: one of 3 frames a period after the other.
NUMBERS = {"train": (4, 7, 10, 16, 19), "test": (4, 7)}


def light_at(number: int, time: int) -> np.ndarray:
    """Grey (6, 12) at a spike frame counted from the start of exposure `number`.

    Still while a shutter is open and something else between, the same for all streams.
    """
    exposure, within = divmod(4 * (number - 4) + time, 12)
    return np.random.default_rng([exposure + 99, within >= 9]).integers(
        0, 256, (6, 12), np.uint8
    )


def spikes_of(number: int) -> np.ndarray:
    camera = SpikeCamera(
        threshold=1.0, gain=0.8, phase=np.full((6, 12), 0.5, np.float32)
    )
    lights = [light_at(number, time) for time in range(-4, 13)]
    frames = [camera.read(g.astype(np.float32) / np.float32(255)) for g in lights]
    return np.stack(frames).astype(np.uint8)


def picture_of(number: int) -> np.ndarray:
    grey = light_at(number, 0).repeat(2, axis=0).repeat(2, axis=1)
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of S-SDM's GOPRO."""
    root = tmp_path / "GOPRO"
    for split, numbers in NUMBERS.items():
        places = {
            kind: root / split / kind / "GOPR0001_11_00"
            for kind in ("spike_data", "blur_data", "sharp_data")
        }
        for place in places.values():
            place.mkdir(parents=True)
        for number in numbers:
            write_dat(places["spike_data"] / f"{number:06d}.dat", spikes_of(number))
        # As published, the first and the last exposure have pictures only.
        for number in (1, *numbers, numbers[-1] + 3):
            name = f"{number:06d}.png"
            sharp = picture_of(number)
            cv2.imwrite(str(places["sharp_data"] / name), sharp)
            cv2.imwrite(str(places["blur_data"] / name), sharp ^ np.uint8(1))
    return root


PREPARE = Prepare("s_sdm", SMALL)
run, built = PREPARE.run, PREPARE.built


def test_every_exposure_sees_the_spikes_of_its_light(
    root: Path, tmp_path: Path
) -> None:
    assert run(root, tmp_path / "out") == 0
    train, test = (built(tmp_path / "out", split) for split in ("train", "test"))
    names = [r["name"] for r in train]
    # 10 is left of its run, and 13 is missing.
    assert names == ["GOPR0001_11_00-000004", "GOPR0001_11_00-000016"]
    assert [r["name"] for r in test] == names[:1]
    for record, first in zip([*train, *test], (4, 16, 4), strict=True):
        numbers = (first, first + 3)
        sharp = np.stack([picture_of(number) for number in numbers])
        np.testing.assert_array_equal(record["sharp"], sharp)
        np.testing.assert_array_equal(record["blur"], sharp ^ np.uint8(1))
        assert record["exposure"].tolist() == [[4, 13], [16, 25]]
        assert record["sharp_time"].tolist() == [8.5, 20.5]
        spikes = unpack_spikes(record["spikes"], 12)
        # The pads are those of the first and the last stream.
        streams = [spikes_of(number) for number in numbers]
        expected = np.concatenate([streams[0][:16], streams[1][4:]])
        np.testing.assert_array_equal(spikes, expected)
        for (start, end), number in zip([(4, 13), (16, 25)], numbers, strict=True):
            seen = spikes[start:end].mean(axis=0) / 0.8
            assert np.abs(seen - light_at(number, 0) / 255).max() <= 1 / (0.8 * 9)
        assert record["spike_rate"] == 960
        assert record["spike_scale"] == 2
        assert record["transfer"] == "gamma"


def test_one_frame_keeps_its_whole_stream(root: Path) -> None:
    settings = DEFAULTS | SMALL | {"num_frames": 1}
    clips = find_splits(S_SDM, root, settings)["train"]
    assert len(clips) == 5
    record = S_SDM.make(clips[2], settings)
    np.testing.assert_array_equal(unpack_spikes(record["spikes"], 12), spikes_of(10))
    assert record["exposure"].tolist() == [[4, 13]]


def test_one_split_given_as_the_root_is_split_by_clips(
    root: Path, tmp_path: Path
) -> None:
    assert run(root / "train", tmp_path / "out") == 0
    (clip,) = built(tmp_path / "out", "test")
    assert clip["name"] == "GOPR0001_11_00-000016"


def test_the_published_numbers() -> None:
    settings = check_sdm_settings(DEFAULTS)  # spike_facts 1.4
    assert settings["exposure"] + 2 * settings["pad"] == 137
    assert settings["period"] / settings["spikes_per_frame"] == 13  # 19, 32, ..


def test_the_records_train_and_test(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out") == 0
    (directory,) = (tmp_path / "out" / "spike_deblur").glob("s_sdm-*/*.*.*")
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
    assert batch["spikes"].shape == (2, 2, 3, 4, 4)
    clip = pipeline.test_clips(
        str(directory),
        spike_input=SpikeInput("voxel", {"num_bins": 3}),
        tfp_window=3,
    )[0]
    assert clip["tfp_short"].shape == (2, 6, 12)


SEQUENCE = "GOPR0001_11_00"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (f"train/sharp_data/{SEQUENCE}/000007.png", {}, "has no sharp named 000007"),
        (f"train/blur_data/{SEQUENCE}/000007.png", {}, "has no blur named 000007"),
        (f"train/blur_data/{SEQUENCE}", {}, "There is no folder"),
        ("test/spike_data", {}, "There is no folder"),
        ("test", {}, "holds train but not the other"),
        (None, {"pad": 5}, "holds 17 spike frames, but exposure=9 with pad=5"),
        (None, {"spike_width": 20}, "not a whole number of 6x20"),
        (None, {"spike_scale": 4}, "is 12x24, but 24x48"),
        (None, {"exposure": 10}, "exposure must be an odd number"),
        (None, {"period": 8}, "period must be between the exposure"),
        (None, {"period": 16}, "period must be between the exposure"),
        (None, {"period": 11}, "period must be a multiple of spikes_per_frame"),
        (None, {"num_frames": 4}, "has 4 blurred frames in a row"),
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


def test_a_name_that_is_no_number_is_refused(root: Path) -> None:
    for kind, suffix in (("spike", "dat"), ("blur", "png"), ("sharp", "png")):
        place = root / "test" / f"{kind}_data" / SEQUENCE
        (place / f"000007.{suffix}").rename(place / f"seven.{suffix}")
    with pytest.raises(ValueError, match="not named by a number"):
        find_splits(S_SDM, root, DEFAULTS | SMALL)
