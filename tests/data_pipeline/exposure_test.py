"""Windows, blur as the mean of the light, and cutting spikes."""

import numpy as np
import pytest

from data_pipeline.exposure import (
    Shutter,
    check_odd_exposure,
    count_windows,
    cut_exposure,
    exposure_windows,
    mean_blur,
    quantise,
)


def test_windows_start_every_period() -> None:
    windows = exposure_windows(3, first_start=4, exposure=5, period=7)
    np.testing.assert_array_equal(windows, [[4, 9], [11, 16], [18, 23]])
    assert windows.dtype == np.float32


@pytest.mark.parametrize("length", range(1, 60))
def test_as_many_windows_fit_as_are_counted(length: int) -> None:
    options = {"exposure": 5, "period": 7}
    count = count_windows(length, first_start=3, margin=2, **options)
    last = 3 + (count - 1) * 7 + 5 + 2
    assert count == 0 or last <= length
    assert last + 7 > length


def test_blur_is_the_rounded_mean_and_sharp_the_middle() -> None:
    light = np.random.default_rng(0).random((20, 4, 5, 3), np.float32)
    exposure = exposure_windows(2, first_start=1, exposure=7, period=9)
    shutter = Shutter(exposure)
    for sample, frame in enumerate(light):
        shutter.add(sample, frame)
    blur, sharp = shutter.develop()
    for frame, start in enumerate((1, 10)):
        mean = light[start : start + 7].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(blur[frame], 255 * mean, atol=0.501)
        np.testing.assert_array_equal(sharp[frame], quantise(light[start + 3]))
    np.testing.assert_array_equal(mean_blur(light, exposure), blur)


def test_overlapping_and_fractional_exposures_share_the_light() -> None:
    light = np.zeros((4, 1, 1, 3), np.float32)
    light[1] = 0.5
    exposure = np.array([[0.0, 1.5], [0.5, 2.5]])
    blur = mean_blur(light, exposure)[:, 0, 0, 0]
    np.testing.assert_array_equal(blur, [round(255 * 0.25 / 1.5), round(255 * 0.25)])


def test_light_that_ends_too_early_is_an_error() -> None:
    light = np.zeros((8, 2, 2, 3), np.float32)
    with pytest.raises(ValueError, match="after 1 of 2 exposures"):
        mean_blur(light, exposure_windows(2, first_start=0, exposure=5, period=5))


def test_cutting_gives_the_frames_of_the_window() -> None:
    spikes = np.arange(10)[:, None, None] * np.ones((1, 2, 2))
    cut = cut_exposure(spikes, (3.0, 6.0))
    np.testing.assert_array_equal(cut[:, 0, 0], [3, 4, 5])
    with pytest.raises(ValueError, match="whole spike frames"):
        cut_exposure(spikes, (3.5, 6.0))
    for window in ((-1.0, 2.0), (8.0, 11.0), (4.0, 4.0)):
        with pytest.raises(ValueError, match="not inside the stream"):
            cut_exposure(spikes, window)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 0}, "num_frames must be at least 1"),
        ({"exposure": 8}, "between 1 and the period, 7 spike frames, got 8"),
        ({"exposure": 0}, "between 1 and the period"),
        ({"first_start": -1}, "cannot start at -1"),
    ],
)
def test_impossible_windows_are_refused(options: dict, message: str) -> None:
    arguments = {"num_frames": 2, "first_start": 0, "exposure": 5, "period": 7}
    arguments |= options
    with pytest.raises(ValueError, match=message):
        exposure_windows(arguments.pop("num_frames"), **arguments)


def test_an_even_exposure_is_refused_with_the_next_odd_one() -> None:
    check_odd_exposure(65)
    with pytest.raises(ValueError, match="got 64, try 65"):
        check_odd_exposure(64)
