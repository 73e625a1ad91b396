"""What spike-only sources share: streams cut into clips, and their geometry checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.reconstruct import LEAST_SIZE
from data_pipeline.records import Record
from data_pipeline.settings import check_settings
from data_pipeline.sources.public_set import ClipFiles, overlap
from data_pipeline.spike_dat import SpikeDat
from data_pipeline.spike_triplets import (
    check_filters,
    check_triplet_settings,
    clip_length,
    clip_source,
    clip_starts,
    make_triplets,
)


@dataclasses.dataclass(frozen=True)
class StreamClip(ClipFiles):
    """A clip out of a longer stream."""

    start: int = 0  # spike frame of the stream that the clip begins at
    made_from: range = range(0)  # spike frames of the stream

    def shares_with(self, other: ClipFiles) -> bool:
        """Whether both are made from the same spike frames, or some of them."""
        return (
            isinstance(other, StreamClip)
            and self.spikes == other.spikes
            and overlap(self.made_from, other.made_from)
        )


def check_stream_settings(
    settings: Mapping[str, Any], types: Mapping[str, type]
) -> dict[str, Any]:
    """Returns the settings of a spike-only source as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_settings(settings, types)
    check_triplet_settings(checked)
    check_filters(checked, checked.get("cfa", "none"))
    if "spike_height" in types:
        check_size(checked["spike_height"], checked["spike_width"], "The spikes")
    return checked


def check_size(height: int, width: int, name: str | Path) -> None:
    """Raises a ValueError unless an optical flow has room in a stream of this size."""
    if min(height, width) < LEAST_SIZE:
        raise ValueError(
            f"{name} of {height}x{width} pixels are too small: sharp frames are made "
            f"along the motion, which needs {LEAST_SIZE}x{LEAST_SIZE}; check height "
            "and width."
        )


def cut_stream(
    name: str, path: Path, count: int, settings: Mapping[str, Any]
) -> list[StreamClip]:
    """Returns the clips of a stream one after the other; none if it is shorter.

    Args:
        name: that the names of the clips begin with.
        path: of the stream.
        count: its spike frames.
        settings: with those of spike_triplets.
    """
    return [
        StreamClip(
            f"{name}-{index:05d}",
            (path,),
            start=start,
            made_from=clip_source(start, settings),
        )
        for index, start in enumerate(clip_starts(count, settings))
    ]


def require_stream_clips(
    clips: Sequence[StreamClip], where: Path, settings: Mapping[str, Any]
) -> None:
    """Raises a ValueError unless a stream was as long as a clip."""
    if not clips:
        raise ValueError(
            f"No stream of {where} is as long as a clip, which takes "
            f"{clip_length(settings)} spike frames (num_frames="
            f"{settings['num_frames']}, period={settings['period']}, exposure="
            f"{settings['exposure']}, and a margin on both sides); take fewer frames "
            "or a shorter period."
        )


def make_dat_clip(
    files: StreamClip,
    size: tuple[int, int],
    settings: Mapping[str, Any],
    *,
    data_set: str,
    licence: str,
    cfa: str = "none",
) -> Record:
    """Makes the record of a clip from the .dat that it is cut out of.

    Args:
        files: of the clip.
        size: height and width of the .dat in spike pixels.
        settings: with `flip` and those of spike_triplets, checked.
        data_set: what the source of the record begins with, before the stream's name.
        licence: of the data set.
        cfa: colour filters of the pixels, 'none' or one of bayer.CFA_PATTERNS.

    Raises:
        ValueError: the stream cannot be read, or is all dark in this clip.
    """
    (path,) = files.spikes
    return make_triplets(
        SpikeDat(path, *size, flip=settings["flip"]),
        files.start,
        settings,
        name=files.name,
        source=f"{data_set} {files.name.rpartition('-')[0]}",
        licence=licence,
        cfa=cfa,
    )
