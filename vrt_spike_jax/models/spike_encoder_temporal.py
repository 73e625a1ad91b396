"""Attention along the time inside one exposure, for long streams of spikes."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.chunking import map_module_chunks
from vrt_spike_jax.models.tmsa import layer_norm
from vrt_spike_jax.models.window_attention import attend


def time_codes(steps: int, width: int) -> np.ndarray:
    """Sines and cosines of the middle of each of `steps` equal parts, (steps, width).

    Of the place within the exposure, from 0 to 1, however finely it is divided: a model
    can be given more steps than it was trained with. The slowest wave passes half a
    turn in an exposure, each following one twice as much as the one before, up to 32.
    """
    place = (np.arange(steps) + 0.5) / steps
    waves = -(-width // 2)
    turns = 0.5 * 2.0 ** np.linspace(0, min(waves - 1, 6), waves)
    angle = 2 * np.pi * place[:, None] * turns
    codes = np.stack([np.sin(angle), np.cos(angle)], -1).reshape(steps, -1)
    return codes[:, :width].astype(np.float32)


class TemporalTransformer(nn.Module):
    """A transformer block over the times of each pixel, all with all.

    Convolutions see a few neighbouring times; this sees the whole exposure at once.
    Times are told apart by codes added to queries and keys alone, so that values carry
    nothing but the spikes. It starts as the identity: both last projections are zero.
    """

    num_heads: int
    mlp_ratio: int = 2
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n s h w c"]) -> Float[Array, "n s h w c"]:
        """Keeps shape and channels.

        Raises:
          ValueError: the heads cannot share the channels equally.
        """
        n, steps, h, w, c = x.shape
        if c % self.num_heads:
            raise ValueError(
                f"the temporal transformer has {self.num_heads} heads for {c} channels;"
                " make spike_features multiples of the number of heads."
            )
        tokens = rearrange(x, "n s h w c -> (n h w) s c")
        tokens = map_module_chunks(
            TemporalTransformer._block,
            self,
            (tokens,),
            numbers=steps * max(self.mlp_ratio * c, 3 * c, self.num_heads * steps),
            max_chunk=self.max_chunk,
        )
        return rearrange(tokens, "(n h w) s c -> n s h w c", n=n, h=h, w=w)

    @nn.compact
    def _block(self, x: Float[Array, "n s c"]) -> Float[Array, "n s c"]:
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        zeros = nn.initializers.zeros
        steps, c = x.shape[1:]
        codes = jnp.asarray(time_codes(steps, c), self.dtype)[None]
        normed = layer_norm("norm1", **dtypes)(x)
        query_key = nn.Dense(2 * c, name="query_key", **dtypes)(normed + codes)
        value = nn.Dense(c, name="value", **dtypes)(normed)
        q, k, v = (
            rearrange(part, "n s (g d) -> n g s d", g=self.num_heads)
            for part in (*jnp.split(query_key, 2, -1), value)
        )
        q = q * (c // self.num_heads) ** -0.5
        # The items are a chunk already.
        out = attend(q, k, v, max_chunk=2**60)
        out = rearrange(out, "n g s d -> n s (g d)")
        x = x + nn.Dense(c, kernel_init=zeros, name="proj", **dtypes)(out)
        hidden = nn.Dense(self.mlp_ratio * c, name="fc1", **dtypes)(
            layer_norm("norm2", **dtypes)(x)
        )
        return x + nn.Dense(c, kernel_init=zeros, name="fc2", **dtypes)(nn.gelu(hidden))
