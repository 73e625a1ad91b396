"""--mode=ablate and --mode=robustness, as they are typed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import launch
from configs.ablation import VARIANTS
from configs.load import load_config, write_config
from vrt_spike_jax import ablation
from vrt_spike_jax.ablation import Outcome

ROOT = Path(__file__).resolve().parents[1]
ABLATION = f"{ROOT}/configs/ablation.py"
PATIENCE = 1800.0  # seconds until a command counts as hung


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mode=ablate"], "--mode=ablate needs --config"),
        (["--mode=ablat"], "did you mean 'ablate'?"),
        (["--mode=robustnes"], "did you mean 'robustness'?"),
        ([f"--config={ABLATION}:smoke"], "several trainings; pass --mode=ablate"),
        (
            [f"--config={ROOT}/configs/film.py:smoke", "--mode=ablate"],
            "one training and compares nothing",
        ),
        (
            [f"--config={ABLATION}:smoke", "--mode=ablate"]
            + ["--config.ablation.variants=('crossattn',)"],
            "no variant 'crossattn'; did you mean 'cross_attn'?",
        ),
        (
            # Found before the first variant trains.
            [f"--config={ABLATION}:smoke", "--mode=ablate"]
            + ["--config.ablation.variants=('baseline','x film model.fusion=flim')"],
            "did you mean 'film'?",
        ),
        (
            [f"--config={ABLATION}:smoke", "--mode=ablate", "--distributed"],
            "has no effect in --mode=ablate",
        ),
        (["--mode=robustness", "--workdir=none"], "nothing was trained there"),
        (["--mode=robustness"], "--config is missing"),
        (
            ["--mode=robustness", "--workdir=none", "--config.seed=1"],
            "has no effect in --mode=robustness",
        ),
    ],
)
def test_mistake_is_one_sentence(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert launch.main(arguments) == 2
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert sentence in line
    assert output.out == ""
    assert list(tmp_path.iterdir()) == []


def test_robustness_of_a_model_without_spikes_is_refused(capsys, tmp_path):
    config = load_config(f"{ROOT}/configs/baseline.py:smoke")
    write_config(tmp_path / "config.json", config)
    assert launch.main(["--mode=robustness", f"--workdir={tmp_path}"]) == 2
    assert "takes no spikes, so nothing about them" in capsys.readouterr().err


def test_every_variant_is_checked_before_the_first_is_trained(tmp_path, monkeypatch):
    """The rows of the table are the models that it names."""
    seen = []

    def note(trainings):
        seen.extend(trainings)
        return [Outcome(training, failure="not now") for training in trainings]

    monkeypatch.setattr(ablation, "run_trainings", note)
    arguments = [f"--config={ABLATION}:smoke", "--mode=ablate"]
    arguments += [f"--workdir={tmp_path}/a", "--config.ablation.seeds=(7,)"]
    assert launch.main(arguments) == 1
    assert [training.name for training in seen] == [f"{name}-7" for name in VARIANTS]
    sizes = {training.variant: training.parameters for training in seen}
    assert all(sizes[name] > sizes["baseline"] for name in ("film", "concat"))
    assert sizes["cross_attn_skips"] < sizes["cross_attn"]
    assert sizes["guided_alignment_alone"] < sizes["guided_alignment"]
    for training in seen:
        assert training.workdir == tmp_path / "a" / training.name
        assert training.command[-1] == f"--workdir={training.workdir}"
        assert training.steps == 6


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), *arguments],
        cwd=folder,
        # The same programs, compiled in half the time; each runs a few times only.
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_an_ablation_is_killed_continued_and_tabled(tmp_path):
    """A variant whose loss is NaN stands in its row; the others have their numbers."""
    wild = "optimizer.learning_rate=1e30 optimizer.grad_clip_norm=1e30"
    arguments = (
        f"--config={ABLATION}:smoke",
        "--mode=ablate",
        f"--workdir={tmp_path}/runs",
        f"--config.data.dir={tmp_path}/data",
        "--config.ablation.seeds=(4,)",
        f"--config.ablation.variants=('baseline','nan film {wild}','film')",
    )
    first = start(tmp_path, *arguments)
    own = tmp_path / "runs" / "baseline-4"
    deadline = time.monotonic() + PATIENCE
    while not (own / "checkpoints" / "2").exists():
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()

    second = start(tmp_path, *arguments)
    output, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 1, output  # one of them failed
    assert "nan-4 failed: training stopped: at step" in output
    assert "continued after step" in (own / "log.txt").read_text()
    report = tmp_path / "runs" / "report"
    assert {path.suffix for path in report.iterdir()} == {".csv", ".md", ".png"}
    with (report / "ablation.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["blurred", "closed_form", "baseline", "nan", "film"]
    assert "the loss is" in rows["nan"]["failures"]
    assert rows["nan"]["psnr"] == ""
    for name in ("baseline", "film"):
        results = json.loads(
            (tmp_path / "runs" / f"{name}-4" / "results.json").read_text()
        )
        assert float(rows[name]["psnr"]) == results["rows"][-1]["psnr"]
        assert float(rows[name]["psnr_moving"]) == results["rows"][-1]["psnr_moving"]
        assert int(rows[name]["parameters"]) > 0
        assert float(rows[name]["seconds_per_step"]) > 0
    gain = float(rows["film"]["psnr"]) - float(rows["baseline"]["psnr"])
    assert float(rows["film"]["gain_psnr"]) == pytest.approx(gain)

    film = tmp_path / "runs" / "film-4"
    table = start(tmp_path, "--mode=robustness", f"--workdir={film}")
    output, _ = table.communicate(timeout=PATIENCE)
    assert table.returncode == 0, output
    with (film / "report" / "robustness.csv").open() as file:
        found = {(row["case"], row["method"]): row for row in csv.DictReader(file)}
    assert float(found["none", "model"]["psnr"]) == pytest.approx(
        float(rows["film"]["psnr"]), abs=1e-4
    )
    blurred = {row["psnr"] for (_, name), row in found.items() if name == "blurred"}
    assert len(blurred) == 1
