"""Both cameras see the same light."""

import cv2
import numpy as np
import pytest

from data_pipeline.capture import capture
from data_pipeline.exposure import exposure_windows
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.representations import voxel_grid
from data_pipeline.spike_camera import grey


def record_noise(spike_scale: int, **options: float) -> Record:
    rng = np.random.default_rng(0)
    arguments = {"threshold": 1.0, "gain": 1.0} | options
    return capture(
        rng.random((80, 8, 16, 3), np.float32),
        exposure_windows(2, first_start=3, exposure=31, period=40),
        spike_scale=spike_scale,
        rng=rng,
        name="noise",
        source="noise",
        licence="",
        seed=0,
        **arguments,
    )


@pytest.mark.parametrize("spike_scale", [1, 2, 4])
@pytest.mark.parametrize("threshold", [1.0, 2.0])
def test_the_mean_of_an_exposures_spikes_is_the_grey_of_its_blur(
    spike_scale: int, threshold: float
) -> None:
    record = record_noise(spike_scale, threshold=threshold)
    size = (16 // spike_scale, 8 // spike_scale)
    spikes = unpack_spikes(record["spikes"], size[0])
    for blur, (start, end) in zip(record["blur"], record["exposure"], strict=True):
        rate = voxel_grid(spikes, 1, start=float(start), end=float(end))[0]
        expected = grey(blur.astype(np.float32) / 255)
        expected = cv2.resize(expected, size, interpolation=cv2.INTER_AREA)
        # One spike of 31, and the rounding of the blur.
        assert np.abs(rate * threshold - expected).max() < threshold / 31 + 1 / 255


def test_the_homography_maps_spike_pixels_to_the_middle_of_theirs() -> None:
    homography = record_noise(4)["rgb_from_spike"]
    np.testing.assert_allclose(homography @ [1, 0, 1], [5.5, 1.5, 1])


def test_what_is_not_known_is_marked() -> None:
    record = record_noise(1)
    assert record["licence"] == "unknown"
    assert np.isnan(record["spike_rate"])


def test_no_light_is_an_error() -> None:
    with pytest.raises(ValueError, match="dark: there is no light"):
        capture(
            [],
            exposure_windows(1, first_start=0, exposure=3, period=3),
            threshold=1,
            gain=1,
            spike_scale=1,
            rng=np.random.default_rng(0),
            name="dark",
            source="none",
            licence="none",
            seed=0,
        )
