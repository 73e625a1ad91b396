"""Video files and folders of pictures round trip, and bad ones are refused."""

import math
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from data_pipeline import video_files
from data_pipeline.video_files import (
    FrameReader,
    VideoReader,
    new_video,
    read_video,
    write_pictures,
    write_video,
)


def smooth_frames(height: int, width: int, count: int = 5) -> np.ndarray:
    """Frames with colour and motion that a codec can hold."""
    y, x = np.mgrid[:height, :width]
    frames = [
        np.stack([128 + 90 * np.sin(x / 9 + t), 2 * y % 200, 90 + t + 0 * x], axis=-1)
        for t in range(count)
    ]
    return (
        cv2.GaussianBlur(np.concatenate(frames, axis=1), (0, 0), 2)
        .reshape(height, count, width, 3)
        .transpose(1, 0, 2, 3)
        .astype(np.uint8)
    )


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 64), (48, 65), (47, 65)])
def test_an_mp4_keeps_size_length_rate_and_picture(
    tmp_path: Path, height: int, width: int
) -> None:
    frames = smooth_frames(height, width)
    path = tmp_path / "a.mp4"
    write_video(path, frames, fps=24000 / 1001)
    read, fps = read_video(path)
    assert read.shape == frames.shape
    assert fps == pytest.approx(24000 / 1001)
    error = np.mean((read.astype(float) - frames) ** 2)
    assert 10 * np.log10(255**2 / error) > 35
    assert list(tmp_path.iterdir()) == [path]


def test_pngs_are_lossless_and_have_no_rate(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 7, 9, 3), np.uint8)
    write_video(tmp_path / "frames", frames, fps=25)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["000000.png", "000001.png", "000002.png"]
    read, fps = read_video(tmp_path / "frames")
    np.testing.assert_array_equal(read, frames)
    assert math.isnan(fps)


def test_an_unknown_rate_is_written_as_25(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", smooth_frames(16, 16), fps=math.nan)
    assert read_video(tmp_path / "a.mp4")[1] == 25


def test_pictures_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 2):
        frame = np.full((4, 4, 3), number, np.uint8)
        cv2.imwrite(str(tmp_path / f"f{number}.png"), frame)
    (tmp_path / "notes.txt").write_text("not a picture")
    frames, _ = read_video(tmp_path)
    np.testing.assert_array_equal(frames[:, 0, 0, 0], [2, 9, 10])


def test_real_footage_reads(shared: Path) -> None:
    frames, fps = read_video(shared / "data" / "bikes.mp4")
    assert frames.shape == (250, 272, 640, 3)
    assert fps == 25


def test_what_is_missing_empty_or_no_video(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no video or folder"):
        read_video(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="holds no pictures"):
        read_video(tmp_path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        read_video(tmp_path)
    text = tmp_path / "a.mp4"
    text.write_text("not a video")
    with pytest.raises(ValueError, match="cannot be read as a video"):
        read_video(text)


def test_a_truncated_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, smooth_frames(64, 64, 20), fps=25)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ValueError, match="cannot be read as a video"):
        read_video(path)


def test_a_damaged_video_is_refused_and_not_mended_in_silence(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), np.uint8)
    write_video(tmp_path / "a.mp4", frames, fps=25)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    (tmp_path / "a.mp4").write_bytes(bytes(content))
    for read in (read_video, VideoReader):
        with pytest.raises(ValueError, match=r"a.mp4 is damaged at frame \d+; get"):
            read(tmp_path / "a.mp4")


def test_sound_without_pictures_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="has no video stream"):
        read_video(path)


