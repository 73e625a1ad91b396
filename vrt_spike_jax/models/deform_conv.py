"""Modulated deformable convolution, and VRT's flow-guided form of it.

Sources: Zhu et al., "Deformable ConvNets v2", arXiv 1811.11168, equation 1; Chan et
al., "BasicVSR++", arXiv 2104.13371, section 3.2; Liang et al., arXiv 2201.12288,
section 3.3 (parallel warping).
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from vrt_spike_jax.models.chunking import map_chunks, map_module_chunks
from vrt_spike_jax.models.warping import flow_warp

_TAPS = 9


def deform_conv2d(
    x: Float[Array, "n h w c"],
    offset: Float[Array, "n h w 9 g 2"],
    mask: Float[Array, "n h w 9 g"],
    kernel: Float[Array, "3 3 ci co"],
    bias: Float[Array, " co"],
    *,
    max_chunk: int = 2**20,
) -> Float[Array, "n h w co"]:
    """3x3 convolution whose taps are displaced and weighted per pixel.

    Args:
      x: input; c = groups * ci channels, the groups of the convolution in order.
      offset: displacement (dy, dx) of each tap, pixels, per offset group g.
      mask: weight of each tap, per offset group.
      kernel: output channels are split evenly over the convolution's groups.
      bias: added to the output.
      max_chunk: the most samples (elements) that exist at once; the chunk of output
        pixels follows from it.
    """
    n, h, w, c = x.shape
    offset_groups = offset.shape[4]
    groups = c // kernel.shape[2]
    weights = rearrange(kernel, "kh kw ci (g co) -> g (kh kw ci) co", g=groups)
    x = x.reshape(n, h, w, offset_groups, c // offset_groups)

    def pixels(
        shared: tuple[Float[Array, "n h w g c"], Float[Array, "groups k og"]],
        place: Int[Array, " p"],
        offset: Float[Array, "p 9 g 2"],
        mask: Float[Array, "p 9 g"],
    ) -> Float[Array, "p co"]:
        x, weights = shared
        frame, row, column = place // (h * w), place // w % h, place % w
        tap = jnp.arange(_TAPS) // 3 - 1, jnp.arange(_TAPS) % 3 - 1
        row, column = (
            (position[:, None] + shift[None])[..., None].astype(offset.dtype)
            for position, shift in zip((row, column), tap, strict=True)
        )
        samples = bilinear_samples(
            x, frame, row + offset[..., 0], column + offset[..., 1], mask
        )
        samples = rearrange(samples, "p t (g og) c -> g p (t og c)", g=groups)
        # One plain matrix product a group: several times faster than a batched one.
        parts = [part @ weight for part, weight in zip(samples, weights, strict=True)]
        return jnp.concatenate(parts, -1)

    out: Array = map_chunks(
        pixels,
        (x, weights),
        (
            jnp.arange(n * h * w, dtype=jnp.int32),
            offset.reshape(n * h * w, *offset.shape[3:]),
            mask.reshape(n * h * w, *mask.shape[3:]),
        ),
        numbers=_TAPS * c,
        max_chunk=max_chunk,
    )
    return out.reshape(n, h, w, -1) + bias.astype(out.dtype).reshape(1, 1, 1, -1)


def bilinear_samples(
    x: Float[Array, "n h w g c"],
    frame: Int[Array, " p"],
    row: Float[Array, "p t g"],
    column: Float[Array, "p t g"],
    weight: Float[Array, "p t g"],
) -> Float[Array, "p t g c"]:
    """Weighted bilinear samples of x, each group at its own places; 0 outside.

    Gathers and sums over one flat list of places, which keeps the gradient's scatter
    and reductions on rows of channels.
    """
    n, h, w, groups, channels = x.shape
    rows = x.reshape(n * h * w * groups, channels)
    first = (frame * h)[:, None, None]
    group = jnp.arange(groups, dtype=jnp.int32)[None, None]
    top, left = jnp.floor(row), jnp.floor(column)
    down, right = row - top, column - left

    def corner(y: Array, x_: Array, share: Array) -> Array:
        inside = (y >= 0) & (y <= h - 1) & (x_ >= 0) & (x_ <= w - 1)
        share = jnp.where(inside, share * weight, 0).astype(rows.dtype)
        y = jnp.clip(y, 0, h - 1).astype(jnp.int32)
        x_ = jnp.clip(x_, 0, w - 1).astype(jnp.int32)
        index = ((first + y) * w + x_) * groups + group
        pixels = rows.at[index.reshape(-1)].get(mode="promise_in_bounds")
        return pixels * share.reshape(-1, 1)

    out = (
        corner(top, left, (1 - down) * (1 - right))
        + corner(top, left + 1, (1 - down) * right)
        + corner(top + 1, left, down * (1 - right))
        + corner(top + 1, left + 1, down * right)
    )
    return out.reshape(*row.shape, channels)


class DCNv2PackFlowGuided(nn.Module):
    """Aligns neighbouring frames' features to a target by flow plus learned offsets.

    Targets are independent, and go through all of it in chunks.
    """

    channels: int
    pa_frames: int
    deformable_groups: int
    max_residue: float
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    def __call__(
        self,
        sources: list[Float[Array, "n h w c"]],
        target: Float[Array, "n h w c"],
        flows: list[Float[Array, "n h w 2"]],
        guide: tuple[Float[Array, "n h w g"], Float[Array, "g o"]] | None = None,
    ) -> Float[Array, "n h w c"]:
        """Returns the aligned features of all `pa_frames // 2` sources, fused.

        Args:
          sources: neighbouring frames' features, nearest first.
          target: features of the frame to align to.
          flows: flow from the target into each source, pixels.
          guide: what another sensor says of each target, and the projection of it that
            is added to the learned offsets.
        """
        _, h, w, _ = target.shape
        # The samples have a chunk of their own; what is left are the offsets.
        numbers = h * w * 3 * _TAPS * self.deformable_groups
        told, kernel = (None, None) if guide is None else guide
        aligned: Array = map_module_chunks(
            DCNv2PackFlowGuided._align,
            self,
            (sources, target, flows, told),
            numbers=numbers,
            max_chunk=self.max_chunk,
            shared=(kernel,),
        )
        return aligned

    @nn.compact
    def _align(
        self,
        sources: list[Float[Array, "n h w c"]],
        target: Float[Array, "n h w c"],
        flows: list[Float[Array, "n h w 2"]],
        told: Float[Array, "n h w g"] | None,
        kernel_of_told: Float[Array, "g o"] | None,
    ) -> Float[Array, "n h w c"]:
        coordinates = jnp.promote_types(self.dtype, jnp.float32)
        warped = [flow_warp(x, flow) for x, flow in zip(sources, flows, strict=True)]
        guide = [*warped, target, *(flow.astype(self.dtype) for flow in flows)]
        raw = self._offsets(jnp.concatenate(guide, -1)).astype(coordinates)
        groups = self.deformable_groups
        residue, mask = jnp.split(raw, [2 * _TAPS * groups], -1)
        if told is not None and kernel_of_told is not None:
            residue = residue + (told @ kernel_of_told).astype(coordinates)
        offset = rearrange(
            self.max_residue * jnp.tanh(residue),
            "n h w (g t yx) -> n h w t g yx",
            t=_TAPS,
            yx=2,
        )
        # Offset groups are split evenly over the sources; each gets its own flow.
        flow = jnp.stack(flows, 3)[..., None, :, ::-1].astype(coordinates)
        flow = jnp.repeat(flow, groups // len(flows), 4)
        mask = nn.sigmoid(rearrange(mask, "n h w (g t) -> n h w t g", t=_TAPS))
        shape = (3, 3, self.channels, self.channels)
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), shape, self.param_dtype
        )
        bias = self.param(
            "bias", nn.initializers.zeros, (self.channels,), self.param_dtype
        )
        x = jnp.concatenate(sources, -1).astype(self.dtype)
        return deform_conv2d(
            x,
            offset + flow,
            mask,
            kernel.astype(self.dtype),
            bias,
            max_chunk=self.max_chunk,
        )

    def _offsets(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w o"]:
        features = [self.channels] * 3 + [3 * _TAPS * self.deformable_groups]
        for i, count in enumerate(features):
            last = i == len(features) - 1
            x = nn.Conv(
                count,
                (3, 3),
                padding=1,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                kernel_init=(
                    nn.initializers.zeros if last else nn.initializers.lecun_normal()
                ),
                name=f"conv_offset_{2 * i}",
            )(x)
            if not last:
                x = nn.leaky_relu(x, 0.1)
        return x
