"""Clips a second of a build: one process, several, and threads of one.

  python -m benchmarks.data_pipeline.building [--workers 2] [--clips 16]

Three kinds of source: the embedded photographs (drawn and simulated), a video
(decoded, moved along its flow, simulated), and a folder of streams and pictures (read).
Each build starts from nothing and ends with the finished data set; starting the workers
counts.
The threads are here for comparison, a build has none.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from configs import base
from data_pipeline.prepare_options import parse
from data_pipeline.prepare_sources import find_source
from data_pipeline.spike_dat import write_dat
from data_pipeline.spike_deblur import Source, build
from data_pipeline.spike_deblur.clip_files import finish_clip
from data_pipeline.video_files import write_video


def sources(folder: Path, clips: int) -> Iterator[Source]:
    """The three kinds, with about `clips` clips each."""
    embedded = base.get_config("tiny").data.embedded.to_dict()
    embedded.update(train_clips=clips, test_clips=1, spike_scale=1)
    given = [f"--{name}={value}" for name, value in embedded.items()]
    yield _source("--source=embedded", *given)

    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(
        rng.integers(0, 256, (240, 4000, 3), np.uint8), (0, 0), 3
    )
    frames = [picture[:, 2 * t : 2 * t + 320] for t in range(24 * clips)]
    write_video(folder / "a.mp4", np.stack(frames), fps=120)
    video = ("--source=video", "--layout=records", "--num_frames=3", "--test_clips=1")
    yield _source(*video, f"--input={folder / 'a.mp4'}")

    for index in range(clips + 1):
        stem = folder / "zoo" / f"{index:04d}"
        stem.parent.mkdir(exist_ok=True)
        stream = (rng.random((301, 250, 400)) < 0.3).astype(np.uint8)
        write_dat(stem.with_suffix(".dat"), stream)
        grey = rng.integers(0, 256, (250, 400), np.uint8)
        cv2.imwrite(str(stem.with_suffix(".png")), grey)
    yield _source("--source=spike_zoo", f"--input={folder / 'zoo'}", "--test_clips=1")


def threads(source: Source, folder: Path, workers: int) -> float:
    """Clips a second of threads that finish all clips of the source."""
    (folder / "clips").mkdir(parents=True)
    every = [(s, i) for s, count in source.counts.items() for i in range(count)]
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda clip: finish_clip(source, folder, *clip), every))
    return len(every) / (time.perf_counter() - start)


def processes(source: Source, folder: Path, workers: int) -> float:
    """Clips a second of a whole build."""
    start = time.perf_counter()
    build(folder, source, workers=workers)
    return sum(source.counts.values()) / (time.perf_counter() - start)


def _source(*arguments: str) -> Source:
    source, _ = find_source(parse(["--output=unused", *arguments], None))
    return source


def main() -> None:
    """Prints a line for each source."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--clips", type=int, default=16)
    options = parser.parse_args()
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as folder:
        for source in sources(Path(folder), options.clips):
            one, several, threaded = (
                way(source, Path(folder, str(next(numbers))), workers)
                for way, workers in (
                    (processes, 1),
                    (processes, options.workers),
                    (threads, options.workers),
                )
            )
            print(
                f"{source.name}: {one:.2f} clips/s, {options.workers} processes "
                f"{several:.2f} ({several / one:.2f} times), as many threads "
                f"{threaded:.2f} ({threaded / one:.2f} times)"
            )


if __name__ == "__main__":
    main()
