"""The real recipe in two processes with four devices each, and on one device."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 1800.0  # seconds until a command counts as hung


def start(folder: Path, name: str, devices: int, *options: str) -> subprocess.Popen:
    settings = {
        "data.dir": folder / "data",
        "data.batch_size": 8,
        "data.embedded.train_clips": 8,
        "train.steps": 3,
        "train.log_every": 1,
        "train.picture_every": 0,
    }
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "launch.py"),
            f"--config={ROOT}/configs/baseline.py:smoke",
            f"--workdir={folder / name}",
            *(f"--config.{key}={value}" for key, value in settings.items()),
            *options,
        ],
        cwd=folder,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*commands: subprocess.Popen) -> list[str]:
    outputs = [command.communicate(timeout=PATIENCE)[0] for command in commands]
    for command, output in zip(commands, outputs, strict=True):
        assert command.returncode == 0, output
    return outputs


def losses(folder: Path, name: str) -> list[float]:
    lines = (folder / name / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Holds the data set, and a run on one device."""
    folder = tmp_path_factory.mktemp("launch")
    finish(start(folder, "one", 1))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [1, 2])
def test_two_processes_give_the_losses_of_one_device(folder, fsdp):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = [f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
    first, second = finish(
        *(
            start(
                folder,
                f"two_{fsdp}",
                4,
                f"--config.mesh.fsdp={fsdp}",
                *names,
                f"--process_id={own}",
            )
            for own in (0, 1)
        )
    )
    assert "8 x cpu in 2 processes" in first
    assert "step 3/3" in first
    assert "step" not in second  # the first alone tells about them
    found = losses(folder, f"two_{fsdp}")
    np.testing.assert_allclose(found, losses(folder, "one"), rtol=1e-5)


@pytest.mark.slow
def test_sigterm_ends_with_the_code_to_start_again(folder):
    command = start(folder, "stopped", 1)
    while not (folder / "stopped" / "metrics.jsonl").exists():
        assert command.poll() is None
        time.sleep(0.1)
    command.send_signal(signal.SIGTERM)
    output, _ = command.communicate(timeout=PATIENCE)
    assert command.returncode == 75, output
    assert "launch.py: told to stop by SIGTERM: step 1 of 3 is saved" in output
    finish(start(folder, "stopped", 1))
    assert losses(folder, "stopped") == losses(folder, "one")
