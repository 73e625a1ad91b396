"""Clips on their way into a data set: each made once, checked, and kept in a file."""

import os
import uuid
from pathlib import Path

import cv2

from data_pipeline.records import check_record
from data_pipeline.spike_deblur.example import to_example
from data_pipeline.spike_deblur.layout import CLIPS, clip_file
from data_pipeline.spike_deblur.source import Source


def finish_clip(source: Source, unfinished: Path, split: str, index: int) -> None:
    """Makes a clip and keeps it; the file appears whole or not at all.

    Raises:
        ValueError: the clip cannot be made, or is no valid record.
        OSError: it cannot be written.
    """
    # OpenCV's optical flow depends on the number of its threads.
    cv2.setNumThreads(1)
    record = source.make(split, index)
    check_record(record)
    target = clip_file(unfinished, split, index)
    # Another machine may make the same clip, where Beam tries it twice.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(to_example(record))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def finished_clips(unfinished: Path, split: str) -> set[int]:
    """Returns the indices of the clips that are finished and in no shard yet."""
    return {
        int(path.name.rpartition("-")[2])
        for path in (unfinished / CLIPS).glob(f"{split}-*")
    }
