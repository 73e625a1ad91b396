"""The stages of VRT: multi-scale TMSA stages and the reconstruction groups.

Source: Liang et al., arXiv 2201.12288, figure 2 and section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from vrt_spike_jax.models.alignment import FlowPair, OffsetGuide, align_features
from vrt_spike_jax.models.chunking import map_module_chunks
from vrt_spike_jax.models.deform_conv import DCNv2PackFlowGuided
from vrt_spike_jax.models.tmsa import TMSAG, MlpGEGLU, layer_norm
from vrt_spike_jax.models.window_attention import Window

Reshape = Literal["none", "down", "up"]
_REARRANGE = {
    "down": "b d (h neih) (w neiw) c -> b d h w (neiw neih c)",
    "up": "b d h w (neiw neih c) -> b d (h neih) (w neiw) c",
}


def dense(features: int, name: str, options: Mapping[str, Any]) -> nn.Dense:
    """Linear layer with the block options' precision."""
    return nn.Dense(
        features,
        dtype=options["dtype"],
        param_dtype=options["param_dtype"],
        name=name,
    )


def reshape_scale(x: Float[Array, "b d h w c"], reshape: Reshape) -> Array:
    """Trades 2x2 pixels for channels ('down'), or the reverse ('up')."""
    if reshape == "none":
        return x
    return rearrange(x, _REARRANGE[reshape], neih=2, neiw=2)


class Stage(nn.Module):
    """Rescales, fuses, attends, and aligns the neighbouring frames' features."""

    channels: int
    depth: int
    num_heads: int
    window: Window
    reshape: Reshape
    mul_attn_ratio: float
    pa_frames: int
    deformable_groups: int
    max_residue: float
    drop_path: tuple[float, ...]
    # Keyword arguments every TMSAG takes alike: precision, memory, mlp_ratio.
    options: Mapping[str, Any]

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b d h w c"],
        hops: list[FlowPair],
        train: bool = False,
        fuse: Callable[[Array], Array] | None = None,
        guide: OffsetGuide | None = None,
    ) -> Float[Array, "b d h2 w2 c2"]:
        """Runs the stage.

        Args:
          x: features of the stage before.
          hops: flows at this stage's scale, over 1, 2, .. frames.
          train: whether stochastic depth is on.
          fuse: adds another sensor's features before the TMSA groups.
          guide: what another sensor says about the offsets of the alignment.
        """
        precision = {key: self.options[key] for key in ("dtype", "param_dtype")}
        x = layer_norm("reshape_1", **precision)(reshape_scale(x, self.reshape))
        if self.reshape != "none":
            x = dense(self.channels, "reshape_2", self.options)(x)
        if fuse is not None:
            x = fuse(x)
        mutual_depth = int(self.depth * self.mul_attn_ratio)
        # Both groups restart from the stage's first drop rates, as published.
        x = self._group(1, mutual_depth, (2, *self.window[1:]), x, train)
        x = self._group(2, self.depth - mutual_depth, self.window, x, train)
        if not self.pa_frames:
            return x
        align = nn.remat(Stage._align) if self.options["remat"] else Stage._align
        aligned: Array = align(self, x, hops, guide)
        return aligned

    def _align(
        self,
        x: Float[Array, "b d h w c"],
        hops: list[FlowPair],
        guide: OffsetGuide | None,
    ) -> Float[Array, "b d h w c"]:
        """Fuses with each frame its neighbours' features, aligned to it."""
        precision = {key: self.options[key] for key in ("dtype", "param_dtype")}
        max_chunk = self.options["max_chunk"]
        deform = DCNv2PackFlowGuided(
            self.channels,
            self.pa_frames,
            self.deformable_groups,
            self.max_residue,
            max_chunk,
            name="pa_deform",
            **precision,
        )
        backward, forward = align_features(deform, x, hops, guide)
        width = 3 * self.channels
        fuse = MlpGEGLU(width, self.channels, name="pa_fuse", **precision)
        tokens = [part.reshape(-1, self.channels) for part in (x, backward, forward)]
        fused: Array = map_module_chunks(
            lambda fuse, *parts: fuse(jnp.concatenate(parts, -1)),
            fuse,
            tuple(tokens),
            numbers=width,
            max_chunk=max_chunk,
        )
        return fused.reshape(x.shape)

    def _group(
        self,
        index: int,
        depth: int,
        window: Window,
        x: Float[Array, "b d h w c"],
        train: bool,
    ) -> Float[Array, "b d h w c"]:
        group = TMSAG(
            self.channels,
            depth,
            self.num_heads,
            window,
            mutual=index == 1,
            drop_path=self.drop_path[:depth],
            name=f"residual_group{index}",
            **self.options,
        )
        return dense(self.channels, f"linear{index}", self.options)(group(x, train)) + x


class RTMSA(nn.Module):
    """Residual group of self-attention blocks, used for reconstruction."""

    channels: int
    depth: int
    num_heads: int
    window: Window
    drop_path: tuple[float, ...]
    options: Mapping[str, Any]

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d h w c"], train: bool = False
    ) -> Float[Array, "b d h w c"]:
        """Adds the group's output to x."""
        group = TMSAG(
            self.channels,
            self.depth,
            self.num_heads,
            self.window,
            mutual=False,
            drop_path=self.drop_path,
            name="residual_group",
            **self.options,
        )
        return x + dense(self.channels, "linear", self.options)(group(x, train))
