"""Clips on their way into a data set: each made once, checked, and kept in a file."""

from pathlib import Path

import cv2

from data_pipeline.atomic import write_whole
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
    write_whole(clip_file(unfinished, split, index), to_example(record))


def finished_clips(unfinished: Path, split: str) -> set[int]:
    """Returns the indices of the clips that are finished and in no shard yet."""
    return {
        int(path.name.rpartition("-")[2])
        for path in (unfinished / CLIPS).glob(f"{split}-*")
    }
