"""TensorFlow twins of what NumPy does to spikes, for use inside tf.data."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from data_pipeline.charge import OPEN
from data_pipeline.gain_match import LEAST_ENERGY, SATURATED, spike_scale_of
from data_pipeline.normalisation import ChannelStatistics, per_channel
from data_pipeline.represent import check_margin, count_channels
from data_pipeline.spike_camera import GREY_WEIGHTS


def unpack_spikes(packed: tf.Tensor) -> tf.Tensor:
    """Unpacks bytes (..., h, n) into uint8 spikes (..., h, 8 n), lowest bit leftmost.

    Twin of `records.unpack_spikes`.
    """
    bits = tf.bitwise.bitwise_and(
        tf.bitwise.right_shift(
            packed[..., None], tf.constant([0, 1, 2, 3, 4, 5, 6, 7], tf.uint8)
        ),
        tf.constant(1, tf.uint8),
    )
    shape = tf.shape(packed)
    return tf.reshape(bits, tf.concat([shape[:-1], [8 * shape[-1]]], axis=0))


def voxel_grids(spikes: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns rates (T, K, h, w) of T windows, twin of `representations.voxel_grid`.

    Args:
        spikes: (T, L, h, w), the spike frames that each window touches.
        weights: (T, K, L) from `representations.bin_weights`.
    """
    shape = tf.shape(spikes)
    flat = tf.reshape(tf.cast(spikes, tf.float32), [shape[0], shape[1], -1])
    rates = tf.matmul(weights, flat)
    return tf.reshape(rates, [shape[0], tf.shape(weights)[1], shape[2], shape[3]])


def represent(
    name: str,
    spikes: tf.Tensor,
    *,
    first: tf.Tensor,
    exposure: tf.Tensor,
    margin: int = 0,
    **options: Any,
) -> tf.Tensor:
    """Returns the spikes of T exposures as channels (T, C, h, w), float32.

    Twin of `represent.represent`, of which it takes the names and the options. C is
    static, and so is every other size that is static in `spikes`.

    Args:
        name: of the representation.
        spikes: (T, L, h, w) of 0 and 1, what each exposure touches with its margin.
            Where the exposures differ in length, the shorter ones hold more than that,
            which changes nothing.
        first: (T,) integers, the spike frame that each of the T begins with.
        exposure: (T, 2), start and end in spike frames.
        margin: spike frames before and after those of an exposure that may be looked
            at.
        **options: of the representation.

    Raises:
        ValueError: the name or an option is unknown, or an option is missing or out
            of its range.
        tf.errors.InvalidArgumentError: when it runs, where an exposure with its
            margin is not inside its spike frames, or has fewer than are asked for.
    """
    channels = count_channels(name, **options)
    check_margin(margin)
    window = tf.cast(exposure, tf.float64) - tf.cast(first, tf.float64)[:, None]
    low = tf.cast(tf.floor(window[:, 0]), tf.int32) - margin
    high = tf.cast(tf.math.ceil(window[:, 1]), tf.int32) + margin
    checks = [
        tf.debugging.assert_less(
            window[:, 0], window[:, 1], "An exposure must not be empty."
        ),
        tf.debugging.assert_non_negative(
            tf.minimum(low, tf.shape(spikes)[1] - high),
            "An exposure with its margin leaves its spike frames.",
        ),
    ]
    with tf.control_dependencies(run_first(checks)):
        seen = _Seen(spikes, tf.identity(window), low, high)
    result = _REPRESENTATIONS[name](seen, **options)
    sizes = spikes.shape
    return tf.ensure_shape(result, [sizes[0], channels, sizes[2], sizes[3]])


