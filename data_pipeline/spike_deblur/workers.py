"""Clips made by several processes at once, a clip in each of them at a time.

Threads would wait for each other: on two cores they make no more clips than one, and
two processes make twice as many (benchmarks/data_pipeline/building.py).
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_pipeline.spike_deblur.source import Source

Clip = tuple[str, int]  # split, index


def make_clips(
    clips: Iterable[Clip],
    source: Source,
    unfinished: Path,
    *,
    workers: int,
    lock: int,
) -> Iterator[Clip]:
    """Has worker processes finish clips, and yields each when its file is there.

    The clips are taken up in their order, and no more of them than there are workers,
    so memory and what is lost when a worker fails stay bounded. When the iterator is
    closed or a clip fails, the workers are stopped.

    Args:
        clips: to finish.
        source: of the clips; it is sent to the workers.
        unfinished: directory of the data set that is being built.
        workers: processes.
        lock: descriptor of the lock of the directory, which they inherit.

    Raises:
        ValueError, OSError: a clip cannot be made; the error is that of the clip.
        ChildProcessError: a worker ended before its clip.
        RuntimeError: a worker met an error that has no sentence.
    """
    waiting = iter(clips)
    done: queue.SimpleQueue[tuple[Clip, Future[None]]] = queue.SimpleQueue()
    idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
    processes: list[subprocess.Popen[bytes]] = []
    pool = ThreadPoolExecutor(workers)
    running = 0
    try:
        for _ in range(workers):
            processes.append(_start(lock))
            _send(processes[-1], (source, unfinished.resolve()))
            idle.put(processes[-1])
        while True:
            for clip in _take(waiting, workers - running):
                future = pool.submit(_finish, idle, clip)
                future.add_done_callback(
                    lambda future, clip=clip: done.put((clip, future))
                )
                running += 1
            if not running:
                return
            clip, future = done.get()
            running -= 1
            future.result()
            yield clip
    finally:
        for process in processes:
            process.kill()
        pool.shutdown()
        for process in processes:
            _close(process)


def _take(waiting: Iterator[Clip], count: int) -> Iterator[Clip]:
    for _, clip in zip(range(count), waiting, strict=False):
        yield clip


def _start(lock: int) -> "subprocess.Popen[bytes]":
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return subprocess.Popen(
        [sys.executable, "-m", "data_pipeline.spike_deblur.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[lock],
        env=os.environ | {"PYTHONPATH": paths},
    )


def _send(process: "subprocess.Popen[bytes]", request: Any) -> None:
    data = pickle.dumps(request)
    assert process.stdin is not None
    # Whether a worker is still there shows when it should answer.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(data)
        process.stdin.flush()


def _finish(idle: Any, clip: Clip) -> None:
    """Has an idle worker finish a clip; raises the error that it met."""
    process = idle.get()
    try:
        _send(process, clip)
        error = pickle.load(process.stdout)
    except (EOFError, OSError, pickle.UnpicklingError):
        code = process.wait()
        raise ChildProcessError(
            f"The worker that made clip {clip[1]} of {clip[0]} ended with code {code}; "
            "where memory ran out, take fewer workers."
        ) from None
    finally:
        idle.put(process)
    if error is not None:
        raise error


def _close(process: "subprocess.Popen[bytes]") -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(OSError):
            stream.close()
    process.wait()
