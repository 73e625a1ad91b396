"""Windowed multi-head attention of VRT: mutual between frame pairs, self over a window.

Source: Liang et al., "VRT: A Video Restoration Transformer", arXiv 2201.12288,
section 3.2 (TMSA).
"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from vrt_spike_jax.models.chunking import map_chunks

Window = tuple[int, int, int]
# Added to the logits of token pairs that a cyclic shift has made neighbours.
_MASK_LOGIT = -100.0


def window_partition(
    x: Float[Array, "b d h w c"], window: Window
) -> Float[Array, "windows n c"]:
    """Cuts a padded clip into windows, whose tokens run over d, then h, then w."""
    return rearrange(
        x,
        "b (nd d) (nh h) (nw w) c -> (b nd nh nw) (d h w) c",
        d=window[0],
        h=window[1],
        w=window[2],
    )


def window_reverse(
    windows: Float[Array, "windows n c"], window: Window, size: Sequence[int]
) -> Float[Array, "b d h w c"]:
    """Puts windows back into clips of the padded `size` (d, h, w)."""
    return rearrange(
        windows,
        "(b nd nh nw) (d h w) c -> b (nd d) (nh h) (nw w) c",
        nd=size[0] // window[0],
        nh=size[1] // window[1],
        nw=size[2] // window[2],
        d=window[0],
        h=window[1],
        w=window[2],
    )


def tokens_of_windows(values: np.ndarray, window: Window) -> np.ndarray:
    """Cuts one number a place, (d, h, w), into windows, (windows, n)."""
    return rearrange(
        values,
        "(nd d) (nh h) (nw w) -> (nd nh nw) (d h w)",
        d=window[0],
        h=window[1],
        w=window[2],
    )


def shift_region_ids(size: Sequence[int], window: Window, shift: Window) -> np.ndarray:
    """Region of each token after a cyclic shift, (windows, n) int32.

    Two tokens of a window may attend to each other only where their regions agree.
    The ids stand for the (windows, n, n) mask, which would not fit into memory for
    large frames.
    """
    ids = np.zeros(size, np.int32)
    for axis, (length, extent, step) in enumerate(
        zip(size, window, shift, strict=True)
    ):
        if step == 0:
            continue
        region = np.zeros(length, np.int32)
        region[length - extent : length - step] = 1
        region[length - step :] = 2
        shape = [1, 1, 1]
        shape[axis] = length
        ids = ids * 3 + region.reshape(shape)
    return tokens_of_windows(ids, window)


def relative_position_index(window: Window) -> np.ndarray:
    """Row of the bias table for each pair of tokens of a window, (n, n) int32."""
    grid = np.meshgrid(*(np.arange(extent) for extent in window), indexing="ij")
    coordinates = np.stack(grid).reshape(3, -1)
    offset = coordinates[:, :, None] - coordinates[:, None, :]
    depth, height, width = (offset[axis] + window[axis] - 1 for axis in range(3))
    rows = (depth * (2 * window[1] - 1) + height) * (2 * window[2] - 1) + width
    return rows.astype(np.int32)


@functools.cache
def _published_codes() -> dict[str, np.ndarray]:
    path = pathlib.Path(__file__).with_name("sine_position_codes.npz")
    with np.load(path) as codes:
        return dict(codes)


def _position_code(length: int, channels: int) -> np.ndarray:
    """Sines and cosines of each position of an axis, (length, channels) float32."""
    # The published buffers are float32 sines of PyTorch's CPU library, whose last digit
    # no formula gives; a deep network turns that digit into the fifth of its output.
    published = _published_codes().get(str(2 * channels))
    if published is not None and length == len(published):
        return published
    exponent = (2 * (np.arange(channels) // 2)).astype(np.float32)
    exponent = exponent / np.float32(channels)
    period = (10000.0 ** exponent.astype(np.float64)).astype(np.float32)
    position = np.arange(1, length + 1, dtype=np.float32)
    position = position / np.float32(length + 1e-6) * np.float32(2 * math.pi)
    angle = (position[:, None] / period).astype(np.float64)
    code = np.sin(angle)
    code[:, 1::2] = np.cos(angle)[:, 1::2]
    return code.astype(np.float32)


def sine_position_bias(height: int, width: int, channels: int) -> np.ndarray:
    """Sine position encoding of a frame's window, (height * width, channels) float32.

    Half of the channels encode the row, half the column, each as interleaved sines
    and cosines of the position normalised to 2 pi (temperature 10000). For windows of
    8x8 and the usual widths it equals the published buffers bit for bit, elsewhere
    within 5e-7.
    """
    half = channels // 2
    rows, columns = _position_code(height, half), _position_code(width, half)
    rows = np.broadcast_to(rows[:, None], (height, width, half))
    columns = np.broadcast_to(columns[None], (height, width, half))
    return np.concatenate([rows, columns], -1).reshape(height * width, 2 * half)


def attend(
    q: Float[Array, "windows heads n d"],
    k: Float[Array, "windows heads m d"],
    v: Float[Array, "windows heads m d"],
    *,
    bias: Float[Array, "heads n m"] | None = None,
    region_ids: Int[Array, "windows n"] | None = None,
    max_chunk: int,
) -> Float[Array, "windows heads n d"]:
    """Softmax attention inside each window, in chunks of windows.

    Args:
      q: queries, already scaled.
      k: keys.
      v: values.
      bias: added to the logits of every window.
      region_ids: from `shift_region_ids`, for all windows.
      max_chunk: the most logits (elements) that exist at once; the chunk of windows
        follows from it. The backward pass computes them again, chunk by chunk.
    """
    _, heads, n, _ = q.shape
    m = k.shape[2]
    accumulate = jnp.promote_types(q.dtype, jnp.float32)

    def attend_chunk(
        bias: Array | None, q: Array, k: Array, v: Array, ids: Array | None
    ) -> Array:
        logits = jnp.einsum("bhnd,bhmd->bhnm", q, k, preferred_element_type=accumulate)
        if bias is not None:
            logits = logits + bias.astype(accumulate)[None]
        if ids is not None:
            differ = ids[:, None, :, None] != ids[:, None, None, :]
            logits = logits + jnp.where(differ, _MASK_LOGIT, 0.0).astype(accumulate)
        # Normalising after the product with V touches n*d numbers, not n*m.
        weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
        total = weights.sum(-1, keepdims=True)
        out = jnp.einsum(
            "bhnm,bhmd->bhnd",
            weights.astype(v.dtype),
            v,
            preferred_element_type=accumulate,
        )
        return (out / total).astype(v.dtype)

    out: Array = map_chunks(
        attend_chunk,
        bias,
        (q, k, v, region_ids),
        numbers=heads * n * m,
        max_chunk=max_chunk,
    )
    return out


class WindowAttention(nn.Module):
    """Attention of the tokens of one window: self, or self and mutual.

    Mutual attention needs a window of two frames: the tokens of frame 1 get what the
    queries of frame 2 find in frame 1, and the reverse.
    """

    channels: int
    window: Window
    num_heads: int
    mutual: bool
    qkv_bias: bool = True
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "windows n c"],
        region_ids: Int[Array, "windows n"] | None = None,
    ) -> Float[Array, "windows n c"]:
        """Attends within each window; `region_ids` as of `shift_region_ids`."""
        n = x.shape[1]
        dense = self._dense
        table = self.param(
            "relative_position_bias_table",
            nn.initializers.truncated_normal(0.02),
            (math.prod(2 * extent - 1 for extent in self.window), self.num_heads),
            self.param_dtype,
        )
        # A window shrunk in time uses the first tokens' part of the index.
        index = relative_position_index(self.window)[:n, :n]
        bias = jnp.transpose(table[index], (2, 0, 1))
        q, k, v = self._heads(dense(3 * self.channels, "qkv_self")(x))
        out = self._merge(self._attend(q, k, v, region_ids, bias))
        if self.mutual:
            out = jnp.concatenate([self._mutual(x, region_ids), out], -1)
        return dense(self.channels, "proj", use_bias=True)(out)

    def _mutual(
        self,
        x: Float[Array, "windows n c"],
        region_ids: Int[Array, "windows n"] | None,
    ) -> Float[Array, "windows n c"]:
        code = sine_position_bias(*self.window[1:], self.channels)
        position = jnp.asarray(np.tile(code, (2, 1)), self.dtype)
        half = x.shape[1] // 2
        q, k, v = self._heads(
            self._dense(3 * self.channels, "qkv_mut")(x + position[None])
        )
        first, second = slice(None, half), slice(half, None)

        # As published, the regions of frame 1 serve both: the first and the last frame
        # of a clip, neighbours after a shift in time, stay unmasked.
        ids = None if region_ids is None else region_ids[:, :half]

        def look(query: slice, key: slice) -> Array:
            return self._attend(q[:, :, query], k[:, :, key], v[:, :, key], ids)

        aligned = jnp.concatenate([look(second, first), look(first, second)], 2)
        return self._merge(aligned)

    def _attend(
        self,
        q: Float[Array, "windows heads n d"],
        k: Float[Array, "windows heads n d"],
        v: Float[Array, "windows heads n d"],
        region_ids: Int[Array, "windows n"] | None,
        bias: Float[Array, "heads n n"] | None = None,
    ) -> Float[Array, "windows heads n d"]:
        return attend(
            q,
            k,
            v,
            bias=bias,
            region_ids=region_ids,
            max_chunk=self.max_chunk,
        )

    def _dense(
        self, features: int, name: str, use_bias: bool | None = None
    ) -> nn.Dense:
        return nn.Dense(
            features,
            use_bias=self.qkv_bias if use_bias is None else use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )

    def _heads(self, qkv: Float[Array, "windows n c3"]) -> tuple[Array, Array, Array]:
        q, k, v = rearrange(
            qkv, "b n (three h d) -> three b h n d", three=3, h=self.num_heads
        )
        return q * (self.channels // self.num_heads) ** -0.5, k, v

    @staticmethod
    def _merge(x: Float[Array, "windows heads n d"]) -> Array:
        return rearrange(x, "b h n d -> b n (h d)")
