"""Behind colour filters every sample has the filters of the sensor."""

from typing import Any

import numpy as np
import pytest

from data_pipeline import augment
from data_pipeline.bayer import CFA_PATTERNS, colour_map
from data_pipeline.jitter import Shift
from data_pipeline.orientation import orient_frames, unpack_oriented
from data_pipeline.records import Record, pack_spikes

SIZE = (22, 27)


def recorded(record: Record, cfa: str) -> Record:
    """The record of a camera of which only the red pixels fire, of even spike frames.

    Its frames have in red what the row, in green what the column of a pixel is.
    """
    red = colour_map(cfa, *SIZE) == 0
    spikes = np.zeros((25, *SIZE), np.uint8)
    spikes[::2] = red
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.uint8)
    frame = np.stack([rows, columns, 0 * rows], axis=-1)
    frames = np.repeat(frame[None], 3, axis=0)
    return record | {
        "blur": frames,
        "sharp": frames,
        "spikes": pack_spikes(spikes),
        "spike_scale": np.int32(1),
        "cfa": cfa,
    }


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("size", [8, 9, 21, 22])
def test_they_are_those_of_the_sensor_however_a_crop_is_turned(
    record: Record, cfa: str, size: int
) -> None:
    rng = np.random.default_rng(size)
    clip = recorded(record, cfa)
    red = colour_map(cfa, size, size) == 0
    places = set()
    for number in range(60):
        draws = rng.random(augment.NUM_DRAWS)
        shift = Shift(down=int(rng.integers(-5, 6)), right=int(rng.integers(-5, 6)))
        options: dict[str, Any] = {"num_frames": 2, "crop_size": size}
        if number % 2:
            options["shift"] = shift
        crop = augment.crop_record(clip, draws, **options)
        orientation = augment.draw_orientation(draws, clip, crop_size=size)
        spikes = unpack_oriented(crop.spikes, size, orientation)
        assert (spikes.any(axis=(0, 1)) == red).all()
        frames = orient_frames(crop.blur, orientation)
        if not number % 2:  # without a shift, frames are those of the same pixels
            seen = colour_map(cfa, *SIZE)[frames[0, ..., 0], frames[0, ..., 1]]
            assert ((seen == 0) == red).all()
        places.add((orientation, crop.place))
    turned = {orientation for orientation, _ in places}
    # A crop as high as the clip has one place, where some turns are not to be had.
    assert len(turned) == 8 if size < 21 else len(turned) >= 2
    if size < 21:
        assert len({place for _, place in places}) > 20


def test_without_filters_every_place_and_turn_is_used(record: Record) -> None:
    clip = recorded(record, "rggb") | {"cfa": "none"}
    rng = np.random.default_rng(0)
    places = set()
    for _ in range(200):
        draws = rng.random(augment.NUM_DRAWS)
        crop = augment.crop_record(clip, draws, num_frames=2, crop_size=20)
        orientation = augment.draw_orientation(draws, clip, crop_size=20)
        places.add((orientation, crop.place))
    assert {place for _, place in places} == set(np.ndindex(3, 8))
    assert len({orientation for orientation, _ in places}) == 8
