"""Batches: deterministic, resumable, sharded, and equal to what the records hold."""

from typing import Any

import numpy as np
import pytest

from batches import OPTIONS, take
from data_pipeline import pipeline
from data_pipeline.records import unpack_spikes
from data_pipeline.representations import tfp, voxel_grid
from data_pipeline.spike_deblur import open_split
from data_pipeline.spike_input import SpikeInput

VOXELS = SpikeInput("voxel", {"num_bins": 4})


def assert_same(first: pipeline.Batch, second: pipeline.Batch) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_batches_have_the_shapes_and_ranges_of_the_contract(directory: str) -> None:
    (batch,) = take(directory, 1)
    assert set(batch) == {"blur", "sharp", "spikes"}
    assert batch["blur"].shape == batch["sharp"].shape == (2, 2, 24, 24, 3)
    assert batch["spikes"].shape == (2, 2, 4, 24, 24)
    for value in batch.values():
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float32
        assert value.min() >= 0 and 0.3 < value.max() <= 1


def test_batches_are_a_function_of_seed_and_step(directory: str) -> None:
    whole = take(directory, 8)
    for first, second in zip(whole, take(directory, 8), strict=True):
        assert_same(first, second)
    other = take(directory, 1, seed=8)[0]
    assert (other["blur"] != whole[0]["blur"]).mean() > 0.5


@pytest.mark.parametrize("step", [1, 3, 6])
def test_resuming_equals_not_having_stopped(directory: str, step: int) -> None:
    whole = take(directory, 8)
    for first, second in zip(
        take(directory, 8 - step, start_step=step), whole[step:], strict=True
    ):
        assert_same(first, second)


def test_processes_share_the_global_batch(directory: str) -> None:
    whole = take(directory, 3, batch_size=4)
    parts = [
        take(directory, 3, process_index=index, process_count=2) for index in range(2)
    ]
    for step in range(3):
        for index in range(2):
            for name, value in parts[index][step].items():
                np.testing.assert_array_equal(value, whole[step][name][index::2])


def find_clip(directory: str, frames: np.ndarray) -> tuple[int, int]:
    """Finds which clip and which of its frames a sharp sample (24, 24, 3) came from."""
    levels = np.rint(frames * 255).astype(np.uint8)
    orientations = [
        np.rot90(side, turns) for side in (levels, levels[::-1]) for turns in range(4)
    ]
    for clip, record in enumerate(open_split(directory, "train")):
        windows = np.lib.stride_tricks.sliding_window_view(
            record["sharp"], (24, 24, 3), axis=(1, 2, 3)
        )[:, :, :, 0]
        for view in orientations:
            hits = (windows[:, :, :, 0, 0] == view[0, 0]).all(axis=-1)
            for frame, y, x in np.argwhere(hits):
                if (windows[frame, y, x] == view).all():
                    return clip, int(frame)
    raise AssertionError("the sample is in no clip")


def test_an_epoch_visits_every_clip_once_and_epochs_differ(directory: str) -> None:
    orders = []
    batches = take(directory, 15, batch_size=1)
    for epoch in range(3):
        found = [
            find_clip(directory, batch["sharp"][0, 0])[0]
            for batch in batches[5 * epoch : 5 * epoch + 5]
        ]
        assert sorted(found) == list(range(5))
        orders.append(found)
    assert orders[0] != orders[1] or orders[1] != orders[2]


def test_every_window_in_time_and_every_orientation_is_drawn(directory: str) -> None:
    batches = take(directory, 40, batch_size=1, num_frames=3, crop_size=48)
    firsts = {find_first(directory, batch["sharp"][0, 0]) for batch in batches}
    assert {first for first, _ in firsts} == {0, 1}
    assert {orientation for _, orientation in firsts} == set(range(8))


