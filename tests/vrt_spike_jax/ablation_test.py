"""Running trainings that stand in for real ones: a short script each."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from vrt_spike_jax.ablation import LOG, Training, finished_results, run_trainings

# Writes a line of metrics.jsonl a step, from wherever it stands, then the results.
TRAIN = """
import json, os, pathlib, sys, time
workdir, steps, pause = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
log = workdir / "metrics.jsonl"
lines = log.read_text().splitlines() if log.exists() else []
with (workdir / "begun").open("a") as file:
    file.write(f"{len(lines)}\\n")
for step in range(len(lines) + 1, steps + 1):
    time.sleep(pause)
    with log.open("a") as file:
        file.write(json.dumps({"step": step}) + "\\n")
(workdir / "results.json").write_text(json.dumps({"rows": [], "step": steps}))
"""


def training(folder, name="film", *, steps=4, pause=0.0, code=TRAIN):
    workdir = folder / f"{name}-0"
    command = (sys.executable, "-c", code, str(workdir), str(steps), str(pause))
    return Training(name, 0, workdir, command, steps, 10)


def begun(run):
    return (run.workdir / "begun").read_text().split()


def test_every_training_runs_once_and_leaves_its_results(tmp_path, capsys):
    runs = [training(tmp_path, name) for name in ("baseline", "film")]
    outcomes = run_trainings(runs)
    assert [o.training for o in outcomes] == runs
    assert [o.results["step"] for o in outcomes] == [4, 4]
    assert [o.failure for o in outcomes] == [None, None]
    assert "2, of which 0 are finished" in capsys.readouterr().out
    again = run_trainings(runs)
    assert [o.results for o in again] == [o.results for o in outcomes]
    assert [begun(run) for run in runs] == [["0"], ["0"]]
    assert "2, of which 2 are finished" in capsys.readouterr().out


def test_a_training_that_was_cut_goes_on_from_where_it_stood(tmp_path):
    run = training(tmp_path)
    run.workdir.mkdir()
    lines = [json.dumps({"step": step}) + "\n" for step in (1, 2)]
    (run.workdir / "metrics.jsonl").write_text("".join(lines))
    (outcome,) = run_trainings([run])
    assert outcome.results is not None
    assert begun(run) == ["2"]


def test_results_of_fewer_steps_are_not_finished(tmp_path):
    run = training(tmp_path)
    assert finished_results(run) is None
    run.workdir.mkdir()
    (run.workdir / "results.json").write_text(json.dumps({"rows": [], "step": 3}))
    assert finished_results(run) is None


def test_one_that_fails_says_why_and_takes_no_other_along(tmp_path, capsys):
    stop = 'print("launch.py: error: training stopped: the loss is nan."); exit(2)'
    killed = "import os; os.kill(os.getpid(), 9)"
    runs = [
        training(tmp_path, "nan", code=stop),
        training(tmp_path, "memory", code=killed),
        training(tmp_path, "silent", code="exit(3)"),
        training(tmp_path, "film"),
    ]
    outcomes = run_trainings(runs)
    assert outcomes[0].failure == "training stopped: the loss is nan."
    assert "ended by SIGKILL" in outcomes[1].failure
    assert str(runs[1].workdir / LOG) in outcomes[1].failure
    assert outcomes[2].failure == "no word of why"
    assert outcomes[3].failure is None
    assert outcomes[3].results["step"] == 4
    assert "nan-0 failed: training stopped" in capsys.readouterr().out


def test_one_that_failed_is_tried_again(tmp_path):
    assert run_trainings([training(tmp_path, code="exit(2)")])[0].failure
    assert run_trainings([training(tmp_path)])[0].failure is None


def test_the_time_of_a_step_leaves_out_what_comes_before_the_first(tmp_path):
    slow_start = "import time; time.sleep(6)\n" + TRAIN
    (outcome,) = run_trainings(
        [training(tmp_path, steps=5, pause=0.4, code=slow_start)]
    )
    # With the six seconds before the first of five steps it would be 1.6 or more.
    assert 0.3 < outcome.seconds_per_step < 1.4


def test_a_training_that_another_process_is_at_is_waited_for(tmp_path):
    run = training(tmp_path, steps=3, pause=0.3)
    run.workdir.mkdir()
    holder = textwrap.dedent(
        """
        import fcntl, subprocess, sys
        lock = open(sys.argv[1], "a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        print("locked", flush=True)
        subprocess.run(sys.argv[2:], check=True)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(run.workdir / "lock"), *run.command],
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        (outcome,) = run_trainings([run])
    assert outcome.results is not None
    assert begun(run) == ["0"]


def test_a_killed_ablation_leaves_its_training_locked(tmp_path):
    """So that the next one does not train into the same directory beside it."""
    run = training(tmp_path, steps=4, pause=0.5)
    code = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from vrt_spike_jax.ablation import Training, run_trainings
        command = tuple(sys.argv[2:])
        run_trainings([Training("film", 0, Path(sys.argv[1]), command, {run.steps}, 1)])
        """
    )
    ablation = subprocess.Popen(
        [sys.executable, "-c", code, str(run.workdir), *run.command],
        cwd=Path(__file__).resolve().parents[2],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (run.workdir / "metrics.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(ablation.pid, signal.SIGKILL)
    ablation.wait()
    with (run.workdir / "lock").open("a") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (outcome,) = run_trainings([run])
    assert outcome.results is not None
    assert begun(run) == ["0"]
    lines = (run.workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
