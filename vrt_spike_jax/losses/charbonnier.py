"""The Charbonnier loss: a smooth L1 distance."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def charbonnier(
    prediction: Float[Array, "*shape"],
    target: Float[Array, "*shape"],
    *,
    epsilon: float = 1e-3,
) -> Float[Array, ""]:
    """Mean of sqrt(difference ** 2 + epsilon ** 2), computed in float32.

    Charbonnier et al., "Two deterministic half-quadratic regularization algorithms for
    computed imaging", ICIP 1994; with epsilon = 1e-3 as in MIMO-UNet and Restormer.

    Args:
      prediction: any shape.
      target: the same shape; nothing is broadcast.
      epsilon: below this difference the loss turns from linear to quadratic.

    Raises:
      ValueError: the shapes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have one shape; got {prediction.shape} and "
            f"{target.shape}."
        )
    difference = prediction.astype(jnp.float32) - target.astype(jnp.float32)
    return jnp.mean(jnp.sqrt(jnp.square(difference) + epsilon**2))
