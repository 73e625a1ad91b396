"""SpikeCV's folders as records: the config.yaml says what the streams are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.records import unpack_spikes
from data_pipeline.sources.public_set import find_splits
from data_pipeline.sources.spikecv import DEFAULTS, SPIKECV, read_attributes
from data_pipeline.spike_dat import write_dat
from moving_scene import moving_light, record_spikes
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "exposure": 15,
    "period": 18,
    "num_frames": 1,
    "window": 22,
}
COUNT = 66  # 2 clips
# As SpikeCV's documentation writes it of motVidarReal2020.
CONFIG = """filename: rotation_digits # name
spike_w: 40 # columns
spike_h: 32
is_labeled: true
labeled_data_type: [4, 5]
labeled_data_suffix: txt
"""
PREPARE = Prepare("spikecv", SMALL)
run, built = PREPARE.run, PREPARE.built


def spikes_of(seed: int, count: int = COUNT) -> np.ndarray:
    return record_spikes(moving_light(count, (32, 40), seed=seed), seed=seed)


def write_stream(path: Path, seed: int, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dat(path, spikes_of(seed), **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of motVidarReal2020: a folder for each stream and its labels."""
    root = tmp_path / "motVidarReal2020"
    for seed in range(2):
        write_stream(root / f"spike{seed}" / "spikes.dat", seed)
        (root / f"spike{seed}" / "spikes_gt.txt").write_text("1,2,3\n")
    (root / "config.yaml").write_text(CONFIG)
    return root


def test_streams_are_read_as_the_config_says(root: Path) -> None:
    settings = DEFAULTS | SMALL
    clips = find_splits(SPIKECV, root, settings)["all"]
    assert [clip.name for clip in clips] == [
        f"spike{seed}-spikes-{clip:05d}" for seed in (0, 1) for clip in (0, 1)
    ]
    record = SPIKECV.make(clips[3], settings)
    np.testing.assert_array_equal(
        unpack_spikes(record["spikes"], 40), spikes_of(1)[18:65]
    )
    assert record["source"].startswith("SpikeCV rotation_digits, spike1-spikes")
    assert record["cfa"] == "none"
    upright = SPIKECV.make(clips[3], settings | {"flip": False})
    np.testing.assert_array_equal(upright["spikes"], record["spikes"][:, ::-1])


def test_labels_in_folders_of_their_own_are_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "PKU-Vidar-DVS"
    for seed, (split, number) in enumerate(
        [("train", 10), ("train", 9), ("val", 0), ("test", 0)]
    ):
        write_stream(root / split / "Vidar" / "00152_driving" / f"{number}.dat", seed)
        (root / split / "DVS").mkdir(exist_ok=True)
        (root / split / "DVS" / "0.dat").write_bytes(b"events")
    said = CONFIG + "label_field_identifier: labels\ndata_field_identifier: Vidar\n"
    (root / "config.yaml").write_text(said)
    found = find_splits(SPIKECV, root, DEFAULTS | SMALL)
    names = {split: [clip.name for clip in clips] for split, clips in found.items()}
    assert names == {
        "train": [
            f"train-Vidar-00152_driving-{number}-{clip:05d}"
            for number in (9, 10)
            for clip in (0, 1)
        ],
        "test": [f"test-Vidar-00152_driving-0-{clip:05d}" for clip in (0, 1)],
    }


def test_bayer_needs_its_pattern(root: Path) -> None:
    (root / "config.yaml").write_text(CONFIG.replace("[4, 5]", "[0, 7]"))
    settings = DEFAULTS | SMALL | {"cfa": "grbg"}
    record = SPIKECV.make(find_splits(SPIKECV, root, settings)["all"][0], settings)
    assert record["cfa"] == "grbg"
    blur = record["blur"].astype(int)
    assert np.abs(blur[..., 0] - blur[..., 2]).mean() > 1


def test_it_is_built(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out", test_clips=1) == 0
    # The first clip of the second stream shares spikes with the one to test on.
    assert len(built(tmp_path / "out", "train")) == 2


def test_what_spikecv_itself_ships_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "filename: BSS\nspike_w: 1000\nspike_h: 1000\nis_labeled: false\n"
        "labeled_data_type: [7]\nlabeled_data_suffix: None\n"
    )
    attributes = read_attributes(path)
    assert (attributes.height, attributes.width) == (1000, 1000)
    assert attributes.is_bayer and attributes.name == "BSS"
    assert attributes.streams_in == ""
    path.write_text("filename: a\nspike_w: 4\nspike_h: 2\nlabeled_data_type: 3.1\n")
    assert not read_attributes(path).is_bayer


def say(old: str, new: str) -> Any:
    def change(root: Path) -> None:
        path = root / "config.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def replace(content: bytes) -> Any:
    return lambda root: (root / "config.yaml").write_bytes(content)


@pytest.mark.parametrize(
    ("broken", "options", "message"),
    [
        (lambda root: (root / "config.yaml").unlink(), {}, "There is no"),
        (replace(b"a: [1"), {}, "is not valid YAML"),
        (replace(b"\xff\xfe\x00"), {}, "is not valid YAML"),
        (replace(b"!!python/object:os.system {}"), {}, "is not valid YAML"),
        (replace(b"just text"), {}, "must hold keys with values"),
        (replace(b""), {}, "must hold keys with values"),
        (say("spike_w: 40 # columns\n", ""), {}, "config.yaml lacks spike_w;"),
        (say("spike_h: 32", "spike_h: -3"), {}, "spike_h must be a whole number"),
        (say("spike_h: 32", "spike_h: true"), {}, "spike_h must be a whole number"),
        (say("spike_h: 32", "spike_h: 34"), {}, "not a whole number of 34x40"),
        (say("spike_h: 32", "spike_h: 16"), {}, "too small"),
        (say("[4, 5]", "[4, 8]"), {}, "labeled_data_type 8 is none of SpikeCV's"),
        (say("[4, 5]", "[[4]]"), {}, "labeled_data_type [4] is none of SpikeCV's"),
        (say("[4, 5]", "tracking"), {}, "'tracking' is none of SpikeCV's"),
        (say("[4, 5]", "[7]"), {}, "add --cfa= and one of"),
        (None, {"cfa": "rggb"}, "does not say that there are Bayer filters"),
        (None, {"cfa": "rgb"}, "Unknown cfa 'rgb'"),
        (
            say("labeled_data_suffix: txt", "data_field_identifier: Vidar"),
            {},
            "holds no .dat in a folder Vidar",
        ),
        (
            say("labeled_data_suffix: txt", "data_field_identifier: [1]"),
            {},
            "must be the name of a folder",
        ),
        (None, {"num_frames": 3}, "as long as a clip"),
        (None, {"spike_height": 32}, "--spike_height has no meaning"),
    ],
)
def test_mistakes_are_one_sentence(
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
