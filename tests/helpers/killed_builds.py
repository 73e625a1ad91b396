"""Kills a build before each of its file operations in turn, and resumes it every time.

    python killed_builds.py EMPTY_FOLDER

Prints how often it killed. Fails unless every resumed build gives the same files as one
that was never killed. A process of its own, as it forks.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from data_pipeline.sources import embedded
from data_pipeline.spike_deblur import Source, build, shards

# What makes, moves or removes a file or a folder.
OPERATIONS = ("mkdir", "replace", "rename", "unlink", "rmdir", "fsync")
SETTINGS: dict[str, Any] = {
    "train_clips": 3,
    "test_clips": 1,
    "num_frames": 1,
    "height": 32,
    "width": 32,
    "exposure": 5,
    "period": 6,
    "spike_scale": 1,
    "threshold": 1.0,
    "gain": 1.0,
    "max_blur": 2.0,
    "seed": 0,
}


def make(split: str, index: int) -> Any:
    """Makes a small clip."""
    return embedded.make_clip(SETTINGS, split, index)


SOURCE = Source(
    name="small",
    version="1",
    settings=SETTINGS,
    counts={"train": 3, "test": 1},
    make=make,
)


def killing(function: Callable[..., Any], countdown: list[int]) -> Callable[..., Any]:
    """The function, before which the process ends when the countdown is over."""

    def killed(*arguments: Any, **options: Any) -> Any:
        countdown[0] -= 1
        if countdown[0] < 0:
            os._exit(9)
        return function(*arguments, **options)

    return killed


def build_killed_at(folder: Path, number: int) -> bool:
    """Builds in a child that ends before an operation; False if there was none."""
    child = os.fork()
    if not child:
        countdown = [number]
        for name in OPERATIONS:
            mock.patch.object(os, name, killing(getattr(os, name), countdown)).start()
        build(folder, SOURCE, workers=1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def files(folder: Path) -> dict[str, bytes]:
    """Name -> content of all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main() -> None:
    """Runs the check."""
    root = Path(sys.argv[1])
    shards.SHARD_BYTES = 20_000  # two clips
    build(root / "whole", SOURCE, workers=1)
    expected = files(root / "whole")
    assert sum("train" in name for name in expected) == 2, list(expected)
    number = 0
    while build_killed_at(root / str(number), number):
        build(root / str(number), SOURCE, workers=1)
        assert files(root / str(number)) == expected, f"killed before {number}"
        number += 1
    assert files(root / str(number)) == expected
    print(number)


if __name__ == "__main__":
    main()