def match_gain(rate: tf.Tensor, blur: tf.Tensor) -> tf.Tensor:
    """Returns the factor, float32, that turns the rates of a clip into its light.

    Twin of `gain_match.match_gain`.

    Args:
        rate: (T, h, w), the mean rate of each exposure in spikes per spike frame.
        blur: (T, H, W, 3), float in [0, 1], in the same transfer space. The sizes of
            both are static, T apart.

    Raises:
        ValueError: the shapes do not fit, or the blurred frames are whole numbers.
    """
    kind = tf.as_dtype(blur.dtype)
    if not kind.is_floating:
        raise ValueError(
            f"blur must be float in [0, 1], got {kind.name}; divide 8 bits by 255."
        )
    shapes = [list(rate.shape), list(blur.shape)]
    if None in (shapes[0][0], shapes[1][0]):
        shapes[0][0] = shapes[1][0] = None  # T is compared when it runs
    scale = spike_scale_of(tuple(shapes[0]), tuple(shapes[1]))
    size = rate.shape[1:]
    rates = tf.cast(rate, tf.float64)
    grey = tf.tensordot(tf.cast(blur, tf.float64), GREY_WEIGHTS.astype("float64"), 1)
    cells = tf.reshape(grey, [-1, size[0], scale, size[1], scale])
    products = rates * tf.reduce_mean(cells, axis=[2, 4])
    counted = tf.cast(rates <= SATURATED, tf.float64)
    energies = rates * rates
    all_energy = tf.reduce_sum(energies)
    enough = tf.reduce_sum(counted * energies) >= LEAST_ENERGY * all_energy
    counted = tf.where(enough, counted, tf.ones_like(counted))
    energy = tf.reduce_sum(counted * energies)
    product = tf.reduce_sum(counted * products)
    one = tf.constant(1, tf.float64)
    factor = tf.where(energy > 0, product / tf.where(energy > 0, energy, one), one)
    return tf.cast(factor, tf.float32)


def compress(rates: tf.Tensor) -> tf.Tensor:
    """Returns log(1 + rates), twin of `normalisation.compress`."""
    return tf.math.log1p(rates)


def standardise(array: tf.Tensor, statistics: ChannelStatistics) -> tf.Tensor:
    """Returns (array - mean) / scale per channel, twin of `normalisation.standardise`.

    Raises:
        ValueError: the statistics are of another number of channels.
    """
    mean, scale = per_channel(statistics, tuple(array.shape))
    return (array - mean) / scale


def drop_spikes(
    spikes: tf.Tensor, fraction: float | tf.Tensor, *, seed: tf.Tensor
) -> tf.Tensor:
    """Leaves out spikes at random, twin of `spike_dropout.drop_spikes`.

    Args:
        spikes: of 0 and 1.
        fraction: of the spikes that is left out on average, in [0, 1].
        seed: (2,) integers. The same seed drops the same spikes, in any process and
            on any machine; they are not those that NumPy's generator chooses.

    Raises:
        tf.errors.InvalidArgumentError: the fraction is outside [0, 1].
    """
    fraction = tf.convert_to_tensor(fraction, tf.float32)
    check = tf.debugging.assert_equal(
        tf.clip_by_value(fraction, 0, 1),
        fraction,
        "The fraction of spikes to drop must be in [0, 1].",
    )
    with tf.control_dependencies(run_first([check])):
        draws = tf.random.stateless_uniform(tf.shape(spikes), seed, alg="philox")
    return spikes * tf.cast(draws >= fraction, spikes.dtype)


