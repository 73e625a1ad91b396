"""launch.py trains in stages, from the weights of another run."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import launch
from configs.load import load_config
from vrt_spike_jax.checkpoint import restore_params

ROOT = Path(__file__).resolve().parents[1]
TWO_STAGE = f"--config={ROOT}/configs/two_stage.py:smoke"
BASELINE = f"--config={ROOT}/configs/baseline.py:smoke"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([BASELINE, "--config.train.pretrained=vrt.pth"], "vrt.pth, where nothing is"),
        ([TWO_STAGE], "but train.pretrained is empty"),
    ],
)
def test_missing_weights_are_one_sentence_before_any_data(
    capsys, monkeypatch, tmp_path, arguments, sentence
):
    monkeypatch.setattr(launch, "_data", None)
    assert launch.main([*arguments, "--workdir=run"]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("launch.py: error: ")
    assert sentence in line
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_two_commands_train_in_two_stages(capsys, tmp_path):
    data = f"--config.data.dir={tmp_path}/data"
    common = [data, "--config.train.checkpoint_every=1", "--config.train.steps=4"]
    assert launch.main([BASELINE, "--workdir=vrt", *common]) == 0
    capsys.readouterr()
    arguments = [
        TWO_STAGE,
        "--workdir=two",
        "--config.train.pretrained=vrt",
        "--config.train.keep_checkpoints=4",
        "--config.train.ema_decay=0.9",
        "--config.optimizer.schedule=one_cycle",
    ]
    assert launch.main([*arguments, *common]) == 0
    shown = capsys.readouterr()
    assert "stage 1     steps 1 to 3" in shown.out
    assert f"from {tmp_path}/vrt, step 4; the other" in shown.out
    config = json.loads((tmp_path / "two" / "config.json").read_text())
    assert config["train"]["pretrained"] == "vrt"

    def params_of(name, recipe, step):
        config = load_config(f"{ROOT}/configs/{recipe}.py:smoke")
        abstract = launch._abstract_params(config)
        folder = tmp_path / name / "checkpoints"
        return restore_params(folder, abstract, step=step, ema=False)

    begun = params_of("vrt", "baseline", 4)
    kept = params_of("two", "two_stage", 3)["vrt"]
    jax.tree.map(np.testing.assert_array_equal, kept, begun)
    moved = params_of("two", "two_stage", 4)["vrt"]
    same = jax.tree.map(np.array_equal, jax.device_get(moved), jax.device_get(begun))
    assert not all(jax.tree.leaves(same))
    assert launch.main([*arguments, *common]) == 0
    assert "is complete (4 steps)" in capsys.readouterr().out
