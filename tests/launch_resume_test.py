"""The command of the README, killed with SIGKILL and started again: the same result."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from vrt_spike_jax.checkpoint import newest_step, restore_params

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 900.0  # seconds until a command counts as hung


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Shared by the runs of this file: one data set, one cache of compiled programs."""
    return tmp_path_factory.mktemp("launch")


def start(
    folder: Path,
    workdir: Path,
    *settings: str,
    program: str = "launch.py",
    config: str = "cross_attn",
) -> subprocess.Popen:
    return subprocess.Popen(
        [
            sys.executable,
            str(ROOT / program),
            f"--config={ROOT}/configs/{config}.py:smoke",
            f"--workdir={workdir}",
            f"--config.data.dir={folder}/data",
            *settings,
        ],
        cwd=folder,
        # The same programs, compiled in half the time; each runs a few times only.
        env={
            **os.environ,
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "PYTHONPATH": str(ROOT),  # where a program elsewhere finds launch.py
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def wait_until(process: subprocess.Popen, moment: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not moment():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.01)


def kill_when(process: subprocess.Popen, moment: Callable[[], bool]) -> None:
    """Kills the command, unasked, as soon as the moment has come."""
    wait_until(process, moment)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def whole(folder) -> Path:
    """The work directory of a run that nobody disturbed."""
    workdir = folder / "whole"
    output = finish(start(folder, workdir))
    assert "6 steps from the beginning" in output
    assert "closed_form" in output
    return workdir


def params_of(workdir: Path):
    """The newest parameters, in the shapes that the checkpoint itself gives."""
    checkpoints = workdir / "checkpoints"
    path = checkpoints / str(newest_step(checkpoints)) / "params"
    with ocp.StandardCheckpointer() as reader:
        tree = reader.metadata(path).item_metadata.tree
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
    return restore_params(checkpoints, shapes)


def test_killed_run_ends_in_the_same_parameters(folder, whole):
    workdir = folder / "killed"
    checkpoints = workdir / "checkpoints"
    # In the first seconds, before there is anything to continue from.
    kill_when(start(folder, workdir), (workdir / "config.json").exists)
    # While the second checkpoint is being written.
    kill_when(
        start(folder, workdir),
        lambda: (checkpoints / "2").exists() and any(checkpoints.glob("*tmp*")),
    )
    output = finish(start(folder, workdir))
    assert re.search("continued after step [24]", output)

    assert newest_step(checkpoints) == newest_step(whole / "checkpoints") == 6
    jax.tree.map(np.testing.assert_array_equal, params_of(workdir), params_of(whole))
    logs = [(path / "metrics.jsonl").read_text() for path in (workdir, whole)]
    assert logs[0] == logs[1]
    assert [json.loads(line)["step"] for line in logs[0].splitlines()] == [2, 4, 6]
    results = [
        json.loads((path / "results.json").read_text())["rows"]
        for path in (workdir, whole)
    ]
    assert results[0] == results[1]


def test_finished_run_says_so_and_prints_its_table_again(folder, whole):
    before = (whole / "metrics.jsonl").read_bytes(), newest_step(whole / "checkpoints")
    output = finish(start(folder, whole))
    assert "is complete (6 steps)" in output
    assert "closed_form" in output
    after = (whole / "metrics.jsonl").read_bytes(), newest_step(whole / "checkpoints")
    assert after == before


def test_run_leaves_what_it_promises(whole):
    names = {path.name for path in whole.iterdir()}
    files = {"config.json", "metrics.jsonl", "results.json"}
    assert files | {"checkpoints", "pictures"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert any((whole / "pictures").glob("*.png"))


def arrays_of(workdir: Path, part: str):
    """All arrays of one part of the newest checkpoint, as it says itself."""
    checkpoints = workdir / "checkpoints"
    with ocp.StandardCheckpointer() as reader:
        found = reader.restore(checkpoints / str(newest_step(checkpoints)) / part)
    return jax.tree.map(np.asarray, found)


def test_killed_adversarial_run_ends_in_the_same_two_players(folder):
    """Killed where both have learnt; the model is small, all else as it is."""
    steps, own = 40, "--config.loss.adversarial."
    settings = [f"{own}weight=0.1", f"{own}start_step=2", f"{own}warmup_steps=1"]
    settings += [f"{own}width=2", f"--config.train.steps={steps}"]
    settings += ["--config.train.checkpoint_every=4", "--config.train.picture_every=0"]

    def begin(workdir: Path) -> subprocess.Popen:
        program = "tests/helpers/small_launch.py"
        return start(folder, workdir, *settings, program=program, config="baseline")

    whole, workdir = folder / "two_players", folder / "two_players_killed"
    undisturbed = begin(whole)
    # Its data set is built; the next one finds it.
    wait_until(undisturbed, (whole / "config.json").exists)
    checkpoints = workdir / "checkpoints"
    kill_when(begin(workdir), (checkpoints / "4").exists)
    assert newest_step(checkpoints) < steps
    output = finish(begin(workdir))
    assert "continued after step" in output
    finish(undisturbed)

    assert newest_step(checkpoints) == newest_step(whole / "checkpoints") == steps
    for part in ("params", "optimizer", "discriminator"):
        found, wanted = arrays_of(workdir, part), arrays_of(whole, part)
        assert jax.tree.structure(found) == jax.tree.structure(wanted)
        jax.tree.map(np.testing.assert_array_equal, found, wanted)
    # It learnt in every step but the first.
    assert found["opt_state"][0]["count"] == steps - 1
    logs = [(path / "metrics.jsonl").read_text() for path in (workdir, whole)]
    assert logs[0] == logs[1]
    told = [json.loads(line)["discriminator/loss"] for line in logs[0].splitlines()]
    assert len(set(told)) == len(told) == steps / 2
