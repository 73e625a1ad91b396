"""Builds a data set: makes its clips, gathers them into shards, and names the whole."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
from tqdm import tqdm

from data_pipeline.spike_deblur.clip_files import finish_clip
from data_pipeline.spike_deblur.layout import (
    CLIPS,
    LOCK,
    MANIFEST,
    SHARDS,
    SOFTWARE,
    STATE,
    finished_directory,
)
from data_pipeline.spike_deblur.manifest import write_manifest
from data_pipeline.spike_deblur.shards import (
    ShardPlanner,
    count_clips,
    read_facts,
    write_shard,
)
from data_pipeline.spike_deblur.source import SPLITS, Source, check_source
from data_pipeline.spike_deblur.unfinished import (
    count_finished,
    locked_directory,
    missing_clips,
    software,
)
from data_pipeline.spike_deblur.workers import Clip, make_clips

# Seconds of work below which worker processes take longer to start than they save.
_WORTH_WORKERS = 4.0


def build(
    data_dir: str | Path,
    source: Source,
    *,
    workers: int | None = None,
    beam_options: str | None = None,
) -> str:
    """Builds a data set unless it is there, and returns its directory.

    The directory appears when it is complete. A build that was stopped or killed leaves
    its finished clips beside it, and the next build of the same data set goes on from
    them; the files are the same, byte by byte, and whoever makes the clips. Builds of
    the same data set wait for each other.

    Args:
        data_dir: where data sets are kept.
        source: of the clips.
        workers: processes that make clips, 1 of them being this one. Where None, it is
            one for each core as soon as that is worth it.
        beam_options: options of the Apache Beam pipeline that makes the clips instead.

    Raises:
        ValueError: a split would be empty, `data_dir` is no folder, or a clip cannot
            be made.
        NotADirectoryError, PermissionError: nothing can be written to `data_dir`.
        ChildProcessError: a worker process ended before its clip.
    """
    check_source(source)
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    if "://" in str(data_dir):
        raise ValueError(
            f"{data_dir} is no folder; name one, such as where the bucket is mounted."
        )
    finished = finished_directory(data_dir, source)
    with locked_directory(finished) as given:
        if given is not None:
            unfinished, lock = given
            with _says_how_to_go_on(unfinished, source):
                if (unfinished / MANIFEST).exists():
                    pass  # killed when all was made
                elif beam_options is None:
                    _make(source, unfinished, workers=workers, lock=lock)
                else:
                    from data_pipeline.spike_deblur import beam_build

                    beam_build.make(source, unfinished, beam_options)
                _complete(source, unfinished, finished)
    return str(finished)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _says_how_to_go_on(unfinished: Path, source: Source) -> Iterator[None]:
    """Adds to an error what the next build will not have to do again."""
    try:
        yield
    except (ValueError, OSError, KeyboardInterrupt) as error:
        finished = count_finished(unfinished)
        if finished:
            error.add_note(
                f"{finished} of {sum(source.counts.values())} clips are finished and "
                "kept; the same command goes on from there."
            )
        raise


def _make(source: Source, unfinished: Path, *, workers: int | None, lock: int) -> None:
    """Makes every clip that is missing, and every shard as soon as it can be."""
    planners = [ShardPlanner(unfinished, s, source.counts[s]) for s in SPLITS]
    _write_shards(planners, unfinished)
    finishing = _finish_clips(source, unfinished, workers=workers, lock=lock)
    with (
        _one_opencv_thread(),
        contextlib.closing(finishing),
        tqdm(
            total=sum(source.counts.values()),
            initial=count_finished(unfinished),
            desc=f"Building {source.config_name}",
            unit="clip",
        ) as progress,
    ):
        for _ in finishing:
            progress.update()
            _write_shards(planners, unfinished)


@contextlib.contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Has clips made as worker processes make them, and puts the threads back."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _write_shards(planners: Iterable[ShardPlanner], unfinished: Path) -> None:
    for planner in planners:
        while plan := planner.next():
            write_shard(unfinished, plan)


def _finish_clips(
    source: Source, unfinished: Path, *, workers: int | None, lock: int
) -> Iterator[Clip]:
    """Makes all missing clips: here, in workers, or first here and then in workers."""
    missing = missing_clips(unfinished, source.counts)
    made = 0
    if workers is None or workers == 1:
        workers = workers or _usable_cores()
        left = 0.0
        while made < len(missing) and (workers == 1 or left < _WORTH_WORKERS):
            start = time.monotonic()
            finish_clip(source, unfinished, *missing[made])
            yield missing[made]
            made += 1
            left = (time.monotonic() - start) * (len(missing) - made)
    if made < len(missing):
        clips = missing[made:]
        yield from make_clips(clips, source, unfinished, workers=workers, lock=lock)


def _complete(source: Source, unfinished: Path, finished: Path) -> None:
    """Turns the unfinished directory into the finished data set."""
    # TFDS takes a moment to import, and workers do without it.
    from data_pipeline.spike_deblur.tfds_metadata import write_tfds_metadata

    if not (unfinished / MANIFEST).exists():
        shards = {split: read_facts(unfinished, split) for split in SPLITS}
        if any(count_clips(shards[s]) != source.counts[s] for s in SPLITS):
            raise OSError(
                f"Clips in {unfinished} are missing after all were made; does another "
                "program write there? The same command makes them again."
            )
        write_tfds_metadata(unfinished, source.config_name, shards)
        versions = json.dumps(software(), indent=1)
        (unfinished / SOFTWARE).write_text(versions + "\n")
        # The last: with it, nothing is made again.
        write_manifest(unfinished, source, shards)
    for name in (CLIPS, SHARDS):
        shutil.rmtree(unfinished / name, ignore_errors=True)
    (unfinished / STATE).unlink(missing_ok=True)
    os.rename(unfinished, finished)
    # Only now: a build that waits would otherwise take up the unfinished directory.
    (finished / LOCK).unlink()
