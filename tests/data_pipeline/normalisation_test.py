"""Log and mean/variance normalisation: statistics, merging and inverses."""

import numpy as np
import pytest

from data_pipeline import normalisation as norm


@pytest.fixture
def samples() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    scales = np.float32([1, 10, 0.01])[:, None, None]
    return [
        rng.random((*lead, 3, 4, 5), np.float32) * scales + 7
        for lead in ((), (2,), (6,), (2, 3))
    ]


def test_streaming_equals_all_at_once(samples: list[np.ndarray]) -> None:
    values = np.concatenate([sample.reshape(-1, 3, 4, 5) for sample in samples])
    values = values.astype(np.float64)
    found = norm.measure(iter(samples))
    assert found.count == values[:, 0].size
    np.testing.assert_allclose(found.mean, values.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(found.variance, values.var(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(found.scale, values.std(axis=(0, 2, 3)), rtol=1e-9)


def test_parts_merge_to_the_whole_in_any_order(samples: list[np.ndarray]) -> None:
    whole = norm.measure(samples)
    first, second, third = (
        norm.measure(part) for part in (samples[:1], samples[1:3], samples[3:])
    )
    for merged in (
        first.merge(second).merge(third),
        third.merge(first.merge(second)),
    ):
        assert merged.count == whole.count
        np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(merged.squares, whole.squares, rtol=1e-9)


def test_the_sample_itself_gets_mean_zero_and_variance_one(
    samples: list[np.ndarray],
) -> None:
    statistics = norm.measure(samples)
    found = norm.measure([norm.standardise(one, statistics) for one in samples])
    # 7 + 0.01 u in float32 is known to 2.4e-7, 1e-4 of its deviation.
    np.testing.assert_allclose(found.mean, 0, atol=2e-4)
    np.testing.assert_allclose(found.variance, 1, rtol=1e-3)
    for one in samples:
        standard = norm.standardise(one, statistics)
        assert standard.dtype == np.float32
        back = norm.restore_scale(standard, statistics)
        np.testing.assert_allclose(back, one, rtol=1e-6)


def test_constant_channels_are_shifted_only() -> None:
    array = np.random.default_rng(1).random((3, 20, 30), np.float32)
    array[0], array[1] = 0.3, 0
    statistics = norm.measure([array, array])
    np.testing.assert_array_equal(statistics.scale[:2], 1)
    found = norm.standardise(array, statistics)
    np.testing.assert_allclose(found[:2], 0, atol=1e-7)
    np.testing.assert_allclose(
        norm.restore_scale(found, statistics), array, rtol=1e-5, atol=1e-7
    )
    # Elsewhere another value of such a channel keeps its distance.
    assert norm.standardise(array + 1, statistics)[0, 0, 0] == pytest.approx(1)


def test_the_logarithm_and_its_inverse() -> None:
    rates = np.float32([0, 1e-6, 0.5, np.e - 1, 40])
    compressed = norm.compress(rates)
    assert compressed.dtype == np.float32
    np.testing.assert_allclose(compressed[[0, 3]], [0, 1], atol=1e-7)
    np.testing.assert_allclose(norm.expand(compressed), rates, rtol=1e-6)


def test_errors_say_what_is_wrong() -> None:
    array = np.ones((2, 3, 3), np.float32)
    statistics = norm.measure([array])
    for call, message in (
        (lambda: norm.measure([]), "no array"),
        (lambda: norm.measure([array[0]]), r"must be \(..., C, h, w\)"),
        (lambda: norm.measure([array[:0]]), r"none zero"),
        (lambda: norm.measure([array * np.nan]), "not finite"),
        (lambda: norm.measure([array, array[:1]]), "of 2 and of 1 channels"),
        (lambda: norm.standardise(array[:1], statistics), "of 2 channels"),
        (lambda: norm.restore_scale(array[0], statistics), "of 2 channels"),
        (lambda: norm.compress(-array), "cannot be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
