"""TensorFlow operations against their NumPy twins."""

import numpy as np
import pytest
import tensorflow as tf

from data_pipeline import graph_ops, records, representations
from data_pipeline.augment import cut_windows


def test_unpacking_equals_its_twin() -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (3, 2, 5, 24), np.uint8)
    packed = records.pack_spikes(spikes)
    unpacked = graph_ops.unpack_spikes(tf.constant(packed)).numpy()
    np.testing.assert_array_equal(unpacked, records.unpack_spikes(packed, 24))
    np.testing.assert_array_equal(unpacked, spikes)


@pytest.mark.parametrize("num_bins", [1, 8, 32, 50])
def test_voxel_grids_equal_their_twin_for_windows_of_any_length(num_bins: int) -> None:
    spikes = np.random.default_rng(1).integers(0, 2, (60, 4, 6), np.uint8)
    exposure = np.array([[0, 33], [20.25, 47.5], [50, 60]], np.float32)
    windows, weights = cut_windows(spikes, exposure, num_bins)
    grids = graph_ops.voxel_grids(tf.constant(windows), tf.constant(weights)).numpy()
    for grid, (start, end) in zip(grids, exposure.tolist(), strict=True):
        expected = representations.voxel_grid(spikes, num_bins, start=start, end=end)
        np.testing.assert_allclose(grid, expected, rtol=1e-5, atol=1e-6)
