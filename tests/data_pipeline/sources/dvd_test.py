"""DVD as footage: its videos, split as its authors did."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.sources.dvd import DEFAULTS, DVD, TEST, check_dvd_settings
from data_pipeline.sources.public_set import find_splits
from data_pipeline.video_files import read_video, write_video
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
# As the archive has them: other suffixes, other sizes, rates of a phone.
VIDEOS = {
    "720p_240fps_1.mp4": (40, (32, 48), 240.0),
    "IMG_0030.mp4": (40, (48, 32), 30.0),
    "IMG_0183.mp4": (30, (32, 48), 30.0),
}
FOLDER = "original_high_fps_videos"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of DVD's high-speed videos."""
    root = tmp_path / "dvd"
    (root / FOLDER).mkdir(parents=True)
    for name, (count, (height, width), fps) in VIDEOS.items():
        time = np.arange(count)[:, None, None, None]
        y, x, c = np.mgrid[:height, :width, :3]
        light = 0.5 + 0.4 * np.sin(0.2 * x + 0.3 * y + c + 0.1 * time)
        frames = np.rint(255 * light).astype(np.uint8)
        write_video(root / FOLDER / name, frames, fps=fps)
    (root / FOLDER / "IMG_0030.mp4").rename(root / FOLDER / "IMG_0030.MOV")
    (root / FOLDER / "._IMG_0030.MOV").write_bytes(b"of a Mac")
    return root


PREPARE = Prepare("dvd", SMALL)
run, built = PREPARE.run, PREPARE.built


def test_clips_are_of_the_videos(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out") == 0
    train, test = (built(tmp_path / "out", split) for split in ("train", "test"))
    assert [record["name"] for record in train] == [
        "720p_240fps_1-00000",
        "720p_240fps_1-00001",
        "IMG_0183-00000",
    ]
    assert [r["name"] for r in test] == ["IMG_0030-00000", "IMG_0030-00001"]
    for record in [*train, *test]:
        sequence, _, index = record["name"].rpartition("-")
        (path,) = (root / FOLDER).glob(f"{sequence}.*")
        film, _ = read_video(path)
        numbers = [10 + 5 * (2 * int(index) + frame) for frame in range(2)]
        np.testing.assert_array_equal(record["sharp"], film[numbers])
        assert record["spike_rate"] == 480  # whatever rate the file says
        assert record["licence"].startswith("none stated (DVD")


def test_the_published_numbers() -> None:
    assert len(set(TEST)) == 10
    settings = check_dvd_settings(
        DEFAULTS | CAMERAS | {"in_between": "flow", "gain": 1.0}
    )
    assert 240 * settings["spikes_per_frame"] / settings["period"] == 30


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (FOLDER, {}, "There is no folder"),
        (f"{FOLDER}/IMG_0030.MOV", {}, "holds no test video (720p_240fps_2, IMG_0003"),
        (None, {"num_frames": 4}, "IMG_0183 (30 of 36)"),
        (None, {"leave_out": "IMG_183"}, "Did you mean 'IMG_0183'?"),
        (None, {"spike_scale": 3}, "spike_scale must be one of"),
        (None, {"frames_folder": "orig"}, "--frames_folder has no meaning"),
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


def test_a_short_video_can_be_left_out(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out", num_frames=4, leave_out="IMG_0183") == 0
    names = [record["name"] for record in built(tmp_path / "out", "train")]
    assert names == ["720p_240fps_1-00000"]


def test_videos_that_are_cut_off_or_of_one_name_are_refused(root: Path) -> None:
    settings = check_dvd_settings(DEFAULTS | CAMERAS | SMALL)
    video = root / FOLDER / "IMG_0183.mp4"
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="IMG_0183.mp4"):
        find_splits(DVD, root, settings)
    video.write_bytes(whole)
    (root / FOLDER / "IMG_0183.mov").write_bytes(whole)
    with pytest.raises(ValueError, match="are both called IMG_0183"):
        find_splits(DVD, root, settings)
