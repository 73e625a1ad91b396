"""Guided alignment: flow between frames, and deformable offsets, told by the spikes.

Blurred frames show where things were during an exposure; spikes show where they are at
the frame's own instant. So flow between them is flow between the sharp frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import reduce
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from vrt_spike_jax.models.alignment import FlowPair, OffsetGuide, both_ways
from vrt_spike_jax.models.spike_matching import (
    PARTS,
    Level,
    Matching,
    SpikePyramid,
    levels_of,
)
from vrt_spike_jax.models.spynet import SCALES
from vrt_spike_jax.models.warping import resize_bilinear

# What aligns the neighbouring frames: SpyNet alone, the spikes on top of it, or the
# spikes in its place.
ALIGNMENTS = ("spynet", "spikes_on_spynet", "spikes")


class GuidedAlignment(nn.Module):
    """Adds to flows what the spikes say about them; at the start, nothing.

    `features`: width of what is learnt of the spikes. `offsets`: by stage of VRT, the
    index of its scale and the number of its deformable offsets. What it adds is zero at
    the start, by the last projections of flows and offsets, and where either frame of a
    pair has no spikes.
    """

    features: int
    offsets: Mapping[str, tuple[int, int]]
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        light: Float[Array, "b t k h w"],
        flows: list[FlowPair],
        *,
        silent: Bool[Array, "b t"],
    ) -> tuple[list[FlowPair], dict[str, OffsetGuide]]:
        """Flows between neighbouring frames, and what moves the deformable taps.

        Args:
          light: spikes in channels in time, around the instant of each frame: best
            gain-matched rates, which show the same light in both frames of a pair.
          flows: what to add to, at VRT's four scales: zeros, or those of SpyNet.
          silent: frames whose sensor reports nothing.

        Returns:
          The flows at the four scales, and a guide for the offsets of each stage.

        Raises:
          ValueError: the channels do not make equal parts of the exposure.
        """
        b, t, channels, height, _ = light.shape
        if channels % PARTS:
            raise ValueError(
                f"spikes have {channels} channels in time, such as voxel bins; "
                f"alignment by spikes needs a multiple of {PARTS}."
            )
        spike_scale = flows[0].backward.shape[2] // height
        levels = levels_of(spike_scale)
        options: dict[str, Any] = {
            "max_chunk": self.max_chunk,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        parts = reduce(
            light.astype(self.dtype), "b t (p k) h w -> (b t) h w p", "mean", p=PARTS
        )
        parts = _to_multiple(parts, levels[-1] // spike_scale)
        pyramid = SpikePyramid(self.features, name="pyramid", **options)(
            parts, spike_scale=spike_scale
        )
        pyramid = jax.tree.map(lambda x: x.reshape(b, t, *x.shape[1:]), pyramid)
        references, neighbours = (
            jax.tree.map(lambda x, y=y: _pairs(x, reverse=y), pyramid)
            for y in (False, True)
        )
        changes, pairs = Matching(self.features, name="matching", **options)(
            references, neighbours, _at_levels(flows, references, levels)
        )
        unknown = silent[:, :-1] | silent[:, 1:]
        unknown = both_ways(unknown, unknown)[..., None, None, None]

        def known(found: list[Array], factor: int) -> list[Array]:
            found = [x.reshape(2 * b, t - 1, *x.shape[1:]) for x in found]
            found = _at_scales(found, levels, flows, factor=factor)
            return [jnp.where(unknown, 0, x) for x in found]

        guided = [
            FlowPair(pair.backward + change[:b], pair.forward + change[b:])
            for pair, change in zip(flows, known(changes, 2), strict=True)
        ]
        told = known(pairs, 1)
        return guided, {
            stage: OffsetGuide(told[scale], self._offset_kernel(stage, count))
            for stage, (scale, count) in self.offsets.items()
        }

    def _offset_kernel(self, stage: str, count: int) -> Float[Array, "c o"]:
        zeros = nn.initializers.zeros
        shape = (self.features, count)
        return self.param(f"offset_proj_{stage}", zeros, shape, self.param_dtype)


def _pairs(x: Float[Array, "b t h w c"], *, reverse: bool) -> Float[Array, "n h w c"]:
    """The frames that flows live on, backward ones first; or those they point to."""
    first, second = x[:, :-1], x[:, 1:]
    paired = both_ways(second, first) if reverse else both_ways(first, second)
    return paired.reshape(-1, *x.shape[2:])


def _to_multiple(x: Float[Array, "n h w c"], multiple: int) -> Array:
    """Holds the lower and right edges until the size is a multiple."""
    h, w = x.shape[1:3]
    return _to_size(x, -(-h // multiple) * multiple, -(-w // multiple) * multiple)


def _to_size(x: Float[Array, "n h w c"], height: int, width: int) -> Array:
    h, w = x.shape[1:3]
    pad = [(0, 0), (0, height - h), (0, width - w), (0, 0)]
    return jnp.pad(x, pad, mode="edge")


def _at_levels(
    flows: list[FlowPair], references: list[Level], levels: tuple[int, ...]
) -> list[Float[Array, "n _ _ 2"]]:
    """The flows at the levels of the pyramid, in pixels of each."""
    found: list[Array] = []
    for level, reference in zip(levels, references, strict=True):
        if level in SCALES:
            flow = both_ways(*flows[SCALES.index(level)])
            flow = flow.reshape(-1, *flow.shape[2:])
            found.append(_to_size(flow, *reference.light.shape[1:3]))
        else:
            pattern = "n (h y) (w x) c -> n h w c"
            found.append(reduce(found[-1], pattern, "mean", y=2, x=2) / 2)
    return found


def _at_scales(
    found: list[Float[Array, "b t _ _ c"]],
    levels: tuple[int, ...],
    flows: list[FlowPair],
    *,
    factor: int,
) -> list[Float[Array, "b t _ _ c"]]:
    """What was found at the levels, at the scales and in the sizes of the flows.

    A scale finer than all levels has the finest, enlarged, and times `factor` each time
    that the size doubles.
    """
    scaled = []
    for scale, pair in zip(SCALES, flows, strict=True):
        level = max(scale, levels[0])
        x = found[levels.index(level)]
        if level > scale:
            ratio = level // scale
            height, width = (ratio * length for length in x.shape[2:4])
            x = factor ** (ratio.bit_length() - 1) * resize_bilinear(x, height, width)
        height, width = pair.backward.shape[2:4]
        scaled.append(x[:, :, :height, :width])
    return scaled
