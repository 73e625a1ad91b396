"""The colours that networks trained on ImageNet expect."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Mean and standard deviation of RGB in [0, 1]; float32 as in the published buffers,
# which matters when a model runs in float64.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def normalise(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """RGB in [0, 1] to the mean 0 and the deviation 1 of ImageNet."""
    mean = jnp.asarray(MEAN, images.dtype).reshape(1, 1, 1, 3)
    std = jnp.asarray(STD, images.dtype).reshape(1, 1, 1, 3)
    return (images - mean) / std
