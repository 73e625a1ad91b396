"""Triplets of spikes alone, against the light that the spikes were made of."""

import math
from typing import Any

import numpy as np
import pytest

from data_pipeline.records import check_record, unpack_spikes
from data_pipeline.spike_triplets import (
    TRIPLET_DEFAULTS,
    clip_length,
    clip_starts,
    make_triplets,
)
from data_pipeline.transfer import to_gamma, to_spike_space
from moving_scene import GAIN, moving_light, record_spikes

SIZE = (40, 48)
COUNT = 140
SETTINGS: dict[str, Any] = TRIPLET_DEFAULTS | {
    "exposure": 31,
    "period": 36,
    "num_frames": 2,
    "white_rate": GAIN,
}
LIGHT = moving_light(COUNT, SIZE)
SPIKES = record_spikes(LIGHT)
TEXTS = {"name": "clip", "source": "a recording", "licence": "none"}


class Window:
    """A stream that notes which part of it was read."""

    def __init__(self, spikes: np.ndarray) -> None:
        self.shape, self._spikes = spikes.shape, spikes
        self.read: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._spikes)

    def __getitem__(self, key: slice) -> np.ndarray:
        start, stop, step = key.indices(len(self))
        assert step == 1
        self.read.append((start, stop))
        return self._spikes[key]


def psnr(picture: np.ndarray, light: np.ndarray) -> float:
    error = picture[4:-4, 4:-4].astype(float) / 255 - light[4:-4, 4:-4]
    return -10 * math.log10(float(np.square(error).mean()))


