"""The robustness table of a model whose numbers are known."""

import csv
import json

import flax.linen as nn
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from vrt_spike_jax import robustness
from vrt_spike_jax.metrics import psnr
from vrt_spike_jax.robustness import Case, measure_robustness

CONFIG = ConfigDict(
    {
        "name": "cross_attn",
        "recipe": "smoke",
        "eval": {"tile": (2, 32, 32), "overlap": (1, 8, 8), "tiling": "blended"},
    }
)


class AddsSpikes(nn.Module):
    """The blur, brighter by the mean rate of the spikes."""

    takes_spikes: bool = True
    size_multiple: int = 8
    min_size: int = 16
    min_frames: int = 2

    @nn.compact
    def __call__(self, blur, spikes, *, spike_gain):
        return blur + spikes.mean() + 0 * spike_gain.mean()


def clip(rate):
    rng = np.random.default_rng(0)
    sharp = rng.uniform(0.3, 0.6, (2, 32, 32, 3)).astype(np.float32)
    blur = sharp + rng.normal(0, 0.05, sharp.shape).astype(np.float32)
    ones = np.ones((2, 32, 32), np.float32)
    return {
        "name": "clip",
        "sharp": sharp,
        "blur": blur,
        "spikes": np.full((2, 4, 32, 32), rate, np.float32),
        "tfp_short": ones,
        "tfp_long": ones,
        "moving": ones > 0,
    }


def cases(rates=(0.0, 0.02, 0.1)):
    kinds = (("none", 0), ("threshold", 0.5), ("dropped_spikes", 0.3))
    return [
        Case(kind, amount, [clip(rate)])
        for (kind, amount), rate in zip(kinds, rates, strict=True)
    ]


def measure(folder, cases, step=5):
    return measure_robustness(
        folder, cases, model=AddsSpikes(), params={}, config=CONFIG, step=step
    )


def test_every_case_is_measured_beside_the_one_without_change(tmp_path):
    table = measure(tmp_path / "report", cases())
    folder = tmp_path / "report"
    assert {path.name for path in folder.iterdir()} == {
        f"robustness.{suffix}" for suffix in ("csv", "json", "md", "png")
    }
    with (folder / "robustness.csv").open() as file:
        rows = {(r["case"], r["method"]): r for r in csv.DictReader(file)}
    assert len(rows) == 9
    found = clip(0.0)
    for case, rate in (("threshold 0.5", 0.02), ("dropped_spikes 0.3", 0.1)):
        expected = float(psnr(found["blur"] + np.float32(rate), found["sharp"]))
        row = rows[case, "model"]
        assert float(row["psnr"]) == pytest.approx(expected, abs=1e-3)
        change = expected - float(psnr(found["blur"], found["sharp"]))
        assert float(row["psnr_change"]) == pytest.approx(change, abs=1e-3)
        assert float(rows[case, "blurred"]["psnr_change"]) == 0
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "none",
        "threshold 0.5",
        "dropped_spikes 0.3",
    ]
    assert table in (folder / "robustness.md").read_text()
    picture = np.asarray(Image.open(folder / "robustness.png").convert("RGB"))
    assert picture.min() < 50 < 250 < picture.max()


def test_a_table_that_was_cut_goes_on(tmp_path, monkeypatch):
    done = []
    real = robustness.evaluate

    def evaluate(model, params, clips, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(clips)
        return real(model, params, clips, **options)

    monkeypatch.setattr(robustness, "evaluate", evaluate)
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, cases())
    assert {path.name for path in tmp_path.iterdir()} == {"robustness.json"}
    done.clear()
    table = measure(tmp_path, cases())
    assert len(done) == 1
    whole = tmp_path / "whole"
    done.clear()
    monkeypatch.setattr(robustness, "evaluate", real)
    assert measure(whole, cases()) == table
    text = (tmp_path / "robustness.csv").read_text()
    assert (whole / "robustness.csv").read_text() == text


def test_a_model_that_was_trained_further_is_measured_anew(tmp_path, capsys):
    measure(tmp_path, cases())
    measure(tmp_path, cases(), step=6)
    assert "measuring anew" in capsys.readouterr().out
    assert json.loads((tmp_path / "robustness.json").read_text())["step"] == 6


def test_without_the_case_of_no_change_there_is_nothing_to_compare(tmp_path):
    with pytest.raises(ValueError, match="needs a case of the kind 'none'"):
        measure(tmp_path, cases()[1:])
