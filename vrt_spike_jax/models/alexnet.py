"""AlexNet as a feature extractor, for LPIPS.

Source: Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
arXiv 1404.5997, the variant that torchvision publishes weights of (feature_weights.py).
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.imagenet import normalise

SMALLEST = 31  # pixels of a side, below which the last convolutions have no input


class _Layer(NamedTuple):
    """A convolution: its place in torchvision, and how it is applied."""

    place: int
    channels: int
    size: int
    stride: int
    padding: int
    pooled: bool  # whether its input is pooled


_LAYERS = {
    "conv1": _Layer(0, 64, 11, 4, 2, False),
    "conv2": _Layer(3, 192, 5, 1, 2, True),
    "conv3": _Layer(6, 384, 3, 1, 1, True),
    "conv4": _Layer(8, 256, 3, 1, 1, False),
    "conv5": _Layer(10, 256, 3, 1, 1, False),
}


class AlexNetFeatures(nn.Module):
    """What each of the five convolutions gives after its ReLU."""

    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32
    # 'highest' makes every device compute in full float32, as a metric has to.
    precision: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> dict[str, Array]:
        """Features of RGB images in [0, 1], which are normalised here.

        Returns:
          'relu1' to 'relu5', each (n, h', w', channels).

        Raises:
          ValueError: the images are too small.
        """
        if min(images.shape[1:3]) < SMALLEST:
            raise ValueError(
                f"AlexNet needs images of at least {SMALLEST}x{SMALLEST} pixels; got "
                f"{images.shape[1]}x{images.shape[2]}."
            )
        x = normalise(images).astype(self.dtype)
        found = {}
        for name, layer in _LAYERS.items():
            if layer.pooled:
                x = nn.max_pool(x, (3, 3), (2, 2))
            x = nn.Conv(
                layer.channels,
                (layer.size, layer.size),
                strides=layer.stride,
                padding=layer.padding,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                precision=self.precision,
                name=name,
            )(x)
            x = nn.relu(x)
            found[name.replace("conv", "relu")] = x
        return found

    def convolutions(self) -> list[str]:
        """Names of the convolutions, in their order."""
        return list(_LAYERS)

    @classmethod
    def official_layout(cls) -> dict[str, tuple[str, tuple[int, ...]]]:
        """For each convolution its name in torchvision and the shape of its weight."""
        layout: dict[str, tuple[str, tuple[int, ...]]] = {}
        channels = 3
        for name, layer in _LAYERS.items():
            shape = (layer.channels, channels, layer.size, layer.size)
            layout[name] = (f"features.{layer.place}", shape)
            channels = layer.channels
        return layout
