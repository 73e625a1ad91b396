"""Training samples whose spikes are more than plain voxel grids, in graph operations.

What is read and cut comes from `samples.Sampler`; what becomes of the spikes is
`graph_spike_input`. Voxel grids that are only to be normalised are binned by table,
which is several times as fast as a matrix product.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipeline import graph_spike_input
from data_pipeline.noise_maps import NoiseMaps, estimated_maps
from data_pipeline.orientation import Orientation
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.sample_cut import Cut
from data_pipeline.samples import Sampler
from data_pipeline.spike_input import SpikeInput

_DROPOUT_STREAM = 3  # of random numbers, beside those of `augment` and `jitter`
_KEPT_MAPS = 512  # clips whose noise maps are kept; each takes about a second to make


class GraphSampler:
    """Makes samples from clip numbers and random draws."""

    def __init__(self, sampler: Sampler, spike_input: SpikeInput, *, seed: int) -> None:
        """Takes what cuts samples, what becomes of their spikes, and the seed."""
        self._sampler = sampler
        self._spike_input = spike_input
        self._seed = seed
        self._maps = functools.lru_cache(maxsize=_KEPT_MAPS)(self._estimate_maps)

    def sample(
        self,
        index: tf.Tensor,
        position: tf.Tensor,
        draws: tf.Tensor,
        jitter_draws: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Returns one clip, as a graph operation.

        Args:
            index: of the clip.
            position: of the sample, which names its random numbers.
            draws: (augment.NUM_DRAWS,).
            jitter_draws: (jitter.NUM_DRAWS,).
        """
        inputs = [index, position, draws, jitter_draws]
        make = self._normalised_grids if self._is_binned() else self._represented
        blur, sharp, spikes, instant, *fields = make(inputs)
        sample = {"blur": blur, "sharp": sharp, "spikes": spikes}
        if self._sampler.draws_instants:
            sample["instant"] = tf.ensure_shape(instant, blur.shape[:1])
        names = self._sampler.loss_fields.names
        return sample | dict(zip(names, fields, strict=True))

    def _is_binned(self) -> bool:
        made = self._spike_input
        return made.representation == "voxel" and not (made.low_light or made.dropout)

    def _normalised_grids(self, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        made, sampler = self._spike_input, self._sampler
        kinds = [*[tf.float32] * 5, tf.bool, *self._field_kinds()]
        load = self._loader(self._bin)
        blur, sharp, instant, grids, light, is_linear, *fields = tf.numpy_function(
            load, inputs, kinds
        )
        blur.set_shape(sampler.frames_shape)
        grids.set_shape(sampler.spikes_shape(made.num_channels))
        light.set_shape(sampler.spikes_shape(1))
        space = graph_spike_input.to_spike_space(blur, tf.ensure_shape(is_linear, []))
        return [
            blur,
            sharp,
            graph_spike_input.normalise(made, grids, light=light[:, 0], blur=space),
            instant,
            *fields,
        ]

    def _represented(self, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        made, sampler = self._spike_input, self._sampler
        kinds = [tf.float32, tf.float32, tf.float32, tf.uint8, tf.float64]
        kinds += [tf.float32, tf.bool, tf.bool, *self._field_kinds()]
        load = self._loader(self._unpack)
        blur, sharp, instant, spikes, exposure, dark, hot, is_linear, *fields = (
            tf.numpy_function(load, inputs, kinds)
        )
        blur.set_shape(sampler.frames_shape)
        spikes.set_shape(sampler.spikes_shape(None))
        exposure.set_shape([blur.shape[0], 2])
        for noise in (dark, hot):
            noise.set_shape(spikes.shape[2:])
        space = graph_spike_input.to_spike_space(blur, tf.ensure_shape(is_linear, []))
        key = tf.stack([tf.constant(self._seed, tf.int64), inputs[1]])
        channels = graph_spike_input.of_exposures(
            made,
            spikes,
            exposure=exposure,
            blur=space,
            maps=NoiseMaps(dark, tf.ones_like(dark), hot),
            dropout_seed=tf.random.fold_in(key, _DROPOUT_STREAM),
        )
        return [blur, sharp, channels, instant, *fields]

    def _field_kinds(self) -> list[Any]:
        return [tf.float32] * len(self._sampler.loss_fields.names)

    def _loader(
        self, load: Callable[[int, Cut], list[np.ndarray]]
    ) -> Callable[..., list[np.ndarray]]:
        """Returns what reads a sample; `load` makes what there is of its spikes."""

        def run(
            index: int, position: int, draws: np.ndarray, jitter_draws: np.ndarray
        ) -> list[np.ndarray]:
            sampler = self._sampler
            try:
                record = sampler.records[index]
                cut = sampler.cut(record, int(position), draws, jitter_draws)
                length = cut.crop.spikes.shape[1]
                self._spike_input.check_exposures(
                    cut.exposure, length, source=f"Clip {record['name']}"
                )
                frames = [np.empty(sampler.frames_shape, np.float32) for _ in range(2)]
                sampler.fill_frames(cut, *frames)
                is_linear = np.array(record["transfer"] == "linear")
                instant = np.ascontiguousarray(cut.instant)
                fields = sampler.loss_fields.of_sample(record, cut)
                return [*frames, instant, *load(int(index), cut), is_linear, *fields]
            except Exception as error:
                sampler.failures.append(error)
                raise

        return run

    def _bin(self, index: int, cut: Cut) -> list[np.ndarray]:
        """Voxel grids (T, K, h, w), and the rate of each exposure (T, 1, h, w)."""
        options, shape = self._spike_input.options, self._sampler.spikes_shape
        grids = np.empty(shape(options["num_bins"]), np.float32)
        cut.fill_grids(grids, binning=options.get("binning", "hard"))
        light = np.empty(shape(1), np.float32)
        cut.fill_grids(light)
        return [grids, light]

    def _unpack(self, index: int, cut: Cut) -> list[np.ndarray]:
        """Spikes (T, L, h, w), exposures (T, 2), and the noise maps (h, w) of both."""
        size = cut.spikes.shape[2:]
        dark, hot = np.zeros(size, np.float32), np.zeros(size, np.bool_)
        if self._spike_input.low_light:
            # With n times the threshold a pixel fires at every n-th spike, of the dark
            # as of the light.
            dark_rate, is_hot = self._maps(index)
            dark = _cut_map(dark_rate, cut) / np.float32(cut.threshold)
            hot = _cut_map(is_hot, cut)
        spikes = np.ascontiguousarray(cut.spikes)
        return [spikes, np.ascontiguousarray(cut.exposure), dark, hot]

    def _estimate_maps(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Dark rates and hot pixels (h, w) of a whole clip."""
        record: Record = self._sampler.records[index]
        width = record["blur"].shape[2] // int(record["spike_scale"])
        maps = estimated_maps(unpack_spikes(record["spikes"], width))
        return maps.dark_rate, maps.hot


def _cut_map(values: np.ndarray, cut: Cut) -> Any:
    """What lies under the spikes of a sample, turned as they are."""
    row, column = cut.crop.place
    height, width = cut.crop.spikes.shape[2], cut.spikes.shape[3]
    part = values[row : row + height, column : column + width]
    mirror, turn, transpose = Orientation(*cut.orientation)
    part = part[:, ::-1] if mirror else part
    part = part[::-1] if turn else part
    return np.ascontiguousarray(part.T if transpose else part)