def test_broken_and_unequal_pictures_are_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, np.zeros((2, 4, 4, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "000002.png"), np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"000002.png is 4x6, but 000000.png is 4x4"):
        read_video(tmp_path)
    (tmp_path / "000002.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"000002.png cannot be read"):
        read_video(tmp_path)


def test_pictures_of_16_bits_are_rounded_and_of_floats_refused(tmp_path: Path) -> None:
    levels = np.arange(0, 65536, 97, dtype=np.uint16)[:672].reshape(8, 28, 3)
    cv2.imwrite(str(tmp_path / "0.png"), levels[..., ::-1])
    found, _ = read_video(tmp_path)
    np.testing.assert_array_equal(found[0], np.rint(levels / 65535 * 255))
    for value, message in ((0.5, "save it"), (np.nan, "not all of them")):
        cv2.imwrite(str(tmp_path / "1.tif"), np.full((8, 28, 3), value, np.float32))
        with pytest.raises(ValueError, match=f"1.tif holds float32 values.*{message}"):
            read_video(tmp_path)


@pytest.mark.parametrize(
    ("name", "frames", "fps", "message"),
    [
        ("a.avi", np.zeros((1, 4, 4, 3), np.uint8), 25, "ends in .mp4"),
        ("a.mp4", np.zeros((1, 4, 4, 3), np.float32), 25, "must be uint8"),
        ("a.mp4", np.zeros((4, 4, 3), np.uint8), 25, "must be uint8"),
        ("a.mp4", np.zeros((0, 4, 4, 3), np.uint8), 25, "nothing to write"),
        ("a.mp4", np.zeros((1, 4, 4, 3), np.uint8), 0, "fps must be above 0"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, name: str, frames: np.ndarray, fps: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / name, frames, fps=fps)
    assert not any(tmp_path.iterdir())


def test_a_folder_in_use_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_video(tmp_path, np.zeros((1, 4, 4, 3), np.uint8), fps=25)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["a.mp4", "pictures"])
def test_slices_are_those_of_the_whole_and_decode_each_frame_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    write_video(path, smooth_frames(16, 32, 9), fps=10)
    whole, rate = read_video(path)
    reader = VideoReader(path)
    assert reader.shape == (9, 16, 32, 3)
    assert reader.fps == rate or math.isnan(rate)
    opened, read = [], video_files._frames
    monkeypatch.setattr(
        video_files, "_frames", lambda path: opened.append(path) or read(path)
    )
    expected = whole.astype(np.float32) / 255
    for start, stop in ((0, 3), (1, 4), (3, 3), (6, 8), (7, 20)):
        frames = reader[start:stop]
        assert frames.dtype == np.float32
        np.testing.assert_array_equal(frames, expected[start:stop])
    assert opened == []
    np.testing.assert_array_equal(reader[2:5], expected[2:5])
    assert len(opened) == 1


def test_opening_finds_damage_far_from_the_beginning(tmp_path: Path) -> None:
    write_pictures(tmp_path, np.zeros((30, 4, 4, 3), np.uint8))
    (tmp_path / "000029.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="000029.png cannot be read"):
        VideoReader(tmp_path)


@pytest.mark.parametrize("name", ["a.mp4", "pictures"])
def test_a_video_that_is_not_finished_leaves_nothing(tmp_path: Path, name: str) -> None:
    frame = np.zeros((16, 16, 3), np.uint8)
    with (
        pytest.raises(KeyboardInterrupt),
        new_video(tmp_path / name, fps=25) as write,
    ):
        write(frame)
        raise KeyboardInterrupt
    with (
        pytest.raises(ValueError, match="nothing to write"),
        new_video(tmp_path / name, fps=25),
    ):
        pass
    with (
        pytest.raises(ValueError, match="Frame 1 is 16x18, but the first is 16x16"),
        new_video(tmp_path / name, fps=25) as write,
    ):
        write(frame)
        write(np.zeros((16, 18, 3), np.uint8))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["frames", "a.mp4"])
def test_frames_are_read_by_index_in_any_order(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_video(path, smooth_frames(16, 24, 40), fps=25)
    frames, fps = read_video(path)
    reader = FrameReader(path, VideoReader(path).shape, keep=3)
    assert reader.shape == frames.shape
    np.testing.assert_equal(reader.fps, fps)
    for index in (0, 1, 2, 1, 0, 20, 18, 19, 39, 3, 4):
        np.testing.assert_array_equal(reader[index], frames[index])


def test_footage_that_changed_after_it_was_checked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, smooth_frames(16, 24, 9), fps=25)
    shape = VideoReader(path).shape
    write_video(path, smooth_frames(16, 24, 4), fps=25)
    reader = FrameReader(path, shape, keep=2)
    assert reader[3].shape == (16, 24, 3)
    with pytest.raises(ValueError, match="a.mp4 has changed since it was first read"):
        _ = reader[4]
