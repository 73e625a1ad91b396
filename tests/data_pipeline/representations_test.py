"""Representations against goldens, closed forms and invariants."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data_pipeline import representations as rep
from data_pipeline import spike_dat
from data_pipeline.exposure import mean_blur
from data_pipeline.spike_camera import grey, simulate

STREAMS = (33, 56, 65, 88, 97, 104, 137)
BINS = (8, 16, 32)
MOST_BINS: list[tuple[int, rep.Binning]] = [
    *((num_bins, "hard") for num_bins in (*BINS, 1, 200)),
    *((num_bins, "bilinear") for num_bins in (*BINS, 1, 33)),
]


@pytest.fixture(scope="module")
def constant_light() -> np.ndarray:
    light = np.random.default_rng(0).random((6, 6))
    return np.broadcast_to(light, (max(STREAMS), 6, 6)).astype(np.float32)


@pytest.mark.parametrize("num_bins, binning", MOST_BINS)
@pytest.mark.parametrize("length", STREAMS)
def test_constant_light_gives_constant_bins(
    constant_light: np.ndarray, length: int, num_bins: int, binning: rep.Binning
) -> None:
    grid = rep.voxel_grid(constant_light[:length], num_bins, binning=binning)
    assert grid.shape == (num_bins, 6, 6)
    assert grid.dtype == np.float32
    expected = np.broadcast_to(constant_light[0], grid.shape)
    np.testing.assert_allclose(grid, expected, rtol=2e-6)


@pytest.mark.parametrize("num_bins", BINS)
@pytest.mark.parametrize("length", STREAMS)
def test_spikes_of_constant_light_differ_by_quantisation_only(
    length: int, num_bins: int
) -> None:
    rng = np.random.default_rng(1)
    light = np.broadcast_to(rng.random((48, 48), np.float32), (length, 48, 48))
    spikes = simulate(light, threshold=1, gain=1, rng=rng)
    grid = rep.voxel_grid(spikes, num_bins)
    # The count up to any instant lags the charge by less than one spike, so a bin of
    # length / num_bins is off by less than one.
    assert np.abs(grid - light[0]).max() < 1.001 * num_bins / length
    # Over many pixels that averages out: no bin stands out, as uneven bins would.
    assert np.abs(grid.mean(axis=(1, 2)) - light[0].mean()).max() < 0.04


@hypothesis_settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_bins_times_their_length_sum_to_the_count(
    length: int, num_bins: int, seed: int
) -> None:
    spikes = np.random.default_rng(seed).integers(0, 2, (length, 2, 3), np.uint8)
    grid = rep.voxel_grid(spikes, num_bins)
    counts = grid.sum(axis=0, dtype=np.float64) * length / num_bins
    np.testing.assert_allclose(counts, spikes.sum(axis=0), rtol=1e-4, atol=1e-4)


def test_whole_bins_are_means_and_straddling_frames_are_shared() -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (12, 2, 2), np.uint8)
    grid = rep.voxel_grid(spikes, 4)
    np.testing.assert_allclose(grid, spikes.reshape(4, 3, 2, 2).mean(axis=1), rtol=1e-6)
    one = np.zeros((3, 1, 1), np.uint8)
    one[1] = 1  # [1, 2) straddles the edge at 1.5
    np.testing.assert_allclose(rep.voxel_grid(one, 2)[:, 0, 0], [1 / 3, 1 / 3])


def test_bilinear_bins_by_hand() -> None:
    one = np.zeros((5, 1, 1), np.uint8)
    one[1] = 1
    # Bins are centred on the spike frames 0, 2 and 4, whose weights are 1, 1/2; 1/2,
    # 1, 1/2; 1/2, 1. Half of spike frame 1 is the first bin's, half the second's.
    grid = rep.voxel_grid(one, 3, binning="bilinear")
    np.testing.assert_allclose(grid[:, 0, 0], [0.5 / 1.5, 0.5 / 2, 0], rtol=1e-6)
    # One bin per spike frame is the stream itself, one bin of all is its mean.
    spikes = np.random.default_rng(0).integers(0, 2, (33, 2, 2), np.uint8)
    same = rep.voxel_grid(spikes, 33, binning="bilinear")
    np.testing.assert_allclose(same, spikes, atol=1e-6)
    mean = rep.voxel_grid(spikes, 1, binning="bilinear")
    np.testing.assert_allclose(mean[0], spikes.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("length", STREAMS)
def test_bilinear_bins_are_the_formula_of_the_field(length: int) -> None:
    spikes = np.random.default_rng(1).integers(0, 2, (length, 3, 2), np.uint8)
    for num_bins in BINS:
        grid = rep.voxel_grid(spikes, num_bins, binning="bilinear")
        for index in range(num_bins):
            weights = [
                max(0.0, 1 - abs(index - (num_bins - 1) * t / (length - 1)))
                for t in range(length)
            ]
            expected = np.average(spikes, axis=0, weights=weights)
            np.testing.assert_allclose(grid[index], expected, atol=1e-6)


@hypothesis_settings(deadline=None)
@given(st.floats(0, 5), st.floats(8, 60), st.integers(1, 8))
def test_bilinear_weights_of_any_window_sum_to_one(
    start: float, length: float, num_bins: int
) -> None:
    end = start + length
    rows = rep.bin_weights(start, end, num_bins, first=0, count=70, binning="bilinear")
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-5)
    assert (rows >= 0).all()
    frames = np.arange(70)
    assert not rows[:, (frames + 1 <= start) | (frames >= end)].any()


def test_a_window_of_the_stream_is_the_grid_of_that_window() -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (30, 2, 2), np.uint8)
    np.testing.assert_allclose(
        rep.voxel_grid(spikes, 5, start=7, end=20), rep.voxel_grid(spikes[7:20], 5)
    )
    rows = rep.bin_weights(3.25, 9.5, 4, first=3, count=7)
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-6)


def test_the_order_of_spikes_in_an_exposure_matters() -> None:
    rng = np.random.default_rng(0)
    spikes = rng.integers(0, 2, (33, 4, 4), np.uint8)
    mixed = spikes[rng.permutation(33)]
    first, second = rep.voxel_grid(spikes, 8), rep.voxel_grid(mixed, 8)
    assert np.abs(first - second).max() > 0.2
    np.testing.assert_allclose(first.mean(axis=0), second.mean(axis=0), rtol=1e-5)


# Window -> PSNR against the sharp frame, shared/data/README.md.
GOLDENS = {
    "203_part2": (
        {5: 16.90, 9: 21.88, 21: 25.79, 41: 23.50, 97: 19.97, 301: 16.56},
        24.72,
    ),
    "203_part3": (
        {5: 16.92, 9: 21.78, 21: 25.52, 41: 23.72, 97: 21.47, 301: 19.36},
        26.28,
    ),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_goldens_of_recordings_made_by_others(shared: Path, name: str) -> None:
    folder = shared / "data" / "s_reds"
    spikes = spike_dat.read_dat(next(folder.glob(f"{name}*.dat")), 250, 400)
    picture = next(folder.glob(f"{name}*.png"))
    truth = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE).astype(np.float64) / 255

    def psnr(rate: np.ndarray) -> float:
        return -10 * np.log10(np.mean((np.clip(rate / 0.6, 0, 1) - truth) ** 2))

    playback, interval = GOLDENS[name]
    for window, expected in playback.items():
        assert psnr(rep.tfp(spikes, 150, window)) == pytest.approx(expected, abs=0.01)
    assert psnr(rep.tfi(spikes, 150)) == pytest.approx(interval, abs=0.01)


def test_the_closed_form_restores_what_the_blur_has_lost() -> None:
    # A tinted bar pattern of 8-bit values that moves a pixel every three spike frames.
    pattern = np.random.default_rng(2).integers(60, 256, 40).astype(np.float32) / 255
    moving = np.stack([np.roll(pattern, step // 3) for step in range(97)])
    light = np.repeat(moving[:, None, :, None], 4, 1) * np.float32([1.0, 0.7, 0.4])
    exposure = np.array([[0, 97]], np.float32)
    blur = mean_blur(light, exposure)[0].astype(np.float64) / 255
    middle, window = 48, 9
    sharp = light[middle - window // 2 : middle + window // 2 + 1].mean(axis=0)

    def closed_form(stream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ratio = rep.tfp(stream, middle, window) / rep.tfp(stream, middle, 97)
        return blur * ratio[..., None], ratio[..., None]

    # With the light in place of spikes only the blur's 8 bits stand between the two.
    found, ratio = closed_form(grey(light))
    assert (np.abs(found - sharp) <= ratio * (1 / 510 + 1e-6)).all()
    # With spikes, both TFPs are within 1 / window of their rate: at colour c of grey g
    # Blur / long differs from c / g by no more than (1/510 + c / g / 97) / long.
    spikes = simulate(grey(light), threshold=1, gain=1, rng=np.random.default_rng(3))
    found, ratio = closed_form(spikes)
    long = rep.tfp(spikes, middle, 97)[..., None]
    tint = light[0] / grey(light)[0][..., None]
    short = rep.tfp(spikes, middle, window)[..., None]
    bound = short * (1 / 510 + tint / 97) / long + tint / window
    assert (np.abs(found - sharp) <= 1.001 * bound).all()
    # It is the sharp picture, which the blur is not.
    assert np.abs(found - sharp).mean() < 0.5 * np.abs(blur - sharp).mean()


@pytest.mark.parametrize("name", GOLDENS)
def test_the_closed_form_on_recordings_made_by_others(shared: Path, name: str) -> None:
    folder = shared / "data" / "s_reds"
    spikes = spike_dat.read_dat(next(folder.glob(f"{name}*.dat")), 250, 400)
    picture = cv2.imread(str(next(folder.glob(f"{name}*.png"))), cv2.IMREAD_GRAYSCALE)
    truth = picture.astype(np.float64) / 255
    long = rep.tfp(spikes, 150, 301)
    blur = np.rint(255 * np.clip(long / 0.6, 0, 1)) / 255
    found = blur * rep.tfp(spikes, 150, 21) / np.maximum(long, 1 / 301)

    def psnr(light: np.ndarray) -> float:
        return -10 * np.log10(np.mean((np.clip(light, 0, 1) - truth) ** 2))

    # Nothing is lost against the short TFP with its known gain: the blur carries it.
    playback, _ = GOLDENS[name]
    assert psnr(blur) == pytest.approx(playback[301], abs=0.02)
    assert psnr(found) == pytest.approx(playback[21], abs=0.05)


def test_tfp_is_within_one_spike_of_the_rate() -> None:
    light = np.random.default_rng(0).random((6, 6))
    stream = np.broadcast_to(light, (101, 6, 6)).astype(np.float32)
    spikes = simulate(stream, threshold=1, gain=1, rng=np.random.default_rng(1))
    for window in (1, 7, 41, 101):
        assert np.abs(rep.tfp(spikes, 50, window) - light).max() < 1.001 / window


def test_tfi_by_hand() -> None:
    spikes = np.zeros((10, 1, 5), np.uint8)
    spikes[[2, 6], 0, 0] = 1  # last before, first after
    spikes[[4, 5], 0, 1] = 1  # a spike at the centre is the last before
    spikes[[0, 9], 0, 2] = 1  # at both ends of the stream
    spikes[3, 0, 3] = 1  # none after
    np.testing.assert_allclose(rep.tfi(spikes, 4), [[1 / 4, 1, 1 / 9, 0, 0]])
    limited = rep.tfi(spikes, 4, max_interval=4)
    np.testing.assert_allclose(limited, [[1 / 4, 1, 0, 0, 0]])
    np.testing.assert_array_equal(rep.tfi(spikes, 9), np.zeros((1, 5)))


def test_both_time_surfaces_together_are_the_interval() -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (60, 4, 4), np.uint8)
    back = rep.time_surface(spikes, 30, tau=5.0)
    ahead = rep.time_surface(spikes, 30, tau=5.0, direction="forward")
    interval = -5.0 * (np.log(back) + np.log(ahead))
    np.testing.assert_allclose(interval, 1 / rep.tfi(spikes, 30), rtol=1e-4)
    silent = np.zeros((5, 2, 2), np.uint8)
    np.testing.assert_array_equal(rep.time_surface(silent, 2, tau=1.0), 0)


def test_errors_say_what_is_wrong() -> None:
    spikes = np.zeros((10, 2, 2), np.uint8)
    for call, message in (
        (lambda: rep.voxel_grid(spikes, 0), "num_bins must be at least 1"),
        (lambda: rep.voxel_grid(spikes[:0], 4), "must be .S, h, w"),
        (lambda: rep.voxel_grid(spikes, 4, start=5, end=11), "leaves the stream"),
        (lambda: rep.voxel_grid(spikes, 4, start=-1), "leaves the stream"),
        (lambda: rep.voxel_grid(spikes, 4, start=5, end=5), "must not be empty"),
        (
            lambda: rep.voxel_grid(spikes, 11, binning="bilinear"),
            "too short for 11 bilinear bins",
        ),
        (
            lambda: rep.voxel_grid(spikes, 4, binning="soft"),  # type: ignore[arg-type]
            "Unknown binning 'soft'",
        ),
        (lambda: rep.tfp(spikes, 5, 4), "must be odd"),
        (lambda: rep.tfp(spikes, 1, 5), r"covers \[-1, 4\)"),
        (lambda: rep.tfi(spikes, 10), "outside the stream"),
        (
            lambda: rep.time_surface(spikes, 5, tau=0.0),
            "tau must be a number of spike frames above 0",
        ),
        (
            lambda: rep.time_surface(spikes, 5, tau=1, direction="foward"),  # type: ignore[arg-type]
            "Did you mean 'forward'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
