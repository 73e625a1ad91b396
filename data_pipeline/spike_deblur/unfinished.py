"""The directory of a data set that is being built: one build at a time, resumable."""

import contextlib
import fcntl
import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_pipeline.atomic import new_file, require_writable
from data_pipeline.spike_deblur.clip_files import finished_clips
from data_pipeline.spike_deblur.layout import (
    CLIPS,
    LOCK,
    MANIFEST,
    SHARDS,
    STATE,
    VERSION,
    clip_file,
    unfinished_directory,
)
from data_pipeline.spike_deblur.shards import count_clips, read_facts
from data_pipeline.spike_deblur.source import SPLITS

# The libraries whose versions can change a pixel or a byte.
_LIBRARIES = ("numpy", "opencv-python-headless", "scikit-image", "av", "array_record")


def software() -> dict[str, str]:
    """Returns the versions of what makes clips and files."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    return versions | {name: importlib.metadata.version(name) for name in _LIBRARIES}


@contextlib.contextmanager
def locked_directory(finished: Path) -> Iterator[tuple[Path, int] | None]:
    """Gives the unfinished directory of a data set to this build alone.

    Waits for another build of the same data set. What an earlier build left
    half-written is removed; its finished clips stay where the same software made them.

    Yields:
        The directory and the descriptor of its lock, which worker processes inherit so
        that a later build waits for them too; None where the data set is finished.

    Raises:
        NotADirectoryError, PermissionError: nothing can be written there.
    """
    directory = unfinished_directory(finished)
    if finished.exists():
        with contextlib.suppress(OSError):
            (finished / LOCK).unlink()  # of a build that was killed as it ended
        yield None
        return
    require_writable(directory)
    there = next(p for p in directory.parents if p.exists())
    while not finished.exists():
        directory.mkdir(parents=True, exist_ok=True)
        # Another build may finish or give up the directory at any moment.
        try:
            lock = (directory / LOCK).open("a")
        except FileNotFoundError:
            continue
        with lock:
            _wait_for(lock.fileno(), directory)
            if not _is_same_file(lock.fileno(), directory / LOCK):
                continue
            try:
                _resume(directory)
                yield directory, lock.fileno()
            finally:
                _remove_if_empty(directory, there)
            return
    yield None


def count_finished(directory: Path) -> int:
    """Returns the clips that need not be made again."""
    return sum(
        len(finished_clips(directory, split))
        + count_clips(read_facts(directory, split))
        for split in SPLITS
    )


def missing_clips(directory: Path, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Returns (split, index) of the clips that are still to be made, in order."""
    missing = []
    for split in SPLITS:
        first = count_clips(read_facts(directory, split))
        there = finished_clips(directory, split)
        missing += [(split, i) for i in range(first, counts[split]) if i not in there]
    return missing


def _wait_for(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Waiting for another build in {directory} ...", file=sys.stderr)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _resume(directory: Path) -> None:
    """Brings the directory to a state in which every file of it is whole."""
    if (directory / MANIFEST).exists():
        return  # it only remains to be named
    state: dict[str, Any] = {"version": VERSION, "software": software()}
    path = directory / STATE
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        found = None
    if found != state:
        if found is not None:
            print(
                f"The finished clips in {directory} were made by other versions of the "
                "software; all clips are made again.",
                file=sys.stderr,
            )
        _clear(directory)
        with new_file(path) as file:
            file.write_text(json.dumps(state, indent=2) + "\n")
    for name in (CLIPS, SHARDS):
        (directory / name).mkdir(exist_ok=True)
    for folder in (directory, directory / CLIPS, directory / SHARDS):
        for leftover in folder.glob(".*"):
            leftover.unlink()
    for split in SPLITS:
        in_shards = count_clips(read_facts(directory, split))
        for index in finished_clips(directory, split):
            if index < in_shards:
                clip_file(directory, split, index).unlink()


def _clear(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()


def _remove_if_empty(directory: Path, there: Path) -> None:
    """Leaves no folder behind in which there is no finished clip."""
    if not directory.exists() or (directory / MANIFEST).exists():
        return
    if count_finished(directory):
        return
    shutil.rmtree(directory, ignore_errors=True)
    for folder in directory.parents:
        if folder == there:
            break
        with contextlib.suppress(OSError):
            folder.rmdir()