def find_first(directory: str, frame: np.ndarray) -> tuple[int, int]:
    """Returns the frame number and the orientation, for crops of the full height."""
    levels = np.rint(frame * 255).astype(np.uint8)
    for record in open_split(directory, "train"):
        for number, sharp in enumerate(record["sharp"]):
            for orientation in range(8):
                view = levels.transpose(1, 0, 2) if orientation & 1 else levels
                view = view[::-1] if orientation & 2 else view
                view = view[:, ::-1] if orientation & 4 else view
                for x in range(sharp.shape[1] - 48 + 1):
                    if (sharp[0, x] == view[0, 0]).all() and (
                        sharp[:, x : x + 48] == view
                    ).all():
                        return number, orientation
    raise AssertionError("the sample is in no clip")


def test_spikes_are_those_of_the_blurred_frames(directory: str) -> None:
    for batch in take(directory, 4):
        grey = batch["blur"] @ np.array([0.299, 0.587, 0.114], np.float32)
        rate = batch["spikes"].mean(axis=2)  # the mean over the exposure
        assert np.abs(rate - grey).max() < 1 / 9 + 1 / 255


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 5}, "has 4 frames, but num_frames is 5"),
        ({"crop_size": 64}, "is 48x72, but crop_size is 64"),
        ({"batch_size": 6}, "has 5 clips, fewer than the global batch of 6"),
        ({"process_count": 3}, "fewer than the global batch of 6"),
        ({"process_index": 1}, "process_index must be in 0 .. 0, got 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"start_step": -1}, "start_step must not be negative"),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(
    directory: str, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline.train_batches(directory, **(OPTIONS | options))


def test_a_missing_data_set_is_named(tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError, match="no finished data set"):
        pipeline.train_batches(str(tmp_path), **OPTIONS)
    with pytest.raises(FileNotFoundError, match="data_pipeline.prepare"):
        pipeline.test_clips(str(tmp_path / "none"), spike_input=VOXELS, tfp_window=3)


def test_test_clips_are_whole_and_represented_as_their_records(directory: str) -> None:
    clips = pipeline.test_clips(directory, spike_input=VOXELS, tfp_window=5)
    records = open_split(directory, "test")
    assert len(clips) == len(records) == 2
    assert len({clip["name"] for clip in clips}) == 2
    clip, record = clips[1], records[1]
    spikes = unpack_spikes(record["spikes"], 72)
    assert clip["name"] == record["name"]
    for name in ("blur", "sharp"):
        np.testing.assert_array_equal(np.rint(clip[name] * 255), record[name])
    for frame, (start, end) in enumerate(record["exposure"].astype(int).tolist()):
        grid = voxel_grid(spikes[start:end], 4)
        np.testing.assert_allclose(clip["spikes"][frame], grid, rtol=1e-5, atol=1e-6)
        long = spikes[start:end].mean(axis=0)
        np.testing.assert_allclose(clip["tfp_long"][frame], long, atol=1e-6)
        short = tfp(spikes, (start + end) // 2, 5)
        np.testing.assert_array_equal(clip["tfp_short"][frame], short)
    for name, value in clip.items():
        if name != "name":
            assert value.dtype == (bool if name == "moving" else np.float32)


def test_of_several_sharp_instants_the_middle_one_is_served(
    directory: str, settings: dict[str, Any], tmp_path: Any
) -> None:
    several = pipeline.prepare_embedded(str(tmp_path), settings | {"sharp_instants": 3})
    assert len(open_split(several, "train")[0]["sharp"]) == 12
    for first, second in zip(take(directory, 3), take(several, 3), strict=True):
        assert_same(first, second)
    options: dict[str, Any] = {"spike_input": VOXELS, "tfp_window": 5}
    clips = (pipeline.test_clips(where, **options) for where in (directory, several))
    for one, other in zip(*clips, strict=True):
        assert one.pop("name") == other.pop("name")
        assert_same(one, other)


def test_test_clips_refuse_wrong_arguments(directory: str) -> None:
    for options, message in (
        ({"tfp_window": 4}, "tfp_window must be odd"),
        ({"split": "tset"}, "Unknown split 'tset'"),
    ):
        arguments = {"spike_input": VOXELS, "tfp_window": 3} | options
        with pytest.raises(ValueError, match=message):
            pipeline.test_clips(directory, **arguments)
    clips = pipeline.test_clips(directory, spike_input=VOXELS, tfp_window=3)
    with pytest.raises(IndexError, match="has 2 clips, not 2"):
        clips[2]
