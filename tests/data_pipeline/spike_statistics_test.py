"""Statistics of the spikes: measured from the first samples, kept exactly, refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import spike_statistics
from data_pipeline.spike_input import SpikeInput

STANDARD = SpikeInput("voxel", {"num_bins": 3}, 4, "standard", low_light=True)


def batches(rng: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
    means = np.array([1, -5, 9, 0.5])[:, None, None]
    while True:
        yield {"spikes": rng.normal(means, size=(2, 4, 4, 5, 6))}


def test_the_first_samples_are_measured_without_the_side_channels() -> None:
    found = spike_statistics.measure_batches(
        batches(np.random.default_rng(0)), batch_size=2, side_channels=1
    )
    served = batches(np.random.default_rng(0))
    same = np.stack([next(served)["spikes"] for _ in range(32)])[:, :, :, :3]
    assert found.count == 64 * 4 * 5 * 6
    np.testing.assert_allclose(found.mean, same.mean((0, 1, 2, 4, 5)))
    np.testing.assert_allclose(found.variance, same.var((0, 1, 2, 4, 5)))


def test_what_is_kept_is_what_was_measured(tmp_path: Path) -> None:
    found = spike_statistics.measure_batches(
        batches(np.random.default_rng(1)), batch_size=2, side_channels=1
    )
    path = tmp_path / spike_statistics.FILE_NAME
    spike_statistics.write_statistics(path, found)
    kept = spike_statistics.with_saved(STANDARD, tmp_path).known_statistics()
    assert kept.count == found.count
    np.testing.assert_array_equal(kept.mean, found.mean)
    np.testing.assert_array_equal(kept.squares, found.squares)
    assert list(tmp_path.iterdir()) == [path]


def test_what_needs_none_reads_none(tmp_path: Path) -> None:
    plain = SpikeInput()
    assert spike_statistics.with_saved(plain, tmp_path) == plain


def test_missing_statistics_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="spike_statistics.json, which holds"):
        spike_statistics.with_saved(STANDARD, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"count": 1}',
        '{"count": 0, "mean": [1, 2, 3], "squares": [1, 2, 3]}',
        '{"count": 1, "mean": [1, 2], "squares": [1, 2]}',
        '{"count": 1, "mean": [1, 2, "x"], "squares": [1, 2, 3]}',
        '{"count": 1, "mean": [1, 2, NaN], "squares": [1, 2, 3]}',
        '{"count": 1, "mean": [1, 2, 3], "squares": [1, 2, -3]}',
    ],
)
def test_a_file_that_holds_no_such_statistics_is_refused(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / spike_statistics.FILE_NAME).write_text(text)
    with pytest.raises(ValueError, match="mean and spread of 3 channels; take the"):
        spike_statistics.with_saved(STANDARD, tmp_path)
