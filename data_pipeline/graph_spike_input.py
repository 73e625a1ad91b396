"""TensorFlow twin of `spike_input.SpikeInput`, for use inside tf.data."""

import tensorflow as tf

from data_pipeline import graph_low_light, graph_ops
from data_pipeline.noise_maps import NoiseMaps
from data_pipeline.spike_input import SpikeInput
from data_pipeline.transfer import GAMMA


def of_exposures(
    spike_input: SpikeInput,
    spikes: tf.Tensor,
    *,
    exposure: tf.Tensor,
    blur: tf.Tensor | None = None,
    maps: NoiseMaps | None = None,
    dropout_seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the channels (T, C, h, w), float32, of the T exposures of a clip.

    Twin of `SpikeInput.of_clip`, and alone in leaving out spikes.

    Args:
        spike_input: what is made of them.
        spikes: (T, L, h, w) uint8 of 0 and 1, what each exposure touches with its
            margin; more changes nothing. h and w are static.
        exposure: (T, 2), start and end among the L.
        blur: (T, H, W, 3) float in [0, 1], in the space in which the spikes integrated
            (`to_spike_space`), where the gain is matched. H and W are static.
        maps: noise of the sensor, arrays or tensors (h, w), where that is suppressed.
        dropout_seed: (2,) integers that choose the spikes that are left out; None
            leaves out none.

    Raises:
        ValueError: blur, maps or statistics are needed and missing.
        tf.errors.InvalidArgumentError: when it runs, as `graph_ops.represent` and
            `graph_low_light.suppress_noise`.
    """
    if dropout_seed is not None and spike_input.dropout:
        spikes = graph_ops.drop_spikes(spikes, spike_input.dropout, seed=dropout_seed)
    first = tf.zeros(tf.shape(spikes)[:1], tf.int32)
    exposure = tf.cast(exposure, tf.float64)
    window = {"first": first, "exposure": exposure}
    rates = graph_ops.represent(
        spike_input.representation,
        spikes,
        margin=spike_input.margin,
        **window,
        **spike_input.options,
    )
    side, light = [], None
    if spike_input.low_light:
        if maps is None:
            raise ValueError("maps are needed for the low-light noise suppression.")
        seen = {
            "first": first,
            "maps": maps,
            "visible": _visible(spike_input, exposure),
        }
        rates, sure = graph_low_light.suppress_noise(
            rates, spikes, exposure=_span(spike_input, exposure), **seen
        )
        side = [sure]
        if spike_input.matches_gain:
            light, _ = graph_low_light.exposure_lights(
                spikes, exposure=exposure, **seen
            )
    elif spike_input.matches_gain:
        light = graph_ops.represent("voxel", spikes, num_bins=1, **window)[:, 0]
    rates = normalise(spike_input, rates, light=light, blur=blur)
    return tf.concat([rates, *side], axis=1)


def normalise(
    spike_input: SpikeInput,
    rates: tf.Tensor,
    *,
    light: tf.Tensor | None,
    blur: tf.Tensor | None,
) -> tf.Tensor:
    """Returns the channels (T, K, h, w) of a clip, without side channels, normalised.

    Args:
        spike_input: says how.
        rates: (T, K, h, w), as they are represented.
        light: (T, h, w), mean rate of each exposure, where the gain is matched.
        blur: as for `of_exposures`.

    Raises:
        ValueError: as `of_exposures`.
    """
    if spike_input.matches_gain:
        if light is None or blur is None:
            raise ValueError("light and blur are needed to match the gain.")
        rates *= graph_ops.match_gain(light, blur)
    if spike_input.compresses:
        rates = graph_ops.compress(rates)
    if spike_input.standardises:
        rates = graph_ops.standardise(rates, spike_input.known_statistics())
    return rates


def to_spike_space(blur: tf.Tensor, is_linear: tf.Tensor) -> tf.Tensor:
    """Brings frames, float in [0, 1], into the space in which the spikes integrated.

    Twin of `transfer.to_spike_space`, for one clip, whose spikes integrated linear
    light or not.
    """
    return tf.cond(is_linear, lambda: blur**GAMMA, lambda: blur)


def _visible(spike_input: SpikeInput, exposure: tf.Tensor) -> tf.Tensor:
    """(T, 2): the first spike frame that may be looked at, and behind the last."""
    low = tf.floor(exposure[:, 0]) - spike_input.margin
    high = tf.math.ceil(exposure[:, 1]) + spike_input.margin
    return tf.cast(tf.stack([low, high], axis=1), tf.int32)


def _span(spike_input: SpikeInput, exposure: tf.Tensor) -> tf.Tensor:
    """Twin of `SpikeInput.span`, of T exposures."""
    if spike_input.representation != "raw":
        return exposure
    count = spike_input.options["num_frames"]
    start, end = exposure[:, 0], exposure[:, 1]
    first = tf.floor(start + (end - start) / 2) - count // 2
    return tf.stack([first, first + count], axis=1)
