"""Edge losses: differences of the first and of the second derivatives of frames.

Both filters are linear, so they see the difference of the frames alone; borders are
repeated. A difference of brightness costs nothing.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from vrt_spike_jax.losses.pair import frames_of, magnitude


def sobel(
    prediction: Float[Array, "..."], target: Float[Array, "..."]
) -> Float[Array, ""]:
    """L1 of the difference of the Sobel gradients, the mean over both directions.

    The 3x3 masks of Sobel divided by 8, so that the gradient is in units of white per
    pixel; each colour by itself.

    Args:
      prediction: (..., H, W, 3), RGB.
      target: the same shape.

    Raises:
      ValueError: the shapes differ, or are not of RGB frames.
    """
    difference = _padded(prediction, target)
    down = (difference[:, 2:] - difference[:, :-2]) / 2
    down = (down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]) / 4
    right = (difference[:, :, 2:] - difference[:, :, :-2]) / 2
    right = (right[:, :-2] + 2 * right[:, 1:-1] + right[:, 2:]) / 4
    return (jnp.mean(magnitude(down)) + jnp.mean(magnitude(right))) / 2


def laplacian(
    prediction: Float[Array, "..."], target: Float[Array, "..."]
) -> Float[Array, ""]:
    """L1 of the difference of the Laplacians: four neighbours minus four times self.

    The edge loss of MPRNet (CVPR 2021) on the discrete Laplacian itself, in place of
    its difference to a 5x5 Gaussian.

    Args:
      prediction: (..., H, W, 3), RGB.
      target: the same shape.

    Raises:
      ValueError: the shapes differ, or are not of RGB frames.
    """
    difference = _padded(prediction, target)
    middle = difference[:, 1:-1, 1:-1]
    vertical = difference[:, :-2, 1:-1] + difference[:, 2:, 1:-1]
    horizontal = difference[:, 1:-1, :-2] + difference[:, 1:-1, 2:]
    return jnp.mean(magnitude(vertical + horizontal - 4 * middle))


def _padded(
    prediction: Float[Array, "..."], target: Float[Array, "..."]
) -> Float[Array, "n h2 w2 3"]:
    """The difference of the frames, with one more pixel on each side."""
    prediction, target = frames_of(prediction, target)
    borders = ((0, 0), (1, 1), (1, 1), (0, 0))
    return jnp.pad(prediction - target, borders, mode="edge")
