"""Training, evaluating and restoring with other spikes than the charge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import spike_dat
from data_pipeline.video_files import read_video, write_video

ROOT = Path(__file__).resolve().parents[1]
SPIKES = "--config.data.spikes."
# Settings of data.spikes. All but the last are the same program, compiled once.
CASES = {
    "time_surface": ["representation=time_surface", "margin=16"],
    "raw": ["representation=raw", "normalisation=gain_match"],
    "log_standard": ["representation=voxel", "normalisation=log_standard"],
    "low_light": ["representation=voxel", "low_light=True", "margin=8", "dropout=0.1"],
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *arguments],
        cwd=folder,
        # The same programs, compiled in half the time; each runs a few times only.
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the runs: one data set, and a short video with its spikes."""
    folder = tmp_path_factory.mktemp("launch")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 72, 80, 3), np.uint8)
    write_video(folder / "blur", frames, fps=20.0)
    spikes = (rng.random((110, 72, 80)) < 0.3).astype(np.uint8)
    spike_dat.write_dat(folder / "spikes.dat", spikes, flip=True)
    return folder


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("time_surface", marks=pytest.mark.slow),
        pytest.param("raw", marks=pytest.mark.slow),
        "log_standard",
        pytest.param("low_light", marks=pytest.mark.slow),
    ],
)
def test_training_and_what_follows_take_the_same_spikes(
    folder: Path, case: str
) -> None:
    trained = run(
        folder,
        f"--config={ROOT}/configs/cross_attn.py:smoke",
        f"--workdir={folder}/{case}",
        f"--config.data.dir={folder}/data",
        "--config.train.steps=2",
        "--config.optimizer.warmup_steps=1",
        "--config.train.picture_every=0",
        *(f"{SPIKES}{setting}" for setting in CASES[case]),
    )
    assert trained.returncode == 0, trained.stderr
    results = folder / case / "results.json"
    rows = json.loads(results.read_text())["rows"]
    assert np.isfinite([row["psnr"] for row in rows]).all()
    kept = (folder / case / "spike_statistics.json").exists()
    assert kept == (case == "log_standard")
    assert ("measuring the spikes" in trained.stderr) == kept
    if case == "log_standard":
        results.unlink()
        again = run(folder, "--mode=eval", f"--workdir={folder}/{case}")
        assert again.returncode == 0, again.stderr
        assert json.loads(results.read_text())["rows"] == rows
        check_restoring(folder, case)


def check_restoring(folder: Path, case: str) -> None:
    arguments = ["--mode=restore", f"--workdir={folder}/{case}", "--input=blur"]
    arguments += ["--spikes=spikes.dat", "--spike_height=72", "--spike_width=80"]
    arguments += ["--spike_flip=true", "--exposure=0,49,56"]
    done = run(folder, *arguments, "--output=restored")
    assert done.returncode == 0, done.stderr
    assert read_video(folder / "restored")[0].shape == (2, 72, 80, 3)
    (folder / case / "spike_statistics.json").unlink()
    refused = run(folder, *arguments, "--output=again")
    assert refused.returncode == 2
    assert "standardised with; copy it there" in refused.stderr
