"""SpyNet: optical flow by a spatial pyramid, at the four scales VRT uses.

Source: Ranjan and Black, "Optical Flow Estimation using a Spatial Pyramid Network",
arXiv 1611.00850.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.chunking import map_module_chunks
from vrt_spike_jax.models.imagenet import normalise
from vrt_spike_jax.models.warping import flow_warp, resize_bilinear

_LEVELS = 6
_STRIDE = 2 ** (_LEVELS - 1)
SCALES = (1, 2, 4, 8)


class BasicModule(nn.Module):
    """Flow residual of one pyramid level: five 7x7 convolutions."""

    features: tuple[int, ...]
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w 8"]) -> Float[Array, "n h w 2"]:
        """Maps (reference, warped neighbour, upsampled flow) to a residual flow."""
        counts = (*self.features, 2)
        for i, count in enumerate(counts):
            last = i == len(counts) - 1
            x = nn.Conv(
                count,
                (7, 7),
                padding=3,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                # Trained from scratch, flow starts at zero: a random one only harms.
                kernel_init=(
                    nn.initializers.zeros if last else nn.initializers.lecun_normal()
                ),
                name=f"basic_module_{2 * i}",
            )(x)
            if not last:
                x = nn.relu(x)
        return x


class SpyNet(nn.Module):
    """Flow between two images, coarse to fine; pairs go through it in chunks."""

    features: tuple[int, ...] = (32, 64, 32, 16)
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    def __call__(
        self,
        reference: Float[Array, "n h w 3"],
        neighbour: Float[Array, "n h w 3"],
    ) -> list[Float[Array, "n h2 w2 2"]]:
        """Flow on the reference's grid, pointing into the neighbour.

        Returns:
          Flows (x, y) at scales 1, 1/2, 1/4 and 1/8, in pixels of their own scale.
        """
        h, w = reference.shape[1:3]
        flows: list[Array] = map_module_chunks(
            SpyNet._flows,
            self,
            (reference, neighbour),
            numbers=h * w * max(self.features),
            max_chunk=self.max_chunk,
        )
        return flows

    @nn.compact
    def _flows(
        self, reference: Float[Array, "n h w 3"], neighbour: Float[Array, "n h w 3"]
    ) -> list[Float[Array, "n h2 w2 2"]]:
        h, w = reference.shape[1:3]
        padded = (-(-h // _STRIDE) * _STRIDE, -(-w // _STRIDE) * _STRIDE)
        references = self._pyramid(reference, padded)
        neighbours = self._pyramid(neighbour, padded)
        flow = jnp.zeros((*references[0].shape[:3], 2), self.dtype)
        flows = []
        for level in range(_LEVELS):
            if level:
                height, width = references[level].shape[1:3]
                flow = 2 * resize_bilinear(flow, height, width, align_corners=True)
            warped = flow_warp(neighbours[level], flow, padding="border")
            module = BasicModule(
                self.features,
                self.dtype,
                self.param_dtype,
                name=f"basic_module_{level}",
            )
            flow = flow + module(jnp.concatenate([references[level], warped, flow], -1))
            flows.append(flow)
        return [
            self._to_scale(flows[-1 - i], (h, w), padded, scale)
            for i, scale in enumerate(SCALES)
        ]

    def _pyramid(
        self, image: Float[Array, "n h w 3"], padded: tuple[int, int]
    ) -> list[Array]:
        image = resize_bilinear(image.astype(self.dtype), *padded)
        levels = [normalise(image)]
        for _ in range(_LEVELS - 1):
            n, h, w, c = levels[0].shape
            pooled = levels[0].reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
            levels.insert(0, pooled)
        return levels

    @staticmethod
    def _to_scale(
        flow: Float[Array, "n h w 2"],
        size: tuple[int, int],
        padded: tuple[int, int],
        scale: int,
    ) -> Float[Array, "n h2 w2 2"]:
        height, width = size[0] // scale, size[1] // scale
        ratio = (width / (padded[1] // scale), height / (padded[0] // scale))
        return resize_bilinear(flow, height, width) * jnp.asarray(
            ratio, flow.dtype
        ).reshape(1, 1, 1, 2)