def spike_times(
    spikes: tf.Tensor, instants: tf.Tensor, *, low: tf.Tensor, high: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns spike frames (T, n, h, w) since the last spike and to the next, or inf.

    Twin of `representations.time_since_spike` and `time_to_spike`, for many instants
    at a time: they cut each of the T into n + 1 parts. One pass over the spike frames
    finds the first and last spike of every part, a second one over the parts the
    nearest to every instant.

    Args:
        spikes: (T, L, h, w) of 0 and 1.
        instants: (T, n) int32, ascending, spike frames among the L; n is static.
        low: (T,) int32, the first spike frame that is looked at.
        high: (T,) int32, the one behind the last.
    """
    shape = tf.shape(spikes)
    num_instants = instants.shape[1]
    frames = tf.range(shape[1])
    part = tf.reduce_sum(
        tf.cast(instants[:, :, None] < frames[None, None], tf.int32), axis=1
    )
    part += (num_instants + 1) * tf.range(shape[0])[:, None]
    visible = (low[:, None] <= frames) & (frames < high[:, None])
    part = tf.reshape(tf.where(visible, part, -1), [-1])  # a segment of -1 is dropped

    fired = tf.cast(spikes, tf.bool)
    number = tf.cast(frames, tf.int32)[None, :, None, None]
    count = shape[0] * (num_instants + 1)
    flat = tf.concat([[-1], shape[2:]], axis=0)
    parts = tf.concat([[shape[0], num_instants + 1], shape[2:]], axis=0)

    def extremes(reduce: Callable[..., tf.Tensor], none: int) -> tf.Tensor:
        numbers = tf.where(fired, number, tf.constant(none, tf.int32))
        found = reduce(tf.reshape(numbers, flat), part, count)
        return tf.reshape(found, parts)

    last = extremes(tf.math.unsorted_segment_max, tf.int32.min)
    following = extremes(tf.math.unsorted_segment_min, tf.int32.max)
    lasts, nexts = [last[:, 0]], [following[:, num_instants]]
    for index in range(1, num_instants):
        lasts.append(tf.maximum(lasts[-1], last[:, index]))
        nexts.append(tf.minimum(nexts[-1], following[:, num_instants - index]))
    before, after = tf.stack(lasts, axis=1), tf.stack(nexts[::-1], axis=1)
    at = tf.cast(instants, tf.float32)[:, :, None, None]
    since = at - tf.cast(before, tf.float32)
    until = tf.cast(after, tf.float32) - at
    never = tf.constant(float("inf"))
    return (
        tf.where(before == tf.int32.min, never, since),
        tf.where(after == tf.int32.max, never, until),
    )


def run_first(checks: list[Any]) -> list[Any]:
    """Returns the checks that a graph has to wait for; eagerly they have run."""
    return [check for check in checks if check is not None]


class _Seen:
    """Spike frames (T, L, h, w), the exposures (T, 2) in them, and what may be seen.

    `low` and `high` (T,) are the first spike frame that may be looked at and the one
    behind the last.
    """

    def __init__(
        self, spikes: tf.Tensor, window: tf.Tensor, low: tf.Tensor, high: tf.Tensor
    ) -> None:
        self.spikes = spikes
        self.start, self.end = window[:, 0], window[:, 1]
        self.low, self.high = low, high

    def instants(self, count: int) -> tf.Tensor:
        """Spike frames (T, count) in the middle of even parts of the exposures."""
        parts = (2 * tf.range(count, dtype=tf.float64) + 1) / (2 * count)
        times = self.start[:, None] + (self.end - self.start)[:, None] * parts
        return tf.cast(tf.floor(times), tf.int32)

    def spike_times(self, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Spike frames (T, count, h, w) from the instants to the nearest spikes."""
        return spike_times(
            self.spikes, self.instants(count), low=self.low, high=self.high
        )

    def around_middle(self, count: int) -> tf.Tensor:
        """Numbers (T, count) of the spike frames around the middles."""
        first = self.instants(1) - count // 2
        room = tf.minimum(first[:, 0] - self.low, self.high - first[:, 0] - count)
        check = tf.debugging.assert_non_negative(
            room,
            f"{count} spike frames around the middle of an exposure leave it and its "
            "margin; take fewer or a larger margin.",
        )
        with tf.control_dependencies(run_first([check])):
            return first + tf.range(count)


def _voxel(seen: _Seen, *, num_bins: int, binning: str = "hard") -> tf.Tensor:
    frames = tf.range(tf.shape(seen.spikes)[1])
    frames = tf.cast(frames, tf.float64)[None, None]
    start, end = seen.start[:, None, None], seen.end[:, None, None]
    if binning == "bilinear":
        weights = _bilinear_weights(start, end, num_bins, frames)
    else:
        edges = tf.range(num_bins + 1, dtype=tf.float64)[None, :, None] / num_bins
        edges = start + (end - start) * edges
        overlaps = _overlap(frames, edges[:, :-1], edges[:, 1:])
        weights = overlaps * num_bins / (end - start)
    return voxel_grids(seen.spikes, tf.cast(weights, tf.float32))


def _bilinear_weights(
    start: tf.Tensor, end: tf.Tensor, num_bins: int, frames: tf.Tensor
) -> tf.Tensor:
    checks = []
    if num_bins > 1:
        message = (
            f"An exposure is too short for {num_bins} bilinear bins, which need a "
            "spike frame each; take fewer bins or binning 'hard'."
        )
        least = tf.constant(num_bins, tf.float64)
        checks.append(tf.debugging.assert_less_equal(least, end - start, message))
    with tf.control_dependencies(run_first(checks)):
        between = (frames - start) / tf.maximum(end - start - 1, 1)
    bins = tf.range(num_bins, dtype=tf.float64)[None, :, None]
    distance = tf.abs(bins - (num_bins - 1) * tf.clip_by_value(between, 0, 1))
    weights = tf.nn.relu(1 - distance) * _overlap(frames, start, end)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)


