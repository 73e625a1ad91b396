"""VGG-16 and VGG-19 as feature extractors: perceptual loss, and LPIPS.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", arXiv 1409.1556; the variants without batch normalisation, as torchvision
publishes their weights (feature_weights.py).
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.imagenet import normalise
from vrt_spike_jax.models.variants import nearest_name

_WIDTHS = (64, 128, 256, 512, 512)  # channels of each block


class VGGFeatures(nn.Module):
    """Intermediate results of VGG, by name.

    'conv3_2' is the second convolution of the third block, 'relu3_2' the same after the
    ReLU. Only what the asked layers need is computed, and has parameters.
    """

    # Convolutions of each block.
    blocks: ClassVar[tuple[int, ...]] = ()

    layers: tuple[str, ...]
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32
    # 'highest' makes every device compute in full float32, as a metric has to.
    precision: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> dict[str, Array]:
        """Features of RGB images in [0, 1], which are normalised here.

        Returns:
          For each of `layers` its features, (n, h / 2^(block - 1), w / 2^(block - 1),
          channels); an odd last row or column is left out in halving.

        Raises:
          ValueError: a layer is none of VGG's, or the images are too small for it.
        """
        names = self.convolutions()
        size = 2 ** (int(names[-1][4]) - 1)
        if min(images.shape[1:3]) < size:
            raise ValueError(
                f"{self.layers[-1]} of VGG needs images of at least {size}x{size} "
                f"pixels; got {images.shape[1]}x{images.shape[2]}."
            )
        x = normalise(images).astype(self.dtype)
        found = {}
        block = "1"
        for name in names:
            if name[4] != block:
                block = name[4]
                x = nn.max_pool(x, (2, 2), (2, 2))
            x = self._convolution(name)(x)
            found[name] = x
            x = nn.relu(x)
            found[name.replace("conv", "relu")] = x
        return {layer: found[layer] for layer in self.layers}

    def convolutions(self) -> list[str]:
        """Names of the convolutions up to the deepest asked layer, in their order.

        Raises:
          ValueError: a layer is none of VGG's, or none is asked for.
        """
        if not self.layers:
            raise ValueError("name at least one layer of VGG, such as 'relu5_4'.")
        names = self.all_convolutions()
        known = [f"{kind}{name[4:]}" for name in names for kind in ("conv", "relu")]
        for layer in self.layers:
            if layer not in known:
                raise ValueError(nearest_name(layer, known, "layer of VGG"))
        deepest = max(names.index(f"conv{layer[4:]}") for layer in self.layers)
        return names[: deepest + 1]

    @classmethod
    def all_convolutions(cls) -> list[str]:
        """Names of all convolutions, in their order."""
        return [
            f"conv{block}_{i}"
            for block, count in enumerate(cls.blocks, start=1)
            for i in range(1, count + 1)
        ]

    @classmethod
    def official_layout(cls) -> dict[str, tuple[str, tuple[int, ...]]]:
        """For each convolution its name in torchvision and the shape of its weight."""
        layout: dict[str, tuple[str, tuple[int, ...]]] = {}
        index, channels = 0, 3
        for block, count in enumerate(cls.blocks, start=1):
            for i in range(1, count + 1):
                width = _WIDTHS[block - 1]
                layout[f"conv{block}_{i}"] = (
                    f"features.{index}",
                    (width, channels, 3, 3),
                )
                channels = width
                index += 2  # the convolution and its ReLU
            index += 1  # the pooling
        return layout

    def _convolution(self, name: str) -> nn.Conv:
        return nn.Conv(
            _WIDTHS[int(name[4]) - 1],
            (3, 3),
            padding=1,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            precision=self.precision,
            name=name,
        )


class VGG16Features(VGGFeatures):
    """VGG-16, configuration D: 13 convolutions."""

    blocks: ClassVar[tuple[int, ...]] = (2, 2, 3, 3, 3)


class VGG19Features(VGGFeatures):
    """VGG-19, configuration E: 16 convolutions."""

    blocks: ClassVar[tuple[int, ...]] = (2, 2, 4, 4, 4)
