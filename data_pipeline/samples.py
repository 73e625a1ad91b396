"""Batches of training samples: read, cut, turned, and their spikes binned.

Everything is written once, into the arrays that a batch is handed over in: a clip of
the full recipe has 10 MB of frames and 50 MB of bins, and each copy of them costs as
much as the binning does.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from data_pipeline import augment, latent_instants
from data_pipeline import jitter as jitters
from data_pipeline.buffers import BufferPool
from data_pipeline.jitter import Jitter
from data_pipeline.loss_fields import LossFields
from data_pipeline.orientation import orient_frames
from data_pipeline.records import Record
from data_pipeline.sample_cut import Cut
from data_pipeline.spike_input import SpikeInput
from data_pipeline.transfer import GAMMA

# The float32 in [0, 1] of each 8-bit level.
_LEVELS = (np.arange(256, dtype=np.float32) / np.float32(255))[None]
_NO_FIELDS = LossFields()


class Sampler:
    """Makes batches from records, clip numbers and random draws."""

    def __init__(
        self,
        records: Sequence[Record],
        *,
        num_frames: int,
        crop_size: int,
        spike_input: SpikeInput,
        seed: int,
        jitter: Jitter,
        instants: str = "middle",
        loss_fields: LossFields = _NO_FIELDS,
    ) -> None:
        """Takes the records, what a sample is, what is varied and what losses need."""
        self.records = records
        self._num_frames, self._crop_size = num_frames, crop_size
        self._spike_input = spike_input
        self._seed = seed
        self._jitter = jitter
        self.draws_instants = instants == "random"
        self.loss_fields = loss_fields
        self._spike_size = crop_size // int(records[0]["spike_scale"])
        self._buffers = BufferPool()
        self.failures: list[Exception] = []  # TensorFlow would bury them in its trace

    @property
    def frames_shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3) of the frames of a sample."""
        return self._num_frames, self._crop_size, self._crop_size, 3

    def spikes_shape(self, count: int | None) -> tuple[Any, ...]:
        """(T, count, h, w) of what there is of the spikes of a sample."""
        return self._num_frames, count, self._spike_size, self._spike_size

    def batch(
        self,
        indices: tf.Tensor,
        positions: tf.Tensor,
        draws: tf.Tensor,
        jitter_draws: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Returns the batch of B clips with plain voxel grids, as a graph operation.

        Args:
            indices: (B,) of the clips.
            positions: (B,) of the samples, which name their random numbers.
            draws: (B, augment.NUM_DRAWS).
            jitter_draws: (B, jitter.NUM_DRAWS).
        """
        names = ("blur", "sharp", "spikes", *["instant"] * self.draws_instants)
        names += self.loss_fields.names
        arrays = tf.numpy_function(
            self._load,
            [indices, positions, draws, jitter_draws],
            [tf.float32] * len(names),
        )
        return dict(zip(names, arrays, strict=True))

    def _load(
        self,
        indices: np.ndarray,
        positions: np.ndarray,
        draws: np.ndarray,
        jitter_draws: np.ndarray,
    ) -> list[np.ndarray]:
        count, bins = len(indices), self._spike_input.options["num_bins"]
        frames = (count, *self.frames_shape)
        grids = (count, self._num_frames, bins, self._spike_size, self._spike_size)
        batch = [
            self._buffers.empty(shape, np.float32) for shape in (frames, frames, grids)
        ]
        if self.draws_instants:
            batch.append(np.empty((count, self._num_frames), np.float32))
        fields = []
        try:
            for number, index in enumerate(indices):
                sample = [array[number] for array in batch]
                record = self.records[index]
                cut = self.cut(
                    record, int(positions[number]), draws[number], jitter_draws[number]
                )
                self._fill(sample, cut)
                fields.append(self.loss_fields.of_sample(record, cut))
        except Exception as error:
            self.failures.append(error)
            raise
        return batch + [np.stack(arrays) for arrays in zip(*fields, strict=True)]

    def _fill(self, sample: Sequence[np.ndarray], cut: Cut) -> None:
        """Writes blur, sharp, spikes and, where it is drawn, instant of one sample."""
        blur, sharp, grids, *instant = sample
        self.fill_frames(cut, blur, sharp)
        # Here spikes become what the model sees.
        cut.fill_grids(grids, binning=self._spike_input.options.get("binning", "hard"))
        for place in instant:
            place[:] = cut.instant

    def cut(
        self,
        record: Record,
        position: int,
        draws: np.ndarray,
        jitter_draws: np.ndarray,
    ) -> Cut:
        """Cuts a sample out of a record, as its draws say."""
        jitter = self._jitter
        found = self._crop_size // int(record["spike_scale"])
        if found != self._spike_size:
            raise ValueError(
                f"Clip {record['name']} has another spike_scale, "
                f"{record['spike_scale']}, than the clips before it; build its data "
                "set again with one."
            )
        instant = None
        if self.draws_instants:
            latent_instants.check_several(record)
            instant = latent_instants.draw(self._seed, position)
        elif jitter.time_reversal:
            jitters.check_reversible(record)
        crop = augment.crop_record(
            record,
            draws,
            num_frames=self._num_frames,
            crop_size=self._crop_size,
            margin=self._spike_input.margin,
            shift=jitters.draw_shift(jitter, jitter_draws),
            instant=instant,
        )
        light, phase = jitters.draw_light(jitter, jitter_draws), None
        threshold = jitters.draw_threshold(jitter, jitter_draws) / light
        if threshold > 1:
            shape = (self._num_frames, self._spike_size, self._spike_size)
            phase = jitters.draw_phase(self._seed, position, shape)
        return Cut(
            crop=crop,
            orientation=augment.draw_orientation(
                draws, record, crop_size=self._crop_size
            ),
            is_reversed=jitters.draw_reversal(jitter, jitter_draws),
            # Spikes that integrated linear light are beside frames that code it.
            level=light ** (1 / GAMMA) if record["transfer"] == "linear" else light,
            threshold=threshold,
            phase=phase,
        )

    def fill_frames(self, cut: Cut, blur: np.ndarray, sharp: np.ndarray) -> None:
        """Writes the frames of a sample to float32 (T, H, W, 3) each, in [0, 1]."""
        levels = _LEVELS * np.float32(cut.level)
        for frames, target in ((cut.crop.blur, blur), (cut.crop.sharp, sharp)):
            places = target[::-1] if cut.is_reversed else target
            oriented = orient_frames(frames, cut.orientation)
            for frame, place in zip(oriented, places, strict=True):
                cv2.LUT(frame, levels, dst=place)