def _overlap(frames: tf.Tensor, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(tf.minimum(frames + 1, end) - tf.maximum(frames, start))


def _raw(seen: _Seen, *, num_frames: int) -> tf.Tensor:
    frames = tf.gather(seen.spikes, seen.around_middle(num_frames), batch_dims=1)
    return tf.cast(frames, tf.float32)


def _tfp(seen: _Seen, *, windows: Sequence[int]) -> tf.Tensor:
    longest = max(windows)
    frames = _raw(seen, num_frames=longest)
    means = []
    for window in windows:
        first = (longest - window) // 2
        means.append(tf.reduce_mean(frames[:, first : first + window], axis=1))
    return tf.stack(means, axis=1)


def _time_surface(seen: _Seen, *, num_instants: int, tau: float) -> tf.Tensor:
    times = tf.stack(seen.spike_times(num_instants), axis=2)
    shape = tf.shape(times)
    surfaces = tf.exp(-times / tf.constant(tau, tf.float32))
    return tf.reshape(
        surfaces, tf.concat([shape[:1], [2 * num_instants], shape[3:]], axis=0)
    )


def _tfi(seen: _Seen, *, num_instants: int) -> tf.Tensor:
    since, until = seen.spike_times(num_instants)
    return 1 / (since + until)


def _charge(seen: _Seen, *, num_bins: int) -> tf.Tensor:
    parts = tf.range(num_bins + 1, dtype=tf.float64) / num_bins
    edges = seen.start[:, None] + (seen.end - seen.start)[:, None] * parts
    # The spike frames whose middle lies at or before each edge.
    passed = tf.cast(tf.floor(edges + 0.5), tf.int32)
    passed = tf.minimum(passed, seen.high[:, None])
    since, until = spike_times(seen.spikes, passed - 1, low=seen.low, high=seen.high)
    frames = tf.range(tf.shape(seen.spikes)[1])
    counted = (frames >= seen.low[:, None, None]) & (frames < passed[:, :, None])
    count = voxel_grids(seen.spikes, tf.cast(counted, tf.float32))

    def spread(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, tf.float32)[:, :, None, None]

    begin, finish = spread(seen.low[:, None]), spread(seen.high[:, None])
    fired = spread(passed) - 0.5  # the middle of the frame that spike_times is at
    has_before, has_after = tf.math.is_finite(since), tf.math.is_finite(until)
    before = tf.where(has_before, fired - since, begin)
    after = tf.where(has_after, fired + until, finish)
    known = tf.cast(has_before, tf.int32) + tf.cast(has_after, tf.int32)
    # A pixel that never fires has rates of 0.
    step = tf.gather(tf.constant([0.0, OPEN, 1.0], tf.float32), known)
    base = tf.where(has_after, tf.constant(OPEN, tf.float32), 0.0)
    base = tf.where(has_before, count, base)
    share = (spread(edges) - before) / tf.maximum(after - before, 1e-6)
    gathered = base + step * share
    lengths = spread((seen.end - seen.start)[:, None] / num_bins)
    return (gathered[:, 1:] - gathered[:, :-1]) / lengths


_REPRESENTATIONS: dict[str, Callable[..., tf.Tensor]] = {
    "voxel": _voxel,
    "time_surface": _time_surface,
    "raw": _raw,
    "tfp": _tfp,
    "tfi": _tfi,
    "charge": _charge,
}
