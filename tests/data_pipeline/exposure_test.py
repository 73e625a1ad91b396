"""Windows, blur as the mean of the light, and cutting spikes."""

import numpy as np
import pytest

from data_pipeline.exposure import (
    Shutter,
    check_odd_exposure,
    count_windows,
    cut_exposure,
    exposure_windows,
    instant_step,
    mean_blur,
    sharp_times,
)
from data_pipeline.rgb_camera import RgbCamera, quantise


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


def test_light_outside_the_exposures_leaves_no_trace() -> None:
    # A duty cycle of 3 in 8: what happens while the shutter is closed is not seen.
    exposure = exposure_windows(2, first_start=2, exposure=3, period=8)
    light = np.random.default_rng(0).random((16, 2, 3, 3), np.float32)
    open_ = np.zeros(16, bool)
    open_[[2, 3, 4, 10, 11, 12]] = True
    blur = mean_blur(light, exposure)
    np.testing.assert_array_equal(
        mean_blur(np.where(open_[:, None, None, None], light, 1), exposure), blur
    )
    for frame, start in enumerate((2, 10)):
        mean = light[start : start + 3].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(blur[frame], 255 * mean, atol=0.501)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_sharp_frames_are_the_light_of_their_instants(count: int) -> None:
    light = np.random.default_rng(0).random((20, 4, 5, 3), np.float32)
    exposure = exposure_windows(2, first_start=1, exposure=7, period=9)
    times = sharp_times(exposure, count)
    shutter = Shutter(exposure, sharp_time=times)
    for sample, frame in enumerate(light):
        shutter.add(sample, frame)
    blur, sharp = shutter.develop()
    assert blur.shape == (2, 4, 5, 3) and sharp.shape == (2 * count, 4, 5, 3)
    for picture, time in zip(sharp, times, strict=True):
        np.testing.assert_array_equal(picture, quantise(light[int(time)]))


@pytest.mark.parametrize("exposure", [1, 3, 9, 49, 97])
@pytest.mark.parametrize("count", [1, 3, 5, 7])
@pytest.mark.parametrize("every", [1, 4, 8])
def test_instants_are_even_inside_and_around_the_middle(
    exposure: int, count: int, every: int
) -> None:
    windows = exposure_windows(2, first_start=5, exposure=exposure, period=100)
    # Footage frames lie before and after the middle one, `every` apart.
    if (count // 2) * every > exposure // 2:
        room = 1 + 2 * (exposure // 2 // every)
        with pytest.raises(ValueError, match=f"has room for {room} sharp instants"):
            sharp_times(windows, count, every=every)
        return
    times = sharp_times(windows, count, every=every).reshape(2, count)
    assert times.dtype == np.float32
    np.testing.assert_array_equal(times[:, count // 2], windows.mean(axis=1))
    assert ((times > windows[:, :1]) & (times < windows[:, 1:])).all()
    np.testing.assert_array_equal(times[1] - times[0], np.full(count, 100))
    if count > 1:
        step = instant_step(count, exposure, every=every)
        np.testing.assert_array_equal(np.diff(times), np.full((2, count - 1), step))
        assert step % every == 0 and step > 0
        # No other step is nearer to an even share, or it would leave the exposure.
        for other in (step - every, step + every):
            nearer = abs(other - exposure / count) < abs(step - exposure / count)
            assert other == 0 or not nearer or (count - 1) * other > exposure - 1


@pytest.mark.parametrize(("count", "near"), [(4, 5), (0, 1), (-3, 1)])
def test_an_even_number_of_instants_is_refused(count: int, near: int) -> None:
    with pytest.raises(ValueError, match=f"got {count}, try {near}"):
        instant_step(count, 49)


def test_the_shutter_makes_its_pictures_with_the_camera() -> None:
    light = np.random.default_rng(0).random((9, 30, 40, 3), np.float32)
    exposure = exposure_windows(1, first_start=1, exposure=7, period=7)
    camera = RgbCamera(transfer="linear", gain=1.5, read_noise=2.0)
    shutter = Shutter(exposure, camera=camera, rng=np.random.default_rng(3))
    for sample, frame in enumerate(light):
        shutter.add(sample, frame)
    blur, sharp = shutter.develop()
    mean = light[1:8].mean(axis=0)
    expected = camera.picture(mean, np.random.default_rng(3))
    assert np.abs(blur[0].astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(sharp[0], camera.picture(light[4]))  # no noise


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
