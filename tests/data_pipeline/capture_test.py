"""Both cameras see the same light, as ideal cameras and as real ones."""

import dataclasses
import math
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline.bayer import CFA_PATTERNS, colour_map
from data_pipeline.capture import Cameras, Captured, capture, capture_clip
from data_pipeline.exposure import exposure_windows, sharp_times
from data_pipeline.records import Record, middle_sharp, unpack_spikes
from data_pipeline.representations import tfp, voxel_grid
from data_pipeline.rgb_camera import RgbCamera
from data_pipeline.sensor import IDEAL_SENSOR, Sensor
from data_pipeline.spike_camera import GREY_WEIGHTS, grey
from data_pipeline.transfer import to_spike_space

LINEAR = Cameras(rgb=RgbCamera(transfer="linear"))
CALIBRATED = Cameras(sensor=Sensor())


def film(light: np.ndarray, **options: Any) -> Captured:
    """Records light with one exposure of 31 in 40 after the other."""
    arguments: dict[str, Any] = {
        "threshold": 1.0,
        "gain": 1.0,
        "spike_scale": 1,
        "rng": np.random.default_rng(0),
        "name": "noise",
        "source": "noise",
        "licence": "",
        "seed": 0,
    }
    count = (len(light) - 9) // 40 + 1
    exposure = exposure_windows(count, first_start=3, exposure=31, period=40)
    arguments["exposure"] = exposure
    return capture_clip(light, **(arguments | options))


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((80, 8, 16, 3), np.float32)


def record_noise(spike_scale: int, **options: Any) -> Record:
    return film(noise(), spike_scale=spike_scale, **options).record


def even(value: float | list[float], count: int, height: int, width: int) -> np.ndarray:
    return np.broadcast_to(np.float32(value), (count, height, width, 3))


def rates(record: Record) -> np.ndarray:
    """The mean rate (T, h, w) of each exposure."""
    width = record["blur"].shape[2] // int(record["spike_scale"])
    spikes = unpack_spikes(record["spikes"], width)
    windows = record["exposure"].tolist()
    return np.stack([voxel_grid(spikes, 1, start=a, end=b)[0] for a, b in windows])


