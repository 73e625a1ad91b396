"""Figures that the field's own tools give, end to end through records.

The TFP and TFI of recordings made by others, and the closed form on them, are in
representations_test.py; the variance of a sixth in spike_camera_test.py; the intervals
of the dark in sensor_test.py; the gain match by itself in gain_match_test.py.
"""

import numpy as np
import pytest

from data_pipeline.capture import capture
from data_pipeline.exposure import exposure_windows
from data_pipeline.gain_match import match_gain
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.representations import voxel_grid
from data_pipeline.spike_camera import simulate

EXPOSURE, PERIOD, BINS = 97, 104, 8
FACTORS = (0.25, 0.5, 1, 2, 4)


def test_the_closed_form_of_the_ideal_camera_on_100_rates() -> None:
    # spike_facts 2: S_t = floor(phi + (t + 1) r) - floor(phi + t r), r = 0 .. 0.5.
    rate = np.arange(100)[:, None] / 200
    phase = np.random.default_rng(0).random((1, 5)) * np.ones((100, 1))
    light = np.broadcast_to((rate * np.ones((1, 5))).astype(np.float32), (500, 100, 5))
    spikes = simulate(
        light, threshold=1.0, gain=1.0, rng=np.random.default_rng(0), phase=phase
    )
    t = np.arange(500)[:, None, None]
    expected = np.floor(phase + (t + 1) * rate) - np.floor(phase + t * rate)
    np.testing.assert_array_equal(spikes, expected)


def recorded(threshold: float) -> Record:
    """A clip of a picture that moves a pixel every four spike frames."""
    picture = np.random.default_rng(1).random((24, 40, 3), np.float32) / 4
    windows = exposure_windows(2, first_start=16, exposure=EXPOSURE, period=PERIOD)
    light = (np.roll(picture, step // 4, axis=1) for step in range(16 + 2 * PERIOD))
    return capture(
        light,
        windows,
        threshold=threshold,
        gain=1.0,
        spike_scale=1,
        rng=np.random.default_rng(2),
        name="picture",
        source="noise",
        licence="none",
        seed=2,
    )


def matched(record: Record) -> tuple[np.ndarray, float]:
    """Voxels (T, K, h, w) as light by the gain match, and how far they may be off it.

    A bin of n spike frames is within 1 / n of its rate, which the match turns into
    light; the match itself is off by what the blur's 8 bits and the quantisation of
    the mean rate R leave: (1/510 + a / N) sum R / sum R^2 (gain_match_test.py).
    """
    spikes = unpack_spikes(record["spikes"], record["blur"].shape[2])
    exposures = record["exposure"].tolist()
    rate = np.concatenate([voxel_grid(spikes, 1, start=a, end=b) for a, b in exposures])
    factor = match_gain(rate, record["blur"].astype(np.float32) / 255)
    grids = np.stack([voxel_grid(spikes, BINS, start=a, end=b) for a, b in exposures])
    threshold = float(record["threshold"])
    off = (1 / 510 + threshold / EXPOSURE) * rate.sum() / (rate * rate).sum()
    bound = factor * BINS / EXPOSURE + off * grids.max()
    return factor * grids, bound


@pytest.mark.parametrize("factor", FACTORS)
def test_a_threshold_leaves_matched_voxels_to_quantisation(factor: float) -> None:
    reference, near = matched(recorded(1.0))
    found, far = matched(recorded(factor))
    assert np.abs(found - reference).max() <= near + far
    # What is left averages out over the 960 pixels of a bin: its standard deviation is
    # sqrt(1/6) of a spike, which is worth the threshold, in 12 spike frames.
    noise = max(factor, 1) * np.sqrt(1 / 6 / 960) * BINS / EXPOSURE
    assert np.abs(found.mean((2, 3)) - reference.mean((2, 3))).max() <= 5 * noise
    # Least squares take the noise of the rates for contrast, the more the fewer spikes:
    # with 3 spikes in an exposure the match is 1.3 % low.
    assert found.mean() == pytest.approx(reference.mean(), rel=0.02)
