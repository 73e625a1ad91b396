"""The low-light operations of TensorFlow against their NumPy twins."""

import numpy as np
import pytest
import tensorflow as tf

from data_pipeline import graph_low_light, low_light
from data_pipeline.noise_maps import NoiseMaps
from data_pipeline.representations import voxel_grid

EXPOSURE = np.array([[40, 73], [73.25, 106.75], [0, 33]], np.float32)
FIRST = np.array([10, 47, 0])
SEEN = 100


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    rng = np.random.default_rng(0)
    rates = rng.choice([0.0, 0.004, 0.03, 0.4], (12, 14))
    return (rng.random((150, 12, 14)) < rates).astype(np.uint8)


@pytest.fixture(scope="module")
def maps() -> NoiseMaps:
    rng = np.random.default_rng(1)
    dark = 1 / rng.lognormal(np.log(224), 0.455, (12, 14))
    response = rng.normal(1, 0.05, (12, 14))
    hot = np.zeros((12, 14), bool)
    hot[0, 0] = hot[4, 5] = hot[4, 6] = True
    hot[7:10, 3:6] = True  # the one amid them has no good neighbour within 1
    response[0, 0] = -0.1
    return NoiseMaps(dark.astype(np.float32), response.astype(np.float32), hot)


def cut(spikes: np.ndarray) -> np.ndarray:
    return np.stack([spikes[at : at + SEEN] for at in FIRST])


def test_interval_rates_equal_their_twin(spikes: np.ndarray) -> None:
    windows = cut(spikes)
    found = graph_low_light.interval_rates(windows, first=FIRST, exposure=EXPOSURE)
    for rate, seen, at, (start, end) in zip(
        found.numpy(), windows, FIRST, EXPOSURE.tolist(), strict=True
    ):
        expected = low_light.interval_rate(seen, start=start - at, end=end - at)
        assert 0 < np.count_nonzero(expected) < expected.size
        np.testing.assert_allclose(rate, expected, atol=1e-6)


def test_filled_hot_pixels_equal_their_twin(maps: NoiseMaps) -> None:
    rates = np.random.default_rng(2).random((3, 12, 14), np.float32)
    for hot in (maps.hot, np.zeros_like(maps.hot)):
        found = graph_low_light.fill_hot_pixels(tf.constant(rates), tf.constant(hot))
        expected = [low_light.fill_hot_pixels(rate, hot) for rate in rates]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_suppression_in_a_graph_equals_its_twin(
    spikes: np.ndarray, maps: NoiseMaps
) -> None:
    windows = cut(spikes)
    grids = np.stack(
        [voxel_grid(spikes, 8, start=start, end=end) for start, end in EXPOSURE]
    )
    traces = []

    def sample(
        grid: tf.Tensor, seen: tf.Tensor, first: tf.Tensor, exposure: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        traces.append(1)
        return graph_low_light.suppress_noise(
            grid, seen, first=first, exposure=exposure, maps=maps
        )

    dataset = tf.data.Dataset.from_tensors((grids, windows, FIRST, EXPOSURE))
    dataset = dataset.repeat(3).map(sample)
    results = list(dataset.as_numpy_iterator())
    assert len(results) == 3 and len(traces) == 1
    assert [spec.shape for spec in dataset.element_spec] == [
        (3, 8, 12, 14),
        (3, 1, 12, 14),
    ]
    channels, trust = results[0]
    for index, (start, end) in enumerate(EXPOSURE.tolist()):
        at = int(FIRST[index])
        expected, sure = low_light.suppress_noise(
            grids[index], windows[index], start=start - at, end=end - at, maps=maps
        )
        np.testing.assert_allclose(channels[index], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(trust[index], sure, atol=1e-6)


def test_what_does_not_fit_is_refused_when_it_runs(spikes: np.ndarray) -> None:
    windows = cut(spikes)[:1]
    for window in ([9, 20], [20, 20], [20, 111]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="empty or leaves"):
            graph_low_light.interval_rates(
                windows, first=[10], exposure=np.float32([window])
            )
    hot = np.zeros((12, 14), bool)
    hot[:5, :5] = True
    with pytest.raises(tf.errors.InvalidArgumentError, match="no good neighbour"):
        graph_low_light.fill_hot_pixels(tf.zeros([1, 12, 14]), tf.constant(hot))
