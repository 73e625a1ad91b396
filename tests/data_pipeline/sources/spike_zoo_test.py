"""Spike-Zoo's layout as records: blur from the spikes, sharp from the picture."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline.records import unpack_spikes
from data_pipeline.sources import public_set
from data_pipeline.sources.spike_zoo import DEFAULTS, SPIKE_ZOO
from data_pipeline.spike_camera import SpikeCamera
from data_pipeline.spike_dat import write_dat
from public_sets import Prepare

SMALL: dict[str, Any] = {
    "spike_height": 6,
    "spike_width": 12,
    "key_frame": 20,
    "exposure": 21,
}
GOLDEN = {  # of /work/shared/data/README.md: PSNR of the TFP of these windows
    "203_part2_key_id151": {5: 16.90, 9: 21.88, 21: 25.79, 41: 23.50, 97: 19.97},
    "203_part3_key_id151": {5: 16.92, 9: 21.78, 21: 25.52, 41: 23.72, 97: 21.47},
}


def write_clip(streams: Path, pictures: Path, name: str, light: np.ndarray) -> None:
    """A still scene of grey `light` (h, w): 41 spike frames, rows bottom-up."""
    streams.mkdir(parents=True, exist_ok=True)
    pictures.mkdir(parents=True, exist_ok=True)
    camera = SpikeCamera(
        threshold=1.0, gain=0.6, phase=np.full(light.shape, 0.5, np.float32)
    )
    frame = light.astype(np.float32) / np.float32(255)
    spikes = np.stack([camera.read(frame) for _ in range(41)])
    write_dat(streams / f"{name}.dat", spikes.astype(np.uint8), flip=True)
    cv2.imwrite(str(pictures / f"{name}.png"), light)


def scene(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 12), np.uint8)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A miniature of Spike-Zoo BASE: two clips to train on and one to test on."""
    root = tmp_path / "base"
    for split, name, seed in (("train", "b", 1), ("train", "a", 0), ("test", "c", 2)):
        write_clip(root / split / "spike", root / split / "gt", name, scene(seed))
    return root


PREPARE = Prepare("spike_zoo", SMALL)
run, built = PREPARE.run, PREPARE.built


def test_records_are_the_folders_of_the_data_set(base: Path, tmp_path: Path) -> None:
    assert run(base, tmp_path / "out") == 0
    train, test = (built(tmp_path / "out", split) for split in ("train", "test"))
    assert [r["name"] for r in train] == ["a", "b"]
    assert [r["name"] for r in test] == ["c"]
    for record, seed in zip([*train, *test], (0, 1, 2), strict=True):
        light = np.repeat(scene(seed)[None, ..., None], 3, axis=-1)
        np.testing.assert_array_equal(record["sharp"], light)
        # A still scene: its long TFP is the picture, to one spike of the exposure.
        error = np.abs(record["blur"].astype(int) - light.astype(int))
        assert error.max() <= math.ceil(255 / (0.6 * 21)) + 1
        assert (record["blur"] == record["blur"][..., :1]).all()
        assert record["exposure"].tolist() == [[10, 31]]
        assert record["sharp_time"].tolist() == [20.5]
        assert record["spikes"].shape == (41, 6, 2)
        assert "TFP of 21 spike frames" in record["blur_kind"]
        assert record["gain"] == np.float32(0.6)


@pytest.mark.parametrize("apart", [True, False])
def test_a_folder_without_splits_is_split_by_clips(tmp_path: Path, apart: bool) -> None:
    root = tmp_path / "flat"
    places = (root / "spike", root / "gt") if apart else (root, root)
    for seed in range(4):
        write_clip(*places, f"n{seed}", scene(seed))
    assert run(root, tmp_path / "out", test_clips=2) == 0
    names = [
        [r["name"] for r in built(tmp_path / "out", split)]
        for split in ("train", "test")
    ]
    assert names == [["n0", "n1"], ["n2", "n3"]]


