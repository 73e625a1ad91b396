"""Temporal mutual self attention blocks of VRT and the groups made of them.

Source: Liang et al., arXiv 2201.12288, section 3.2 and figure 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from vrt_spike_jax.models.chunking import map_module_chunks
from vrt_spike_jax.models.window_attention import (
    Window,
    WindowAttention,
    shift_region_ids,
    tokens_of_windows,
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


def drop_path_factor(key: Array, rate: float, samples: int) -> Float[Array, " samples"]:
    """Stochastic depth: what a residual branch is multiplied with, for each sample.

    Whole samples are dropped (0), the others scaled so that the mean is kept. On a
    device that computes on its own samples alone, these are drawn as they are where one
    device computes on all.
    """
    keep = 1.0 - rate
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.manual_axes:
        return jax.random.bernoulli(key, keep, (samples,)) / keep
    devices = math.prod(mesh.shape[name] for name in mesh.manual_axes)
    drawn = jax.random.bernoulli(key, keep, (devices * samples,)) / keep
    first = jax.lax.axis_index(mesh.manual_axes) * samples
    return jax.lax.dynamic_slice_in_dim(drawn, first, samples)


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


class _Windows(NamedTuple):
    """The windows of a clip, and what a block has to know of each."""

    tokens: Float[Array, "windows n c"]
    # From `shift_region_ids`; None without shift.
    region_ids: Int[Array, "windows n"] | None
    # False for padding; None where there is none.
    real: Bool[Array, "windows n"] | None
    # Factors of the two branches, for stochastic depth.
    keep_attention: Float[Array, " windows"] | None
    keep_mlp: Float[Array, " windows"] | None


class TMSA(nn.Module):
    """One block: windowed (mutual and) self attention, then the feed-forward layer.

    All of it happens inside a window, so chunks of windows pass through the whole block
    one after another; `max_chunk` as of `chunking.count_chunks`.
    """

    channels: int
    num_heads: int
    window: Window
    shift: Window
    mutual: bool
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    drop_path: float = 0.0
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    def __call__(
        self, x: Float[Array, "b d h w c"], train: bool = False
    ) -> Float[Array, "b d h w c"]:
        """Adds both branches to x.

        Needs the `dropout` generator when `train` is set and `drop_path` is not 0.
        """
        samples, *size, _ = x.shape
        window, shift = fit_window(size, self.window, self.shift)
        pad = [(0, -extent % step) for extent, step in zip(size, window, strict=True)]
        x = jnp.pad(x, [(0, 0), *pad, (0, 0)])
        padded = x.shape[1:4]
        x = jnp.roll(x, [-step for step in shift], (1, 2, 3))
        tokens = window_partition(x, window)

        def for_every_sample(one: Array | np.ndarray) -> Array:
            return jnp.tile(jnp.asarray(one), (samples, 1))

        region_ids = real = None
        if any(shift):
            region_ids = for_every_sample(shift_region_ids(padded, window, shift))
        if padded != tuple(size):
            real = for_every_sample(_real_tokens(size, padded, window, shift))
        keep: list[Array | None] = [None, None]
        if train and self.drop_path:
            each = tokens.shape[0] // samples
            keep = [
                jnp.repeat(drop_path_factor(key, self.drop_path, samples), each)
                for key in (self.make_rng("dropout"), self.make_rng("dropout"))
            ]
        windows = _Windows(tokens, region_ids, real, *keep)
        tokens = map_module_chunks(
            TMSA._block,
            self,
            (windows,),
            numbers=self._numbers(tokens.shape[1]),
            max_chunk=self.max_chunk,
        )
        x = jnp.roll(window_reverse(tokens, window, padded), shift, (1, 2, 3))
        return x[:, : size[0], : size[1], : size[2]]

    @property
    def _hidden(self) -> int:
        return int(self.channels * self.mlp_ratio)

    def _numbers(self, tokens: int) -> int:
        """Elements of the largest temporary of a window."""
        return tokens * max(self.num_heads * tokens, 3 * self.channels, self._hidden)

    @nn.compact
    def _block(self, windows: _Windows) -> Float[Array, "windows n c"]:
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = windows.tokens
        normed = layer_norm("norm1", **dtypes)(x)
        if windows.real is not None:
            # Padding is zero after the norm, and takes part: the official order.
            normed = jnp.where(windows.real[..., None], normed, 0)
        attended = WindowAttention(
            self.channels,
            self.window,
            self.num_heads,
            self.mutual,
            self.qkv_bias,
            self.max_chunk,
            self.dtype,
            self.param_dtype,
            name="attn",
        )(normed, windows.region_ids)
        x = x + _kept(attended, windows.keep_attention)
        mlp = MlpGEGLU(self._hidden, self.channels, name="mlp", **dtypes)
        return x + _kept(mlp(layer_norm("norm2", **dtypes)(x)), windows.keep_mlp)


def _kept(
    branch: Float[Array, "windows n c"], factor: Float[Array, " windows"] | None
) -> Float[Array, "windows n c"]:
    if factor is None:
        return branch
    return branch * factor.astype(branch.dtype)[:, None, None]


def _real_tokens(
    size: Sequence[int], padded: Sequence[int], window: Window, shift: Window
) -> Bool[np.ndarray, "windows n"]:
    """Which tokens of the shifted windows of one padded clip are not padding."""
    real = np.zeros(padded, bool)
    real[: size[0], : size[1], : size[2]] = True
    return tokens_of_windows(
        np.roll(real, [-step for step in shift], (0, 1, 2)), window
    )


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
    max_chunk: int = 2**20
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
                self.max_chunk,
                self.dtype,
                self.param_dtype,
                name=f"blocks_{i}",
            )(x, train)
        return x
