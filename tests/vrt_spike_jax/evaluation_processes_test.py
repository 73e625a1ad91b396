"""Two real processes that share an evaluation write the bytes of one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0  # seconds until a process counts as hung

# Arguments: number of processes, own number, port, folder, clip at which to be killed.
_WORKER = """
import os, sys
import jax
count, own, port, folder, cut = *map(int, sys.argv[1:4]), sys.argv[4], int(sys.argv[5])
if count > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", count, own)
import numpy as np
from ml_collections import ConfigDict
from stand_ins import Restore
from vrt_spike_jax.evaluation_run import evaluate_run

class Clips:
    def __len__(self):
        return 5
    def __getitem__(self, index):
        if index == cut:
            os._exit(9)
        print("reads", index)
        rng = np.random.default_rng(index)
        sharp, blur = rng.random((2, 3, 32, 32, 3), np.float32)
        rates = rng.random((3, 32, 32), np.float32)
        moving = rng.random((3, 32, 32)) < 0.2
        return dict(name=f"clip-{index}", sharp=sharp, blur=blur, moving=moving,
                    tfp_short=rates, tfp_long=rates)

config = ConfigDict({"eval": {
    "tile": (3, 32, 32), "overlap": (1, 8, 8), "tiling": "blended",
    "metrics": ("psnr", "ssim", "psnr_moving", "ssim_moving"),
    "lpips_alex": (), "lpips_vgg": ()}})
evaluate_run(config, folder, model=Restore(), params={}, test_clips=Clips(), step=1)
"""


def start(processes: int, folder: Path, cut: int = -1) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
    return [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER]
            + [str(x) for x in (processes, own, port, folder, cut)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own in range(processes)
    ]


def outputs_of(workers: list[subprocess.Popen]) -> list[str]:
    found = [worker.communicate(timeout=PATIENCE) for worker in workers]
    for worker, (_, errors) in zip(workers, found, strict=True):
        assert worker.returncode == 0, errors
    return [output for output, _ in found]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_two_processes_share_the_clips_and_write_the_bytes_of_one(
    tmp_path: Path,
) -> None:
    outputs_of(start(1, tmp_path / "one"))
    first, second = outputs_of(start(2, tmp_path / "two"))
    reads = [
        [line.split()[1] for line in output.splitlines() if line.startswith("reads")]
        for output in (first, second)
    ]
    assert reads == [["0", "2", "4"], ["1", "3"]]
    assert "blurred" in first
    assert "blurred" not in second  # the first alone prints and writes
    assert bytes_of(tmp_path / "two") == bytes_of(tmp_path / "one")


@pytest.mark.slow
def test_what_a_killed_process_left_is_continued_by_more_of_them(
    tmp_path: Path,
) -> None:
    outputs_of(start(1, tmp_path / "whole"))
    (killed,) = start(1, tmp_path / "cut", cut=3)
    killed.communicate(timeout=PATIENCE)
    assert killed.returncode == 9
    first, second = outputs_of(start(2, tmp_path / "cut"))
    reads = [line for line in (first + second).splitlines() if "reads" in line]
    assert sorted(reads) == ["reads 3", "reads 4"]
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")
