"""Statistics of streams against pixel-by-pixel definitions, across block borders."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data_pipeline import stream_statistics
from data_pipeline.stream_statistics import (
    interval_histogram,
    mean_rate,
    row_over_time,
    sample_windows,
)


def random_stream(seed: int, count: int, rate: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((count, 4, 5)) < rate).astype(np.uint8)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 200 spike frames, so that streams have several."""
    monkeypatch.setattr(stream_statistics, "_BLOCK", 4000)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**31), st.integers(1, 700), st.integers(1, 40), st.floats(0, 0.6)
)
def test_intervals_are_those_of_every_pixel(
    seed: int, count: int, longest: int, rate: float
) -> None:
    stream = random_stream(seed, count, rate)
    expected = np.zeros(longest + 1, int)
    for pixel in stream.reshape(count, -1).T:
        for interval in np.diff(np.flatnonzero(pixel)):
            expected[interval if interval <= longest else 0] += 1
    np.testing.assert_array_equal(interval_histogram(stream, longest), expected)


def test_the_mean_and_the_slices_of_a_long_stream() -> None:
    stream = random_stream(1, 600)
    np.testing.assert_allclose(mean_rate(stream), stream.mean(0), rtol=1e-6)
    part = stream[37:590]
    np.testing.assert_allclose(mean_rate(stream, 37, 590), part.mean(0), rtol=1e-6)
    np.testing.assert_array_equal(row_over_time(stream, 2), stream[:, 2])
    slices = row_over_time(stream, 3, 7)
    np.testing.assert_allclose(
        slices, stream[:595, 3].reshape(85, 7, 5).mean(1), rtol=1e-6
    )


def test_windows_are_looked_at_as_if_each_were_all() -> None:
    stream = random_stream(3, 900)
    windows = [(0, 150), (150, 460), (500, 501), (520, 900)]
    expected = sum(interval_histogram(stream[a:b], 30) for a, b in windows)
    found = interval_histogram(stream, 30, windows=windows)
    np.testing.assert_array_equal(found, expected)


@given(st.integers(1, 2000), st.integers(1, 50_000), st.integers(1, 300))
def test_windows_are_even_and_as_large_as_allowed(
    count: int, most: int, shortest: int
) -> None:
    stream = random_stream(4, count)
    windows = sample_windows(stream, most, shortest=shortest)
    if count * 20 <= most:
        assert windows == [(0, count)]
        return
    assert windows[0][0] == 0 and windows == sorted(set(windows))
    assert len(windows) == 1 or windows[-1][1] == count
    (length,) = {end - start for start, end in windows}
    assert length >= min(shortest, count)
    assert length * len(windows) * 20 <= max(most, 20 * shortest)


def test_a_slice_may_be_of_the_first_spike_frames_of_each_window() -> None:
    stream = random_stream(5, 600)
    found = row_over_time(stream, 1, 70, most=9)
    expected = [stream[at : at + 9, 1].mean(0) for at in range(0, 560, 70)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(
        row_over_time(stream, 1, 7, most=9), row_over_time(stream, 1, 7)
    )


def test_what_does_not_fit_the_stream_is_named() -> None:
    stream = random_stream(2, 10)
    with pytest.raises(ValueError, match="longest must be at least 1"):
        interval_histogram(stream, 0)
    with pytest.raises(ValueError, match=r"covers \[0, 10\)"):
        mean_rate(stream, 3, 11)
    with pytest.raises(ValueError, match="row must be from 0 to 3"):
        row_over_time(stream, 4)
    with pytest.raises(ValueError, match="window must be from 1 to the 10"):
        row_over_time(stream, 0, 11)
    with pytest.raises(ValueError, match="most must be at least 1 spike frame"):
        row_over_time(stream, 0, 3, most=0)
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        sample_windows(stream, 0)
    with pytest.raises(ValueError, match="shortest must be at least 1, got 0"):
        sample_windows(stream, 5, shortest=0)
    with pytest.raises(ValueError, match=r"\[4, 4\) must not be empty"):
        interval_histogram(stream, 3, windows=[(4, 4)])
