"""From clip records to deterministic, sharded, resumable batches, and to test clips."""

import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipeline import augment, latent_instants
from data_pipeline import jitter as jitters
from data_pipeline.evaluated_clips import MissingSharpError
from data_pipeline.graph_samples import GraphSampler
from data_pipeline.jitter import Jitter
from data_pipeline.loss_fields import LossFields
from data_pipeline.mixing import (
    Data,
    JoinedRecords,
    Schedule,
    check_spike_scale,
    weighted_sets,
)
from data_pipeline.motion_mask import moving_pixels
from data_pipeline.records import Record, check_record, middle_sharp, unpack_spikes
from data_pipeline.representations import tfp, voxel_grid
from data_pipeline.samples import Sampler
from data_pipeline.spike_deblur import prepare_embedded
from data_pipeline.spike_input import SpikeInput

__all__ = [
    "Batch",
    "Jitter",
    "TestClips",
    "prepare_embedded",
    "test_clips",
    "train_batches",
]

Batch = dict[str, np.ndarray]

_NONE = Jitter()
_NO_FIELDS = LossFields()
_READERS = 2  # batches made at a time; training needs the other cores


def train_batches(
    data: Data,
    *,
    num_frames: int,
    crop_size: int,
    spike_input: SpikeInput,
    batch_size: int,
    seed: int,
    start_step: int,
    jitter: Jitter = _NONE,
    instants: str = "middle",
    loss_fields: LossFields = _NO_FIELDS,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Yields batches of the 'train' split without end, from step `start_step` on.

    Batch `step` is a pure function of (seed, step): each epoch of a data set is its own
    permutation of the clips, and each clip gets its own random window, crop, flips and
    transposition.

    Args:
        data: the directory of a built data set, or several with the weights that they
            are drawn by, as in [('a', 3), ('b', 1)].
        num_frames: of each sample.
        crop_size: height and width of each sample in RGB pixels.
        spike_input: what becomes of the spikes of each exposure.
        batch_size: samples a batch of this process.
        seed: of the order and of the augmentation.
        start_step: batches to leave out, at no cost.
        jitter: what else is varied.
        instants: which of the sharp frames of an exposure are the target, a name in
            `latent_instants.INSTANTS`.
        loss_fields: what losses need beside, such as flow.
        process_index: of this process.
        process_count: processes that share each global batch.

    Yields:
        'blur' and 'sharp' (B, T, H, W, 3) in [0, 1], 'spikes' (B, T, C, h, w), and for
        instants='random' also 'instant' (B, T) that sharp shows, in [-1, 1] relative to
        the exposure, and the loss_fields; all float32.

    Raises:
        ValueError: a clip is too short, too small or without sharp frames, the splits
            have fewer clips than a global batch, the data sets differ in their spike
            scale, an argument is out of its range, instants are to be drawn and a
            clip has one sharp frame of each exposure, or loss_fields cannot be measured
            on the first clip of a set.
        FileNotFoundError: there is no data set in a directory.
    """
    _leave_accelerators_alone()
    latent_instants.check_instants(instants)
    schedule = Schedule([weight for _, weight in weighted_sets(data)])
    records = JoinedRecords(data, "train")
    _check_batching(len(records), batch_size, process_index, process_count)
    for name, value in (("seed", seed), ("start_step", start_step)):
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}.")
    check_spike_scale(records.sets)
    for _, clips in records.sets:
        record = clips[0]
        _check_clip(record, spike_input, num_frames=num_frames, crop_size=crop_size)
        if instants == "random":
            latent_instants.check_several(record)
        loss_fields.check_record(
            record, num_frames=num_frames, margin=spike_input.margin, instants=instants
        )
    sampler = Sampler(
        records,
        num_frames=num_frames,
        crop_size=crop_size,
        spike_input=spike_input,
        seed=seed,
        jitter=jitter,
        instants=instants,
        loss_fields=loss_fields,
    )
    first = start_step * batch_size * process_count + process_index
    dataset = schedule.order(
        records.counts, seed=seed, first=first, stride=process_count
    )
    dataset = dataset.map(_draws(seed))
    at_once = {"num_parallel_calls": _READERS, "deterministic": True}
    if spike_input.is_plain_voxels:
        dataset = dataset.batch(batch_size, drop_remainder=True)
        dataset = dataset.map(sampler.batch, **at_once).prefetch(1)
    else:
        sample = GraphSampler(sampler, spike_input, seed=seed).sample
        dataset = dataset.map(
            tf.autograph.experimental.do_not_convert(sample), **at_once
        )
        dataset = dataset.batch(batch_size, drop_remainder=True).prefetch(2)
    return _numpy_batches(dataset, sampler.failures)


class TestClips(Sequence[dict[str, Any]]):
    """Whole clips of a split, read and binned when they are asked for."""

    __test__ = False  # pytest would otherwise take it for a test

    def __init__(
        self,
        records: Sequence[Record],
        *,
        spike_input: SpikeInput,
        tfp_window: int,
    ) -> None:
        """Takes the records and what becomes of their spikes."""
        self._records = records
        self._spike_input = spike_input
        self._tfp_window = tfp_window

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        record = self._records[index]
        check_record(record)
        if len(record["sharp"]) == 0:
            raise MissingSharpError(record["name"], record["blur"])
        width = record["blur"].shape[2] // int(record["spike_scale"])
        spikes = unpack_spikes(record["spikes"], width)
        exposure = record["exposure"]
        self._spike_input.check_exposures(
            exposure, len(spikes), source=f"Clip {record['name']}"
        )
        window = self._tfp_window
        sharp, sharp_time = middle_sharp(record)
        short = [tfp(spikes, int(time), window) for time in sharp_time]
        long = [voxel_grid(spikes, 1, start=a, end=b)[0] for a, b in exposure.tolist()]
        is_joined = isinstance(self._records, JoinedRecords)
        label = self._records.label_of(index) if is_joined else ""
        return {
            "name": f"{label}/{record['name']}" if label else record["name"],
            "blur": record["blur"].astype(np.float32) / np.float32(255),
            "sharp": sharp.astype(np.float32) / np.float32(255),
            "spikes": self._spike_input.of_clip(
                spikes, exposure, blur=record["blur"], transfer=record["transfer"]
            ),
            "tfp_short": np.stack(short),
            "tfp_long": np.stack(long),
            "moving": moving_pixels(sharp, sharp_time, exposure),
        }


def test_clips(
    data: Data,
    *,
    spike_input: SpikeInput,
    tfp_window: int,
    split: str = "test",
) -> TestClips:
    """Opens whole clips for evaluation, each read when it is indexed.

    Args:
        data: the directory of a built data set, or several with weights, whose clips
            follow each other, with the data set in the name.
        spike_input: what becomes of the spikes of each exposure.
        tfp_window: spike frames, odd, of the short TFP around the sharp instant.
        split: 'test' or 'train'.

    Returns:
        A sequence of {'name', 'blur' and 'sharp' (T, H, W, 3) in [0, 1], 'spikes'
        (T, C, h, w), 'tfp_short' and 'tfp_long' (T, h, w), 'moving' (T, H, W)}; the
        two TFP in spikes per spike frame, 'moving' of bool as `moving_pixels`, the
        other arrays in float32.

    Raises:
        FileNotFoundError: there is no data set in a directory.
        ValueError: the split is unknown, or the window out of its range.
    """
    if tfp_window < 1 or tfp_window % 2 == 0:
        raise ValueError(f"tfp_window must be odd, got {tfp_window}.")
    return TestClips(
        JoinedRecords(data, split),
        spike_input=spike_input,
        tfp_window=tfp_window,
    )


# pytest would otherwise collect the function where a test module imports it.
test_clips.__test__ = False  # type: ignore[attr-defined]


def _leave_accelerators_alone() -> None:
    """Hides GPUs from a TensorFlow built for them: training needs all their memory."""
    if tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")


def _check_batching(
    num_clips: int, batch_size: int, process_index: int, process_count: int
) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    if not 0 <= process_index < process_count:
        raise ValueError(
            f"process_index must be in 0 .. {process_count - 1}, got {process_index}."
        )
    if num_clips < batch_size * process_count:
        raise ValueError(
            f"The train split has {num_clips} clips, fewer than the global batch of "
            f"{batch_size * process_count}; build more clips or take a smaller batch."
        )


def _check_clip(
    record: Record, spike_input: SpikeInput, *, num_frames: int, crop_size: int
) -> None:
    check_record(record)
    sizes = {"num_frames": num_frames, "crop_size": crop_size}
    augment.check_fits(record, **sizes, margin=spike_input.margin)
    spike_input.check_exposures(
        record["exposure"], len(record["spikes"]), source=f"Clip {record['name']}"
    )


def _draws(seed: int) -> Any:
    """Returns the map from (index, position) to those and what position draws."""

    @tf.autograph.experimental.do_not_convert
    def draw(index: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, ...]:
        window, varied = augment.draw(seed, position), jitters.draw(seed, position)
        return index, position, window, varied

    return draw


def _numpy_batches(
    dataset: tf.data.Dataset, failures: list[Exception]
) -> Iterator[Batch]:
    options = tf.data.Options()
    options.threading.private_threadpool_size = _READERS
    running = [dataset.with_options(options).as_numpy_iterator()]
    batches = _batches(running, failures)
    # An iterator waits for the batches in the making, and they for Python: at the end
    # of a process it has to go while Python can still make them.
    weakref.finalize(batches, running.clear)
    return batches


def _batches(running: list[Any], failures: list[Exception]) -> Iterator[Batch]:
    # Looked up now: a generator left open is closed when `tf` is gone already.
    failure_type = tf.errors.OpError
    while True:
        try:
            yield next(running[0])
        except failure_type as error:
            if failures:
                raise failures[0] from None
            raise ValueError(f"The input pipeline failed: {error.message}") from error
