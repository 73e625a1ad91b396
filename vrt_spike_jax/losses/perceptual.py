"""The perceptual loss: distances of features of VGG-19, whose weights are handed in."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from vrt_spike_jax.losses.pair import frames_of, magnitude
from vrt_spike_jax.models.vgg import VGG19Features


def perceptual(
    prediction: Float[Array, "..."],
    target: Float[Array, "..."],
    vgg19: PyTree,
    *,
    layers: Sequence[tuple[str, float]],
) -> Float[Array, ""]:
    """Sum over the layers of weight times the L1 distance of their features.

    Source: Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style Transfer
    and Super-Resolution", ECCV 2016, with L1 and features before the ReLU as in ESRGAN
    (Wang et al., ECCV Workshops 2018). No gradient flows to the target or the weights.

    Args:
      prediction: (..., H, W, 3), RGB in [0, 1].
      target: the same shape.
      vgg19: parameters of `network(layers)`, from torchvision's published file.
      layers: names of layers such as 'conv5_4', each with its weight.

    Raises:
      ValueError: the shapes differ, are not of RGB frames or too small for the deepest
        layer, or a layer is none of VGG's.
    """
    prediction, target = frames_of(prediction, target)
    features = network(layers, dtype=prediction.dtype)
    params = {"params": jax.lax.stop_gradient(vgg19)}
    found: Any = features.apply(params, prediction)
    wanted: Any = features.apply(params, jax.lax.stop_gradient(target))
    distances = [
        weight * jnp.mean(magnitude(found[layer] - wanted[layer]))
        for layer, weight in layers
    ]
    return jnp.sum(jnp.stack(distances))


def network(
    layers: Sequence[tuple[str, float]], *, dtype: Any = jnp.float32
) -> VGG19Features:
    """The part of VGG-19 up to the deepest of the weighted layers."""
    return VGG19Features(layers=tuple(name for name, _ in layers), dtype=dtype)
