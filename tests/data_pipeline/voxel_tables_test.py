"""Grids by table against the weighted sums that they stand for."""

import itertools
from typing import Any

import numpy as np
import pytest

from data_pipeline.orientation import Orientation, unpack_oriented
from data_pipeline.records import packed_width
from data_pipeline.representations import voxel_grid
from data_pipeline.voxel_tables import fill_from_packed, fill_voxel_grids

ALL = [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)]


@pytest.mark.parametrize("binning", ["hard", "bilinear"])
@pytest.mark.parametrize("num_bins", [1, 7, 32])
def test_grids_equal_those_of_the_matrix_product(num_bins: int, binning: Any) -> None:
    rng = np.random.default_rng(0)
    spikes = rng.integers(0, 2, (4, 90, 5, 6), np.uint8)
    # Bins of one spike frame, of parts of one, and of more than a byte has bits.
    exposure = np.array([[0, 90], [3.25, 36.5], [10, 59], [20, 52]], np.float64)
    grids = np.full((4, num_bins, 5, 6), np.nan, np.float32)
    fill_voxel_grids(spikes, exposure, grids, binning=binning)
    for frames, (start, end), grid in zip(
        spikes, exposure.tolist(), grids, strict=True
    ):
        expected = voxel_grid(frames, num_bins, start=start, end=end, binning=binning)
        np.testing.assert_allclose(grid, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("binning", ["hard", "bilinear"])
@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("size", [(8, 16), (6, 12), (2, 2), (10, 10)])
def test_grids_of_packed_spikes_are_those_of_turned_ones(
    size: tuple[int, int], orientation: Orientation, binning: Any
) -> None:
    rng = np.random.default_rng(3)
    packed = rng.integers(0, 256, (3, 40, size[0], packed_width(size[1])), np.uint8)
    # Bins of some four spike frames, and of parts of one.
    exposure = np.array([[0, 40], [3.5, 24.25], [8, 17]], np.float64)
    spikes = unpack_oriented(packed, size[1], orientation)
    for num_bins in (3, 9):
        found, expected = np.empty((2, 3, num_bins, *spikes.shape[2:]), np.float32)
        fill_from_packed(
            packed, exposure, found, orientation=orientation, binning=binning
        )
        fill_voxel_grids(spikes, exposure, expected, binning=binning)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_packed_spikes_may_run_backwards() -> None:
    rng = np.random.default_rng(4)
    packed = rng.integers(0, 256, (2, 12, 4, 1), np.uint8)
    exposure = np.array([[1, 11], [0, 12]], np.float64)
    forwards, backwards = np.empty((2, 2, 5, 4, 8), np.float32)
    fill_from_packed(packed, exposure, forwards)
    fill_from_packed(packed[::-1, ::-1], 12 - exposure[::-1, ::-1], backwards)
    np.testing.assert_allclose(backwards[::-1, ::-1], forwards, atol=1e-6)


def test_more_bins_than_spike_frames() -> None:
    spikes = np.random.default_rng(1).integers(0, 2, (1, 9, 3, 5), np.uint8)
    grids = np.empty((1, 40, 3, 5), np.float32)
    fill_voxel_grids(spikes, np.array([[0.5, 8.0]]), grids)
    expected = voxel_grid(spikes[0], 40, start=0.5, end=8.0)
    np.testing.assert_allclose(grids[0], expected, rtol=1e-6, atol=1e-7)


def test_spikes_may_run_backwards() -> None:
    spikes = np.random.default_rng(2).integers(0, 2, (2, 12, 4, 8), np.uint8)
    exposure = np.array([[1, 11], [0, 12]], np.float64)
    forwards, backwards = np.empty((2, 2, 5, 4, 8), np.float32)
    fill_voxel_grids(spikes, exposure, forwards)
    fill_voxel_grids(spikes[::-1, ::-1], 12 - exposure[::-1, ::-1], backwards)
    np.testing.assert_allclose(backwards[::-1, ::-1], forwards, atol=1e-6)


def test_what_cannot_be_written_or_binned_is_refused() -> None:
    spikes = np.zeros((1, 6, 4, 4), np.uint8)
    grids = np.empty((1, 4, 4, 8), np.float32)
    with pytest.raises(ValueError, match="contiguous"):
        fill_voxel_grids(spikes, np.array([[0, 6]]), grids[..., ::2])
    with pytest.raises(ValueError, match="must lie in the spike frames"):
        fill_voxel_grids(spikes, np.array([[0, 7]]), grids[..., :4].copy())
    packed, odd = np.zeros((1, 6, 4, 1), np.uint8), np.empty((1, 4, 4, 5), np.float32)
    with pytest.raises(ValueError, match="even number of pixels, got 5"):
        fill_from_packed(packed, np.array([[0, 6]]), odd)
