"""The clips of videos by their index, and what is between train and test."""

import pickle
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_checksum import record_checksum

from data_pipeline.sources import video_clips
from data_pipeline.sources import video_folder as source
from data_pipeline.video_files import VideoReader, read_video, write_video

SETTINGS: dict[str, Any] = {
    "spikes_per_frame": 4,
    "in_between": "linear",
    "exposure": 9,
    "period": 12,
    "spike_scale": 2,
    "threshold": 1.0,
    "gain": 1.0,
    "seed": 0,
}


def footage(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 24, 3), np.uint8)


def test_the_last_clips_are_set_aside_for_the_test() -> None:
    first, second = Path("a"), Path("b")
    splits = video_clips.split_clips([(first, 5), (second, 3)], 4, between=0)
    assert splits["train"] == [(first, range(4)), (second, range(0))]
    assert splits["test"] == [(first, range(4, 5)), (second, range(3))]
    for wrong in (0, 8):
        with pytest.raises(ValueError, match="gives 8 clips"):
            video_clips.split_clips([(first, 5), (second, 3)], wrong, between=1)


def test_a_video_in_both_splits_has_a_gap_between_them() -> None:
    first, second = Path("a"), Path("b")
    splits = video_clips.split_clips([(first, 5), (second, 3)], 4, between=2)
    assert splits["train"] == [(first, range(2)), (second, range(0))]
    assert splits["test"] == [(first, range(4, 5)), (second, range(3))]
    # Videos of their own need none.
    splits = video_clips.split_clips([(first, 5), (second, 3)], 3, between=2)
    assert splits["train"] == [(first, range(5)), (second, range(0))]
    with pytest.raises(ValueError, match="none is left to train on"):
        video_clips.split_clips([(first, 2)], 1, between=1)


def test_clips_by_index_are_those_of_the_whole_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", footage(60), fps=25)
    write_video(tmp_path / "b", footage(50), fps=25)
    paths = source.find_videos(tmp_path)
    shapes = {path: VideoReader(path).shape for path in paths}
    counts = [(p, source.count_clips(shapes[p][0], 3, SETTINGS)) for p in paths]
    assert [count for _, count in counts] == [5, 4]
    splits = video_clips.split_clips(counts, 2, between=0)
    settings = source.check_video_settings(SETTINGS)
    make = video_clips.FootageClips(splits, shapes, settings, 3)
    make = pickle.loads(pickle.dumps(make))  # as it goes to another process
    places = [(path, i) for path, count in counts for i in range(count)]
    for split, expected in (("train", places[:7]), ("test", places[7:])):
        # Backwards: a worker takes up any clip that is next.
        for index, (path, number) in reversed(list(enumerate(expected))):
            frames, fps = read_video(path)
            name = f"{path.stem}-{number:05d}"
            alone = source.make_clip(
                frames,
                settings,
                name=name,
                fps=fps,
                index=number,
                num_frames=3,
                draws=(zlib.crc32(path.stem.encode()),),
            )
            clip = make(split, index)
            assert record_checksum(clip) == record_checksum(alone)
            assert clip["name"] == name
    # Threads, as some workers of Beam have them, do not disturb each other.
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda index: make("train", index % 7), range(21)))
    for index, clip in enumerate(made):
        assert record_checksum(clip) == record_checksum(make("train", index % 7))
