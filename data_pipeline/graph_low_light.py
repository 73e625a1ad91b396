"""TensorFlow twins of the low-light noise suppression, for use inside tf.data."""

import tensorflow as tf

from data_pipeline.graph_ops import run_first, spike_times, voxel_grids
from data_pipeline.noise_maps import NoiseMaps

_FILL_RADIUS = 2  # as far as a good neighbour of a hot pixel is looked for


def suppress_noise(
    channels: tf.Tensor,
    spikes: tf.Tensor,
    *,
    first: tf.Tensor,
    exposure: tf.Tensor,
    maps: NoiseMaps,
    visible: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes the noise of the sensor out of the rates of T exposures.

    Twin of `low_light.suppress_noise`; what it calls the whole stream are the spike
    frames that are visible here.

    Args:
        channels: (T, C, h, w), rates: a voxel grid, raw spikes or TFP.
        spikes: (T, L, h, w) of 0 and 1; the more beyond the exposures, the more
            intervals of dark pixels are seen.
        first: (T,) integers, the spike frame that each of the T begins with.
        exposure: (T, 2), start and end in spike frames.
        maps: noise of the sensor, arrays or tensors (h, w).
        visible: (T, 2) integers, the first spike frame that may be looked at and the
            one behind the last; None for all that are given.

    Returns:
        The channels (T, C, h, w) and the confidence (T, 1, h, w), float32.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, where an exposure is empty or not
            inside its spike frames, or a hot pixel has no good neighbour within 2.
    """
    light, sure = exposure_lights(
        spikes, first=first, exposure=exposure, maps=maps, visible=visible
    )
    mean = tf.reduce_mean(channels, axis=1)
    factor = tf.math.divide_no_nan(light, mean)[:, None]
    usable = ((mean > 0) & ~tf.cast(maps.hot, tf.bool))[:, None]
    corrected = tf.where(usable, channels * factor, light[:, None])
    return corrected, sure[:, None]


def exposure_lights(
    spikes: tf.Tensor,
    *,
    first: tf.Tensor,
    exposure: tf.Tensor,
    maps: NoiseMaps,
    visible: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns light and confidence, (T, h, w) each, of `low_light.exposure_light`.

    Args and errors are those of `suppress_noise`.
    """
    dark = tf.cast(maps.dark_rate, tf.float32)
    response = tf.cast(maps.response, tf.float32)
    hot = tf.cast(maps.hot, tf.bool)
    rate = interval_rates(spikes, first=first, exposure=exposure, visible=visible)
    light = tf.math.divide_no_nan(tf.nn.relu(rate - dark), tf.nn.relu(response))
    sure = tf.math.divide_no_nan(rate, rate + dark)
    sure = tf.where((rate < dark / 2) | hot, 0.0, sure)
    return fill_hot_pixels(light, hot), sure


def interval_rates(
    spikes: tf.Tensor,
    *,
    first: tf.Tensor,
    exposure: tf.Tensor,
    visible: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns rates (T, h, w), float32, twin of `low_light.interval_rate`.

    Args:
        spikes: (T, L, h, w) of 0 and 1.
        first: (T,) integers, the spike frame that each of the T begins with.
        exposure: (T, 2), start and end in spike frames.
        visible: as for `suppress_noise`.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, where an exposure is empty or not
            inside its spike frames.
    """
    shape = tf.shape(spikes)
    edges = tf.cast(exposure, tf.float64) - tf.cast(first, tf.float64)[:, None]
    length = tf.cast(shape[1], tf.float64)
    start, end = edges[:, 0], edges[:, 1]
    inside = (0 <= start) & (start < end) & (end <= length)
    check = tf.debugging.assert_equal(
        inside, True, "An exposure is empty or leaves its spike frames."
    )
    with tf.control_dependencies(run_first([check])):
        whole = tf.cast(tf.floor(edges), tf.int32)
    frames = tf.range(shape[1])
    counted = (whole[:, :1] <= frames) & (frames < whole[:, 1:])
    count = voxel_grids(spikes, tf.cast(counted, tf.float32)[:, None])[:, 0]
    if visible is None:
        high = tf.fill(shape[:1], shape[1])
        low = tf.zeros_like(high)
    else:
        begin = tf.cast(first, tf.int32)
        low, high = (tf.cast(visible[:, edge], tf.int32) - begin for edge in (0, 1))
    since, until = spike_times(spikes, whole - 1, low=low, high=high)
    passed = since + tf.cast(edges - tf.floor(edges), tf.float32)[..., None, None]
    interval = since + until
    share = tf.where(tf.math.is_finite(interval), passed / interval, 0.0)
    spanned = tf.cast(end - start, tf.float32)[:, None, None]
    return (count + share[:, 1] - share[:, 0]) / spanned


def fill_hot_pixels(rates: tf.Tensor, hot: tf.Tensor) -> tf.Tensor:
    """Gives hot pixels the median of the others around them.

    Twin of `low_light.fill_hot_pixels`, but it looks no further than 2 pixels.

    Args:
        rates: (T, h, w) float32.
        hot: (h, w) bool.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, where a hot pixel has no good
            neighbour within 2.
    """
    found, lacking = rates, hot
    for radius in range(1, _FILL_RADIUS + 1):
        median, exists = _good_median(rates, hot, radius)
        found = tf.where(lacking & exists, median, found)
        lacking &= ~exists
    check = tf.debugging.assert_equal(
        tf.reduce_any(lacking),
        False,
        f"A hot pixel has no good neighbour within {_FILL_RADIUS} pixels.",
    )
    with tf.control_dependencies(run_first([check])):
        return tf.identity(found)


def _good_median(
    rates: tf.Tensor, hot: tf.Tensor, radius: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The median (T, h, w) of the good pixels around, and where (h, w) there are any.

    Only around hot pixels: elsewhere the median is 0.
    """
    inf = float("inf")
    pads = [[radius, radius], [radius, radius]]
    good = tf.pad(tf.where(hot, inf, rates), [[0, 0], *pads], constant_values=inf)
    at = tf.where(hot)  # (n, 2)
    steps = tf.range(2 * radius + 1, dtype=tf.int64)
    offsets = tf.reshape(tf.stack(tf.meshgrid(steps, steps), axis=-1), [-1, 2])
    near = tf.transpose(good, [1, 2, 0])
    near = tf.gather_nd(near, at[:, None] + offsets)  # (n, neighbours, T)
    near = tf.sort(near, axis=1)  # the good ones first
    count = tf.reduce_sum(tf.cast(tf.math.is_finite(near[..., 0]), tf.int32), axis=1)
    upper = tf.gather(near, count // 2, axis=1, batch_dims=1)
    lower = tf.gather(near, tf.maximum(count - 1, 0) // 2, axis=1, batch_dims=1)
    median = (lower + upper) / 2
    shape = tf.cast(tf.shape(rates), tf.int64)
    full = tf.scatter_nd(at, median, tf.stack([shape[1], shape[2], shape[0]]))
    exists = tf.scatter_nd(at, tf.cast(count > 0, tf.int32), shape[1:]) > 0
    return tf.transpose(full, [2, 0, 1]), exists
