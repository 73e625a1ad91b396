"""The reconstruction along the motion, against the light that was recorded."""

import functools
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from data_pipeline.bayer import demosaic, mosaic
from data_pipeline.charge import mean_rate
from data_pipeline.noise_maps import NoiseMaps
from data_pipeline.reconstruct import reconstruct, stream_window, to_light
from data_pipeline.representations import tfi, tfp
from data_pipeline.spike_camera import SpikeCamera
from data_pipeline.spike_dat import read_dat

SIZE = (64, 96)
GAIN = 0.6
COUNT = 151


@functools.cache
def light(motion: float = 0.2) -> np.ndarray:
    """A photograph that moves right and down, (S, h, w, 3), as the camera sees it."""
    photograph = skimage.data.astronaut().astype(np.float32) / np.float32(255)
    photograph = cv2.resize(photograph, None, fx=0.5, fy=0.5)[20:140, 60:220]
    frames = []
    for sample in range(COUNT):
        shift = motion * (sample - COUNT // 2)
        move = np.array([[1, 0, shift - 30], [0, 1, 0.4 * shift - 26]], np.float32)
        frames.append(
            cv2.warpAffine(photograph, move, SIZE[::-1], flags=cv2.INTER_CUBIC)
        )
    return np.clip(np.stack(frames), 0, 1)


def fire(seen: np.ndarray) -> np.ndarray:
    phase = np.random.default_rng(3).random(SIZE, np.float32)
    camera = SpikeCamera(threshold=1.0, gain=GAIN, phase=phase)
    return np.stack([camera.read(frame.astype(np.float32)) for frame in seen]).astype(
        np.uint8
    )


@functools.cache
def grey_spikes(motion: float = 0.2) -> np.ndarray:
    return fire(light(motion).mean(axis=-1))


def psnr(rates: np.ndarray, truth: np.ndarray) -> float:
    error = np.clip(rates / GAIN, 0, 1) - truth
    return -10 * math.log10(float(np.square(error[4:-4, 4:-4]).mean()))


def test_it_is_better_than_every_window_of_tfp_and_than_tfi() -> None:
    spikes, middle = grey_spikes(), COUNT // 2
    truth = light()[middle].mean(axis=-1)
    found = reconstruct(spikes, middle + 0.5)
    assert found.shape == SIZE and found.dtype == np.float32 and found.min() >= 0
    best = max(psnr(tfp(spikes, middle, w), truth) for w in range(3, 100, 2))
    assert psnr(found, truth) > best + 6
    assert psnr(found, truth) > psnr(tfi(spikes, middle), truth) + 6
    still = max(
        psnr(mean_rate(spikes, middle + 0.5 - w / 2, middle + 0.5 + w / 2), truth)
        for w in range(3, 60, 4)
    )
    assert psnr(found, truth) > still + 2


def test_each_round_takes_out_some_of_the_blur() -> None:
    spikes, middle = grey_spikes(0.4), COUNT // 2
    truth = light(0.4)[middle].mean(axis=-1)
    scores = [
        psnr(reconstruct(spikes, middle + 0.5, rounds=rounds), truth)
        for rounds in range(3)
    ]
    assert scores[0] < scores[1] < scores[2]


def test_a_still_scene_is_its_mean() -> None:
    spikes = fire(np.repeat(light()[:1].mean(axis=-1), COUNT, axis=0))
    found = reconstruct(spikes, COUNT / 2)
    plain = mean_rate(spikes, COUNT / 2 - 27.5, COUNT / 2 + 27.5)
    assert np.abs(found - plain).mean() < 2e-3


def test_the_instant_is_the_one_asked_for() -> None:
    spikes = grey_spikes()
    for frame in (40, 75, 110):
        found = reconstruct(spikes, frame + 0.5)
        scores = [
            psnr(found, light()[f].mean(axis=-1)) for f in range(frame - 3, frame + 4)
        ]
        assert int(np.argmax(scores)) in (2, 3, 4)
        assert scores[3] > max(scores[0], scores[6]) + 1


def test_it_is_the_same_in_a_stream_turned_around() -> None:
    spikes = grey_spikes()
    there = reconstruct(spikes, 75.5)
    back = reconstruct(np.ascontiguousarray(spikes[::-1]), COUNT - 75.5)
    assert np.abs(there - back).mean() < 3e-3


def test_segments_beyond_the_stream_are_left_out() -> None:
    spikes = grey_spikes()
    truth = light()[5].mean(axis=-1)
    assert psnr(reconstruct(spikes, 5.5), truth) > psnr(tfi(spikes, 5), truth)
    alone = reconstruct(spikes[:7], 3.5)  # one segment: nothing to move or compare
    np.testing.assert_allclose(alone, mean_rate(spikes[:7], 1, 6), atol=1e-6)


def test_the_part_of_a_stream_that_is_looked_at_is_enough() -> None:
    spikes = grey_spikes()
    first, last = stream_window(75.5, 22, COUNT)
    assert (first, last) == (54, 97)
    whole = reconstruct(spikes, 75.5, window=22)
    part = reconstruct(spikes[first:last], 75.5 - first, window=22)
    # Only pixels that do not fire within it can tell the difference.
    assert np.mean(np.abs(whole - part) > 0.02) < 0.02


@pytest.mark.parametrize("cfa", ["bggr", "grbg"])
def test_colours_are_found_behind_filters(cfa: str) -> None:
    spikes, middle = fire(mosaic(light(), cfa)), COUNT // 2
    truth = light()[middle]
    found = reconstruct(spikes, middle + 0.5, cfa=cfa)
    assert found.shape == (*SIZE, 3)
    best = max(
        psnr(demosaic(tfp(spikes, middle, w), cfa), truth) for w in range(5, 100, 4)
    )
    assert psnr(found, truth) > best + 1.5
    swapped = found[..., ::-1]
    assert psnr(found, truth) > psnr(swapped, truth) + 3


def test_the_noise_of_the_sensor_is_taken_out() -> None:
    rng = np.random.default_rng(5)
    maps = NoiseMaps(
        dark_rate=rng.uniform(0.01, 0.1, SIZE).astype(np.float32),
        response=rng.uniform(0.7, 1.3, SIZE).astype(np.float32),
        hot=rng.random(SIZE) < 0.01,
    )
    truth = light().mean(axis=-1)
    seen = truth * maps.response + maps.dark_rate / GAIN
    seen[:, maps.hot] = 1.6
    spikes = fire(seen)
    cleaned = reconstruct(spikes, 75.5, maps=maps)
    assert psnr(cleaned, truth[75]) > psnr(reconstruct(spikes, 75.5), truth[75]) + 8
    assert np.abs(cleaned / GAIN - truth[75])[maps.hot].mean() < 0.1


def test_a_hot_pixel_behind_filters_gets_its_own_colour() -> None:
    flat = np.broadcast_to(np.float32([0.5, 0.3, 0.1]), (8, 8, 3))
    rate = mosaic(flat, "rggb")
    hot = np.zeros((8, 8), bool)
    hot[4, 4] = hot[3, 3] = True  # a red and a blue one
    maps = NoiseMaps(np.zeros((8, 8), np.float32), np.ones((8, 8), np.float32), hot)
    broken = np.where(hot, 1, rate)
    np.testing.assert_allclose(to_light(broken, "rggb", maps), flat, atol=1e-4)


@pytest.mark.parametrize(("part", "least"), [(2, 31.9), (3, 30.5)])
def test_the_published_recordings(shared: Path, part: int, least: float) -> None:
    folder = shared / "data" / "s_reds"
    if not folder.is_dir():
        pytest.skip(f"the recordings are not there: {folder}")
    name = folder / f"203_part{part}_key_id151"
    spikes = read_dat(name.with_suffix(".dat"), 250, 400)
    truth = cv2.imread(str(name.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) / 255
    error = np.clip(reconstruct(spikes, 150.5) / GAIN, 0, 1) - truth
    # The best TFP of any window has 25.8 and 25.5 dB, the TFI 24.7 and 26.3.
    assert -10 * math.log10(float(np.square(error).mean())) > least


def test_mistakes_are_one_sentence() -> None:
    spikes = np.zeros((60, 40, 40), np.uint8)
    for window in (10, math.inf, math.nan):
        with pytest.raises(ValueError, match="at least 11 spike frames"):
            reconstruct(spikes, 30.0, window=window)
    for wrong in (spikes[:, :31], spikes[0]):
        with pytest.raises(ValueError, match="at least 32x32 pixels"):
            reconstruct(wrong, 30.0)
    for instant in (2.0, 58.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="too close to an end of the stream"):
            reconstruct(spikes, instant)
    with pytest.raises(ValueError, match="Did you mean 'rggb'"):
        reconstruct(spikes, 30.0, cfa="rgbg")
    assert not reconstruct(spikes, 30.0).max() > 1 / 60
