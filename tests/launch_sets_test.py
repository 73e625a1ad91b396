"""A training on prepared data sets, mixed by weight, from the command line."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import launch
from data_pipeline import prepare
from data_pipeline.spike_deblur import manifest_checksum

ROOT = Path(__file__).resolve().parents[1]
CROSS = f"{ROOT}/configs/cross_attn.py"
PATIENCE = 900.0  # seconds until a command counts as hung
# Those of the recipe smoke, so that its compiled programs serve here too.
SIZES = {"train_clips": 2, "test_clips": 1, "num_frames": 3, "height": 72, "width": 80}


def prepared(folder: Path, **options: object) -> str:
    """The directory that the command line of prepare prints."""
    arguments = [f"--{name}={value}" for name, value in (SIZES | options).items()]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        command = ["--source=embedded", f"--output={folder}", *arguments]
        assert prepare.main(command) == 0
    return output.getvalue().splitlines()[-1]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two data sets with one RGB pixel to a spike pixel."""
    folder = tmp_path_factory.mktemp("sets")
    return prepared(folder), prepared(folder, seed=5, exposure=31, period=42)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data set with two RGB pixels to a spike pixel."""
    return prepared(tmp_path_factory.mktemp("coarse"), spike_scale=2)


def run(folder: Path, *arguments: str) -> str:
    """What a command printed that must succeed."""
    process = subprocess.run(
        [
            sys.executable,
            str(ROOT / "launch.py"),
            f"--workdir={folder}/run",
            f"--config.data.dir={folder}/embedded",
            *arguments,
        ],
        cwd=folder,
        # The same programs, compiled in half the time.
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


def test_a_run_trains_and_is_evaluated_on_both_sets_and_on_another(
    sets: tuple[str, str], tmp_path: Path
) -> None:
    chosen = f"--config.data.sets=(({sets[0]!r}, 2), ({sets[1]!r}, 1.0))"
    run(tmp_path, f"--config={CROSS}:smoke", chosen)
    assert not (tmp_path / "embedded").exists()  # what is not taken is not built
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    labels = [name.split("/")[0] for name in results["data"]["clips"]]
    assert labels == [Path(directory).parent.name for directory in sets]
    assert {row["method"] for row in results["rows"]} >= {"blurred", "model"}
    assert [found["directory"] for found in results["data"]["sets"]] == list(sets)

    before = (tmp_path / "run" / "results.json").read_bytes()
    metrics = "--config.eval.metrics=('psnr','ssim','edge_psnr')"
    output = run(tmp_path, "--mode=eval", f"--data={sets[1]}", "--step=4", metrics)
    assert "edge PSNR" in output
    folder = tmp_path / "run" / "eval" / Path(sets[1]).parent.name / "step_4"
    assert sorted(path.name for path in folder.iterdir()) == [
        "clips.csv",
        "frames.csv",
        "results.json",
    ]
    found = json.loads((folder / "results.json").read_text())
    assert found["step"] == 4
    assert found["data"]["sets"] == [
        {"directory": sets[1], "manifest_checksum": manifest_checksum(sets[1])}
    ]
    assert len(found["data"]["clips"]) == 1
    assert (tmp_path / "run" / "results.json").read_bytes() == before


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that must fail."""
    assert launch.main([f"--config={CROSS}:smoke", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_set_that_cannot_be_taken_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    sets: tuple[str, str],
    coarse: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    above = str(Path(sets[0]).parent)
    for value, sentence in (
        (f"(({above!r}, 1.0),)", f"{above} is no data set itself, but holds {sets[0]}"),
        (f"(({str(tmp_path)!r}, 1.0),)", "holds no finished data set; give the"),
        (f"(({sets[0]!r}, 1), ({coarse!r}, 1))", f"spike_scale of {coarse} is 2"),
        (f"({coarse!r}, 1.0)", "mind the comma behind a single one"),
        (f"(({coarse!r}, 0),)", "weight above 0"),
    ):
        line = error_of(capsys, f"--config.data.sets={value}")
        assert sentence in line
        assert not (tmp_path / "runs" / "cross_attn_smoke" / "config.json").exists()


def test_a_crop_larger_than_a_clip_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    sets: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [
        f"--config.data.sets=(({sets[0]!r}, 1),)",
        "--config.data.crop_size=80",
    ]
    assert "is 72x80, but crop_size is 80" in error_of(capsys, *arguments)
