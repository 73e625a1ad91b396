"""Footage data sets: sequences of frames of a known rate, cut into simulated clips."""

import dataclasses
import struct
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.camera_settings import CAMERA_DEFAULTS
from data_pipeline.choices import unknown_name
from data_pipeline.records import Record
from data_pipeline.settings import check_settings
from data_pipeline.sources import video_folder
from data_pipeline.sources.public_set import ClipFiles, overlap
from data_pipeline.video_files import FrameReader, list_pictures

SETTINGS: dict[str, type] = {
    **video_folder.SETTINGS,
    "num_frames": int,  # blurred frames of a clip
    "leave_out": str,  # names of sequences, with commas between
}
DEFAULTS: dict[str, Any] = {"num_frames": 6, "leave_out": ""}
_PNG = b"\x89PNG\r\n\x1a\n"
_KEEP = 2  # frames of the footage that the light between two of them takes


@dataclasses.dataclass(frozen=True)
class Footage:
    """The frames of a sequence.

    Attributes:
        name: of the sequence, which those of its clips begin with.
        path: a folder of pictures or a video file.
        shape: (frames, height, width, 3) of it.
        first: the frame that clips are counted from; those before are not looked at.
    """

    name: str
    path: Path
    shape: tuple[int, int, int, int]
    first: int = 0

    @property
    def length(self) -> int:
        """Frames from the first on."""
        return self.shape[0] - self.first


@dataclasses.dataclass(frozen=True, kw_only=True)
class FootageClip(ClipFiles):
    """A clip of footage, with pictures of its own where the data set has them."""

    footage: Footage
    index: int  # which clip of the footage, from 0 on
    frames: range  # of the footage, from its first on

    def sources(self) -> tuple[Path, ...]:
        """Everything that the clip is made from."""
        return (self.footage.path, *super().sources())

    def shares_with(self, other: ClipFiles) -> bool:
        """Whether both are made from the same frames, or some of them."""
        return (
            isinstance(other, FootageClip)
            and self.footage == other.footage
            and overlap(self.frames, other.frames)
        )


class _FramesFrom(FrameReader):
    """The frames of footage from its first on."""

    def __init__(self, footage: Footage) -> None:
        super().__init__(footage.path, footage.shape, keep=_KEEP)
        self._first = footage.first
        self.shape = (footage.length, *footage.shape[1:])

    def __getitem__(self, index: int) -> np.ndarray:
        return super().__getitem__(self._first + index)


def check_footage_settings(
    settings: Mapping[str, Any], types: Mapping[str, type]
) -> dict[str, Any]:
    """Returns the settings as plain values.

    Args:
        settings: name -> value.
        types: SETTINGS, and those of the data set's own, which it checks itself.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_settings(settings, types, defaults=CAMERA_DEFAULTS)
    if checked["num_frames"] < 1:
        raise ValueError(f"num_frames must be at least 1, got {checked['num_frames']}.")
    return checked | video_folder.check_video_settings(video_settings(checked))


def video_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Picks the settings that video_folder takes."""
    return {name: settings[name] for name in video_folder.SETTINGS}


def without_left_out(
    names: Iterable[str], settings: Mapping[str, Any], known: Collection[str]
) -> list[str]:
    """Returns the names of sequences that `leave_out` does not name.

    Args:
        names: of a split.
        settings: with `leave_out`.
        known: names of all splits, which `leave_out` may be of.

    Raises:
        ValueError: `leave_out` names a sequence that is not known.
    """
    left_out = [name for name in settings["leave_out"].split(",") if name]
    for name in left_out:
        if name not in known:
            raise ValueError(unknown_name("sequence in leave_out", name, known))
    return [name for name in names if name not in left_out]


def picture_footage(
    name: str, folder: Path, layout: str, *, suffix: str = ".png"
) -> Footage:
    """Finds the frames of a sequence in a folder of numbered PNGs.

    Raises:
        FileNotFoundError: there is no such folder, it is empty, or a number is missing.
        ValueError: a file is not named by a number, or of another kind or size.
    """
    pictures = numbered_pictures(folder, layout, suffix=suffix)
    sizes = {picture: png_size(picture) for picture in pictures}
    first = sizes[pictures[0]]
    for picture, size in sizes.items():
        if size != first:
            raise ValueError(
                f"The picture {picture} is {size[0]}x{size[1]}, but {pictures[0].name} "
                f"is {first[0]}x{first[1]}; all frames must be of one size."
            )
    return Footage(name, folder, (len(pictures), *first, 3))


