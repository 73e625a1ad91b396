"""LPIPS v0.1: perceptual distance by weighted differences of network features.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", CVPR 2018, arXiv 1801.03924. AlexNet is what papers report unless they say
otherwise; VGG is its form as a loss.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from vrt_spike_jax.metrics.quantise import frame_pair
from vrt_spike_jax.models.alexnet import AlexNetFeatures
from vrt_spike_jax.models.variants import nearest_name
from vrt_spike_jax.models.vgg import VGG16Features

# The layers that are compared, and the number of their channels.
CHANNELS: dict[str, dict[str, int]] = {
    "alex": {"relu1": 64, "relu2": 192, "relu3": 384, "relu4": 256, "relu5": 256},
    "vgg": {
        "relu1_2": 64,
        "relu2_2": 128,
        "relu3_3": 256,
        "relu4_3": 512,
        "relu5_3": 512,
    },
}
_EPSILON = 1e-10


class LPIPSWeights(NamedTuple):
    """What `load_lpips` reads: the network, its parameters, the weights of channels."""

    net: str
    params: Mapping[str, Any]
    linear: Mapping[str, Float[Array, " c"]]


def net_of(name: str) -> str:
    """Checks the name of a network: 'alex' or 'vgg'.

    Raises:
      ValueError: it is another.
    """
    if name not in CHANNELS:
        raise ValueError(nearest_name(name, list(CHANNELS), "network of LPIPS"))
    return name


def feature_network(net: str) -> AlexNetFeatures | VGG16Features:
    """The network of LPIPS by its name, in full float32 on every device."""
    if net_of(net) == "alex":
        return AlexNetFeatures(precision="highest")
    return VGG16Features(layers=tuple(CHANNELS["vgg"]), precision="highest")


def frame_lpips(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    weights: LPIPSWeights,
) -> Float[Array, " n"]:
    """LPIPS of each frame: RGB, 8-bit rounded, no border cut; 0 for identical frames.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8; sides of at least 31 (alex)
        or 16 (vgg) pixels.
      target: the same shape.
      weights: of `vrt_spike_jax.feature_files.load_lpips`.

    Returns:
      A distance for each frame, leading axes folded into one.

    Raises:
      ValueError: shapes, types or values other than these.
    """
    prediction, target = frame_pair(prediction, target)
    return _distances(prediction, target, weights.params, weights.linear, weights.net)


def lpips_distance(
    prediction: Float[Array, "n h w 3"],
    target: Float[Array, "n h w 3"],
    weights: LPIPSWeights,
) -> Float[Array, " n"]:
    """LPIPS of images in [0, 1] as they are, without rounding: as a loss takes it."""
    network = feature_network(weights.net)
    both = jnp.concatenate([prediction, target])
    features: Any = network.apply({"params": weights.params}, both)
    total = jnp.zeros(len(prediction), prediction.dtype)
    for layer, weight in weights.linear.items():
        first, second = jnp.split(_unit(features[layer]), 2)
        weight = weight.astype(prediction.dtype).reshape(1, 1, 1, -1)
        weighted = jnp.sum(jnp.square(first - second) * weight, axis=-1)
        total += jnp.mean(weighted, axis=(1, 2))
    return total


@jax.jit(static_argnames="net")
def _distances(
    prediction: Float[Array, "n h w 3"],
    target: Float[Array, "n h w 3"],
    params: Mapping[str, Any],
    linear: Mapping[str, Float[Array, " c"]],
    net: str,
) -> Float[Array, " n"]:
    weights = LPIPSWeights(net, params, linear)

    # One frame at a time: the features of a long video would not fit in memory.
    def of_frame(pair: tuple[Array, Array]) -> Float[Array, ""]:
        first, second = (frame[None] / 255.0 for frame in pair)
        return lpips_distance(first, second, weights)[0]

    return jax.lax.map(of_frame, (prediction, target))


def _unit(features: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Each pixel's features at length 1."""
    square = jnp.sum(jnp.square(features), axis=-1, keepdims=True)
    # The gradient of a square root of 0 is not a number: where no channel responds.
    length = jnp.sqrt(jnp.where(square > 0, square, 1.0))
    return features / (jnp.where(square > 0, length, 0.0) + _EPSILON)
