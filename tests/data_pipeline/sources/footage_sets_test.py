"""Footage data sets: what is found in their folders, and what is refused."""

import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline.sources import footage_sets, video_folder
from data_pipeline.sources.footage_sets import Footage

LAYOUT = "A set has folders."
VIDEO: dict[str, Any] = video_folder.check_video_settings(
    {
        "spikes_per_frame": 2,
        "in_between": "linear",
        "exposure": 9,
        "period": 10,
        "spike_scale": 1,
        "threshold": 1.0,
        "gain": 1.0,
        "seed": 0,
    }
)


def write(folder: Path, numbers: range, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    """Writes pictures of noise and returns them."""
    folder.mkdir(exist_ok=True)
    film = np.random.default_rng(0).integers(0, 256, (len(numbers), *size, 3), np.uint8)
    for number, frame in zip(numbers, film, strict=True):
        cv2.imwrite(str(folder / f"{number:06d}.png"), frame[..., ::-1])
    return film


def test_footage_from_a_later_frame_gives_the_clips_of_that(tmp_path: Path) -> None:
    film = write(tmp_path / "a", range(7, 67))
    found = footage_sets.picture_footage("a", tmp_path / "a", LAYOUT)
    assert found.shape == (60, 6, 8, 3)
    later = Footage("a", found.path, found.shape, first=3)
    for footage, first in ((found, 0), (later, 3)):
        clips = footage_sets.cut_clips(footage, VIDEO, 2)
        count = video_folder.count_clips(60 - first, 2, VIDEO)
        assert len(clips) == count > 2
        record = footage_sets.simulate(
            clips[1], VIDEO, 2, fps=50.0, data_set="Set", licence="none"
        )
        expected = video_folder.make_clip(
            film[first:],
            VIDEO,
            name="a-00001",
            fps=50.0,
            index=1,
            num_frames=2,
            draws=(zlib.crc32(b"a"),),
        )
        for name in ("blur", "sharp", "spikes", "exposure", "sharp_time"):
            np.testing.assert_array_equal(record[name], expected[name])
        assert record["name"] == "a-00001"
        assert record["source"] == "Set a, 2 spike frames per frame, linear between"


def test_sequences_have_draws_of_their_own(tmp_path: Path) -> None:
    records = []
    for name in ("a", "b"):
        write(tmp_path / name, range(60))
        footage = footage_sets.picture_footage(name, tmp_path / name, LAYOUT)
        clip = footage_sets.cut_clips(footage, VIDEO, 2)[0]
        for _ in range(2):
            records.append(
                footage_sets.simulate(
                    clip, VIDEO, 2, fps=50.0, data_set="Set", licence="none"
                )
            )
    spikes = [record["spikes"] for record in records]
    np.testing.assert_array_equal(spikes[0], spikes[1])
    assert (spikes[0] != spikes[2]).mean() > 0.1
    np.testing.assert_array_equal(records[0]["blur"], records[2]["blur"])


def test_a_header_tells_the_size(tmp_path: Path) -> None:
    write(tmp_path / "a", range(1), (300, 5))
    assert footage_sets.png_size(tmp_path / "a" / "000000.png") == (300, 5)
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(ValueError, match="it is not a PNG"):
        footage_sets.png_size(tmp_path / "b.png")


def test_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", range(3))
    write(tmp_path / "a", range(3, 4), (6, 10))
    with pytest.raises(ValueError, match="000003.png is 6x10, but 000000.png is 6x8"):
        footage_sets.picture_footage("a", tmp_path / "a", LAYOUT)


def test_a_picture_whose_end_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a", range(60))
    footage = footage_sets.picture_footage("a", tmp_path / "a", LAYOUT)
    picture = tmp_path / "a" / "000020.png"
    picture.write_bytes(picture.read_bytes()[:40])
    clip = footage_sets.cut_clips(footage, VIDEO, 2)[0]
    with pytest.raises(ValueError, match="000020.png"):
        footage_sets.simulate(clip, VIDEO, 2, fps=50.0, data_set="Set", licence="none")


def test_an_empty_sequence_and_a_jump_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no .png file. A set has"):
        footage_sets.numbered_pictures(tmp_path / "a", LAYOUT)
    write(tmp_path / "a", range(98, 102))
    found = footage_sets.numbered_pictures(tmp_path / "a", LAYOUT)
    assert [picture.stem for picture in found] == [
        "000098",
        "000099",
        "000100",
        "000101",
    ]
    (tmp_path / "a" / "000100.png").unlink()
    with pytest.raises(FileNotFoundError, match="between 000099.png and number 101"):
        footage_sets.numbered_pictures(tmp_path / "a", LAYOUT)
    write(tmp_path / "a", range(100, 101))
    (tmp_path / "a" / "100.png").write_bytes((found[0]).read_bytes())
    with pytest.raises(FileNotFoundError, match="and number 100, so time jumps"):
        footage_sets.numbered_pictures(tmp_path / "a", LAYOUT)


def test_every_sequence_that_is_too_short_is_named(tmp_path: Path) -> None:
    needed = video_folder.frames_of_clip(3, VIDEO)
    lengths = {"a": needed, "b": needed - 1, "c": 1}
    footage = [
        (Footage(name, tmp_path, (length, 6, 8, 3)), VIDEO)
        for name, length in lengths.items()
    ]
    footage_sets.require_long_enough(footage[:1], 3)
    message = rf"takes: b \({needed - 1} of {needed}\), c \(1 of {needed}\); .*=b,c\.$"
    with pytest.raises(ValueError, match=message):
        footage_sets.require_long_enough(footage, 3)