def test_blur_is_the_mean_of_the_exposure_and_sharp_the_light_of_its_middle() -> None:
    record = make_triplets(SPIKES, 0, SETTINGS, **TEXTS)
    check_record(record)
    assert record["exposure"].tolist() == [[16, 47], [52, 83]]
    assert record["sharp_time"].tolist() == [31.5, 67.5]
    grey = LIGHT.mean(axis=-1)
    for frame, (start, end) in enumerate(record["exposure"].astype(int)):
        blur, sharp = record["blur"][frame], record["sharp"][frame]
        assert (blur == blur[..., :1]).all() and (sharp == sharp[..., :1]).all()
        mean = to_gamma(grey[start:end].mean(axis=0))
        middle = to_gamma(grey[(start + end) // 2])
        assert psnr(blur[..., 0], mean) > 34
        assert psnr(sharp[..., 0], middle) > 34
        assert psnr(blur[..., 0], middle) < psnr(sharp[..., 0], middle) - 6
    length = clip_length(SETTINGS)
    assert length == 16 + 31 + 36 + 16 == len(record["spikes"])
    np.testing.assert_array_equal(
        unpack_spikes(record["spikes"], SIZE[1]), SPIKES[:length]
    )
    assert record["gain"] == np.float32(GAIN) and record["threshold"] == 1
    assert record["transfer"] == "linear" and "TFP of 31" in record["blur_kind"]
    assert "made from its spikes" in record["source"]
    assert math.isnan(record["spike_rate"]) and record["seed"] == -1


def test_in_the_space_of_the_spikes_blur_is_their_rate() -> None:
    for transfer in ("linear", "gamma"):
        settings = SETTINGS | {"transfer": transfer, "spike_rate": 20000.0}
        record = make_triplets(SPIKES, 0, settings, **TEXTS)
        light = to_spike_space(record["blur"], record["transfer"])[..., 0]
        rate = np.stack([SPIKES[16:47].mean(axis=0), SPIKES[52:83].mean(axis=0)])
        # A count is off by up to a spike of the exposure.
        assert np.abs(light * GAIN - rate).max() < 1.2 / 31
        assert abs(float((light * GAIN - rate).mean())) < 1e-3
        assert record["spike_rate"] == 20000


def test_clips_follow_each_other_and_read_only_what_is_around_them() -> None:
    longer = np.concatenate([SPIKES] * 4)
    starts = clip_starts(len(longer), SETTINGS)
    assert starts == [72 * clip for clip in range(7)]
    assert starts[-1] + clip_length(SETTINGS) <= len(longer)
    assert clip_starts(clip_length(SETTINGS), SETTINGS) == [0]
    assert clip_starts(clip_length(SETTINGS) - 1, SETTINGS) == []
    stream = Window(longer)
    record = make_triplets(stream, starts[3], SETTINGS, **TEXTS)
    assert min(start for start, _ in stream.read) >= starts[3] - 55
    assert max(stop for _, stop in stream.read) <= starts[3] + 99 + 55
    np.testing.assert_array_equal(
        unpack_spikes(record["spikes"], SIZE[1]),
        longer[starts[3] : starts[3] + 99],
    )


def test_white_is_measured_where_it_is_not_said() -> None:
    record = make_triplets(SPIKES, 0, SETTINGS | {"white_rate": 0.0}, **TEXTS)
    rates = np.stack([SPIKES[16:47].mean(axis=0), SPIKES[52:83].mean(axis=0)])
    assert record["gain"] == pytest.approx(np.percentile(rates, 99.5), abs=1.2 / 31)
    assert (record["blur"] == 255).mean() == pytest.approx(0.005, abs=0.002)
    assert "measured" in record["blur_kind"]
    assert f"{float(record['gain']):.4g}" in record["blur_kind"]
    dimmer = record_spikes(LIGHT / 4)
    dim = make_triplets(dimmer, 0, SETTINGS | {"white_rate": 0.0}, **TEXTS)
    assert dim["gain"] == pytest.approx(record["gain"] / 4, rel=0.05)
    error = dim["blur"].astype(int) - record["blur"].astype(int)
    assert np.abs(error).mean() < 5


def test_several_instants_are_the_light_of_each() -> None:
    settings = SETTINGS | {"sharp_instants": 3}
    record = make_triplets(SPIKES, 0, settings, **TEXTS)
    assert record["sharp_time"].tolist() == [21.5, 31.5, 41.5, 57.5, 67.5, 77.5]
    grey = to_gamma(LIGHT.mean(axis=-1))
    for sharp, time in zip(record["sharp"], record["sharp_time"], strict=True):
        scores = [psnr(sharp[..., 0], grey[int(time) + move]) for move in (-8, 0, 8)]
        assert scores[1] > max(scores[0], scores[2]) + 6


def test_behind_filters_frames_are_in_colour_and_spikes_stay_as_they_are() -> None:
    spikes = record_spikes(LIGHT, cfa="bggr")
    record = make_triplets(spikes, 0, SETTINGS, cfa="bggr", **TEXTS)
    assert record["cfa"] == "bggr" and record["spike_scale"] == 1
    assert "bggr demosaiced" in record["blur_kind"]
    np.testing.assert_array_equal(unpack_spikes(record["spikes"], SIZE[1]), spikes[:99])
    for frame, (start, end) in enumerate(record["exposure"].astype(int)):
        blur, middle = LIGHT[start:end].mean(axis=0), LIGHT[(start + end) // 2]
        assert psnr(record["blur"][frame], to_gamma(blur)) > 29
        assert psnr(record["sharp"][frame], to_gamma(middle)) > 28


def test_the_dark_rate_is_taken_out() -> None:
    dark = 0.05
    spikes = record_spikes(LIGHT + np.float32(dark / GAIN))
    kept = make_triplets(spikes, 0, SETTINGS, **TEXTS)
    settings = SETTINGS | {"dark_rate": dark}
    clean = make_triplets(spikes, 0, settings, **TEXTS)
    middle = to_gamma(LIGHT[31].mean(axis=-1))
    assert psnr(clean["sharp"][0][..., 0], middle) > 30
    assert psnr(kept["sharp"][0][..., 0], middle) < 26
    assert "without a dark rate of 0.05" in clean["blur_kind"]
    np.testing.assert_array_equal(clean["spikes"], kept["spikes"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exposure": 0}, "exposure must be at least 1"),
        ({"num_frames": 0}, "num_frames must be at least 1"),
        ({"period": 30}, "period must be at least the exposure, 31"),
        ({"sharp_instants": 2}, "sharp_instants must be odd"),
        ({"window": 10}, "at least 11 spike frames"),
        ({"window": 353}, "window must be at most 352"),
        ({"white_rate": -0.1}, "white_rate must be from 0"),
        ({"dark_rate": 1.5}, "dark_rate must be from 0"),
        ({"spike_rate": -1.0}, "spike_rate must be the spike frames per second"),
        ({"transfer": "linea"}, "Did you mean 'linear'"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_triplets(SPIKES, 0, SETTINGS | change, **TEXTS)


def test_streams_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="takes 99 spike frames, but the stream holds"):
        make_triplets(SPIKES, 42, SETTINGS, **TEXTS)
    dark = np.zeros_like(SPIKES)
    with pytest.raises(ValueError, match="clip is all dark"):
        make_triplets(dark, 0, SETTINGS | {"white_rate": 0.0}, **TEXTS)
    black = make_triplets(dark, 0, SETTINGS, **TEXTS)
    assert black["sharp"].max() <= np.rint(255 * to_gamma(np.float32(1 / 100)))
    with pytest.raises(ValueError, match="through colour filters"):
        settings = SETTINGS | {"dark_rate": 0.005}
        make_triplets(SPIKES, 0, settings, cfa="rggb", **TEXTS)
