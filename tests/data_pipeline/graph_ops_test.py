"""TensorFlow operations against their NumPy twins."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from data_pipeline import gain_match, graph_ops, normalisation, records, representations
from data_pipeline.augment import cut_windows
from data_pipeline.represent import REPRESENTATIONS, represent

CASES: list[tuple[str, dict[str, Any]]] = [
    ("voxel", {"num_bins": 8}),
    ("voxel", {"num_bins": 33}),
    ("voxel", {"num_bins": 32, "binning": "bilinear"}),
    ("voxel", {"num_bins": 1, "binning": "bilinear"}),
    ("time_surface", {"num_instants": 1, "tau": 3.0}),
    ("time_surface", {"num_instants": 16, "tau": 7.5}),
    ("raw", {"num_frames": 32}),
    ("raw", {"num_frames": 41}),
    ("tfp", {"windows": (21, 5, 41)}),
    ("tfi", {"num_instants": 1}),
    ("tfi", {"num_instants": 50}),
    ("charge", {"num_bins": 1}),
    ("charge", {"num_bins": 50}),
]
MARGIN = 6


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
    windows, inside = cut_windows(spikes, exposure)
    count = len(windows[0])
    weights = np.stack(
        [
            representations.bin_weights(start, end, num_bins, first=0, count=count)
            for start, end in inside.tolist()
        ]
    )
    grids = graph_ops.voxel_grids(
        tf.constant(np.stack(windows)), tf.constant(weights)
    ).numpy()
    for grid, (start, end) in zip(grids, exposure.tolist(), strict=True):
        expected = representations.voxel_grid(spikes, num_bins, start=start, end=end)
        np.testing.assert_allclose(grid, expected, rtol=1e-5, atol=1e-6)


def _cut(
    spikes: np.ndarray, exposure: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each exposure touches with its margin, all as long as the longest."""
    first = np.floor(exposure[:, 0]).astype(np.int64) - MARGIN
    length = int((np.ceil(exposure[:, 1]) + MARGIN - first).max())
    first = np.minimum(first, len(spikes) - length)
    return np.stack([spikes[at : at + length] for at in first]), first, exposure


@pytest.mark.parametrize("rate", [0.02, 0.3])
@pytest.mark.parametrize("name, options", CASES)
def test_representations_equal_their_twin(
    name: str, options: dict[str, Any], rate: float
) -> None:
    rng = np.random.default_rng(2)
    spikes = (rng.random((180, 4, 6)) < rate).astype(np.uint8)
    # Whole and fractional edges, of different lengths, one at the end of the stream.
    exposure = np.array([[6, 39], [20.25, 60.5], [90.75, 174], [141, 174]], np.float32)
    windows, first, exposure = _cut(spikes, exposure)
    found = graph_ops.represent(
        name,
        tf.constant(windows),
        first=tf.constant(first),
        exposure=tf.constant(exposure),
        margin=MARGIN,
        **options,
    ).numpy()
    assert found.dtype == np.float32
    for channels, (start, end) in zip(found, exposure.tolist(), strict=True):
        expected = represent(
            name, spikes, start=start, end=end, margin=MARGIN, **options
        )
        # A rate of charge is the small difference of two large numbers.
        bound = 1e-5 if name == "charge" else 1e-6
        np.testing.assert_allclose(channels, expected, rtol=0, atol=bound)


def test_every_representation_has_a_twin() -> None:
    assert {name for name, _ in CASES} == set(REPRESENTATIONS)


@pytest.mark.parametrize("name, options", CASES)
def test_exposures_of_one_length_are_traced_once_to_static_shapes(
    name: str, options: dict[str, Any]
) -> None:
    spikes = np.random.default_rng(3).integers(0, 2, (200, 4, 6), np.uint8)
    traces = []

    def sample(windows: tf.Tensor, first: tf.Tensor, exposure: tf.Tensor) -> tf.Tensor:
        traces.append(name)
        return graph_ops.represent(
            name, windows, first=first, exposure=exposure, margin=MARGIN, **options
        )

    starts = np.arange(10, 130, 5, dtype=np.float32).reshape(-1, 2)
    samples = [_cut(spikes, np.stack([at, at + 40], axis=-1)) for at in starts]
    dataset = tf.data.Dataset.from_tensor_slices(
        tuple(np.stack(part) for part in zip(*samples, strict=True))
    ).map(sample)
    shape = dataset.element_spec.shape
    assert shape.is_fully_defined()
    found = list(dataset.as_numpy_iterator())
    assert len(found) == len(starts)
    assert found[-1].shape == tuple(shape)
    assert traces == [name]
    expected = represent(name, spikes, start=125, end=165, margin=MARGIN, **options)
    np.testing.assert_allclose(found[-1][1], expected, rtol=0, atol=1e-6)


