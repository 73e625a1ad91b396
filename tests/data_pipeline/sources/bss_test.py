"""BSS's layout as records: frames in colour, spikes behind their filters."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.records import unpack_spikes
from data_pipeline.sources.bss import BSS, DEFAULTS
from data_pipeline.sources.public_set import find_splits
from data_pipeline.spike_dat import write_dat
from data_pipeline.spike_input import SpikeInput
from moving_scene import GAIN, moving_light, record_spikes
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "spike_height": 40,
    "spike_width": 40,
    "exposure": 15,
    "period": 18,
    "num_frames": 1,
    "window": 22,
}
COUNT = 47
CONFIG = """filename: BSS
spike_w: 40
spike_h: 40
is_labeled: false
labeled_data_type: [7]
labeled_data_suffix: None
"""
NAMES = ("water", "fan")
LIGHT = {
    name: moving_light(COUNT, (40, 40), seed=seed) for seed, name in enumerate(NAMES)
}
PREPARE = Prepare("bss", SMALL)
run, built = PREPARE.run, PREPARE.built


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A miniature of BSS, two recordings."""
    root = tmp_path / "BSS"
    (root / "data").mkdir(parents=True)
    (root / "config.yaml").write_text(CONFIG)
    for name, light in LIGHT.items():
        spikes = record_spikes(light, cfa="bggr")
        write_dat(root / "data" / f"{name}.dat", spikes, flip=True)
    return root


@pytest.mark.parametrize("flat", [False, True])
def test_frames_are_in_colour_and_spikes_behind_their_filters(
    root: Path, flat: bool
) -> None:
    if flat:  # without SpikeCV's folder and file
        for path in (root / "data").iterdir():
            path.rename(root / path.name)
        (root / "data").rmdir()
        (root / "config.yaml").unlink()
    settings = DEFAULTS | SMALL | {"white_rate": GAIN}
    clips = find_splits(BSS, root, settings)["all"]
    assert [clip.name for clip in clips] == ["fan-00000", "water-00000"]
    for clip, name in zip(clips, ("fan", "water"), strict=True):
        record = BSS.make(clip, settings)
        assert record["cfa"] == "bggr" and record["transfer"] == "linear"
        np.testing.assert_array_equal(
            unpack_spikes(record["spikes"], 40), record_spikes(LIGHT[name], cfa="bggr")
        )
        middle = LIGHT[name][23] ** (1 / 2.2)
        error = np.abs(record["sharp"][0] / 255 - middle)[4:-4, 4:-4]
        swapped = np.abs(record["sharp"][0, ..., ::-1] / 255 - middle)[4:-4, 4:-4]
        assert error.mean() < 0.04 < 3 * error.mean() < swapped.mean()


def test_another_pattern_gives_other_colours(root: Path) -> None:
    settings = DEFAULTS | SMALL | {"white_rate": GAIN}
    clip = find_splits(BSS, root, settings)["all"][0]
    right = BSS.make(clip, settings)
    other = BSS.make(clip, settings | {"cfa": "rggb"})
    assert other["cfa"] == "rggb"
    # Red and blue change places, up to the edges that demosaicing goes along.
    error = other["blur"][..., ::-1].astype(int) - right["blur"].astype(int)
    assert np.abs(error).mean() < 2
    with pytest.raises(ValueError, match="Unknown cfa 'none'"):
        BSS.make(clip, settings | {"cfa": "none"})


def test_it_is_built(root: Path, tmp_path: Path) -> None:
    assert run(root, tmp_path / "out") == 0
    ((train,), (test,)) = (built(tmp_path / "out", s) for s in ("train", "test"))
    assert (train["name"], test["name"]) == ("fan-00000", "water-00000")
    assert train["blur"].shape == (1, 40, 40, 3)
    (directory,) = (tmp_path / "out" / "spike_deblur").glob("bss-*/*.*.*")
    batch = next(
        pipeline.train_batches(
            str(directory),
            num_frames=1,
            crop_size=32,
            spike_input=SpikeInput("voxel", {"num_bins": 5}),
            batch_size=1,
            seed=0,
            start_step=0,
        )
    )
    assert batch["spikes"].shape == (1, 1, 5, 32, 32)
    # A pixel behind its filter has the light of its colour: blue, of 2x2 pixels, first.
    rate = batch["spikes"][:, 0].mean(axis=1) / float(train["gain"])
    blue = batch["blur"][:, 0, ::2, ::2, 2] ** 2.2
    assert np.abs(rate[:, ::2, ::2] - blue).mean() < 0.05
    red = batch["blur"][:, 0, 1::2, 1::2, 0] ** 2.2
    assert np.abs(rate[:, 1::2, 1::2] - red).mean() < 0.05
    assert np.abs(rate[:, ::2, ::2] - red).mean() > 0.1


def test_the_published_size_is_the_default() -> None:
    assert (DEFAULTS["spike_height"], DEFAULTS["spike_width"]) == (1000, 1000)


def say(old: str, new: str) -> Any:
    def change(root: Path) -> None:
        path = root / "config.yaml"
        path.write_text(path.read_text().replace(old, new))

    return change


@pytest.mark.parametrize(
    ("broken", "options", "message"),
    [
        (say("[7]", "[0]"), {}, "does not say that there are Bayer filters"),
        (say("spike_w: 40", "spike_w: 48"), {}, "says 40x48 spike pixels, but"),
        (lambda root: shutil.rmtree(root / "data"), {}, "holds no .dat file. BSS has"),
        (None, {"cfa": "bgr"}, "Unknown cfa 'bgr'. Did you mean 'bggr'"),
        (None, {"dark_rate": 0.005}, "through colour filters"),
        (None, {"num_frames": 2}, "as long as a clip, which takes 65"),
        (None, {"test_clips": 2}, "test_clips must leave at least one"),
        (None, {"side": "left"}, "--side has no meaning"),
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