def test_flip_and_white_are_what_the_settings_say(base: Path) -> None:
    settings = DEFAULTS | SMALL
    files = SPIKE_ZOO.find(base, "train", settings)[0]
    upright = SPIKE_ZOO.make(files, settings)
    turned = SPIKE_ZOO.make(files, settings | {"flip": False, "white_rate": 1.0})
    np.testing.assert_array_equal(turned["spikes"], upright["spikes"][:, ::-1])
    rate = unpack_spikes(upright["spikes"], 12)[10:31].mean(axis=0)
    for record, white in ((upright, 0.6), (turned, 1.0)):
        rows = rate if white == 0.6 else rate[::-1]
        expected = np.rint(np.clip(rows / white, 0, 1) * 255)
        np.testing.assert_array_equal(record["blur"][0, ..., 0], expected)


@pytest.mark.parametrize("exposure", [5, 9, 21, 41, 97])
def test_the_published_recordings(shared: Path, exposure: int) -> None:
    folder = shared / "data" / "s_reds"
    if not folder.is_dir():
        pytest.skip(f"the recordings are not there: {folder}")
    settings = DEFAULTS | {"exposure": exposure}
    for files in SPIKE_ZOO.find(folder, "", settings):
        record = SPIKE_ZOO.make(files, settings)
        assert record["blur"].shape == (1, 250, 400, 3)
        assert record["spikes"].shape == (301, 250, 50)
        (start, end) = record["exposure"][0].astype(int)
        rate = unpack_spikes(record["spikes"][start:end], 400).mean(axis=0)
        light = np.clip(rate / 0.6, 0, 1)
        mse = np.square(light - record["sharp"][0, ..., 0] / 255).mean()
        golden = GOLDEN[files.name][exposure]
        assert -10 * math.log10(mse) == pytest.approx(golden, abs=0.01)
        # The blur is that TFP to half a level of its 8 bits.
        assert np.abs(record["blur"][0, ..., 0] / 255 - light).max() <= 0.501 / 255


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("train/gt/a.png", {}, "has no picture named a"),
        ("train/spike/a.dat", {}, "has no stream named a"),
        ("test/gt", {}, "There is no folder"),
        ("train", {}, "holds test but not the other"),
        ("", {}, "There is no folder"),
        (None, {"spike_width": 16}, "not a whole number of 6x16"),
        (None, {"spike_width": 6, "spike_height": 12}, "is 6x12, but 12x6"),
        (None, {"exposure": 43}, "holds 41 spike frames"),
        (None, {"key_frame": 5}, "takes -5 to 16"),
        (None, {"exposure": 20}, "exposure must be an odd number"),
        (None, {"white_rate": 0}, "white_rate must be above 0"),
        (None, {"spike_height": 0}, "spike_height must be at least 1"),
        (None, {"test_clips": 1}, "leave test_clips out"),
        (None, {"flip": "yes"}, "neither true nor false"),
        (None, {"threshold": 2.0}, "--threshold has no meaning"),
        (None, {"layout": "files"}, "--layout=records only"),
    ],
)
def test_mistakes_are_one_sentence_and_no_data_set(
    base: Path,
    tmp_path: Path,
    capsys: Any,
    change: str | None,
    options: dict[str, Any],
    message: str,
) -> None:
    if change is not None:  # taken away
        (base / change).rename(tmp_path / "away")
    try:
        code = run(base, tmp_path / "out", **options)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len([line for line in shown.err.splitlines() if "prepare:" in line]) == 1
    assert not list(tmp_path.glob("out/spike_deblur/*/*.*.*/*"))


def test_a_broken_picture_stops_the_build(base: Path, tmp_path: Path) -> None:
    (base / "test" / "gt" / "c.png").write_bytes(b"no picture")
    settings = DEFAULTS | SMALL
    found = public_set.find_splits(SPIKE_ZOO, base, settings)
    with pytest.raises(ValueError, match="cannot be read"):
        SPIKE_ZOO.make(found["test"][0], settings)
    assert run(base, tmp_path / "out") == 2
    assert not list(tmp_path.glob("out/spike_deblur/*/*.*.*/*"))


def test_one_clip_cannot_be_split(tmp_path: Path) -> None:
    write_clip(tmp_path / "s", tmp_path / "s", "only", scene(0))
    found = public_set.find_splits(SPIKE_ZOO, tmp_path / "s", DEFAULTS | SMALL)
    with pytest.raises(ValueError, match=r"gives 1 clip"):
        public_set.split_clips(found, None)
