"""Kills trainings at random moments and compares what they end in with one left alone.

  python -m benchmarks.kill.kill [--processes=1|2] [--kills=20] [--seed=0] [--keep=DIR]

A run is killed with SIGKILL while it starts, in a step, while a checkpoint is written
and in an evaluation, each time at a random moment, and started again after each; of two
processes, one by chance is killed, and the other must end by itself. What every run
ends in, parameters of both processes, metrics.jsonl, and the rows of results.json, must
be that of a run that nobody touched, bit for bit. Prints a line for every kill, and a
table; ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.kill.small_training import PATIENCE, start

MOMENTS = ("start", "step", "save", "evaluation")
SETTINGS = {"steps": 40, "checkpoint_every": 4, "eval_every": 16, "pause": 0.03}
TRY_AGAIN = 75
KILLED = (-9, 137)


@dataclasses.dataclass
class Kill:
    """One kill, and what was found on the disk just after it."""

    moment: str
    step: int  # of the newest line of metrics.jsonl
    checkpoint: int  # step of the newest whole one
    half_written: bool  # whether there was an unfinished checkpoint
    evaluating: bool  # whether there was an unfinished evaluation
    seconds: float  # until the other process had ended by itself

    def __str__(self) -> str:
        found = [f"step {self.step:2d}, checkpoint {self.checkpoint:2d}"]
        found += ["half-written checkpoint"] * self.half_written
        found += ["unfinished evaluation"] * self.evaluating
        if self.seconds:
            found.append(f"the other ended after {self.seconds:.1f} s")
        return f"{self.moment:10s} {'; '.join(found)}"


class Run:
    """A training in a work directory, as several commands one after the other."""

    def __init__(self, workdir: Path, processes: int) -> None:
        workdir.mkdir(parents=True)
        self.workdir = workdir
        self.processes = processes
        self.log = workdir.with_suffix(".log")
        self.workers: list[subprocess.Popen[str]] = []
        self._begin = 0

    def start(self) -> None:
        """Starts all processes."""
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        self.workers = start(
            1,
            processes=self.processes,
            log=self.log,
            workdir=str(self.workdir),
            clips=4,
            **SETTINGS,
        )

    def finish(self) -> None:
        """Waits for all processes, which must end well."""
        codes = [worker.wait(timeout=PATIENCE) for worker in self.workers]
        if any(codes):
            raise RuntimeError(f"exit codes {codes}; see {self.log}")

    def lines(self) -> int:
        """Of metrics.jsonl, one a step."""
        return _count_lines(self.workdir / "metrics.jsonl")

    def checkpoint(self) -> int:
        """The step of the newest whole checkpoint."""
        names = [path.name for path in self._checkpoints()]
        return max([int(name) for name in names if name.isdecimal()], default=0)

    def is_saving(self) -> bool:
        """Whether a checkpoint is half-written."""
        return any("tmp" in path.name for path in self._checkpoints())

    def is_evaluating(self) -> bool:
        """Whether an evaluation has begun and not ended."""
        return (self.workdir / "unfinished_evaluation").is_dir()

    def has_begun(self) -> bool:
        """Whether the command that runs has come to its training."""
        with self.log.open() as log:
            log.seek(self._begin)
            return "work dir" in log.read()

    def outcome(self) -> dict[str, object]:
        """What must not depend on how often it was killed."""
        results = json.loads((self.workdir / "results.json").read_text())
        return {
            "metrics.jsonl": (self.workdir / "metrics.jsonl").read_bytes(),
            "results": results["rows"],
            **{
                f"parameters of process {own}": path.read_bytes()
                for own in range(self.processes)
                for path in [self.workdir / f"params_{own}.npy"]
            },
        }

    def _checkpoints(self) -> list[Path]:
        folder = self.workdir / "checkpoints"
        return list(folder.iterdir()) if folder.is_dir() else []


def main() -> int:
    """Runs the command; 1 where a run ended in something else."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a new folder for all runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        return kill_all(folder, options.processes, options.kills, options.seed)


def kill_all(folder: Path, processes: int, kills: int, seed: int) -> int:
    """Kills runs until there are enough; prints what was found, returns a code."""
    rng = random.Random(seed)
    alone = Run(folder / "alone", processes)
    alone.start()
    alone.finish()
    expected = alone.outcome()
    done: list[Kill] = []
    runs = differing = 0
    while len(done) < kills:
        run = Run(folder / f"run_{runs}", processes)
        run.start()
        for moment in MOMENTS:
            if len(done) == kills:
                break
            if not wait_for(run, moment, rng):
                continue  # it came to its end before
            done.append(kill(run, moment, rng))
            print(f"kill {len(done):2d}  run {runs}  {done[-1]}", flush=True)
            run.start()
        run.finish()
        outcome = run.outcome()
        wrong = [name for name in expected if outcome[name] != expected[name]]
        differing += bool(wrong)
        verdict = f"differs in {', '.join(wrong)}" if wrong else "equal bit for bit"
        print(f"run {runs} ended, {verdict}", flush=True)
        runs += 1
    print(table(done, processes, runs, differing))
    return int(differing > 0)


def wait_for(run: Run, moment: str, rng: random.Random) -> bool:
    """Returns at a random time in the moment; False where the run ended before it."""
    ahead = run.checkpoint() + rng.randint(1, 10)
    conditions: dict[str, tuple[Callable[[], bool], float]] = {
        "start": (run.has_begun, 2.0),
        "step": (lambda: run.lines() > ahead, 0.05),
        "save": (lambda: run.checkpoint() >= ahead - 1 and run.is_saving(), 0.03),
        "evaluation": (run.is_evaluating, 1.0),
    }
    reached, spread = conditions[moment]
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{moment} never came; see {run.log}")
        if any(worker.poll() is not None for worker in run.workers):
            return False
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, spread))
    return all(worker.poll() is None for worker in run.workers)


def kill(run: Run, moment: str, rng: random.Random) -> Kill:
    """Kills one process; returns when all have ended."""
    victim = rng.choice(run.workers)
    victim.kill()
    begin = time.monotonic()
    seconds = 0.0
    for worker in run.workers:
        code = worker.wait(timeout=PATIENCE)
        allowed = KILLED if worker is victim else (TRY_AGAIN,)
        if code not in allowed:
            raise RuntimeError(f"exit code {code}, not of {allowed}; see {run.log}")
        if worker is not victim:
            seconds = time.monotonic() - begin
    return Kill(
        moment,
        run.lines(),
        run.checkpoint(),
        run.is_saving(),
        run.is_evaluating(),
        seconds,
    )


def table(kills: list[Kill], processes: int, runs: int, differing: int) -> str:
    """What was found, in Markdown."""
    times = [kill.seconds for kill in kills]
    count = collections.Counter(kill.moment for kill in kills)
    moments = ", ".join(f"{count[moment]} at {moment}" for moment in MOMENTS)
    rows = [
        ("processes", processes),
        ("kills", f"{len(kills)}: {moments}"),
        ("that left a half-written checkpoint", sum(k.half_written for k in kills)),
        ("that left an unfinished evaluation", sum(k.evaluating for k in kills)),
        ("runs that ended in other bits", f"{differing} of {runs}"),
    ]
    if processes > 1:
        rows.append(("seconds until the other had ended, at most", f"{max(times):.1f}"))
    return "\n".join(
        ["", "| what | found |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    )


def _count_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
