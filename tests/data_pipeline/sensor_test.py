"""The calibrated sensor against the figures that it was calibrated with."""

import math

import numpy as np
import pytest

from data_pipeline.sensor import Sensor, SensorMaps, draw_sensor_maps


@pytest.fixture(scope="module")
def maps() -> SensorMaps:
    """The maps of a specimen large enough for its figures to be narrow."""
    return draw_sensor_maps(Sensor(), 1200, 1600, np.random.default_rng(0))


def test_the_response_varies_as_measured(maps: SensorMaps) -> None:
    rate = maps.response / maps.threshold
    assert rate.std() / rate.mean() == pytest.approx(0.049, rel=0.05)
    assert rate.mean(axis=0).std() == pytest.approx(0.033, rel=0.05)
    assert rate.mean(axis=1).std() == pytest.approx(0.021, rel=0.06)
    assert maps.threshold.std() == pytest.approx(0.01, rel=0.02)


def test_dark_intervals_have_the_measured_law(maps: SensorMaps) -> None:
    p5, p25, p50, p75, p95 = np.percentile(1 / maps.dark, [5, 25, 50, 75, 95])
    assert p50 == pytest.approx(224, rel=0.05)
    assert p5 == pytest.approx(110, rel=0.1)
    assert p25 == pytest.approx(168, rel=0.1)
    assert p75 == pytest.approx(302, rel=0.1)
    assert p95 == pytest.approx(492, rel=0.1)
    assert maps.dark.mean() == pytest.approx(0.0049, rel=0.04)


def test_hot_pixels_are_as_many_as_measured(maps: SensorMaps) -> None:
    assert maps.hot.mean() == pytest.approx(0.0014, rel=0.1)
    assert (maps.dark > 0.05).mean() == pytest.approx(0.00012, rel=0.3)
    assert maps.dark[maps.hot].min() >= np.float32(0.02)
    assert maps.dark[~maps.hot].max() <= np.float32(0.02)
    assert maps.dark.max() <= 1


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"response": -0.1}, "response must be 0 or more, got -0.1"),
        ({"response": 0.03}, "response must be at least what .* 0.04037, got 0.03"),
        ({"threshold": math.nan}, "threshold must be 0 or more, got nan"),
        ({"dark_interval": 0.0}, "dark_interval must be positive, got 0.0"),
        ({"dark_spread": math.inf}, "dark_spread must be finite, got inf"),
        ({"hot_share": 1.5}, "hot_share must be at most 1, got 1.5"),
        ({"hot_rate": 2.0}, "hot_rate must be at most 1, got 2.0"),
        ({"photons": 0.0}, "photons must be positive, got 0.0"),
        ({"photons": 1e20}, r"photons must be at most 1e\+15, or inf"),
    ],
)
def test_figures_that_cannot_be_are_refused(figures: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sensor(**figures)
