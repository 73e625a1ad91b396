"""--mode=compile: what a configuration costs, told without data and without a run."""

import re
from pathlib import Path

import pytest

import launch
from configs.load import load_config, write_config

ROOT = Path(__file__).resolve().parents[1]
CROSS = f"{ROOT}/configs/cross_attn.py"
BASELINE = f"{ROOT}/configs/baseline.py"
SMALL = [
    "--mode=compile",
    "--config.eval.tile=(2, 64, 64)",
    "--config.data.crop_size=64",
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Neither the data set nor a checkpoint is needed.
    monkeypatch.setattr(launch, "_data_directory", None)
    monkeypatch.setattr(launch, "_model_and_params", None)


def peaks_of(text):
    """MiB of each program of a report."""
    scale = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}
    found = re.findall(r"peak +([\d.e+]+) (\w+)", text)
    return [float(number) * scale[unit] for number, unit in found]


def test_report_of_both_programs_leaves_nothing_behind(capsys, tmp_path):
    assert launch.main([*SMALL, f"--config={BASELINE}:smoke"]) == 0
    shown = capsys.readouterr()
    assert "baseline, recipe smoke" in shown.out
    assert re.search(r"parameters +[\d,]{7}", shown.out)
    assert "forward pass: one tile of 2x64x64" in shown.out
    assert "training step: 1 clips of 2x64x64" in shown.out
    assert shown.out.count("1 compilation(s)") == 2
    assert len(peaks_of(shown.out)) == 2
    assert "compiling the training step" in shown.err
    assert list(tmp_path.iterdir()) == []


def test_smaller_chunks_take_less_memory_for_the_same_arithmetic(capsys):
    common = [*SMALL, f"--config={BASELINE}:smoke", "--part=forward"]
    texts = []
    for chunk in (2**14, 2**40):
        assert launch.main([*common, f"--config.model.max_chunk={chunk}"]) == 0
        texts.append(capsys.readouterr().out)
        assert f"max_chunk={chunk}" in texts[-1]
    small, large = (re.search("arithmetic.*", text).group() for text in texts)
    assert small == large
    assert peaks_of(texts[0])[0] < peaks_of(texts[1])[0]


def test_what_exceeds_the_limit_is_one_sentence_and_code_1(capsys):
    arguments = [*SMALL, f"--config={BASELINE}:smoke", "--part=forward"]
    assert launch.main([*arguments, "--memory_limit=0.001"]) == 1
    shown = capsys.readouterr()
    assert "exceeds       1.024 MiB" in shown.out
    sentence = shown.err.splitlines()[-1]
    assert sentence.startswith("launch.py: the forward pass needs")
    assert "lower eval.tile or model.max_chunk" in sentence


def test_model_of_a_work_directory_is_read_from_there(capsys, tmp_path):
    write_config(tmp_path / "run" / "config.json", load_config(f"{BASELINE}:smoke"))
    arguments = [*SMALL, "--workdir=run", "--part=forward", "--memory_limit=64"]
    assert launch.main(arguments) == 0
    out = capsys.readouterr().out
    assert "baseline, recipe smoke" in out
    assert "fits in       64 GiB" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--part=trian"], "did you mean 'train'?"),
        (["--memory_limit=0"], "--memory_limit=0 is not a number of GiB above 0"),
        (["--memory_limit=x"], "is not a number of GiB above 0"),
        (["--memory_limit=inf"], "is not a number of GiB above 0"),
        (["--input=x.mp4"], "--input belongs to --mode=restore"),
        (["--mode=train", "--part=forward"], "--part belongs to --mode=compile"),
        (["--config.model.variant=009", "--part=train"], "cannot be trained"),
        (["--config.data.crop_size=60"], "multiple of 8"),
        (["--workdir=none"], "nothing was trained there"),
    ],
)
def test_mistake_is_one_sentence(capsys, arguments, sentence):
    config = f"--config={CROSS}:smoke"
    assert launch.main(["--mode=compile", config, *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("launch.py: error: ")
    assert sentence in line


def test_configuration_must_be_named(capsys):
    assert launch.main(["--mode=compile"]) == 2
    assert "--config is missing" in capsys.readouterr().err
