"""Grids by table against the weighted sums that they stand for."""

from typing import Any

import numpy as np
import pytest

from data_pipeline.representations import voxel_grid
from data_pipeline.voxel_tables import fill_voxel_grids


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
