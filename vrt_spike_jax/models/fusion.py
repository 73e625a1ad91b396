"""Fusion of spike features into the frames' features, before the TMSA groups.

Every fusion takes (frames, spike features) and returns frames, and starts as the
identity: its last projection is zero, so that at step 0 the fused model equals VRT. No
gate follows it: a gate would let it learn nothing but its own random directions first.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.tmsa import layer_norm
from vrt_spike_jax.models.window_attention import attend


def _local_bias(window: int, steps: int, heads: int) -> np.ndarray:
    """Starting table of the position bias, (2w-1, 2w-1, steps, heads).

    A query starts by reading the spikes of its own pixel, and each head those of its
    own part of the exposure: without it, attention begins as the mean over the window
    and has to learn where it is before it can learn what to read.
    """
    offset = np.arange(1 - window, window)
    distance = offset[:, None] ** 2 + offset[None] ** 2
    moments = (np.arange(heads) + 0.5) / heads * steps - 0.5
    late = (np.arange(steps)[:, None] - moments[None]) ** 2
    return -2.0 * (distance[..., None, None] + late).astype(np.float32)


class CrossAttentionFusion(nn.Module):
    """Windowed cross-attention: frames ask, the spikes of the same window answer.

    Keys and values keep their place within the exposure; a learned bias tells each head
    how far away, and how late in the exposure, a spike feature is.
    """

    num_heads: int
    window: int
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        frames: Float[Array, "b t h w c"],
        spikes: Float[Array, "b t s h w c"],
    ) -> Float[Array, "b t h w c"]:
        """Adds to each frame token what the spikes of its window say about it."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        b, t, h, w, c = frames.shape
        steps = spikes.shape[2]
        query = nn.Dense(c, name="query", **dtypes)(
            layer_norm("norm_frames", **dtypes)(frames)
        )
        key_value = nn.Dense(2 * c, name="key_value", **dtypes)(spikes)
        q = self._windows(query[:, :, None]) * (c // self.num_heads) ** -0.5
        k, v = (self._windows(x) for x in jnp.split(key_value, 2, -1))
        out = attend(q, k, v, bias=self._bias(steps), max_chunk=self.max_chunk)
        window = self.window
        out = rearrange(
            out,
            "(b t nh nw) heads (h w) d -> b t (nh h) (nw w) (heads d)",
            b=b,
            t=t,
            nh=-(-h // window),
            h=window,
            w=window,
        )[:, :, :h, :w]
        proj = nn.Dense(c, name="proj", kernel_init=nn.initializers.zeros, **dtypes)
        return frames + proj(out).astype(frames.dtype)

    def _windows(self, x: Float[Array, "b t s h w c"]) -> Float[Array, "n heads m d"]:
        """Heads of the tokens of each window; what a window lacks is zero."""
        window = self.window
        h, w = x.shape[3:5]
        pad = [(0, 0)] * 3 + [(0, -h % window), (0, -w % window), (0, 0)]
        return rearrange(
            jnp.pad(x, pad),
            "b t s (nh h) (nw w) (heads d) -> (b t nh nw) heads (s h w) d",
            h=window,
            w=window,
            heads=self.num_heads,
        )

    def _bias(self, steps: int) -> Float[Array, "heads n m"]:
        window, heads = self.window, self.num_heads

        def start(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
            del key
            return jnp.asarray(_local_bias(window, steps, heads), dtype).reshape(shape)

        size = 2 * window - 1
        shape = (size, size, steps, heads)
        table = self.param("position_bias", start, shape, self.param_dtype)
        row, column = np.divmod(np.arange(window * window), window)
        dy = row[:, None] - row[None] + window - 1
        dx = column[:, None] - column[None] + window - 1
        return rearrange(table[dy, dx], "n m s heads -> heads n (s m)")


FUSIONS: dict[str, type[nn.Module]] = {"cross_attn": CrossAttentionFusion}
