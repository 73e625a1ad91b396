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
from jaxtyping import Array, Float

_TAPS = 9


def deform_conv2d(
    x: Float[Array, "n h w c"],
    offset: Float[Array, "n h w 9 g 2"],
    mask: Float[Array, "n h w 9 g"],
    kernel: Float[Array, "3 3 ci co"],
    bias: Float[Array, " co"],
) -> Float[Array, "n h w co"]:
    """3x3 convolution whose taps are displaced and weighted per pixel.

    Args:
      x: input; c = groups * ci channels, the groups of the convolution in order.
      offset: displacement (dy, dx) of each tap, pixels, per offset group g.
      mask: weight of each tap, per offset group.
      kernel: output channels are split evenly over the convolution's groups.
      bias: added to the output.
    """
    n, h, w, c = x.shape
    offset_groups = offset.shape[4]
    groups = c // kernel.shape[2]
    tap = jnp.arange(3, dtype=offset.dtype) - 1
    tap_y = jnp.repeat(tap, 3).reshape(1, 1, 1, _TAPS, 1)
    tap_x = jnp.tile(tap, 3).reshape(1, 1, 1, _TAPS, 1)
    row = jnp.arange(h, dtype=offset.dtype)[None, :, None, None, None]
    row = row + tap_y + offset[..., 0]
    column = jnp.arange(w, dtype=offset.dtype)[None, None, :, None, None]
    column = column + tap_x + offset[..., 1]
    columns = bilinear_rows(
        x.reshape(n, h, w, offset_groups, c // offset_groups), row, column, mask
    )
    columns = rearrange(columns, "n h w t (g og) c -> g (n h w) (t og c)", g=groups)
    kernel = rearrange(kernel, "kh kw ci (g co) -> g (kh kw ci) co", g=groups)
    # One plain matrix product a group: several times faster than a batched one.
    out = [part @ weight for part, weight in zip(columns, kernel, strict=True)]
    joined = jnp.concatenate(out, -1).reshape(n, h, w, -1)
    return joined + bias.astype(joined.dtype).reshape(1, 1, 1, -1)


def bilinear_rows(
    x: Float[Array, "n h w g c"],
    row: Float[Array, "n h2 w2 t g"],
    column: Float[Array, "n h2 w2 t g"],
    weight: Float[Array, "n h2 w2 t g"],
) -> Float[Array, "n h2 w2 t g c"]:
    """Weighted bilinear samples of x, each group at its own places; 0 outside.

    Gathers and sums over one flat list of places, which keeps the gradient's scatter
    and reductions on rows of channels.
    """
    n, h, w, groups, channels = x.shape
    rows = x.reshape(n * h * w * groups, channels)
    frame = jnp.arange(n, dtype=jnp.int32)[:, None, None, None, None]
    group = jnp.arange(groups, dtype=jnp.int32).reshape(1, 1, 1, 1, groups)
    top, left = jnp.floor(row), jnp.floor(column)
    down, right = row - top, column - left

    def corner(y: Array, x_: Array, share: Array) -> Array:
        inside = (y >= 0) & (y <= h - 1) & (x_ >= 0) & (x_ <= w - 1)
        share = jnp.where(inside, share * weight, 0).astype(rows.dtype)
        y = jnp.clip(y, 0, h - 1).astype(jnp.int32)
        x_ = jnp.clip(x_, 0, w - 1).astype(jnp.int32)
        index = ((frame * h + y) * w + x_) * groups + group
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
    """Aligns neighbouring frames' features to a target by flow plus learned offsets."""

    channels: int
    pa_frames: int
    deformable_groups: int
    max_residue: float
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        sources: list[Float[Array, "n h w c"]],
        warped: list[Float[Array, "n h w c"]],
        target: Float[Array, "n h w c"],
        flows: list[Float[Array, "n h w 2"]],
    ) -> Float[Array, "n h w c"]:
        """Returns the aligned features of all `pa_frames // 2` sources, fused.

        Args:
          sources: neighbouring frames' features, nearest first.
          warped: the same, warped by their flow.
          target: features of the frame to align to.
          flows: flow from the target into each source, pixels.
        """
        coordinates = jnp.promote_types(self.dtype, jnp.float32)
        guide = [*warped, target, *(flow.astype(self.dtype) for flow in flows)]
        raw = self._offsets(jnp.concatenate(guide, -1)).astype(coordinates)
        groups = self.deformable_groups
        residue, mask = jnp.split(raw, [2 * _TAPS * groups], -1)
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
        return deform_conv2d(x, offset + flow, mask, kernel, bias)

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
