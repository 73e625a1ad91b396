"""Two folders of pictures compared from the command line, as it is typed."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.metrics

import launch
from data_pipeline.video_files import write_pictures


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Pictures of two clips in folders `restored` and `sharp`, and those of each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frames = {}
    for root in ("restored", "sharp"):
        frames[root] = rng.integers(0, 256, (2, 3, 16, 24, 3), np.uint8)
        for name, clip in zip(("a", "b"), frames[root], strict=True):
            (tmp_path / root / name).mkdir(parents=True)
            write_pictures(tmp_path / root / name, clip)
    return frames


COMMAND = ["--mode=eval", "--prediction=restored", "--sharp=sharp"]


def test_folders_are_compared_and_the_table_printed(
    folders: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = "--config.eval.metrics=('psnr','ssim','psnr_y')"
    assert launch.main([*COMMAND, metrics]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0].split() == ["method", "PSNR", "[dB]", "SSIM"]
    folder = tmp_path / "runs" / "eval_restored"
    assert {path.name for path in folder.iterdir()} == {
        "clips.csv",
        "frames.csv",
        "results.json",
    }
    expected = [
        skimage.metrics.peak_signal_noise_ratio(sharp, restored)
        for clips in zip(folders["sharp"], folders["restored"], strict=True)
        for sharp, restored in zip(*clips, strict=True)
    ]
    with (folder / "frames.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["clip"] for line in lines] == ["a"] * 3 + ["b"] * 3
    found = [float(line["psnr"]) for line in lines]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    results = json.loads((folder / "results.json").read_text())
    assert results["rows"][0]["psnr"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert results["data"]["sharp"] == str(tmp_path / "sharp")
    assert list(results["protocols"]) == ["psnr", "ssim", "psnr_y"]


def test_a_mistake_is_one_sentence_and_writes_nothing(
    folders: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    for arguments, sentence in (
        ([*COMMAND[:2], "--sharp=sharp/a"], "which"),
        ([*COMMAND[:2], "--sharp=none"], "There is no folder or video"),
        ([*COMMAND[:2]], "--sharp, which is missing"),
        (
            [*COMMAND, "--config.eval.metrics=('psnr','ssim','lpips')"],
            "lpips needs the published weights",
        ),
        ([*COMMAND, "--config.eval.metrics=('psnr','sim')"], "did you mean 'ssim'?"),
    ):
        assert launch.main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line
        assert sorted(tmp_path.rglob("*")) == before
