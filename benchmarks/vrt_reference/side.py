"""One side of the timing: a process that keeps its model and runs it on command.

Started by `timing.py`, never by hand. It reads one JSON object a line: {"prepare":
[n, d, c, h, w], "parameters": official names to shapes} makes the forward pass ready,
{"run": FILE or null} runs it once and writes the output. Either is answered by the
seconds it took, writing apart.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

SEED = 7
# Takes the shape of the clip and the parameters; returns the pass, ready to run.
Prepare = Callable[[list[int], dict[str, list[int]]], Callable[[], np.ndarray]]


def claim_stdout() -> TextIO:
    """The stream of the answers; what libraries print goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return answers


def serve(answers: TextIO, about: dict[str, Any], prepare: Prepare) -> None:
    """Answers commands until stdin ends; the first answer is `about`."""
    print(json.dumps(about), file=answers)
    forward: Callable[[], np.ndarray] | None = None
    for line in sys.stdin:
        command = json.loads(line)
        start = time.perf_counter()
        if "prepare" in command:
            forward = prepare(command["prepare"], command["parameters"])
            seconds = time.perf_counter() - start
        else:
            assert forward is not None, "run before prepare"
            output = forward()
            seconds = time.perf_counter() - start
            if command["run"]:
                np.save(command["run"], output)
        print(json.dumps({"seconds": seconds}), file=answers)


def about_process() -> dict[str, Any]:
    """What both sides report alike."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", ""),
    }