def test_exposures_that_do_not_fit_are_refused_when_it_runs() -> None:
    spikes = tf.zeros([1, 60, 2, 2], tf.uint8)
    bilinear = {"num_bins": 41, "binning": "bilinear"}
    for name, options, window, message in (
        ("voxel", {"num_bins": 4}, [3, 40], "leaves its spike frames"),
        ("voxel", {"num_bins": 4}, [30, 58], "leaves its spike frames"),
        ("voxel", {"num_bins": 4}, [30, 30], "must not be empty"),
        ("voxel", bilinear, [10, 50], "too short for 41 bilinear"),
        ("raw", {"num_frames": 53}, [10, 50], "53 spike frames around"),
        ("tfp", {"windows": (5, 55)}, [10, 50], "55 spike frames around"),
    ):
        dataset = tf.data.Dataset.from_tensors(np.array([window], np.float32)).map(
            lambda exposure, name=name, options=options: graph_ops.represent(
                name, spikes, first=[0], exposure=exposure, margin=MARGIN, **options
            )
        )
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            next(dataset.as_numpy_iterator())
    with pytest.raises(ValueError, match="Did you mean 'raw'"):
        graph_ops.represent("raws", spikes, first=[0], exposure=[[10, 50]])


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_gain_match_equals_its_twin(scale: int) -> None:
    rng = np.random.default_rng(4)
    rate = rng.random((3, 5, 6), np.float32)
    blur = rng.random((3, 5 * scale, 6 * scale, 3), np.float32)
    expected = gain_match.match_gain(rate, blur)
    assert graph_ops.match_gain(rate, blur).numpy() == pytest.approx(expected, 1e-6)
    assert graph_ops.match_gain(0 * rate, blur).numpy() == 1
    dark = np.where(rate > 0.5, np.float32(1), np.float32(0.01))
    for saturated in (np.minimum(2 * rate, 1), np.ones_like(rate), dark):
        found = graph_ops.match_gain(saturated, blur).numpy()
        assert found == pytest.approx(gain_match.match_gain(saturated, blur), 1e-6)
    with pytest.raises(ValueError, match="1, 2 or 4 times"):
        graph_ops.match_gain(tf.constant(rate[:2]), tf.constant(blur))

    @tf.function(input_signature=[tf.TensorSpec([None, *rate.shape[1:]])])
    def of_some_frames(some: tf.Tensor) -> tf.Tensor:
        return graph_ops.match_gain(some, tf.constant(blur))

    assert of_some_frames(rate).numpy() == pytest.approx(expected, 1e-6)


def test_normalisation_equals_its_twin() -> None:
    rates = np.random.default_rng(5).random((2, 3, 4, 6), np.float32)
    compressed = graph_ops.compress(tf.constant(rates)).numpy()
    np.testing.assert_allclose(compressed, normalisation.compress(rates), atol=1e-6)
    statistics = normalisation.measure([rates])
    found = graph_ops.standardise(tf.constant(rates), statistics).numpy()
    expected = normalisation.standardise(rates, statistics)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match="of 3 channels"):
        graph_ops.standardise(tf.constant(rates[:, :2]), statistics)


def test_dropout_is_a_function_of_its_seed_and_drops_a_fraction() -> None:
    spikes = np.random.default_rng(6).integers(0, 2, (97, 40, 50), np.uint8)

    @tf.function
    def drop(fraction: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return graph_ops.drop_spikes(tf.constant(spikes), fraction, seed=seed)

    for fraction in (0.05, 0.5):
        left = drop(tf.constant(fraction), tf.constant([1, 2])).numpy()
        assert left.dtype == np.uint8
        assert (left <= spikes).all()
        total = int(spikes.sum())
        spread = math.sqrt(total * fraction * (1 - fraction))
        assert abs(left.sum() - (1 - fraction) * total) < 5 * spread
        again = drop(tf.constant(fraction), tf.constant([1, 2])).numpy()
        np.testing.assert_array_equal(left, again)
        other = drop(tf.constant(fraction), tf.constant([1, 3])).numpy()
        assert (left != other).any()
    eager = graph_ops.drop_spikes(tf.constant(spikes), 0.5, seed=tf.constant([1, 2]))
    half = drop(tf.constant(0.5), tf.constant([1, 2]))
    np.testing.assert_array_equal(eager.numpy(), half.numpy())
    np.testing.assert_array_equal(drop(tf.constant(0.0), tf.constant([1, 2])), spikes)
    assert not drop(tf.constant(1.0), tf.constant([1, 2])).numpy().any()
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"in \[0, 1\]"):
        drop(tf.constant(1.5), tf.constant([1, 2]))
