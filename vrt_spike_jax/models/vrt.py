"""VRT, the Video Restoration Transformer, for every official task.

Source: Liang et al., "VRT: A Video Restoration Transformer", arXiv 2201.12288.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.alignment import (
    FlowPair,
    OffsetGuide,
    align_images,
    compose_hops,
    estimate_flows,
    zero_flows,
)
from vrt_spike_jax.models.chunking import map_module_chunks
from vrt_spike_jax.models.spynet import SCALES, SpyNet
from vrt_spike_jax.models.stage import RTMSA, Reshape, Stage, dense
from vrt_spike_jax.models.tmsa import layer_norm
from vrt_spike_jax.models.warping import resize_bilinear
from vrt_spike_jax.models.window_attention import Window

# Where another sensor may be fused in, with the index of its scale: in the encoder
# stages, before their TMSA groups, and at the decoder's skips, named by the encoder
# stage whose output they add.
ENCODER_PLACES = {"stage1": 0, "stage2": 1, "stage3": 2, "stage4": 3}
SKIP_PLACES = {"skip3": 2, "skip2": 1, "skip1": 0}
# And before all of them, behind the first convolution.
INPUT_PLACE = "input"
# (place, features) -> the features to go on with.
Fuse = Callable[[str, Array], Array]
# Flows at the four scales -> flows to go on with, and what guides the deformable
# offsets of each of ALIGNED_STAGES.
Guides = dict[str, OffsetGuide]
Guide = Callable[[list[FlowPair]], tuple[list[FlowPair], Guides]]
# Scale index (1/1, 1/2, 1/4, 1/8) and reshape of stages 1 to 7.
_SCALE_OF_STAGE = (0, 1, 2, 3, 2, 1, 0)
_RESHAPE_OF_STAGE: tuple[Reshape, ...] = (
    "none",
    "down",
    "down",
    "down",
    "up",
    "up",
    "up",
)
# Where blocks can be computed again in the backward pass; stage8 are all reconstruction
# groups.
STAGES = tuple(f"stage{i}" for i in range(1, 9))
# The stages that align neighbouring frames, with the index of their scale.
ALIGNED_STAGES = dict(zip(STAGES, _SCALE_OF_STAGE, strict=False))
# Width of the heads of super-resolution and interpolation, fixed in the official code.
_HEAD_FEATURES = 64


class VRT(nn.Module):
    """Restores a clip of frames; argument names are the official constructor's.

    Beyond them: `spynet_features`, the widths inside SpyNet's modules; `has_spynet`,
    without which flows are zero, unless a guide knows better; `remat`, the stages
    ('stage1' to 'stage8') that are computed again in the backward pass
    instead of being stored; `max_chunk`, the most elements of any layer's temporaries
    (logits, hidden features, deformable samples) that exist at once, beside the
    features themselves; `dtype` of the computation (flow,
    coordinates and softmax stay in float32 or better) and `param_dtype`.
    """

    upscale: int = 4
    in_chans: int = 3
    out_chans: int = 3
    img_size: Window = (6, 64, 64)
    window_size: Window = (6, 8, 8)
    depths: tuple[int, ...] = (8, 8, 8, 8, 8, 8, 8, 4, 4, 4, 4, 4, 4)
    indep_reconsts: tuple[int, ...] = (11, 12)
    embed_dims: tuple[int, ...] = (120,) * 7 + (180,) * 6
    num_heads: tuple[int, ...] = (6,) * 13
    mul_attn_ratio: float = 0.75
    mlp_ratio: float = 2.0
    qkv_bias: bool = True
    drop_path_rate: float = 0.2
    pa_frames: int = 2
    deformable_groups: int = 16
    nonblind_denoising: bool = False
    spynet_features: tuple[int, ...] = (32, 64, 32, 16)
    has_spynet: bool = True
    remat: tuple[str, ...] = ()
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    takes_spikes = False
    size_multiple = 8

    @property
    def min_size(self) -> int:
        """Smallest height and width: the deepest stage needs one whole window."""
        return 8 * max(self.window_size[1:])

    @property
    def min_frames(self) -> int:
        """Fewest frames: every hop of the alignment needs a neighbour."""
        return self.pa_frames // 2 + 1 if self.pa_frames else self.img_size[0]

    def setup(self) -> None:
        """Builds the layers under their official names."""
        self._check_arguments()
        drops = np.linspace(0, self.drop_path_rate, sum(self.depths))
        starts = np.concatenate([[0], np.cumsum(self.depths)])
        drop_paths = [
            tuple(float(rate) for rate in drops[a:b])
            for a, b in zip(starts, starts[1:], strict=False)
        ]
        if self.pa_frames and self.has_spynet:
            flow_dtype = jnp.promote_types(self.dtype, jnp.float32)
            self.spynet = SpyNet(
                self.spynet_features,
                self.max_chunk,
                flow_dtype,
                self.param_dtype,
                name="spynet",
            )
        width = self.embed_dims[0]
        self.conv_first = self._frame_conv(width, "conv_first")
        self.stages = [
            Stage(
                self.embed_dims[i],
                self.depths[i],
                self.num_heads[i],
                self.window_size,
                _RESHAPE_OF_STAGE[i],
                self.mul_attn_ratio,
                self.pa_frames,
                self.deformable_groups,
                10 / 2 ** _SCALE_OF_STAGE[i],
                drop_paths[i],
                self._options(STAGES[i]),
                name=STAGES[i],
            )
            for i in range(7)
        ]
        options = self._options(STAGES[7])
        self.reconstruction_norm = layer_norm("stage8_0_1", **self._precision())
        self.reconstruction_linear = dense(self.embed_dims[7], "stage8_0_2", options)
        self.reconstruction = [
            RTMSA(
                self.embed_dims[i],
                self.depths[i],
                self.num_heads[i],
                self._reconstruction_window(i),
                drop_paths[i],
                options,
                name=f"stage8_{i - 6}",
            )
            for i in range(7, len(self.depths))
        ]
        self.norm = layer_norm("norm", **self._precision())
        self.conv_after_body = dense(width, "conv_after_body", options)
        self._setup_head()

    def _setup_head(self) -> None:
        if not self.pa_frames:
            self.linear_fuse = self._frame_conv(_HEAD_FEATURES, "linear_fuse", 1)
            self.conv_last = self._frame_conv(
                self.out_chans, "conv_last", 7, padding="VALID"
            )
            return
        if self.upscale == 4:
            head = _HEAD_FEATURES
            self.conv_before_upsample = self._frame_conv(head, "conv_before_upsample_0")
            self.upsample = [
                self._frame_conv(4 * head, "upsample_0"),
                self._frame_conv(4 * head, "upsample_5"),
                self._frame_conv(head, "upsample_10"),
            ]
        # From scratch, training starts at the blurred frames, not at noise around them.
        start = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")
        self.conv_last = self._frame_conv(
            self.out_chans, "conv_last", kernel_init=start
        )

    def _check_arguments(self) -> None:
        counts = {len(self.depths), len(self.embed_dims), len(self.num_heads)}
        if len(counts) != 1 or len(self.depths) < 8:
            raise ValueError(
                "depths, embed_dims and num_heads must have the same length, seven "
                "stages and at least one reconstruction group; got "
                f"{len(self.depths)}, {len(self.embed_dims)}, {len(self.num_heads)}."
            )
        if self.pa_frames not in (0, 2, 4, 6):
            raise ValueError(f"pa_frames must be 0, 2, 4 or 6; got {self.pa_frames}.")
        if self.upscale not in (1, 4):
            raise ValueError(f"upscale must be 1 or 4; got {self.upscale}.")
        if not set(self.remat) <= set(STAGES):
            raise ValueError(
                f"remat must hold names of {', '.join(STAGES)}; got {self.remat}."
            )

    def _precision(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def _options(self, stage: str) -> dict[str, Any]:
        return {
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "remat": stage in self.remat,
            "max_chunk": self.max_chunk,
            **self._precision(),
        }

    def _reconstruction_window(self, index: int) -> Window:
        frames = 1 if index in self.indep_reconsts else self.window_size[0]
        return (frames, *self.window_size[1:])

    def _frame_conv(
        self, features: int, name: str, size: int = 3, **options: Any
    ) -> nn.Conv:
        """The official (1, n, n) convolutions: one image at a time."""
        return nn.Conv(
            features, (size, size), name=name, **self._precision(), **options
        )

    def __call__(
        self,
        frames: Float[Array, "b d h w c"],
        train: bool = False,
        *,
        fuse: Fuse | None = None,
        guide: Guide | None = None,
    ) -> Float[Array, "b d2 h2 w2 3"]:
        """Restores a clip.

        Args:
          frames: RGB in [0, 1]; for non-blind denoising a fourth channel holds the
            noise level (sigma / 255).
          train: whether stochastic depth is on (needs the `dropout` generator).
          fuse: called as fuse(place, features) at INPUT_PLACE and every one of
            ENCODER_PLACES and SKIP_PLACES; returns the features to go on with.
          guide: called with the flows between neighbouring frames, where the model
            aligns any; returns those to go on with, and guides of the offsets.

        Returns:
          The restored clip, not clipped to [0, 1]; four times the size for upscale 4;
          the one frame in the middle for interpolation (pa_frames 0).

        Raises:
          ValueError: the clip has too few frames, or a size the windows do not divide.
        """
        self._check_frames(frames.shape)
        frames = frames.astype(jnp.promote_types(self.dtype, jnp.float32))
        if not self.pa_frames:
            return self._interpolate(frames, train, fuse)
        images = frames[..., :3]
        flows = self.flows(images)
        self.sow("intermediates", "spynet_flow", flows[0])
        guides: Guides = {}
        if guide is not None:
            flows, guides = guide(flows)
        self.sow("intermediates", "flow", flows[0])
        hops = [compose_hops(flow, self.pa_frames // 2) for flow in flows]
        backward, forward = align_images(images, flows[0])
        x = jnp.concatenate([images, backward, forward, frames[..., 3:]], -1)
        x = self.conv_first(x)
        x = x if fuse is None else fuse(INPUT_PLACE, x)
        x = x + self._body(x, hops, train, fuse, guides)
        if self.upscale == 1:
            return self.conv_last(x) + images
        b, d, h, w, _ = x.shape
        enlarged: Array = map_module_chunks(
            VRT._enlarge,
            self,
            (x.reshape(b * d, h, w, -1), images.reshape(b * d, h, w, -1)),
            numbers=16 * h * w * _HEAD_FEATURES,
            max_chunk=self.max_chunk,
        )
        return enlarged.reshape(b, d, *enlarged.shape[1:])

    def flows(self, images: Float[Array, "b d h w 3"]) -> list[FlowPair]:
        """Flows between neighbouring frames at the four scales, before any guide."""
        if self.has_spynet:
            return estimate_flows(self.spynet, images)
        return zero_flows(images, SCALES)

    def _enlarge(
        self, x: Float[Array, "n h w c"], images: Float[Array, "n h w 3"]
    ) -> Float[Array, "n h4 w4 3"]:
        """Frames of four times the size, each from its own features."""
        x = nn.leaky_relu(self.conv_before_upsample(x), 0.01)
        for layer in self.upsample[:2]:
            x = nn.leaky_relu(_pixel_shuffle(layer(x)), 0.1)
        x = self.conv_last(self.upsample[2](x))
        return x + resize_bilinear(images, *x.shape[1:3])

    def _interpolate(
        self, frames: Float[Array, "b d h w c"], train: bool, fuse: Fuse | None
    ) -> Float[Array, "b 1 h w 3"]:
        mean = frames.mean((1, 2, 3), keepdims=True)
        x = self.conv_first(frames - mean)
        x = x if fuse is None else fuse(INPUT_PLACE, x)
        hops: list[list[FlowPair]] = [[] for _ in range(4)]
        x = x + self._body(x, hops, train, fuse, {})
        x = rearrange(x, "b d h w c -> b h w (d c)")
        x = nn.leaky_relu(self.linear_fuse(x), 0.2)
        x = jnp.pad(x, [(0, 0), (3, 3), (3, 3), (0, 0)], mode="reflect")
        return self.conv_last(x)[:, None] + mean

    def _body(
        self,
        x: Float[Array, "b d h w c"],
        hops: list[list[FlowPair]],
        train: bool,
        fuse: Fuse | None,
        guides: Guides,
    ) -> Float[Array, "b d h w c"]:
        def stage(index: int, x: Array) -> Array:
            place = f"stage{index + 1}"
            bound = None
            if fuse is not None and place in ENCODER_PLACES:
                bound = functools.partial(fuse, place)
            out: Array = self.stages[index](
                x, hops[_SCALE_OF_STAGE[index]], train, bound, guides.get(place)
            )
            return out

        def skip(x: Array, earlier: Array, place: str) -> Array:
            return x + earlier if fuse is None else fuse(place, x + earlier)

        x1 = stage(0, x)
        x2 = stage(1, x1)
        x3 = stage(2, x2)
        x4 = stage(3, x3)
        x = stage(4, x4)
        x = stage(5, skip(x, x3, "skip3"))
        x = stage(6, skip(x, x2, "skip2"))
        x = skip(x, x1, "skip1")
        self.sow("intermediates", "deepest_features", x4)
        x = self.reconstruction_linear(self.reconstruction_norm(x))
        for group in self.reconstruction:
            x = group(x, train)
        return self.conv_after_body(self.norm(x))

    def _check_frames(self, shape: tuple[int, ...]) -> None:
        _, d, h, w, c = shape
        channels = self.in_chans + int(self.nonblind_denoising)
        if c != channels:
            raise ValueError(
                f"frames have {c} channels; this model takes {channels} "
                f"(nonblind_denoising={self.nonblind_denoising})."
            )
        if not self.pa_frames and d != self.img_size[0]:
            raise ValueError(
                f"the clip has {d} frames; interpolation takes {self.img_size[0]}."
            )
        if d < self.min_frames:
            raise ValueError(
                f"the clip has {d} frames; pa_frames={self.pa_frames} needs at least "
                f"{self.min_frames}: repeat a frame, or use the blended tiling of "
                "restore_video."
            )
        multiple, smallest = self.size_multiple, self.min_size
        if min(h, w) < smallest or h % multiple or w % multiple:
            raise ValueError(
                f"frames are {h}x{w}; height and width must be multiples of {multiple} "
                f"and at least {smallest}: pad them, or use the blended tiling of "
                "restore_video."
            )


def _pixel_shuffle(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
    """Trades four channels for 2x2 pixels, colour-major as in PyTorch."""
    return rearrange(x, "n h w (c y x) -> n (h y) (w x) c", y=2, x=2)


def flows_of(
    model: VRT, params: dict[str, Any], frames: Float[Array, "b d h w c"]
) -> list[FlowPair]:
    """The optical flows a VRT works with, at scales 1, 1/2, 1/4, 1/8."""

    def run(model: VRT, frames: Array) -> list[FlowPair]:
        return model.flows(frames[..., :3])

    flows: list[FlowPair] = jax.tree.map(
        lambda x: x, model.apply({"params": params}, frames, method=run)
    )
    return flows
