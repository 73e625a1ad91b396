"""TensorFlow twins of the NumPy spike representations, for use inside tf.data."""

import tensorflow as tf


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
