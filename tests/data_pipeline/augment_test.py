"""Augmentation keeps blur, sharp and spikes aligned, and stays inside the clip."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from data_pipeline import augment
from data_pipeline.capture import capture
from data_pipeline.exposure import exposure_windows
from data_pipeline.jitter import Shift
from data_pipeline.orientation import orient_frames, unpack_oriented
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.voxel_tables import fill_voxel_grids


def moving_dot(spike_scale: int) -> Record:
    """A bright dot that moves on a dark ground, 4 frames of 48x80."""
    exposure = exposure_windows(4, first_start=2, exposure=5, period=6)
    light = np.zeros((30, 48, 80, 3), np.float32)
    for sample in range(30):
        top, left = 8 + sample // 2, 20 + sample // 2
        light[sample, top : top + 4, left : left + 4] = 1.0
    return capture(
        light,
        exposure,
        threshold=1.0,
        gain=1.0,
        spike_scale=spike_scale,
        rng=np.random.default_rng(0),
        name="dot",
        source="dot",
        licence="none",
        seed=0,
    )


def augmented(record: Record, draws: np.ndarray, *, crop_size: int) -> dict[str, Any]:
    crop = augment.crop_record(record, draws, num_frames=3, crop_size=crop_size)
    orientation = augment.draw_orientation(draws, record, crop_size=crop_size)
    size = crop_size // int(record["spike_scale"])
    spikes = unpack_oriented(crop.spikes, size, orientation)
    grids = np.empty((3, 5, size, size), np.float32)
    fill_voxel_grids(spikes, crop.exposure, grids)
    return {
        "blur": orient_frames(crop.blur, orientation) / 255,
        "sharp": orient_frames(crop.sharp, orientation) / 255,
        "spikes": grids,
    }


def centroids(images: np.ndarray) -> np.ndarray:
    """Returns the centre of light (T, 2) of images (T, H, W), as parts of the size."""
    rows = (np.arange(images.shape[1]) + 0.5) / images.shape[1]
    columns = (np.arange(images.shape[2]) + 0.5) / images.shape[2]
    total = images.sum(axis=(1, 2))
    return np.stack(
        [
            (images * rows[:, None]).sum(axis=(1, 2)) / total,
            (images * columns).sum(axis=(1, 2)) / total,
        ],
        axis=-1,
    )


@pytest.mark.parametrize("spike_scale", [1, 2, 4])
@pytest.mark.parametrize("orientation", range(8))
def test_a_moving_dot_stays_in_the_same_place_in_all_modalities(
    spike_scale: int, orientation: int
) -> None:
    record = moving_dot(spike_scale)
    flips = [0.25 + 0.5 * (orientation >> bit & 1) for bit in range(3)]
    for position in (0.0, 0.1, 0.4):
        draws = np.array([position, position, position, *flips], np.float32)
        sample = augmented(record, draws, crop_size=44)
        places = {
            "blur": centroids(sample["blur"].mean(axis=-1)),
            "sharp": centroids(sample["sharp"].mean(axis=-1)),
            "spikes": centroids(sample["spikes"].mean(axis=1)),
        }
        for name in ("sharp", "spikes"):
            # A fifth of a pixel, as the dot's light is quantised to spikes.
            np.testing.assert_allclose(
                places[name], places["blur"], atol=0.25 * spike_scale / 44
            )
        if spike_scale == 1:  # where the dot is bright enough for a spike in each bin
            step = np.diff(places["blur"], axis=0).mean(axis=0)
            bins = centroids(sample["spikes"][1])
            np.testing.assert_array_equal(np.sign(bins[-1] - bins[0]), np.sign(step))


def test_no_draw_leaves_the_clip_and_both_ends_are_reached() -> None:
    record = moving_dot(2)
    record["blur"][..., 0] = np.arange(80)
    record["blur"][..., 1] = np.arange(48)[:, None]
    record["blur"][..., 2] = np.arange(4)[:, None, None]
    for value, corner in (
        (0.0, [0, 0, 0]),
        (np.nextafter(1, 0), [80 - 16, 48 - 16, 1]),
    ):
        draws = np.full(augment.NUM_DRAWS, value, np.float32)  # rounds up to 1
        crop = augment.crop_record(record, draws, num_frames=3, crop_size=16)
        np.testing.assert_array_equal(crop.blur[0, 0, 0], corner)
        assert crop.blur.shape == crop.sharp.shape == (3, 16, 16, 3)


def test_only_the_bytes_that_cover_the_crop_are_kept() -> None:
    record = moving_dot(1)
    draws = np.zeros(augment.NUM_DRAWS, np.float32)
    crop = augment.crop_record(record, draws, num_frames=2, crop_size=16)
    assert crop.spikes.shape == (2, 5, 16, 2)


@pytest.mark.parametrize("column", range(10))
@pytest.mark.parametrize("width", [3, 8, 13, 24])
def test_columns_are_cut_at_any_bit(column: int, width: int) -> None:
    record = moving_dot(1)
    rng = np.random.default_rng(0)
    record["spikes"] = rng.integers(0, 256, record["spikes"].shape, np.uint8)
    draws = np.zeros(augment.NUM_DRAWS, np.float32)
    shift = Shift(right=column)
    crop = augment.crop_record(
        record, draws, num_frames=2, crop_size=width, shift=shift
    )
    found = unpack_spikes(crop.spikes, width)
    spikes = unpack_spikes(record["spikes"], 80)[:, :width, column : column + width]
    starts = record["exposure"][:, 0].astype(int)
    for window, start in zip(found, starts[:2], strict=True):
        np.testing.assert_array_equal(window, spikes[start : start + 5])


def test_windows_hold_their_margin_and_say_where_the_exposures_are() -> None:
    numbers = np.arange(60)
    exposure = np.array([[4, 13], [20.25, 40.5], [50, 55.5]], np.float32)
    windows, inside = augment.cut_windows(numbers, exposure, margin=4)
    assert len({len(window) for window in windows}) == 1
    for window, where, (start, end) in zip(windows, inside, exposure, strict=True):
        np.testing.assert_array_equal(window[0] + where, [start, end])
        assert window[0] <= start - 4 and window[-1] >= end + 3


def test_a_shift_leaves_the_margin_inside_the_record() -> None:
    record = moving_dot(1)
    draws = np.zeros(augment.NUM_DRAWS, np.float32)
    sizes = {"num_frames": 4, "crop_size": 16, "margin": 2}
    for later in (-9, 9):
        crop = augment.crop_record(record, draws, **sizes, shift=Shift(later=later))
        assert crop.spikes.shape[1] == 2 + 5 + 2
        np.testing.assert_array_equal(crop.exposure, [[2, 7]] * 4)
    with pytest.raises(ValueError, match="dot has 2 spike frames around its exposures"):
        augment.check_fits(record, num_frames=4, crop_size=16, margin=3)


def test_the_middle_one_of_several_sharp_instants_is_cut() -> None:
    record = moving_dot(1)
    several = np.arange(12, dtype=np.uint8)
    record["sharp"] = np.tile(several[:, None, None, None], (1, 48, 80, 3))
    middle = record["sharp_time"][:, None]
    record["sharp_time"] = (middle + [-1, 0, 1]).astype(np.float32).ravel()
    draws = np.zeros(augment.NUM_DRAWS, np.float32)
    crop = augment.crop_record(record, draws, num_frames=3, crop_size=16)
    assert crop.sharp.shape == (3, 16, 16, 3)
    np.testing.assert_array_equal(crop.sharp[:, 0, 0, 0], [1, 4, 7])


def test_draws_are_a_function_of_seed_and_position() -> None:
    def draw(seed: int, position: int) -> np.ndarray:
        return augment.draw(seed, tf.constant(position, tf.int64)).numpy()

    np.testing.assert_array_equal(draw(1, 2), draw(1, 2))
    assert (draw(1, 2) != draw(1, 3)).all()
    assert (draw(1, 2) != draw(2, 2)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 5}, "has 4 frames, but num_frames is 5"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"crop_size": 64}, "is 48x80, but crop_size is 64"),
        ({"crop_size": 17}, "multiple of the spike scale 2"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, int], message: str) -> None:
    arguments = {"num_frames": 2, "crop_size": 16} | options
    with pytest.raises(ValueError, match=message):
        augment.check_fits(moving_dot(2), **arguments)


def test_a_clip_without_sharp_frames_cannot_be_trained_on() -> None:
    record = moving_dot(1)
    record["sharp"] = record["sharp"][:0]
    with pytest.raises(ValueError, match="dot has no sharp frames"):
        augment.check_fits(record, num_frames=2, crop_size=16)
