"""Forward time of this repository's VRT and of the public PyTorch one, in turns.

  python -m benchmarks.vrt_reference.timing --vrt CHECKOUT --torch_python PYTHON \\
      [--sizes 6x64x64 6x128x128] [--rounds 5] [--cores 2] [--malloc plain kept]

Both sides, on the same seeded float32 weights and clip, stay loaded and take turns, one
forward pass each a round, so that what else the machine does falls on both. Compiling
and a first pass come before and are reported apart. `--malloc kept` starts both sides
with the glibc settings that launch.py gives its users, `plain` without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import launch

HERE = Path(__file__).resolve().parent
# Threads that still spin from the turn before come to rest.
_PAUSE = 0.5


class Side:
    """A process of one side, and its answers."""

    def __init__(self, command: list[str], environment: dict[str, str], cores: int):
        self._process = subprocess.Popen(
            ["taskset", "-c", f"0-{cores - 1}", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=HERE.parents[1],
            env=environment,
            text=True,
        )
        self.about = self._answer()

    def ask(self, **command: Any) -> float:
        """Sends a command; the seconds it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def stop(self) -> None:
        """Ends the process, whose input ends."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a side ended without an answer; its message is above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def start_sides(options: argparse.Namespace, malloc: str) -> tuple[Side, Side]:
    """Both processes, with or without the settings of launch.py."""
    environment = dict(os.environ)
    environment.pop("GLIBC_TUNABLES", None)
    if malloc == "kept":
        environment["GLIBC_TUNABLES"] = ":".join(
            f"glibc.malloc.{setting}" for setting in launch._MALLOC_SETTINGS
        )
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(options.cores)
    # Compiled anew each time: its time is reported.
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    environment["JAX_PLATFORMS"] = "cpu"
    ours = [sys.executable, "-m", "benchmarks.vrt_reference.our_side"]
    theirs = [options.torch_python, str(HERE / "torch_side.py")]
    return (
        Side([*ours, "deblur", options.overrides], environment, options.cores),
        Side([*theirs, str(options.vrt), "006"], environment, options.cores),
    )


def time_size(
    ours: Side, theirs: Side, size: str, rounds: int, folder: Path
) -> dict[str, Any]:
    """Runs one size in turns; seconds, ratios and the difference of the outputs."""
    d, h, w = (int(length) for length in size.split("x"))
    task = {"prepare": [1, d, 3, h, w], "parameters": theirs.about["parameters"]}
    prepared = ours.ask(**task)
    theirs.ask(**task)
    outputs = [folder / "ours.npy", folder / "theirs.npy"]
    first = [
        side.ask(run=str(path))
        for side, path in zip((ours, theirs), outputs, strict=True)
    ]
    difference = np.abs(np.load(outputs[0]) - np.load(outputs[1]))
    seconds: list[list[float]] = [[], []]
    for turn in range(rounds):
        # Who goes first changes from round to round.
        for index in (0, 1) if turn % 2 == 0 else (1, 0):
            time.sleep(_PAUSE)
            seconds[index].append((ours, theirs)[index].ask(run=None))
    middle = [statistics.median(values) for values in seconds]
    best = [min(values) for values in seconds]
    return {
        "size": size,
        "compile": prepared,
        "first": first,
        "ours": seconds[0],
        "pytorch": seconds[1],
        "median": middle,
        "ratio_of_medians": middle[0] / middle[1],
        "ratio_of_minima": best[0] / best[1],
        "largest_difference": float(difference.max()),
        "median_difference": float(np.median(difference)),
    }


def report(result: dict[str, Any]) -> str:
    """The result as two lines."""
    ours, theirs = (
        " ".join(f"{value:.2f}" for value in result[side])
        for side in ("ours", "pytorch")
    )
    return (
        f"{result['malloc']} {result['size']}: ours / PyTorch "
        f"{result['ratio_of_medians']:.2f} (medians {result['median'][0]:.2f} s and "
        f"{result['median'][1]:.2f} s), {result['ratio_of_minima']:.2f} (minima); "
        f"compiled in {result['compile']:.0f} s; outputs differ by at most "
        f"{result['largest_difference']:.1e}, in the median "
        f"{result['median_difference']:.1e}\n  ours {ours}\n  PyTorch {theirs}"
    )


def main() -> None:
    """Times every size under every setting; prints, and writes JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vrt", type=Path, required=True)
    parser.add_argument("--torch_python", required=True)
    parser.add_argument("--sizes", nargs="+", default=["6x64x64", "6x128x128"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--malloc", nargs="+", choices=("plain", "kept"), default=["plain", "kept"]
    )
    parser.add_argument("--overrides", default="{}", help="arguments of VRT, as JSON")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    options = parser.parse_args()
    results = []
    for malloc in options.malloc:
        sides = start_sides(options, malloc)
        for side in sides:
            about = {k: v for k, v in side.about.items() if k != "parameters"}
            print(", ".join(f"{key} {value}" for key, value in about.items()))
        with tempfile.TemporaryDirectory() as folder:
            for size in options.sizes:
                result = time_size(*sides, size, options.rounds, Path(folder))
                results.append({"malloc": malloc, **result})
                print(report(results[-1]), flush=True)
        for side in sides:
            side.stop()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