@pytest.mark.parametrize("spike_scale", [1, 2, 4])
@pytest.mark.parametrize("threshold", [1.0, 2.0])
@pytest.mark.parametrize("transfer", ["gamma", "linear"])
def test_the_mean_of_an_exposures_spikes_is_the_grey_of_its_blur(
    spike_scale: int, threshold: float, transfer: str
) -> None:
    cameras = Cameras(rgb=RgbCamera(transfer=transfer))
    record = record_noise(spike_scale, threshold=threshold, cameras=cameras)
    assert record["transfer"] == transfer
    size = (16 // spike_scale, 8 // spike_scale)
    blurred = to_spike_space(record["blur"], record["transfer"])
    # A level of the blur is up to 2.2 / 255 of linear light.
    level = (2.2 if transfer == "linear" else 1.0) / 255
    for rate, blur in zip(rates(record), blurred, strict=True):
        expected = cv2.resize(grey(blur), size, interpolation=cv2.INTER_AREA)
        # One spike of 31, and the rounding of the blur.
        assert np.abs(rate * threshold - expected).max() < threshold / 31 + level


def test_the_space_of_the_blur_is_not_that_of_linear_spikes() -> None:
    record = record_noise(1, cameras=LINEAR)
    light = (rates(record) - grey(to_spike_space(record["blur"], "linear"))).mean()
    coded = (rates(record) - grey(record["blur"] / np.float32(255))).mean()
    assert abs(light) < 0.01 < 0.1 < abs(coded)


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
def test_the_closed_form_gives_the_light_of_any_instant(transfer: str) -> None:
    # Slow ramps, each pixel with a slope of its own: Blur x TFP_short / TFP_long is the
    # light of the short window, in the space in which both integrated.
    slopes = np.random.default_rng(1).uniform(-0.2, 0.2, (8, 16, 1))
    time = (np.arange(250) - 125)[:, None, None, None] / 125
    light = np.repeat(0.6 + slopes * time, 3, axis=-1).astype(np.float32)
    exposure = np.array([[5.0, 246.0]], np.float32)
    cameras = Cameras(rgb=RgbCamera(transfer=transfer))
    record = film(light, exposure=exposure, cameras=cameras).record
    spikes = unpack_spikes(record["spikes"], 16)
    blur = grey(to_spike_space(record["blur"], transfer))[0]
    long = voxel_grid(spikes, 1, start=5.0, end=246.0)[0]
    for centre in (40, 125, 210):
        short = tfp(spikes, centre, 61)
        shown = blur * short / long
        expected = light[centre - 30 : centre + 31, ..., 0].astype(np.float64)
        expected = (expected**2.2 if transfer == "linear" else expected).mean(axis=0)
        # A spike of the short window, one of the long, and the rounding of the blur.
        bound = blur / long * (1 / 61 + short / long / 241) + 2.2 / 255
        assert (np.abs(shown - expected) < bound).all()


def test_read_noise_falls_on_the_blur_alone_and_is_seeded() -> None:
    light = even(0.5, 80, 60, 80)
    noisy = Cameras(rgb=RgbCamera(read_noise=4.0))
    quiet, first, again = (
        film(light, cameras=cameras).record for cameras in (Cameras(), noisy, noisy)
    )
    error = first["blur"].astype(float) - quiet["blur"]
    assert error.std() == pytest.approx(math.hypot(4.0, 1 / math.sqrt(12)), rel=0.03)
    # Every frame has its own.
    assert abs(np.corrcoef(error[0].ravel(), error[1].ravel())[0, 1]) < 0.03
    np.testing.assert_array_equal(first["blur"], again["blur"])
    for name in ("sharp", "spikes"):
        np.testing.assert_array_equal(first[name], quiet[name])
    for change in ({"seed": 1}, {"name": "other"}):
        other = film(light, cameras=noisy, **change).record
        assert (other["blur"] != first["blur"]).mean() > 0.5


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
def test_saturation_clips_the_integral_and_not_the_light(transfer: str) -> None:
    # Half of the exposure is white and half black: twice as bright it just reaches
    # white, although the white of each spike frame would have been clipped.
    light = np.zeros((40, 8, 16, 3), np.float32)
    light[3:18] = 1.0
    ramp = np.linspace(0, 1, 16, dtype=np.float32)[:, None]
    cameras = Cameras(rgb=RgbCamera(transfer=transfer, gain=2.0))
    record = film(light * ramp, cameras=cameras).record
    power = 2.2 if transfer == "linear" else 1.0
    mean = 2 * 15 / 31 * ramp[:, 0] ** power
    expected = 255 * np.minimum(mean, 1) ** (1 / power)
    np.testing.assert_allclose(record["blur"][0, 0, :, 0], expected, atol=0.51)
    # The spike camera has no part in it.
    ideal = film(light * ramp, cameras=Cameras(rgb=RgbCamera(transfer=transfer)))
    np.testing.assert_array_equal(record["spikes"], ideal.record["spikes"])


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
def test_several_sharp_instants_are_the_light_at_those_instants(transfer: str) -> None:
    light = noise()
    exposure = exposure_windows(2, first_start=3, exposure=31, period=40)
    times = sharp_times(exposure, 5)
    cameras = Cameras(rgb=RgbCamera(transfer=transfer))
    record = film(light, sharp_time=times, cameras=cameras).record
    assert record["sharp"].shape == (10, 8, 16, 3)
    for sharp, time in zip(record["sharp"], record["sharp_time"], strict=True):
        assert time % 1 == 0.5  # the middle of a spike frame
        np.testing.assert_array_equal(sharp, np.rint(255 * light[int(time)]))
    # The middle one of each is what a record of one instant holds; no other field
    # knows of the others.
    one = film(light, cameras=cameras).record
    sharp, middle = middle_sharp(record)
    np.testing.assert_array_equal(sharp, one["sharp"])
    np.testing.assert_array_equal(middle, one["sharp_time"])
    for name in one.keys() - {"sharp", "sharp_time"}:
        np.testing.assert_array_equal(record[name], one[name])


def test_a_calibrated_sensor_shows_in_the_record() -> None:
    """Dark intervals, stripes and unevenness as the calibration measured them."""
    dark = film(even(0.0, 3000, 48, 64), cameras=CALIBRATED)
    lit = film(even(0.168, 800, 120, 160), cameras=CALIBRATED)
    assert dark.clean.sum() == 0
    spikes = unpack_spikes(dark.record["spikes"], 64)
    count = spikes.sum(axis=0, dtype=np.int64)
    assert spikes.mean() == pytest.approx(0.0049, rel=0.06)
    assert np.median(3000 / count[count > 0]) == pytest.approx(224, rel=0.06)

    spikes = unpack_spikes(lit.record["spikes"], 160)
    rate = spikes.mean(axis=0)
    maps = lit.maps
    assert maps is not None
    np.testing.assert_allclose(
        rate, (0.168 * maps.response + maps.dark) / maps.threshold, atol=1.02 / 800
    )
    lit_rate = rate - maps.dark
    assert lit_rate.std() / lit_rate.mean() == pytest.approx(0.049, rel=0.12)
    columns = lit_rate.mean(axis=0).std() / lit_rate.mean()
    assert columns == pytest.approx(0.033, rel=0.2)
    assert unpack_spikes(lit.clean, 160).mean(axis=0).std() / 0.168 < 0.01


def test_few_photons_scatter_the_spikes_of_the_record_alone() -> None:
    sensor = dataclasses.replace(IDEAL_SENSOR, photons=20.0)
    grey_light = (
        np.random.default_rng(3).uniform(0.3, 0.5, (80, 120)).astype(np.float32)
    )
    light = np.broadcast_to(grey_light[..., None], (201, 80, 120, 3))
    clip = film(light, cameras=Cameras(sensor=sensor))
    for packed, scatter in (
        (clip.record["spikes"], 201 * 0.4 / 20 + 1 / 6),  # photons and quantisation
        (clip.clean, 1 / 6),
    ):
        count = unpack_spikes(packed, 120).sum(axis=0, dtype=np.int64)
        error = count - 201 * grey_light.astype(np.float64)
        assert np.mean(error**2) == pytest.approx(scatter, rel=0.06)


def test_the_clean_stream_is_what_the_ideal_sensor_records() -> None:
    ideal, real = film(noise()), film(noise(), cameras=CALIBRATED)
    np.testing.assert_array_equal(real.clean, ideal.record["spikes"])
    assert ideal.clean is ideal.record["spikes"] and ideal.maps is None
    assert (real.record["spikes"] != real.clean).any()
    for name in ideal.record.keys() - {"spikes"}:
        np.testing.assert_array_equal(real.record[name], ideal.record[name])
    again = film(noise(), cameras=CALIBRATED)
    np.testing.assert_array_equal(again.record["spikes"], real.record["spikes"])
    # Clips of one seed have sensors of their own: its name tells them apart.
    for change in ({"seed": 1}, {"name": "other"}):
        other = film(noise(), cameras=CALIBRATED, **change)
        assert real.maps is not None and other.maps is not None
        assert (other.maps.dark != real.maps.dark).all()


@pytest.mark.parametrize("sensor", [None, Sensor()])
def test_threshold_and_light_of_a_clip_are_drawn_and_recorded(
    sensor: Sensor | None,
) -> None:
    cameras = Cameras(sensor=sensor, threshold_spread=4.0, light_spread=2.0)
    light = even(0.2, 400, 6, 8)
    logs = []
    for seed in range(40):
        clip = film(
            light[: 400 if seed < 5 else 40],
            threshold=2.0,
            cameras=cameras,
            seed=seed,
        )
        threshold, gain = (float(clip.record[name]) for name in ("threshold", "gain"))
        logs.append((math.log(threshold / 2, 4), math.log(gain, 2)))
        if seed < 5:
            rate = unpack_spikes(clip.clean, 8).mean(axis=0)
            expected = min(0.2 * gain / threshold, 1)
            np.testing.assert_allclose(rate, expected, atol=1.02 / 400)
            assert clip.record["blur"].mean() == 51  # the frames know nothing of it
    assert np.abs(logs).max() <= 1
    assert (np.ptp(logs, axis=0) > 1.5).all()


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("spike_scale", [1, 2])
def test_a_bayer_record_has_the_rates_of_each_colour(
    cfa: str, spike_scale: int
) -> None:
    colours = [0.8, 0.5, 0.2]
    light = even(colours, 200, 12, 16)
    record = film(light, spike_scale=spike_scale, cameras=Cameras(cfa=cfa)).record
    assert record["cfa"] == cfa
    height, width = 12 // spike_scale, 16 // spike_scale
    rate = unpack_spikes(record["spikes"], width).mean(axis=0)
    expected = np.array(colours)[colour_map(cfa, height, width)]
    np.testing.assert_allclose(rate, expected, atol=1.02 / 200)
    # Weighted as grey is, the colours are the grey of the blur.
    seen = colour_map(cfa, height, width)
    means = [rate[seen == colour].mean() for colour in (0, 1, 2)]
    blur = grey(record["blur"][0, 0, 0] / np.float32(255))
    assert means @ GREY_WEIGHTS == pytest.approx(float(blur), abs=0.01)


def test_bayer_pixels_see_the_mean_of_their_area() -> None:
    light = np.repeat(noise(1)[:1], 400, axis=0)
    record = film(light, spike_scale=4, cameras=Cameras(cfa="grbg")).record
    pooled = light[0].reshape(2, 4, 4, 4, 3).mean(axis=(1, 3))
    expected = np.take_along_axis(
        pooled, colour_map("grbg", 2, 4)[..., None].astype(int), axis=-1
    )[..., 0]
    rate = unpack_spikes(record["spikes"], 4).mean(axis=0)
    np.testing.assert_allclose(rate, expected, atol=1.02 / 400)


def test_the_homography_maps_spike_pixels_to_the_middle_of_theirs() -> None:
    homography = record_noise(4)["rgb_from_spike"]
    np.testing.assert_allclose(homography @ [1, 0, 1], [5.5, 1.5, 1])


def test_what_is_not_known_is_marked() -> None:
    record = record_noise(1)
    assert record["licence"] == "unknown"
    assert np.isnan(record["spike_rate"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_light_that_is_not_finite_is_one_error_that_names_the_spike_frame(
    value: float,
) -> None:
    light = noise()
    light[57, 3, 4, 1] = value
    for cameras in (Cameras(), LINEAR, CALIBRATED, Cameras(cfa="rggb")):
        with pytest.raises(ValueError, match="noise is not finite in spike frame 57"):
            film(light, cameras=cameras)


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cfa": "RGGB"}, "Did you mean 'rggb'"),
        ({"threshold_spread": 0.5}, "threshold_spread must be a factor of at least 1"),
        ({"light_spread": math.inf}, "light_spread must be a factor of at least 1"),
    ],
)
def test_cameras_that_cannot_be_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cameras(**options)
