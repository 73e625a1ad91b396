"""What every loss compares: two clips of one shape, in float32 or better."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def compared(
    prediction: Float[Array, "..."], target: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Both arrays in float32, or in float64 where one of them is; nothing broadcasts.

    A loss averages millions of numbers, which bfloat16 cannot add up.

    Raises:
      ValueError: the shapes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have one shape; got {prediction.shape} and "
            f"{target.shape}."
        )
    dtype = jnp.promote_types(jnp.result_type(prediction, target), jnp.float32)
    return prediction.astype(dtype), target.astype(dtype)


def frames_of(
    prediction: Float[Array, "..."], target: Float[Array, "..."]
) -> tuple[Float[Array, "n h w 3"], Float[Array, "n h w 3"]]:
    """`compared` RGB frames (..., H, W, 3), leading axes folded into one.

    Raises:
      ValueError: the shapes differ, or are not of RGB frames.
    """
    prediction, target = compared(prediction, target)
    if prediction.ndim < 3 or prediction.shape[-1] != 3 or 0 in prediction.shape:
        raise ValueError(
            f"frames must be (..., height, width, 3), RGB; got {prediction.shape}."
        )
    shape = (-1, *prediction.shape[-3:])
    return prediction.reshape(shape), target.reshape(shape)


def magnitude(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The absolute value, with the slope 0 at 0, where that of `jnp.abs` is 1.

    Where nothing differs there is nothing to change, in either direction.
    """
    return x * jnp.sign(x)
