"""The clips of videos: set aside for the test, and made by their index."""

import dataclasses
import threading
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.records import Record
from data_pipeline.sources import video_folder
from data_pipeline.video_files import FrameReader


@dataclasses.dataclass(frozen=True)
class FootageClips:
    """Makes the clips of footage by their index, with few frames in memory.

    Attributes:
        splits: of split_clips.
        shapes: path -> (frames, height, width, 3) of every video.
        settings: as in SETTINGS.
        num_frames: of a clip.
    """

    splits: Mapping[str, Sequence[tuple[Path, range]]]
    shapes: Mapping[Path, tuple[int, int, int, int]]
    settings: Mapping[str, Any]
    num_frames: int

    def __call__(self, split: str, index: int) -> Record:
        """Makes a clip."""
        videos = iter(self.splits[split])
        path, chosen = next(videos)
        while index >= len(chosen):
            index -= len(chosen)
            path, chosen = next(videos)
        frames = _open_footage(path, self.shapes[path], self._overlap())
        name = video_folder.video_name(path)
        return video_folder.make_clip(
            frames,
            self.settings,
            name=f"{name}-{chosen[index]:05d}",
            fps=frames.fps,
            index=chosen[index],
            num_frames=self.num_frames,
            # Videos have phases of their own, as they have sensors of their own.
            draws=(zlib.crc32(name.encode()),),
        )

    def _overlap(self) -> int:
        """Frames of a clip that the next one takes too, and two for a step."""
        frames = video_folder.clip_frames(0, self.num_frames, self.settings)
        after = video_folder.clip_frames(1, self.num_frames, self.settings)
        return 2 + max(0, frames.stop - after.start)


_footage = threading.local()  # a reader has a place in its video, so a thread has one


def _open_footage(
    path: Path, shape: tuple[int, int, int, int], keep: int
) -> FrameReader:
    """Opens a video once for the clips that a thread makes of it one by one."""
    opened = (path, shape, keep)
    if getattr(_footage, "opened", None) != opened:
        _footage.opened = opened
        _footage.reader = FrameReader(path, shape, keep=keep)
    return _footage.reader


def split_clips(
    counts: list[tuple[Path, int]], test_clips: int, *, between: int
) -> dict[str, list[tuple[Path, range]]]:
    """Sets the last clips aside for the test: of the last videos, in whole clips.

    Args:
        counts: of each video, its clips.
        test_clips: how many to set aside.
        between: clips that are in neither split where a video is in both, so that no
            frame of it is, of clips_between.

    Raises:
        ValueError: no clip would be left to train on, or none to test on.
    """
    total = sum(count for _, count in counts)
    if not 1 <= test_clips < total:
        raise ValueError(
            f"The footage gives {total} clips; test_clips must leave at least one of "
            f"them to train on and take at least one, got {test_clips}."
        )
    left = total - test_clips
    splits: dict[str, list[tuple[Path, range]]] = {"train": [], "test": []}
    for path, count in counts:
        train = min(count, left)
        left -= train
        gap = between if train < count else 0
        splits["train"].append((path, range(max(0, train - gap))))
        splits["test"].append((path, range(train, count)))
    if not any(len(chosen) for _, chosen in splits["train"]):
        raise ValueError(
            f"The footage gives {total} clips, of which the last before the "
            f"{test_clips} to test on share frames with these, and none is left to "
            "train on; give longer or more footage, or fewer num_frames."
        )
    return splits
