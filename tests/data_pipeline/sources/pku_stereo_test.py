"""PKU-Spike-Stereo's layout as records: one side, split by scenes."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.records import unpack_spikes
from data_pipeline.sources.pku_stereo import DEFAULTS, PKU_STEREO
from data_pipeline.sources.public_set import find_splits
from data_pipeline.spike_dat import write_dat
from moving_scene import moving_light, record_spikes
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "spike_height": 32,
    "spike_width": 40,
    "exposure": 15,
    "period": 18,
    "num_frames": 1,
    "window": 22,
}
COUNT = 66  # spike frames: 2 clips of 47 that are 18 apart
PREPARE = Prepare("pku_stereo", SMALL)
run, built = PREPARE.run, PREPARE.built


def spikes_of(place: str, side: str, scene: int, number: int) -> np.ndarray:
    """The stream of a recording, another for each."""
    seed = 100 * ("indoor", "outdoor").index(place) + 10 * scene + 2 * number
    seed += side == "right"
    return record_spikes(moving_light(COUNT, (32, 40), seed=seed), seed=seed)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature: indoor 3 scenes, outdoor 2, of 1 or 2 recordings."""
    root = tmp_path_factory.mktemp("stereo") / "Spike-Stero"
    for place, scenes in (("indoor", (2, 1, 1)), ("outdoor", (1, 1))):
        for side in ("left", "right"):
            for scene, numbers in enumerate(scenes):
                for number in range(numbers):
                    folder = root / place / side / f"{scene:04d}" / f"{number:04d}"
                    folder.mkdir(parents=True)
                    stream = spikes_of(place, side, scene, number)
                    write_dat(folder / f"{number:04d}.dat", stream, flip=True)
                    if side == "left":
                        depth = np.ones((32, 40), np.float32)
                        np.save(folder / f"{number:04d}_gt.npy", depth)
    return root


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(published, tmp_path / "stereo"))


def test_scenes_are_split_as_published(published: Path) -> None:
    found = find_splits(PKU_STEREO, published, DEFAULTS | SMALL)
    names = {split: [clip.name for clip in clips] for split, clips in found.items()}
    assert names == {
        "train": [
            f"{scene}-{clip:05d}"
            for scene in (
                "indoor-left-0000-0000",
                "indoor-left-0000-0001",
                "indoor-left-0001-0000",
                "outdoor-left-0000-0000",
            )
            for clip in (0, 1)
        ],
        "test": [
            f"{scene}-{clip:05d}"
            for scene in ("indoor-left-0002-0000", "outdoor-left-0001-0000")
            for clip in (0, 1)
        ],
    }


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_clip_is_its_part_of_the_stream_of_its_side(
    published: Path, side: str
) -> None:
    settings = DEFAULTS | SMALL | {"side": side}
    found = find_splits(PKU_STEREO, published, settings)
    record = PKU_STEREO.make(found["train"][3], settings)
    assert record["name"] == f"indoor-{side}-0000-0001-00001"
    stream = spikes_of("indoor", side, 0, 1)
    np.testing.assert_array_equal(
        unpack_spikes(record["spikes"], 40), stream[18 : 18 + 47]
    )
    assert record["blur"].shape == record["sharp"].shape == (1, 32, 40, 3)
    assert record["transfer"] == "linear" and record["cfa"] == "none"
    assert f"PKU-Spike-Stereo indoor-{side}-0000-0001" in record["source"]


def test_it_is_built(published: Path, tmp_path: Path, capsys: Any) -> None:
    assert run(published, tmp_path / "out") == 0
    assert len(built(tmp_path / "out", "train")) == 8
    settings = DEFAULTS | SMALL
    clips = find_splits(PKU_STEREO, published, settings)["test"]
    records = built(tmp_path / "out", "test")
    for clip, record in zip(clips, records, strict=True):
        expected = PKU_STEREO.make(clip, settings)
        for name, value in expected.items():
            np.testing.assert_array_equal(record[name], value)


def remove_side(root: Path) -> None:
    shutil.rmtree(root / "outdoor" / "left")


def remove_stream(root: Path) -> None:
    (root / "indoor/left/0001/0000/0000.dat").unlink()


def rename_stream(root: Path) -> None:
    (root / "indoor/left/0001/0000/0000.dat").rename(
        root / "indoor/left/0001/0000/0007.dat"
    )


def cut_stream(root: Path) -> None:
    path = root / "indoor/left/0001/0000/0000.dat"
    path.write_bytes(path.read_bytes()[:-1])


def darken(root: Path) -> None:
    path = root / "indoor/left/0001/0000/0000.dat"
    write_dat(path, np.zeros((COUNT, 32, 40), np.uint8))


def leave_one_scene(root: Path) -> None:
    shutil.rmtree(root / "outdoor/left/0001")


@pytest.mark.parametrize(
    ("broken", "options", "message"),
    [
        (remove_side, {}, "There is no folder"),
        (remove_stream, {}, "holds no .dat file. PKU-Spike-Stereo has"),
        (rename_stream, {}, "must hold 0000.dat and no other, but holds 0007"),
        (cut_stream, {}, "not a whole number of 32x40"),
        (darken, {}, "holds no spike in any"),
        (leave_one_scene, {}, "holds one scene, which cannot be split"),
        (None, {"side": "lefft"}, "Unknown side 'lefft'. Did you mean 'left'"),
        (None, {"num_frames": 4}, "No stream of"),
        (None, {"num_frames": 4}, "takes 101 spike frames"),
        (None, {"spike_height": 30}, "too small"),
        (None, {"test_clips": 1}, "leave test_clips out"),
        (None, {"cfa": "bggr"}, "--cfa has no meaning"),
    ],
)
def test_mistakes_are_one_sentence_and_no_data_set(
    root: Path,
    tmp_path: Path,
    capsys: Any,
    broken: Any,
    options: dict[str, Any],
    message: str,
) -> None:
    if broken is not None:
        broken(root)
    assert run(root, tmp_path / "out", **options) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.out == ""
    assert len([line for line in shown.err.splitlines() if "prepare:" in line]) == 1
    assert not (tmp_path / "out").exists()
