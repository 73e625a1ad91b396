"""Distances of single values: Charbonnier's, a smooth L1, and L1 itself."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from vrt_spike_jax.losses.pair import compared, magnitude


def charbonnier(
    prediction: Float[Array, "..."],
    target: Float[Array, "..."],
    *,
    epsilon: float = 1e-3,
) -> Float[Array, ""]:
    """Mean of sqrt(difference ** 2 + epsilon ** 2), in float32 or better.

    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for
    computed imaging", ICIP 1994; with epsilon = 1e-3 as in MIMO-UNet and Restormer.

    Args:
      prediction: any shape.
      target: the same shape; nothing is broadcast.
      epsilon: below this difference the loss turns from linear to quadratic; it is the
        value for identical clips.

    Raises:
      ValueError: the shapes differ.
    """
    prediction, target = compared(prediction, target)
    return jnp.mean(jnp.sqrt(jnp.square(prediction - target) + epsilon**2))


def l1(
    prediction: Float[Array, "..."], target: Float[Array, "..."]
) -> Float[Array, ""]:
    """Mean absolute difference, in float32 or better; its slope at 0 is 0.

    Args:
      prediction: any shape.
      target: the same shape; nothing is broadcast.

    Raises:
      ValueError: the shapes differ.
    """
    prediction, target = compared(prediction, target)
    return jnp.mean(magnitude(prediction - target))
