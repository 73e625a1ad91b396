"""Data sets by weight: exact proportions, own epochs, the same from anywhere."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batches import take
from data_pipeline import pipeline
from data_pipeline.mixing import JoinedRecords, Schedule, check_spike_scale, find_set
from data_pipeline.spike_deblur import open_split, prepare_embedded
from data_pipeline.spike_input import SpikeInput


def positions(
    weights: tuple[float, ...], counts: list[int], count: int, **options: Any
) -> np.ndarray:
    """Returns (index among all clips, position) of `count` positions."""
    arguments = {"seed": 3, "first": 0, "stride": 1} | options
    order = Schedule(weights).order(counts, **arguments)
    return np.array(list(itertools.islice(order.as_numpy_iterator(), count)))


@pytest.mark.parametrize(
    ("weights", "slots"),
    [
        ((1.0,), [1]),
        ((2.5, 2.5), [1, 1]),
        ((3, 1), [3, 1]),
        ((0.7, 0.2, 0.1), [7, 2, 1]),
        ((1, 0.333), [1000, 333]),
    ],
)
def test_proportions_are_exact_over_a_period_and_near_before(
    weights: tuple[float, ...], slots: list[int]
) -> None:
    schedule = Schedule(weights)
    assert schedule.slots.tolist() == slots
    assert np.bincount(schedule.sets).tolist() == slots
    shares = np.array(slots) / sum(slots)
    taken = np.cumsum(schedule.sets[:, None] == np.arange(len(slots)), axis=0)
    expected = np.arange(1, len(schedule.sets) + 1)[:, None] * shares
    assert np.abs(taken - expected).max() < 1
    for number in range(len(slots)):
        ranks = schedule.ranks[schedule.sets == number]
        np.testing.assert_array_equal(ranks, np.arange(slots[number]))


def test_each_set_has_epochs_of_its_own() -> None:
    counts = [4, 7]
    indices = positions((3, 1), counts, 16 * 7)[:, 0]
    small, large = indices[indices < 4], indices[indices >= 4] - 4
    assert len(small) == 3 * len(large) == 84
    for epoch in small.reshape(-1, 4):
        assert sorted(epoch) == list(range(4))
    for epoch in large.reshape(-1, 7):
        assert sorted(epoch) == list(range(7))
    assert len({tuple(epoch) for epoch in small.reshape(-1, 4)}) > 5
    assert len({tuple(epoch) for epoch in large.reshape(-1, 7)}) == 4


def test_sets_of_one_length_are_not_permuted_alike() -> None:
    indices = positions((1, 1), [50, 50], 100)[:, 0]
    assert (indices[::2] != indices[1::2] - 50).mean() > 0.9


@pytest.mark.parametrize("weights", [(1.0,), (2, 1), (0.5, 0.3, 0.2)])
def test_the_order_is_the_same_from_anywhere_and_shared_by_processes(
    weights: tuple[float, ...],
) -> None:
    counts = [5, 3, 8][: len(weights)]
    whole = positions(weights, counts, 60)
    np.testing.assert_array_equal(whole[:, 1], np.arange(60))
    np.testing.assert_array_equal(positions(weights, counts, 20, first=40), whole[40:])
    for index in range(3):
        part = positions(weights, counts, 20, first=index, stride=3)
        np.testing.assert_array_equal(part, whole[index::3])
    assert (positions(weights, counts, 60, seed=4) != whole).any()


def test_the_order_of_one_set_does_not_depend_on_its_weight() -> None:
    once, thrice = positions((1.0,), [9], 30), positions((0.3,), [9], 30)
    np.testing.assert_array_equal(once, thrice)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1, 0), "must be positive, got 0"),
        ((-1.0,), "must be positive, got -1.0"),
        ((float("nan"), 1), "must be positive, got nan"),
        ((float("inf"), 1), "must be positive, got inf"),
        ((1, 0.3333333), "10000000 to 3333333.*fewer digits"),
    ],
)
def test_weights_that_cannot_be_kept_are_refused(
    weights: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(weights)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data set of other clips, of other lengths and sizes."""
    settings = {
        "train_clips": 3,
        "test_clips": 1,
        "num_frames": 3,
        "height": 40,
        "width": 72,
        "exposure": 7,
        "period": 9,
        "spike_scale": 1,
        "threshold": 1.0,
        "gain": 1.0,
        "max_blur": 6.0,
        "seed": 8,
    }
    return prepare_embedded(str(tmp_path_factory.mktemp("other")), settings)


