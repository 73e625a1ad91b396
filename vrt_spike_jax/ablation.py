"""Runs the trainings of an ablation one after the other, from wherever they stand.

Each is a process of its own: one that runs out of memory or stops at a NaN takes no
other along, and a device has all its memory for each.
"""

import contextlib
import dataclasses
import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree
from tqdm import tqdm

from vrt_spike_jax.atomic_file import replacing

LOG = "log.txt"  # what the process of a training printed
_TIMING = "timing.json"
_PAUSE = 0.2  # seconds between two looks at a training


@dataclasses.dataclass(frozen=True)
class Training:
    """One training, and the command that runs or continues it in its directory."""

    variant: str
    seed: int
    workdir: Path
    command: tuple[str, ...]
    steps: int
    parameters: int  # of the model, frozen ones included

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.variant}-{self.seed}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a training: its results, or one sentence on why there are none."""

    training: Training
    results: Mapping[str, Any] | None = None  # of results.json
    failure: str | None = None
    seconds_per_step: float | None = None  # None where nothing was timed


def training_of(run: Any, workdir: Path, *, launcher: Path, params: PyTree) -> Training:
    """The training of one run of an ablation.

    Args:
      run: with 'variant', 'seed', 'config' and the 'arguments' of its command.
      workdir: of this training alone.
      launcher: launch.py.
      params: its parameters, or their shapes.
    """
    return Training(
        variant=run.variant,
        seed=run.seed,
        workdir=workdir,
        command=(
            *(sys.executable, str(launcher)),
            *(*run.arguments, f"--workdir={workdir}"),
        ),
        steps=run.config.train.steps,
        parameters=sum(x.size for x in jax.tree.leaves(params)),
    )


def run_trainings(trainings: Sequence[Training]) -> list[Outcome]:
    """Runs every training that is not finished; shows a bar over the steps of all.

    A training that was cut is continued, one that failed is tried again, and one that
    another process is at is waited for.

    Raises:
      KeyboardInterrupt: of the user, after the running training has ended.
    """
    left = [t for t in trainings if finished_results(t) is None]
    done = len(trainings) - len(left)
    print(f"trainings   {len(trainings)}, of which {done} are finished", flush=True)
    outcomes = {}
    with tqdm(
        total=sum(t.steps for t in trainings),
        initial=sum(t.steps - _left(t) for t in trainings),
        unit="step",
        mininterval=1.0 if sys.stderr.isatty() else 30.0,
        miniters=0,  # time passes also where no step ends
        smoothing=0.05,
    ) as bar:
        for number, training in enumerate(left, done + 1):
            bar.set_description(f"{training.name} ({number}/{len(trainings)})")
            before = bar.n + _left(training)
            failure = _run(training, bar)
            if failure is not None:
                bar.write(f"{training.name} failed: {failure}")
                outcomes[training] = Outcome(training, failure=failure)
            # What was never reached is not waited for any more.
            bar.update(before - bar.n)
    return [outcomes.get(t) or _outcome(t) for t in trainings]


def finished_results(training: Training) -> dict[str, Any] | None:
    """The results of a training that went all its steps; None of any other."""
    try:
        text = (training.workdir / "results.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    results: dict[str, Any] = json.loads(text)
    return results if results["step"] == training.steps else None


def _outcome(training: Training) -> Outcome:
    steps, seconds = _timing(training)
    return Outcome(
        training,
        results=finished_results(training),
        seconds_per_step=seconds / steps if steps else None,
    )


def _run(training: Training, bar: tqdm) -> str | None:
    """Runs the process of a training; returns why it failed, if it did."""
    training.workdir.mkdir(parents=True, exist_ok=True)
    watch = _Watch(training, bar)
    with contextlib.ExitStack() as stack:
        while (lock := _lock(training.workdir / "lock")) is None:
            bar.set_postfix_str("runs in another process")
            watch.look()
            time.sleep(_PAUSE)
        stack.enter_context(lock)
        if finished_results(training) is not None:  # by that other process
            return None
        log = stack.enter_context((training.workdir / LOG).open("a+", encoding="utf-8"))
        # The lock is held by both: a training whose ablation was killed keeps it.
        child = subprocess.Popen(
            training.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(lock.fileno(),),
        )
        try:
            while child.poll() is None:
                watch.look()
                time.sleep(_PAUSE)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        finally:
            watch.look()
            watch.keep()
    if child.returncode == 130:  # the signal of the terminal reached it first
        raise KeyboardInterrupt
    if child.returncode == 0 and finished_results(training) is not None:
        return None
    return _failure(training, child.returncode)


def _failure(training: Training, code: int) -> str:
    path = training.workdir / LOG
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}, as when memory runs out; see {path}"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "no word of why")
    return last.removeprefix("launch.py: error: ").strip()


def _lock(path: Path) -> Any:
    """The open file of a lock, or None where another process holds it."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class _Watch:
    """Follows a training by its metrics.jsonl: moves the bar, and takes the time."""

    def __init__(self, training: Training, bar: tqdm) -> None:
        self._training, self._bar = training, bar
        self._step, _ = _reached(training)
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def look(self) -> None:
        """Takes what was written since it was looked at before."""
        step, written = _reached(self._training)
        self._bar.update(step - self._step)  # back to the checkpoint that is continued
        if step > self._step:
            if self._first is None:
                self._first = step, written  # what came before holds the compilation
            self._last = step, written
            is_last = step == self._training.steps
            self._bar.set_postfix_str("evaluating" if is_last else f"step {step}")
        self._step = step

    def keep(self) -> None:
        """Adds what was timed to what was timed before the training was cut."""
        if self._first is None or self._last is None:
            return
        steps, seconds = _timing(self._training)
        steps += self._last[0] - self._first[0]
        seconds += self._last[1] - self._first[1]
        with replacing(self._training.workdir / _TIMING) as temporary:
            temporary.write_text(json.dumps({"steps": steps, "seconds": seconds}))


def _timing(training: Training) -> tuple[int, float]:
    """Steps that were timed, and the seconds that they took."""
    try:
        found = json.loads((training.workdir / _TIMING).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0, 0.0
    return found["steps"], found["seconds"]


def _left(training: Training) -> int:
    return training.steps - _reached(training)[0]


def _reached(training: Training) -> tuple[int, float]:
    """The last step in metrics.jsonl, and when it was written; (0, 0) without one."""
    path = training.workdir / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        written = path.stat().st_mtime
    except FileNotFoundError:
        return 0, 0.0
    for line in reversed(lines):
        with contextlib.suppress(ValueError):  # a line that is being written
            return int(json.loads(line)["step"]), written
    return 0, 0.0
