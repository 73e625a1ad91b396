"""The rule that weighs losses, on gradients known by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.loss_gradients.measure import (
    gradient_norm,
    trained_config,
    weight_of,
)
from configs.load import load_config

ROOT = Path(__file__).resolve().parents[2]


def test_norms_are_those_of_the_closed_forms():
    settings = load_config(f"{ROOT}/configs/any_light.py:tiny").loss.to_dict()
    settings["charbonnier"]["epsilon"] = 0.3
    prediction = np.full((1, 2, 8, 8, 3), 0.9, np.float32)
    inputs = {"sharp": prediction - np.float32(0.4)}
    # Of a mean over N values: 1 / N for each, and so 1 / sqrt(N) in all.
    root = np.sqrt(prediction.size)
    found = gradient_norm("l1", settings)(prediction, inputs)
    assert found == pytest.approx(1 / root, rel=1e-5)
    # The slope of sqrt(d^2 + e^2) is d / sqrt(d^2 + e^2), here 0.4 / 0.5.
    found = gradient_norm("charbonnier", settings)(prediction, inputs)
    assert found == pytest.approx(0.8 / root, rel=1e-5)


@pytest.mark.parametrize(
    ("own", "other", "weight"),
    [(1, 1, 0.3), (2, 0.5, 1.0), (1, 7, 0.04), (3, 1e3, 9e-4)],
)
def test_weights_make_the_share_to_one_digit(own, other, weight):
    assert weight_of(own, other) == weight


def test_a_configuration_of_before_is_completed(tmp_path):
    config = load_config(f"{ROOT}/configs/any_light.py:tiny")
    found = config.to_dict()
    del found["model"]["time_code"]
    found["eval"]["a_key_of_before"] = 3
    found["data"]["embedded"]["gain"] = 0.5
    found["loss"]["charbonnier"]["weight"] = 2.0
    (tmp_path / "config.json").write_text(json.dumps(found))
    again = trained_config(tmp_path, ["tof"])
    assert again.model == config.model
    assert again.data.embedded.gain == 0.5
    assert again.data.spikes.tfp.windows == config.data.spikes.tfp.windows
    assert (again.loss.charbonnier.weight, again.loss.tof.weight) == (1.0, 1.0)
    assert "a_key_of_before" not in again.eval