def numbered_pictures(
    folder: Path, layout: str, *, suffix: str = ".png"
) -> tuple[Path, ...]:
    """Lists the pictures of a folder, which are numbered one by one.

    Raises:
        FileNotFoundError: there is no such folder, it is empty, or a number is missing.
        ValueError: a picture is not named by a number, or of another kind.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. {layout}")
    pictures = list_pictures(folder)
    if not pictures:
        raise FileNotFoundError(f"{folder} holds no {suffix} file. {layout}")
    for picture in pictures:
        if not picture.stem.isdecimal() or picture.suffix != suffix:
            raise ValueError(
                f"{picture} is not named by a number and {suffix}, so its place in "
                f"time is not known; take it out of the folder. {layout}"
            )
    numbers = [int(picture.stem) for picture in pictures]
    for picture, number, after in zip(pictures, numbers, numbers[1:], strict=False):
        if after != number + 1:
            raise FileNotFoundError(
                f"{folder} has no picture between {picture.name} and number {after}, "
                "so time jumps there; complete the data set or leave the sequence out "
                "(leave_out)."
            )
    return tuple(pictures)


def png_size(picture: Path) -> tuple[int, int]:
    """Reads height and width from the header of a PNG.

    Raises:
        ValueError: it is not one.
    """
    with picture.open("rb") as file:
        header = file.read(24)
    if len(header) < 24 or header[:8] != _PNG or header[12:16] != b"IHDR":
        raise ValueError(f"The picture {picture} cannot be read: it is not a PNG.")
    width, height = struct.unpack(">II", header[16:24])
    return height, width


def require_long_enough(
    footage: Iterable[tuple[Footage, Mapping[str, Any]]], num_frames: int
) -> None:
    """Checks that every sequence gives a clip, and that its size suits the cameras.

    Args:
        footage: each with the settings of its clips, as video_folder has them.
        num_frames: of a clip.

    Raises:
        ValueError: some are too short, or of a size that cannot be recorded.
    """
    short = {}
    for sequence, settings in footage:
        height, width = sequence.shape[1:3]
        video_folder.check_footage(sequence.name, height, width, settings)
        if not video_folder.count_clips(sequence.length, num_frames, settings):
            needed = video_folder.frames_of_clip(num_frames, settings)
            short[sequence.name] = f"{sequence.length} of {needed}"
    if short:
        listed = ", ".join(f"{name} ({frames})" for name, frames in short.items())
        raise ValueError(
            f"These sequences have fewer frames than a clip takes: {listed}; take "
            "fewer num_frames, a shorter exposure and period or more spikes_per_frame, "
            f"or leave them out: leave_out={','.join(short)}."
        )


def cut_clips(
    footage: Footage, settings: Mapping[str, Any], num_frames: int
) -> list[FootageClip]:
    """Cuts a sequence into the clips that it gives, one after the other."""
    count = video_folder.count_clips(footage.length, num_frames, settings)
    return [
        FootageClip(
            f"{footage.name}-{index:05d}",
            footage=footage,
            index=index,
            frames=video_folder.clip_frames(index, num_frames, settings),
        )
        for index in range(count)
    ]


def simulate(
    clip: FootageClip,
    settings: Mapping[str, Any],
    num_frames: int,
    *,
    fps: float,
    data_set: str,
    licence: str,
) -> Record:
    """Records a clip of footage with both cameras.

    Args:
        clip: of cut_clips.
        settings: as video_folder has them, those that the clip was cut with.
        num_frames: likewise.
        fps: frames per second of the footage.
        data_set: its name.
        licence: its licence.

    Raises:
        ValueError: a frame cannot be read.
    """
    record = video_folder.make_clip(
        _FramesFrom(clip.footage),
        settings,
        name=clip.name,
        fps=fps,
        index=clip.index,
        num_frames=num_frames,
        # Sequences of one data set have phases and sensors of their own.
        draws=(zlib.crc32(clip.footage.name.encode()),),
    )
    record["source"] = (
        f"{data_set} {clip.footage.name}, {settings['spikes_per_frame']} spike frames "
        f"per frame, {settings['in_between']} between"
    )
    record["licence"] = licence
    return record
