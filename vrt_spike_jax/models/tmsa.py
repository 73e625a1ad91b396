"""Temporal mutual self attention blocks of VRT and the groups made of them.

Source: Liang et al., arXiv 2201.12288, section 3.2 and figure 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from vrt_spike_jax.models.window_attention import (
    Window,
    WindowAttention,
    shift_region_ids,
    window_partition,
    window_reverse,
)


def fit_window(
    size: Sequence[int], window: Window, shift: Window
) -> tuple[Window, Window]:
    """Shrinks a window to the clip; a dimension of one window is not shifted."""
    fitted = [
        (extent, 0) if extent <= wanted else (wanted, step)
        for extent, wanted, step in zip(size, window, shift, strict=True)
    ]
    (d, sd), (h, sh), (w, sw) = fitted
    return (d, h, w), (sd, sh, sw)


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch of whole samples while training."""

    rate: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d h w c"], train: bool
    ) -> Float[Array, "b d h w c"]:
        """Needs the `dropout` generator when `train` is set and the rate is not 0."""
        if not train or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        shape = (x.shape[0], 1, 1, 1, 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, shape)
        return x * (kept / keep).astype(x.dtype)


class MlpGEGLU(nn.Module):
    """Feed-forward layer gated by an exact GELU."""

    hidden: int
    features: int
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b features"]:
        """Maps the channels of each token."""

        def dense(features: int, name: str) -> nn.Dense:
            return nn.Dense(
                features,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=name,
            )

        gate = nn.gelu(dense(self.hidden, "fc11")(x), approximate=False)
        return dense(self.features, "fc2")(gate * dense(self.hidden, "fc12")(x))


def layer_norm(name: str, *, dtype: DTypeLike, param_dtype: DTypeLike) -> nn.LayerNorm:
    """Layer normalisation with the published epsilon and two-pass variance."""
    return nn.LayerNorm(
        epsilon=1e-5,
        dtype=dtype,
        param_dtype=param_dtype,
        use_fast_variance=False,
        name=name,
    )


class TMSA(nn.Module):
    """One block: windowed (mutual and) self attention, then the feed-forward layer."""

    channels: int
    num_heads: int
    window: Window
    shift: Window
    mutual: bool
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    drop_path: float = 0.0
    max_logits: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d h w c"], train: bool = False
    ) -> Float[Array, "b d h w c"]:
        """Adds both branches to x."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        drop_path = DropPath(self.drop_path)
        attended = self._attend(layer_norm("norm1", **dtypes)(x))
        x = x + drop_path(attended, train)
        mlp = MlpGEGLU(
            int(self.channels * self.mlp_ratio), self.channels, name="mlp", **dtypes
        )
        return x + drop_path(mlp(layer_norm("norm2", **dtypes)(x)), train)

    def _attend(self, x: Float[Array, "b d h w c"]) -> Float[Array, "b d h w c"]:
        _, *size, _ = x.shape
        window, shift = fit_window(size, self.window, self.shift)
        # Padding follows the norm, and padded tokens take part: the official order.
        pad = [(0, -extent % step) for extent, step in zip(size, window, strict=True)]
        x = jnp.pad(x, [(0, 0), *pad, (0, 0)])
        _, *padded, _ = x.shape
        region_ids = None
        if any(shift):
            x = jnp.roll(x, [-step for step in shift], (1, 2, 3))
            region_ids = jnp.asarray(shift_region_ids(padded, window, shift))
        windows = self._attention(window_partition(x, window), region_ids)
        x = window_reverse(windows, window, padded)
        if any(shift):
            x = jnp.roll(x, shift, (1, 2, 3))
        return x[:, : size[0], : size[1], : size[2]]

    def _attention(
        self,
        windows: Float[Array, "windows n c"],
        region_ids: Int[Array, "regions n"] | None,
    ) -> Float[Array, "windows n c"]:
        return WindowAttention(
            self.channels,
            self.window,
            self.num_heads,
            self.mutual,
            self.qkv_bias,
            self.max_logits,
            self.dtype,
            self.param_dtype,
            name="attn",
        )(windows, region_ids)


class TMSAG(nn.Module):
    """A group of TMSA blocks; every other one works on shifted windows."""

    channels: int
    depth: int
    num_heads: int
    window: Window
    mutual: bool
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    drop_path: tuple[float, ...] = ()
    remat: bool = False
    max_logits: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d h w c"], train: bool = False
    ) -> Float[Array, "b d h w c"]:
        """Runs the blocks in order."""
        block = nn.remat(TMSA, static_argnums=(2,)) if self.remat else TMSA
        d, h, w = self.window
        shifts = ((0, 0, 0), (d // 2, h // 2, w // 2))
        for i in range(self.depth):
            x = block(
                self.channels,
                self.num_heads,
                self.window,
                shifts[i % 2],
                self.mutual,
                self.mlp_ratio,
                self.qkv_bias,
                self.drop_path[i] if self.drop_path else 0.0,
                self.max_logits,
                self.dtype,
                self.param_dtype,
                name=f"blocks_{i}",
            )(x, train)
        return x
