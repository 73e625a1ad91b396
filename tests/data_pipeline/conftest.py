"""A small data set that the tests of the data pipeline read."""

from typing import Any

import numpy as np
import pytest

from data_pipeline import pipeline
from data_pipeline.capture import capture
from data_pipeline.exposure import exposure_windows
from data_pipeline.records import Record

SETTINGS: dict[str, Any] = {
    "train_clips": 5,
    "test_clips": 2,
    "num_frames": 4,
    "height": 48,
    "width": 72,
    "exposure": 9,
    "period": 12,
    "spike_scale": 1,
    "threshold": 1.0,
    "gain": 1.0,
    "max_blur": 6.0,
    "seed": 3,
}


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings of a data set that takes a second to build."""
    return dict(SETTINGS)


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The built data set of SETTINGS."""
    return pipeline.prepare_embedded(str(tmp_path_factory.mktemp("data")), SETTINGS)


@pytest.fixture
def record() -> Record:
    """A valid record: 3 frames of 16x24, spikes at half the size."""
    rng = np.random.default_rng(0)
    exposure = exposure_windows(3, first_start=4, exposure=5, period=6)
    light = rng.random((25, 16, 24, 3), np.float32)
    return capture(
        light,
        exposure,
        threshold=1.0,
        gain=1.0,
        spike_scale=2,
        rng=rng,
        name="clip",
        source="noise",
        licence="none",
        seed=0,
    )
