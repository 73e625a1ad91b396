"""Fusions of spike features into the frames' features, and the table of them.

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

from vrt_spike_jax.models.chunking import map_module_chunks
from vrt_spike_jax.models.tmsa import layer_norm
from vrt_spike_jax.models.window_attention import attend

# How much less a channel asks one of another kind at the start.
_KIND = 2.0


def _local_bias(window: int, steps: int, heads: int) -> np.ndarray:
    """Starting table of the position bias, (2w-1, 2w-1, steps, heads).

    A query starts by reading the spikes of its own pixel, and each head those of its
    own part of the exposure: without it, attention begins as the mean over the window
    and has to learn where it is before it can learn what to read.
    """
    offset = np.arange(1 - window, window)
    distance = offset[:, None] ** 2 + offset[None] ** 2
    late = _lateness(steps, heads)
    return -2.0 * (distance[..., None, None] + late).astype(np.float32)


def _lateness(steps: int, heads: int) -> np.ndarray:
    """Squared distance in time of each step from each head's moment, (steps, heads)."""
    moments = (np.arange(heads) + 0.5) / heads * steps - 0.5
    return (np.arange(steps)[:, None] - moments[None]) ** 2


class Fusion(nn.Module):
    """What all fusions are built with; each takes of it what it needs.

    `num_heads` and `window` (pixels each way) are those of attention; `max_chunk`
    bounds the elements of temporaries that exist at once.
    """

    num_heads: int
    window: int
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    def __call__(
        self,
        frames: Float[Array, "b t h w c"],
        spikes: Float[Array, "b t s h w c"],
    ) -> Float[Array, "b t h w c"]:
        """Returns the frames' features with what the spikes of each exposure add.

        Args:
          frames: features of the frames.
          spikes: features of the spikes of each frame's own exposure, at s times in it.
        """
        raise NotImplementedError

    @property
    def _dtypes(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def _last(self, features: int) -> nn.Dense:
        """The last projection, zero at the start."""
        zeros = nn.initializers.zeros
        return nn.Dense(features, name="proj", kernel_init=zeros, **self._dtypes)

    def _whole_exposure(self, features: int) -> nn.DenseGeneral:
        """A 1x1 convolution with the times in the exposure laid on the channels."""
        # Contracting both axes spares a transposed copy of the features.
        return nn.DenseGeneral(features, axis=(1, 4), name="spikes", **self._dtypes)

    def _add_by_frame(
        self, update: Any, frames: Array, spikes: Array, *, numbers: int
    ) -> Float[Array, "b t h w c"]:
        """frames + update(self, frames, spikes), frame by frame in chunks.

        `numbers`: elements of the temporaries of one pixel.
        """
        b, t, h, w, c = frames.shape
        change: Array = map_module_chunks(
            update,
            self,
            (frames.reshape(b * t, h, w, c), spikes.reshape(b * t, *spikes.shape[2:])),
            numbers=h * w * numbers,
            max_chunk=self.max_chunk,
        )
        return frames + change.reshape(frames.shape).astype(frames.dtype)


class ConcatFusion(Fusion):
    """Frames and spikes, concatenated and mixed pixel by pixel.

    The times in the exposure lie side by side on the channels, so that each has its own
    weights in the first of two 1x1 convolutions.
    """

    def __call__(self, frames: Array, spikes: Array) -> Array:
        """Adds what a small network makes of frames and spikes at each pixel."""
        c = frames.shape[-1]
        return self._add_by_frame(ConcatFusion._update, frames, spikes, numbers=2 * c)

    @nn.compact
    def _update(
        self, frames: Float[Array, "n h w c"], spikes: Float[Array, "n s h w c"]
    ) -> Float[Array, "n h w c"]:
        c = frames.shape[-1]
        # The sum of two products is the product with what is concatenated.
        frames = layer_norm("norm_frames", **self._dtypes)(frames)
        frames = nn.Dense(2 * c, use_bias=False, name="frames", **self._dtypes)(frames)
        return self._last(c)(nn.gelu(frames + self._whole_exposure(2 * c)(spikes)))


class FilmFusion(Fusion):
    """Scale and shift of the normalised frames, told by the spikes at each pixel.

    The conditional form of adaptive normalisation. Features are normalised over the
    channels of a pixel, not over the picture: so a tile is restored like the whole.
    """

    def __call__(self, frames: Array, spikes: Array) -> Array:
        """Adds the normalised features times a scale, and a shift."""
        c = frames.shape[-1]
        return self._add_by_frame(FilmFusion._update, frames, spikes, numbers=2 * c)

    @nn.compact
    def _update(
        self, frames: Float[Array, "n h w c"], spikes: Float[Array, "n s h w c"]
    ) -> Float[Array, "n h w c"]:
        c = frames.shape[-1]
        hidden = nn.gelu(self._whole_exposure(2 * c)(spikes))
        scale, shift = jnp.split(self._last(2 * c)(hidden), 2, -1)
        normed = nn.LayerNorm(
            epsilon=1e-5,
            use_bias=False,
            use_scale=False,
            use_fast_variance=False,
            **self._dtypes,
        )(frames)
        return scale * normed + shift


class CrossAttentionFusion(Fusion):
    """Windowed cross-attention: frames ask, the spikes of the same window answer.

    Keys and values keep their place within the exposure; a learned bias tells each head
    how far away, and how late in the exposure, a spike feature is.
    """

    @nn.compact
    def __call__(
        self,
        frames: Float[Array, "b t h w c"],
        spikes: Float[Array, "b t s h w c"],
    ) -> Float[Array, "b t h w c"]:
        """Adds to each frame token what the spikes of its window say about it."""
        dtypes = self._dtypes
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
        return frames + self._last(c)(out).astype(frames.dtype)

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


class ChannelAttentionFusion(Fusion):
    """Attention between channels: of frames, as queries, and of spikes at each time.

    Its cost is linear in the number of pixels, all of which decide together what each
    channel of a frame reads; where to read it is the pixel itself. A learned bias lets
    a channel start with its own kind, at its head's part of the exposure.
    Source: Sun et al., "Event-Based Fusion for Motion Deblurring with Cross-modal
    Attention", ECCV 2022; here each time in the exposure has keys of its own.
    """

    def __call__(self, frames: Array, spikes: Array) -> Array:
        """Adds to each channel what the spike channels like it hold."""
        numbers = 2 * spikes.shape[2] * frames.shape[-1]
        update = ChannelAttentionFusion._update
        return self._add_by_frame(update, frames, spikes, numbers=numbers)

    @nn.compact
    def _update(
        self, frames: Float[Array, "n h w c"], spikes: Float[Array, "n s h w c"]
    ) -> Float[Array, "n h w c"]:
        c, steps, heads = frames.shape[-1], spikes.shape[1], self.num_heads
        frames = layer_norm("norm_frames", **self._dtypes)(frames)
        query = nn.Dense(c, name="query", **self._dtypes)(frames)
        key_value = nn.Dense(2 * c, name="key_value", **self._dtypes)(spikes)
        key, value = jnp.split(key_value, 2, -1)
        query = rearrange(query, "n h w (g d) -> n h w g d", g=heads)
        key, value = (
            rearrange(x, "n s h w (g d) -> n s h w g d", g=heads) for x in (key, value)
        )
        precise = jnp.promote_types(self.dtype, jnp.float32)
        logits = jnp.einsum(
            "nhwgd,nshwge->ngdse", query, key, preferred_element_type=precise
        )
        ones = nn.initializers.ones
        temperature = self.param(
            "temperature", ones, (heads, 1, 1, 1), self.param_dtype
        )
        size_query = _norm(query, (1, 2), precise)[..., None, None]
        size_key = rearrange(_norm(key, (2, 3), precise), "n s g e -> n g 1 s e")
        logits = logits / (size_query * size_key) * temperature[None]
        logits = (logits + self._bias(c // heads, steps)[None]).astype(precise)
        weights = nn.softmax(logits, axis=(-2, -1)).astype(self.dtype)
        out = jnp.einsum("ngdse,nshwge->nhwgd", weights, value)
        return self._last(c)(rearrange(out, "n h w g d -> n h w (g d)"))

    def _bias(self, width: int, steps: int) -> Float[Array, "heads d s e"]:
        def start(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
            del key
            kind = np.arange(width)[:, None, None] != np.arange(width)
            bias = -_KIND * kind - _lateness(steps, shape[0]).T[:, None, :, None]
            return jnp.asarray(2.0 * bias, dtype)

        shape = (self.num_heads, width, steps, width)
        return self.param("channel_bias", start, shape, self.param_dtype)


def _norm(x: Array, axes: tuple[int, int], dtype: DTypeLike) -> Array:
    """Euclidean length over the pixels, never zero."""
    squares = jnp.square(x.astype(dtype)).sum(axes)
    return jnp.sqrt(squares + 1e-6)


# Name of a fusion in the configuration -> its class.
FUSIONS: dict[str, type[Fusion]] = {
    "concat": ConcatFusion,
    "cross_attn": CrossAttentionFusion,
    "channel_attn": ChannelAttentionFusion,
    "film": FilmFusion,
}