@pytest.mark.parametrize(
    "spike_input",
    [
        SpikeInput("voxel", {"num_bins": 4}),
        SpikeInput("time_surface", {"num_instants": 2, "tau": 4.0}),
    ],
    ids=["voxel", "time_surface"],
)
def test_batches_of_two_sets_resume_and_are_shared(
    directory: str, other: str, spike_input: SpikeInput
) -> None:
    data: Any = [(directory, 2.0), (other, 1.0)]
    whole = take(data, 6, batch_size=4, spike_input=spike_input)
    resumed = take(data, 2, batch_size=4, start_step=4, spike_input=spike_input)
    for first, second in zip(whole[4:], resumed, strict=True):
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])
    for index in range(2):
        part = take(
            data, 6, process_index=index, process_count=2, spike_input=spike_input
        )
        for mine, all_of_them in zip(part, whole, strict=True):
            for name, value in mine.items():
                np.testing.assert_array_equal(value, all_of_them[name][index::2])


def test_samples_are_of_the_set_that_the_schedule_says(
    directory: str, other: str
) -> None:
    data: Any = [(directory, 2.0), (other, 1.0)]
    batches = take(data, 9, batch_size=1)
    records = [open_split(name, "train") for name in (directory, other)]
    sets = Schedule((2.0, 1.0)).sets
    for position, batch in enumerate(batches):
        levels = np.rint(255 * batch["sharp"][0, 0]).astype(np.uint8)
        found = [
            any((levels[0, 0] == record["sharp"]).all(-1).any() for record in clips)
            and any(holds(record["sharp"], levels) for record in clips)
            for clips in records
        ]
        assert found[sets[position % 3]]
        assert not found[1 - sets[position % 3]]


def holds(frames: np.ndarray, crop: np.ndarray) -> bool:
    """Whether frames (T, H, W, 3) hold a square crop in one of its orientations."""
    size = len(crop)
    for frame in frames:
        for flipped in (crop, crop[::-1]):
            for turns in range(4):
                view = np.rot90(flipped, turns)
                for y, x in np.argwhere((frame == view[0, 0]).all(-1)):
                    if np.array_equal(frame[y : y + size, x : x + size], view):
                        return True
    return False


def test_test_clips_follow_each_other_and_say_their_set(
    directory: str, other: str
) -> None:
    options: Any = {"spike_input": SpikeInput(), "tfp_window": 3}
    single = pipeline.test_clips(directory, **options)
    clips = pipeline.test_clips([(directory, 1.0), (other, 5.0)], **options)
    assert len(clips) == 3
    first, last = clips[1], clips[2]
    np.testing.assert_array_equal(first["spikes"], single[1]["spikes"])
    label = Path(directory).parent.name
    assert first["name"] == f"{label}/{single[1]['name']}"
    assert last["name"].startswith(f"{Path(other).parent.name}/")
    assert last["blur"].shape == (3, 40, 72, 3)
    twice = JoinedRecords([(directory, 1.0), (directory, 1.0)], "test")
    assert [twice.label_of(index) for index in (0, 3)] == [f"{label}-0", f"{label}-1"]


def test_a_wrong_directory_is_told_from_the_right_one(
    directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path(directory).parent))
    assert find_set(f"~/{Path(directory).name}") == str(Path(directory).resolve())
    for above in (Path(directory).parent, Path(directory).parents[1]):
        with pytest.raises(FileNotFoundError) as failure:
            find_set(str(above))
        assert f"no data set itself, but holds {directory}; give that." in str(
            failure.value
        )
    file = tmp_path / "file"
    file.touch()
    for path, message in (
        (tmp_path / "none", "is not there; give the directory that"),
        (file, "is a file; give"),
        (tmp_path, "holds no finished data set; give"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            find_set(str(path))


def test_the_odd_spike_scale_is_named(directory: str) -> None:
    records = open_split(directory, "train")
    other = [records[0] | {"spike_scale": np.int32(2)}]
    check_spike_scale([("a", records), ("b", records)], expected=1)
    with pytest.raises(ValueError, match="spike_scale of b is 2, but .* training is 1"):
        check_spike_scale([("a", records), ("b", other)])
    with pytest.raises(ValueError, match="spike_scale of a is 1, .* set data.spike_sc"):
        check_spike_scale([("a", records)], expected=4)
