"""Turned while packed is the same as turned after unpacking."""

import itertools

import numpy as np
import pytest

from data_pipeline.orientation import Orientation, orient_frames, unpack_oriented
from data_pipeline.records import pack_spikes

ALL = [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)]


def oriented(
    values: np.ndarray, orientation: Orientation, axes: tuple[int, int]
) -> np.ndarray:
    vertical, horizontal = axes
    if orientation.mirror:
        values = np.flip(values, horizontal)
    if orientation.turn:
        values = np.flip(values, vertical)
    if orientation.transpose:
        values = np.swapaxes(values, vertical, horizontal)
    return values


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("size", [(8, 8), (16, 24), (5, 13), (9, 1)])
def test_spikes_are_turned_while_they_are_unpacked(
    orientation: Orientation, size: tuple[int, int]
) -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (2, 3, *size), np.uint8)
    packed = pack_spikes(spikes)
    if size[1] % 8:
        packed[..., -1] |= 0x80  # what is beside the pixels does not matter
    found = unpack_oriented(packed, size[1], orientation)
    np.testing.assert_array_equal(found, oriented(spikes, orientation, (2, 3)))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous


@pytest.mark.parametrize("orientation", ALL)
def test_frames_are_turned_alike(orientation: Orientation) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 14, 20, 3), np.uint8)
    crop = frames[1:, 2:11, 3:18]
    found = orient_frames(crop, orientation)
    np.testing.assert_array_equal(found, oriented(crop, orientation, (1, 2)))
