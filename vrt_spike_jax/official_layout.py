"""What an official state_dict holds: names, shapes and buffers, in their order.

It follows from the constructor's arguments, so that a file is compared with a model
without tracing it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vrt_spike_jax.models.imagenet import MEAN, STD
from vrt_spike_jax.models.vrt import VRT
from vrt_spike_jax.models.window_attention import (
    Window,
    relative_position_index,
    sine_position_bias,
)

_HEAD_FEATURES = 64  # of super-resolution and interpolation
_PYRAMID_LEVELS = 6  # of SpyNet


class Entry(NamedTuple):
    """One entry of a state_dict: its shape in PyTorch, and the value of a buffer."""

    shape: tuple[int, ...]
    buffer: np.ndarray | None = None


Named = Iterator[tuple[str, Entry]]


def vrt_layout(model: VRT) -> dict[str, Entry]:
    """The entries of the official VRT with the arguments of `model`."""
    return dict(_vrt(model))


def spynet_layout(features: tuple[int, ...], *, buffers: bool) -> dict[str, Entry]:
    """The entries of SpyNet with these widths; its published file has no buffers."""
    layout = dict(_spynet(features))
    return {
        name: entry for name, entry in layout.items() if buffers or entry.buffer is None
    }


def _within(prefix: str, entries: Named) -> Named:
    for name, entry in entries:
        yield f"{prefix}.{name}", entry


def _layer(name: str, *shape: int, bias: bool = True) -> Named:
    """A linear layer or a convolution, (out, in, ...)."""
    yield f"{name}.weight", Entry(shape)
    if bias:
        yield f"{name}.bias", Entry(shape[:1])


def _norm(name: str, width: int) -> Named:
    yield f"{name}.weight", Entry((width,))
    yield f"{name}.bias", Entry((width,))


def _vrt(model: VRT) -> Named:
    dims = model.embed_dims
    width = dims[0]
    channels = model.in_chans * (9 if model.pa_frames else 1)
    # A noise level is no image: it is not warped.
    channels += int(model.nonblind_denoising)
    yield from _layer("conv_first", width, channels, 1, 3, 3)
    if model.pa_frames and model.has_spynet:
        yield from _within("spynet", _spynet(model.spynet_features))
    for index in range(7):
        yield from _within(f"stage{index + 1}", _stage(model, index))
    yield from _norm("stage8.0.1", dims[6])
    yield from _layer("stage8.0.2", dims[7], dims[6])
    for index in range(7, len(dims)):
        frames = 1 if index in model.indep_reconsts else model.window_size[0]
        window = (frames, *model.window_size[1:])
        blocks = _blocks(model, index, model.depths[index], window, mutual=False)
        yield from _within(f"stage8.{index - 6}.residual_group", blocks)
        yield from _layer(f"stage8.{index - 6}.linear", dims[index], dims[index])
    yield from _norm("norm", dims[-1])
    yield from _layer("conv_after_body", width, dims[-1])
    yield from _head(model)


def _head(model: VRT) -> Named:
    width, head, out = model.embed_dims[0], _HEAD_FEATURES, model.out_chans
    if not model.pa_frames:
        yield from _layer("linear_fuse", head, width * model.img_size[0], 1, 1)
        yield from _layer("conv_last", out, head, 7, 7)
        return
    if model.upscale == 4:
        yield from _layer("conv_before_upsample.0", head, width, 1, 3, 3)
        yield from _layer("upsample.0", 4 * head, head, 1, 3, 3)
        yield from _layer("upsample.5", 4 * head, head, 1, 3, 3)
        yield from _layer("upsample.10", head, head, 1, 3, 3)
        width = head
    yield from _layer("conv_last", out, width, 1, 3, 3)


def _spynet(features: tuple[int, ...]) -> Named:
    for name, values in (("mean", MEAN), ("std", STD)):
        values = values.reshape(1, 3, 1, 1)
        yield name, Entry(values.shape, values)
    widths = (8, *features, 2)
    for level in range(_PYRAMID_LEVELS):
        for i in range(len(widths) - 1):
            name = f"basic_module.{level}.basic_module.{2 * i}"
            yield from _layer(name, widths[i + 1], widths[i], 7, 7)


def _stage(model: VRT, index: int) -> Named:
    width, before = model.embed_dims[index], model.embed_dims[index - 1]
    if index == 0:
        yield from _norm("reshape.1", width)
    else:
        # 2x2 pixels become channels on the way down, and pixels again on the way up.
        taken = 4 * before if index < 4 else before // 4
        yield from _norm("reshape.1", taken)
        yield from _layer("reshape.2", width, taken)
    mutual = int(model.depths[index] * model.mul_attn_ratio)
    pairs: Window = (2, model.window_size[1], model.window_size[2])
    first = _blocks(model, index, mutual, pairs, mutual=True)
    yield from _within("residual_group1", first)
    yield from _layer("linear1", width, width)
    rest = model.depths[index] - mutual
    second = _blocks(model, index, rest, model.window_size, mutual=False)
    yield from _within("residual_group2", second)
    yield from _layer("linear2", width, width)
    if model.pa_frames:
        yield from _alignment(width, model.pa_frames, model.deformable_groups)


def _alignment(width: int, pa_frames: int, groups: int) -> Named:
    yield from _layer("pa_deform", width, width, 3, 3)
    guide = (1 + pa_frames // 2) * width + pa_frames
    yield from _layer("pa_deform.conv_offset.0", width, guide, 3, 3)
    yield from _layer("pa_deform.conv_offset.2", width, width, 3, 3)
    yield from _layer("pa_deform.conv_offset.4", width, width, 3, 3)
    yield from _layer("pa_deform.conv_offset.6", 27 * groups, width, 3, 3)
    yield from _within("pa_fuse", _mlp(3 * width, 3 * width, width))


def _mlp(width: int, hidden: int, out: int) -> Named:
    yield from _layer("fc11", hidden, width)
    yield from _layer("fc12", hidden, width)
    yield from _layer("fc2", out, hidden)


def _blocks(
    model: VRT, index: int, depth: int, window: Window, *, mutual: bool
) -> Named:
    width, heads = model.embed_dims[index], model.num_heads[index]
    hidden = int(width * model.mlp_ratio)
    for i in range(depth):
        block = f"blocks.{i}"
        yield from _norm(f"{block}.norm1", width)
        attention = _attention(width, heads, window, model.qkv_bias, mutual=mutual)
        yield from _within(f"{block}.attn", attention)
        yield from _norm(f"{block}.norm2", width)
        yield from _within(f"{block}.mlp", _mlp(width, hidden, width))


def _attention(
    width: int, heads: int, window: Window, qkv_bias: bool, *, mutual: bool
) -> Named:
    rows = int(np.prod([2 * extent - 1 for extent in window]))
    index = _index(window)
    yield "relative_position_bias_table", Entry((rows, heads))
    yield "relative_position_index", Entry(index.shape, index)
    if mutual:
        codes = _codes(window[1], window[2], width)
        yield "position_bias", Entry(codes.shape, codes)
    yield from _layer("qkv_self", 3 * width, width, bias=qkv_bias)
    yield from _layer("proj", width, 2 * width if mutual else width)
    if mutual:
        yield from _layer("qkv_mut", 3 * width, width, bias=qkv_bias)


# Every block of a kind has the same buffer.
@functools.lru_cache(maxsize=16)
def _index(window: Window) -> np.ndarray:
    return _fixed(relative_position_index(window).astype(np.int64))


@functools.lru_cache(maxsize=16)
def _codes(height: int, width: int, channels: int) -> np.ndarray:
    return _fixed(sine_position_bias(height, width, channels)[None])


def _fixed(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values
