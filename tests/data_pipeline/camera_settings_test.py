"""The settings of both cameras become cameras, or one clear error."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.camera_settings import (
    CAMERA_DEFAULTS,
    CAMERA_OPTIONS,
    CAMERA_SETTINGS,
    cameras,
    check_cameras,
)
from data_pipeline.capture import IDEAL
from data_pipeline.sensor import Sensor

GOOD: dict[str, Any] = {
    "exposure": 9,
    "period": 12,
    "spike_scale": 1,
    "threshold": 1.0,
    "gain": 1.0,
    **CAMERA_DEFAULTS,
}


def test_the_defaults_are_ideal_cameras_in_gamma_space() -> None:
    check_cameras(GOOD)
    assert cameras(GOOD) == IDEAL
    assert (IDEAL.rgb.transfer, IDEAL.sensor, IDEAL.cfa) == ("gamma", None, "none")


def test_every_setting_has_a_default_of_its_type_and_a_help_text() -> None:
    for name, (default, text) in CAMERA_OPTIONS.items():
        assert type(default) is CAMERA_SETTINGS[name]
        assert text


def test_the_documentation_has_every_setting_with_its_default() -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / "docs" / "data_preparation.md").read_text()
    (section,) = re.findall(r"^## Cameras$(.*?)(?=^## |\Z)", text, re.M | re.S)
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    rows = [line.split("|")[1:3] for line in lines]
    shown = {name.strip(" `"): default.strip() for name, default in rows}
    for name, default in CAMERA_DEFAULTS.items():
        assert type(default)(shown[name]) == default


def test_every_setting_reaches_its_camera() -> None:
    made = cameras(
        GOOD
        | {
            "transfer": "linear",
            "rgb_gain": 2.0,
            "read_noise": 3.0,
            "sensor": "calibrated",
            "photons": 500.0,
            "threshold_spread": 4.0,
            "light_spread": 2.0,
            "cfa": "bggr",
        }
    )
    assert made.rgb.transfer == "linear"
    assert (made.rgb.gain, made.rgb.read_noise) == (2.0, 3.0)
    assert made.sensor == Sensor(photons=500.0)
    assert (made.threshold_spread, made.light_spread, made.cfa) == (4.0, 2.0, "bggr")
    calibrated = cameras(GOOD | {"sensor": "calibrated"}).sensor
    assert calibrated is not None and calibrated.photons == math.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exposure": 8}, "exposure must be an odd number"),
        ({"period": 7}, "period must be at least the exposure, 9"),
        ({"spike_scale": 3}, "spike_scale must be one of"),
        ({"threshold": 0.0}, "threshold must be above 0"),
        ({"gain": -1.0}, "gain must be above 0"),
        ({"transfer": "Gamma"}, "Did you mean 'gamma'"),
        ({"transfer": "unknown"}, "Unknown transfer 'unknown'"),
        ({"sharp_instants": 2}, "sharp_instants must be odd.*try 3"),
        ({"sharp_instants": 11}, "has room for 9 sharp instants"),
        ({"rgb_gain": 0.0}, "rgb_gain must be a positive number"),
        ({"read_noise": -1.0}, "read_noise must be 0 or a positive"),
        ({"sensor": "Ideal"}, "Did you mean 'ideal'"),
        ({"photons": -1.0}, "photons must be 0 .no shot noise. or more, got -1"),
        ({"photons": 50.0}, "sees no photons, but photons is 50; take sensor=calibr"),
        ({"sensor": "calibrated", "photons": 1e20}, "photons must be at most"),
        ({"threshold_spread": 0.9}, "threshold_spread must be a factor"),
        ({"light_spread": 0.0}, "light_spread must be a factor"),
        ({"cfa": "rgbg"}, "Unknown cfa 'rgbg'"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_cameras(GOOD | change)
