"""Alignment of neighbouring frames: composed flows, warped images, warped features.

Frame pairs are independent, so all pairs of a clip, in both directions, go through
each step as one batch. Source: Liang et al., arXiv 2201.12288, section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vrt_spike_jax.models.warping import flow_warp, nearest4_warp


class FlowPair(NamedTuple):
    """Flows of one hop at one scale.

    `backward[:, t]` lives on frame t and points to frame t + hop; `forward[:, t]` lives
    on frame t + hop and points to frame t. Both (b, d - hop, h, w, 2), pixels.
    """

    backward: Float[Array, "b pairs h w 2"]
    forward: Float[Array, "b pairs h w 2"]


class OffsetGuide(NamedTuple):
    """What another sensor says about the deformable offsets of a stage.

    Features of each pair of neighbouring frames, backward pairs first, at the scale of
    the stage, and the projection of them that is added to the offsets.
    """

    features: Float[Array, "b2 pairs h w c"]
    kernel: Float[Array, "c o"]


def over_frames(
    function: Callable[..., Array], *videos: Float[Array, "b d h w _"]
) -> Float[Array, "b d h w _"]:
    """Applies an image function to every frame of every clip at once."""
    b, d = videos[0].shape[:2]
    out = function(*(video.reshape(b * d, *video.shape[2:]) for video in videos))
    return out.reshape(b, d, *out.shape[1:])


def both_ways(backward: Array, forward: Array) -> Array:
    """Stacks the two directions on the batch axis."""
    return jnp.concatenate([backward, forward], 0)


def zero_flows(
    frames: Float[Array, "b d h w c"], scales: Sequence[int]
) -> list[FlowPair]:
    """No motion between neighbouring frames, at each of VRT's scales."""
    b, d, h, w, _ = frames.shape
    zeros = [
        jnp.zeros((b, d - 1, h // scale, w // scale, 2), frames.dtype)
        for scale in scales
    ]
    return [FlowPair(flow, flow) for flow in zeros]


def estimate_flows(
    spynet: Callable[[Array, Array], list[Array]], frames: Float[Array, "b d h w 3"]
) -> list[FlowPair]:
    """Flows between neighbouring frames at VRT's four scales, finest first."""
    b, d = frames.shape[:2]
    first, second = frames[:, :-1], frames[:, 1:]
    reference, neighbour = both_ways(first, second), both_ways(second, first)
    shape = (2 * b * (d - 1), *frames.shape[2:])
    flows = spynet(reference.reshape(shape), neighbour.reshape(shape))
    flows = [flow.reshape(2 * b, d - 1, *flow.shape[1:]) for flow in flows]
    return [FlowPair(flow[:b], flow[b:]) for flow in flows]


def compose_hops(single: FlowPair, hops: int) -> list[FlowPair]:
    """Flows over 1 .. `hops` frames by chaining those between neighbours."""
    pairs = [single]
    for hop in range(1, hops):
        last = pairs[-1]
        onward = last.backward[:, :-1], single.backward[:, hop:]
        back = last.forward[:, 1:], single.forward[:, :-hop]
        near, far = (both_ways(a, c) for a, c in zip(onward, back, strict=True))
        chained = near + over_frames(flow_warp, far, near)
        b = chained.shape[0] // 2
        pairs.append(FlowPair(chained[:b], chained[b:]))
    return pairs


def align_images(
    frames: Float[Array, "b d h w 3"], flows: FlowPair
) -> tuple[Float[Array, "b d h w 12"], Float[Array, "b d h w 12"]]:
    """Next and previous neighbour warped to each frame (nearest4), 0 at the ends."""
    b = frames.shape[0]
    sources = both_ways(frames[:, 1:], frames[:, :-1])
    warped = over_frames(nearest4_warp, sources, both_ways(*flows))
    return _pad_ends(warped[:b], warped[b:])


def _pad_ends(backward: Array, forward: Array) -> tuple[Array, Array]:
    """Zeros where a frame has no next (the last) or no previous (the first) one."""
    zeros = jnp.zeros_like(backward[:, :1])
    return (
        jnp.concatenate([backward, zeros], 1),
        jnp.concatenate([zeros, forward], 1),
    )


def beside_neighbours(
    features: Float[Array, "b t s h w c"],
    flows: FlowPair,
    *,
    silent: Bool[Array, "b t"],
) -> Float[Array, "b t s2 h w c"]:
    """Each frame's spike features between those of its neighbours, in order of time.

    Of a neighbour, the features of the middle of its exposure alone are taken, the
    instant that the flow points to, and are warped to the frame; they are 0 where a
    clip ends, and where the neighbour is silent.

    Args:
      features: of the spikes of each frame's exposure, at s times in it.
      flows: between neighbouring frames, at the size of the features.
      silent: frames whose sensor reports nothing.

    Returns:
      The features at s + 2 times: the frame before, the exposure, the frame after.
    """
    b, _, times = features.shape[:3]
    first = (times - 1) // 2
    middle = features[:, :, first : times - first].mean(2)
    middle = jnp.where(silent[:, :, None, None, None], 0, middle)
    sources = both_ways(middle[:, 1:], middle[:, :-1])
    warped = over_frames(flow_warp, sources, both_ways(*flows))
    after, before = _pad_ends(warped[:b], warped[b:])
    return jnp.concatenate([before[:, :, None], features, after[:, :, None]], 2)


def _hop_sources(
    x: Float[Array, "b d h w c"], flows: FlowPair, hop: int
) -> tuple[Array, Array]:
    """Sources `hop` frames away and their flows for all d - 1 targets, both ways.

    Where the clip ends before the source, both are zeros.
    """
    zeros = jnp.zeros_like(x[:, : hop - 1])
    nothing = jnp.zeros_like(flows.backward[:, :1])
    nothing = jnp.repeat(nothing, hop - 1, 1)
    sources = both_ways(
        jnp.concatenate([x[:, hop:], zeros], 1),
        jnp.concatenate([zeros, x[:, : x.shape[1] - hop]], 1),
    )
    flow = both_ways(
        jnp.concatenate([flows.backward, nothing], 1),
        jnp.concatenate([nothing, flows.forward], 1),
    )
    return sources, flow


def align_features(
    deform: Callable[..., Array],
    x: Float[Array, "b d h w c"],
    hops: list[FlowPair],
    guide: OffsetGuide | None = None,
) -> tuple[Float[Array, "b d h w c"], Float[Array, "b d h w c"]]:
    """Features of the following and of the preceding frames, aligned to each frame.

    Args:
      deform: DCNv2PackFlowGuided of the stage; both directions share it.
      x: features of the clip.
      hops: flows over 1, 2, .. frames at the scale of x.
      guide: moves the taps of all sources by what is known of the nearest one.
    """
    b, d = x.shape[:2]
    merge = (2 * b * (d - 1), *x.shape[2:4])
    sources, flows = [], []
    for hop, pair in enumerate(hops, 1):
        source, flow = _hop_sources(x, pair, hop)
        sources.append(source.reshape(*merge, -1))
        flows.append(flow.reshape(*merge, 2))
    target = both_ways(x[:, :-1], x[:, 1:]).reshape(*merge, -1)
    told = (
        () if guide is None else ((guide.features.reshape(*merge, -1), guide.kernel),)
    )
    aligned = deform(sources, target, flows, *told)
    aligned = aligned.reshape(2 * b, d - 1, *aligned.shape[1:])
    return _pad_ends(aligned[:b], aligned[b:])
