"""What every metric sees: RGB frames as the 8-bit values a picture file holds."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num


def quantise(frames: Num[Array, "..."]) -> Num[Array, "..."]:
    """Rounds frames in [0, 1] to the 256 values a picture file can hold, as 0...255.

    Values outside [0, 1] are clipped, as on writing. 8-bit frames pass unchanged.

    Returns:
      float32 integers, of the same shape.
    """
    if frames.dtype == jnp.uint8:
        return frames.astype(jnp.float32)
    return jnp.round(jnp.clip(frames.astype(jnp.float32), 0.0, 1.0) * 255.0)


def frame_pair(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    *,
    rounding: bool = True,
) -> tuple[Float[Array, "n h w 3"], Float[Array, "n h w 3"]]:
    """Checks two sets of RGB frames and gives them as 8-bit values.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8.
      target: the same shape; its type may be the other of the two.
      rounding: False leaves out the rounding to 8 bits, not the clipping.

    Returns:
      Both as float32 0...255, integers after rounding, leading axes folded into one.

    Raises:
      ValueError: shapes that differ or are not of RGB frames, another type, or (outside
        of jit) a float value that is not finite or lies far outside [0, 1].
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have one shape; got {prediction.shape} and "
            f"{target.shape}."
        )
    if prediction.ndim < 3 or prediction.shape[-1] != 3 or 0 in prediction.shape:
        raise ValueError(
            f"frames must be (..., height, width, 3), RGB; got {prediction.shape}."
        )
    for name, frames in (("prediction", prediction), ("target", target)):
        _check_values(name, frames)
    shape = (-1, *prediction.shape[-3:])
    scaled = quantise if rounding else _scale
    return (
        scaled(jnp.asarray(prediction)).reshape(shape),
        scaled(jnp.asarray(target)).reshape(shape),
    )


def _scale(frames: Num[Array, "..."]) -> Num[Array, "..."]:
    """Frames on the scale of `quantise`, without its rounding."""
    if frames.dtype == jnp.uint8:
        return frames.astype(jnp.float32)
    return jnp.clip(frames.astype(jnp.float32), 0.0, 1.0) * 255.0


def _check_values(name: str, frames: Num[Array | np.ndarray, "..."]) -> None:
    if frames.dtype == np.uint8:
        return
    if not jnp.issubdtype(frames.dtype, jnp.floating):
        raise ValueError(
            f"{name} must be float in [0, 1] or uint8; got {frames.dtype}. Convert it "
            "with .astype(np.uint8) if it holds 8-bit values."
        )
    if isinstance(frames, jax.core.Tracer):
        return  # A traced value is not known yet.
    low, high = float(frames.min()), float(frames.max())
    # A restoration may overshoot a little; 0...255 as float is a mistake of the caller.
    if not -1.0 <= low <= high <= 2.0:
        raise ValueError(
            f"{name} must be float in [0, 1]; got values from {low:g} to {high:g}. "
            "Divide 8-bit values by 255, or pass them as uint8."
        )
