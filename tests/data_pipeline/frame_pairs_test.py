"""Two folders or videos that are compared: what is matched, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.frame_pairs import FramePairs
from data_pipeline.video_files import read_video, write_pictures, write_video


def pictures(folder: Path, *, seed: int = 0, count: int = 2, size=(16, 24)):
    """Writes pictures into a new folder and returns them."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (count, *size, 3), np.uint8)
    folder.mkdir(parents=True)
    write_pictures(folder, frames)
    return frames


def test_flat_folders_of_any_name_are_one_clip(tmp_path: Path) -> None:
    prediction = pictures(tmp_path / "restored", count=11)
    sharp = pictures(tmp_path / "sharp", seed=1, count=11)
    (tmp_path / "sharp" / "readme.txt").write_text("no picture")
    pairs = FramePairs(tmp_path / "restored", tmp_path / "sharp")
    assert len(pairs) == 1
    pair = pairs[0]
    assert pair["name"] == "restored"
    assert pair["frames"] == [f"{number:06d}" for number in range(11)]
    np.testing.assert_array_equal(pair["prediction"], prediction)
    np.testing.assert_array_equal(pair["sharp"], sharp)


def test_every_folder_with_pictures_is_a_clip(tmp_path: Path) -> None:
    frames = {}
    for name in ("b", "a/deep", "a"):
        for root, seed in (("one", 0), ("two", 1)):
            folder = tmp_path / root / name
            made = pictures(folder.with_name("new"), seed=seed + 2 * len(name))
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted((folder.with_name("new")).iterdir()):
                shutil.move(path, folder / path.name)
            folder.with_name("new").rmdir()
            frames[root, name] = made
    pairs = FramePairs(tmp_path / "one", tmp_path / "two")
    assert [pair["name"] for pair in pairs] == ["a", "a/deep", "b"]
    for pair in pairs:
        np.testing.assert_array_equal(pair["prediction"], frames["one", pair["name"]])
        np.testing.assert_array_equal(pair["sharp"], frames["two", pair["name"]])


def test_two_videos_are_matched_by_the_order_of_their_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("a.mp4", 3), ("b.mp4", 3), ("long.mp4", 4)):
        frames = rng.integers(0, 256, (count, 32, 48, 3), np.uint8)
        write_video(tmp_path / name, frames, fps=25)
    (pair,) = FramePairs(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert (pair["name"], pair["frames"]) == ("a", ["0", "1", "2"])
    np.testing.assert_array_equal(pair["sharp"], read_video(tmp_path / "b.mp4")[0])
    with pytest.raises(ValueError, match=r"a\.mp4 has 3 frames, but .*long\.mp4 4;"):
        FramePairs(tmp_path / "a.mp4", tmp_path / "long.mp4")[0]


def test_what_does_not_match_is_one_sentence(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    pictures(one / "x")
    pictures(two / "x", count=7)
    with pytest.raises(ValueError) as caught:
        FramePairs(one, two)
    assert str(caught.value) == (
        f"{two}/x holds the picture(s) 000002, 000003, 000004 and 2 more, which "
        f"{one}/x does not; names must match one to one."
    )
    pictures(one / "y")
    with pytest.raises(ValueError, match=r"one holds the clip\(s\) y, which .*two doe"):
        FramePairs(one, two)
    with pytest.raises(ValueError, match=r"holds the clip\(s\) \., which"):
        FramePairs(one / "x", two)  # one clip in the folder itself, one below it


def test_sizes_must_agree(tmp_path: Path) -> None:
    pictures(tmp_path / "one")
    pictures(tmp_path / "two", size=(16, 32))
    with pytest.raises(ValueError, match=r"one/000000\.png is 16x24, but .*16x32; fra"):
        FramePairs(tmp_path / "one", tmp_path / "two")
    # A later picture, in both folders alike.
    for name in ("three", "four"):
        pictures(tmp_path / name)
        pictures(tmp_path / "larger", count=1, size=(24, 24))
        source = tmp_path / "larger" / "000000.png"
        shutil.move(source, tmp_path / name / "000001.png")
        (tmp_path / "larger").rmdir()
    with pytest.raises(ValueError, match=r"000001\.png is 24x24, but .*000000\.png is"):
        FramePairs(tmp_path / "three", tmp_path / "four")[0]


def test_what_is_no_source_is_one_sentence(tmp_path: Path) -> None:
    pictures(tmp_path / "good")
    (tmp_path / "empty" / "below").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("")
    write_video(tmp_path / "video.mp4", np.zeros((1, 16, 16, 3), np.uint8), fps=25)
    for other, error, sentence in (
        ("none", FileNotFoundError, "There is no folder or video .*none"),
        ("empty", ValueError, "empty holds no pictures"),
        ("notes.txt", ValueError, "--sharp=.*notes.txt is neither a folder nor a vid"),
        ("video.mp4", ValueError, "good is a folder, but .*video.mp4 a video"),
    ):
        with pytest.raises(error, match=sentence):
            FramePairs(tmp_path / "good", tmp_path / other)
    shutil.copy(tmp_path / "good" / "000000.png", tmp_path / "good" / "000000.bmp")
    with pytest.raises(ValueError, match="two pictures of one name"):
        FramePairs(tmp_path / "good", tmp_path / "good")


def test_the_description_changes_with_the_files(tmp_path: Path) -> None:
    pictures(tmp_path / "one")
    pictures(tmp_path / "two")
    first, again = (
        FramePairs(tmp_path / "one", tmp_path / "two").describe() for _ in range(2)
    )
    assert first == again
    assert first["prediction"] == str(tmp_path / "one")
    shutil.rmtree(tmp_path / "one")
    pictures(tmp_path / "one", seed=3)
    assert FramePairs(tmp_path / "one", tmp_path / "two").describe() != first
