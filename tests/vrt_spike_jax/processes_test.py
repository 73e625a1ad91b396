"""Processes that share a run train as one does, and one that is lost ends the others.

They are real ones, on the CPU, and so are their signals and exit codes.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kill.small_training import ends, losses, start
from configs.distributed import HEARTBEAT_SECONDS
from vrt_spike_jax.checkpoint import newest_step

# Of losses around 0.1: sums over devices are taken in another order.
TOLERANCE = {"rtol": 2e-5, "atol": 0.0}


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    """The work directory of a process with one device."""
    workdir = tmp_path_factory.mktemp("one")
    assert ends(start(1, workdir=str(workdir), steps=8))[0][0] == 0
    assert len(losses(workdir)) == 8
    return workdir


def test_eight_devices_train_as_one(one, tmp_path):
    ((code, error),) = ends(start(8, workdir=str(tmp_path), steps=8))
    assert code == 0, error
    np.testing.assert_allclose(losses(tmp_path), losses(one), **TOLERANCE)


@pytest.mark.parametrize("fsdp", [1, 2])
def test_two_processes_with_four_devices_each_train_as_one(one, tmp_path, fsdp):
    settings = {"workdir": str(tmp_path), "steps": 8, "fsdp": fsdp}
    for code, error in ends(start(4, processes=2, **settings)):
        assert code == 0, error
    np.testing.assert_allclose(losses(tmp_path), losses(one), **TOLERANCE)
    mine, other = (np.load(tmp_path / f"params_{own}.npy") for own in (0, 1))
    np.testing.assert_array_equal(mine, other)
    # Adam divides by the size of a gradient, however small.
    np.testing.assert_allclose(mine, np.load(one / "params_0.npy"), atol=1e-4)
    names = {path.name for path in tmp_path.iterdir()} - {
        "params_0.npy",
        "params_1.npy",
    }
    assert names == {"checkpoints", "metrics.jsonl", "results.json"} | {
        "clips.csv",
        "frames.csv",
    }


def test_all_stop_at_one_step_and_others_go_on_from_it(one, tmp_path):
    def stop(devices, **settings):
        workers = start(devices, workdir=str(tmp_path), steps=8, **settings)
        for code, error in ends(workers):
            assert code == 75, error
            assert "told to stop by SIGTERM: step" in error
        return newest_step(tmp_path / "checkpoints")

    # The signal reaches the second process alone.
    saved = stop(4, processes=2, fsdp=2, stop_in=1, victim=1, pause=0.6)
    assert 1 <= saved <= 5  # they agree in about a second, and stop twice more below
    # From two processes to one, from eight devices to one, and to two.
    assert stop(8, fsdp=4, stop_in=saved + 1) == saved + 1
    assert stop(1, stop_in=saved + 2) == saved + 2
    ((code, error),) = ends(start(2, workdir=str(tmp_path), steps=8))
    assert code == 0, error
    np.testing.assert_allclose(losses(tmp_path), losses(one), **TOLERANCE)


def test_process_that_is_lost_ends_the_others(tmp_path):
    settings = {"workdir": str(tmp_path), "stop_in": 2, "signal": "SIGKILL"}
    workers = start(1, processes=2, victim=1, **settings)
    workers[1].wait()
    begin = time.monotonic()
    workers[0].wait()
    assert time.monotonic() - begin < HEARTBEAT_SECONDS + 15
    other, killed = ends(workers)
    assert killed[0] == 128 + 9
    assert other[0] == 75
    # Behind our sentence JAX may tell that it can no longer ask the other process.
    assert "go on after the last checkpoint." in other[1]
    assert "Traceback" not in other[1]


def test_process_that_fails_ends_the_others(tmp_path):
    settings = {"workdir": str(tmp_path), "fail_in": 2}
    failed, other = ends(start(1, processes=2, **settings))
    assert failed[0] == 2
    assert failed[1].rstrip().endswith("error: the disk of the clips is gone.")
    assert other[0] == 75
    assert "go on after the last checkpoint." in other[1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_process_that_waits_for_no_other_ends_with_a_lost_one(tmp_path, victim):
    """It is told by the heartbeats, as where an accelerator hangs in a collective."""
    log = tmp_path / "log"
    workers = start(1, processes=2, log=log, workdir=str(tmp_path), pause=300.0)
    while "compiling the training step" not in log.read_text():
        assert all(worker.poll() is None for worker in workers), log.read_text()
        time.sleep(0.1)
    workers[victim].kill()
    assert workers[victim].wait() == -9
    begin = time.monotonic()
    assert workers[1 - victim].wait(timeout=120) == 75
    assert time.monotonic() - begin < HEARTBEAT_SECONDS + 15
    assert log.read_text().rstrip().endswith("go on after the last checkpoint.")
