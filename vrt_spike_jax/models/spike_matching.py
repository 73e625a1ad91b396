"""Matching the spikes of two frames from coarse to fine: what moved, and how far.

A pyramid as in PWC-Net (Sun et al., arXiv 1709.02371), with one decoder for all of its
levels (Hur and Roth, arXiv 1904.05290): what a displacement means is the same at each.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.chunking import map_module_chunks
from vrt_spike_jax.models.warping import flow_warp, resize_bilinear

# Equal parts of an exposure that are told apart.
PARTS = 8
# Levels of the pyramid, in frame pixels a pixel, fine to coarse; those finer than the
# spikes are left out.
_LEVELS = (2, 4, 8, 16)
# Displacements that are compared at each level, (y, x): at the coarsest level further
# than things move from frame to frame.
RADIUS = 3
_ACROSS = 2 * RADIUS + 1
DISPLACEMENTS = np.stack(
    np.meshgrid(*[np.arange(_ACROSS) - RADIUS] * 2, indexing="ij"), -1
).reshape(-1, 2)
# Light is compared over so many pixels each way.
_PATCH = 9
# At the start: mean squared difference of light that says that two places differ, and
# how much of it makes up for a displacement of one pixel.
_DIFFERENCE = 2e-3
_STAY = 0.5


class Level(NamedTuple):
    """What of a frame is compared at one level."""

    light: Float[Array, "n h w 1"]  # around the instant of the frame
    features: Float[Array, "n h w c"]


def levels_of(spike_scale: int) -> tuple[int, ...]:
    """The levels for spikes that are 1 / `spike_scale` of the frames' size."""
    return tuple(level for level in _LEVELS if level >= spike_scale)


class SpikePyramid(nn.Module):
    """What is compared of the spikes of each frame, level by level."""

    features: int
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    def __call__(
        self, light: Float[Array, "n h w 8"], *, spike_scale: int
    ) -> list[Level]:
        """Returns the levels of `levels_of`, fine to coarse.

        Args:
          light: in equal parts of the time around each frame's instant; height and
            width are whole at the coarsest level.
          spike_scale: frame pixels per spike pixel.
        """

        def run(pyramid: SpikePyramid, light: Array) -> list[Level]:
            return pyramid._levels(light, spike_scale)

        levels: list[Level] = map_module_chunks(
            run,
            self,
            (light,),
            numbers=light.shape[1] * light.shape[2] * max(PARTS, self.features),
            max_chunk=self.max_chunk,
        )
        return levels

    @nn.compact
    def _levels(self, light: Array, spike_scale: int) -> list[Level]:
        levels = levels_of(spike_scale)
        # The middle half of the time: sharper than all of it, with less noise than one
        # part.
        middle = light[..., PARTS // 4 : -PARTS // 4].mean(-1, keepdims=True)
        middle = _pool(middle, levels[0] // spike_scale)
        x = nn.leaky_relu(self._conv(levels[0] // spike_scale, "stem")(light), 0.1)
        found = []
        for level in levels:
            if level != levels[0]:
                middle = _pool(middle, 2)
                x = nn.leaky_relu(self._conv(2, f"down_{level}")(x), 0.1)
            x = x + nn.leaky_relu(self._conv(1, f"conv_{level}")(x), 0.1)
            found.append(Level(middle, x))
        return found

    def _conv(self, stride: int, name: str) -> nn.Conv:
        return nn.Conv(
            self.features,
            (3, 3),
            stride,
            padding=1,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )


class Matching(nn.Module):
    """Flow between two frames by their pyramids, on top of a flow known before."""

    features: int
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    def __call__(
        self,
        references: list[Level],
        neighbours: list[Level],
        flows: list[Float[Array, "n _ _ 2"]],
    ) -> tuple[list[Float[Array, "n _ _ 2"]], list[Float[Array, "n _ _ c"]]]:
        """What to add to the flows, and features of each pair, at every level.

        Args:
          references: levels of the frames that the flow lives on, fine to coarse.
          neighbours: those of the frames that it points to.
          flows: what is known of the flow, at each level in its own pixels.

        Returns:
          Flows (x, y), zero at the start by their last projection, and features, both
          fine to coarse.
        """
        _, h, w, _ = references[0].light.shape
        matched: tuple[list[Array], list[Array]] = map_module_chunks(
            Matching._match,
            self,
            (references, neighbours, flows),
            numbers=2 * h * w * len(DISPLACEMENTS),
            max_chunk=self.max_chunk,
        )
        return matched

    @nn.compact
    def _match(
        self,
        references: list[Level],
        neighbours: list[Level],
        flows: list[Array],
    ) -> tuple[list[Array], list[Array]]:
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        wide, narrow = (
            nn.Conv(width, (3, 3), padding=1, name=name, **dtypes)
            for width, name in (
                (2 * self.features, "decoder_1"),
                (self.features, "decoder_2"),
            )
        )
        project = nn.Dense(
            2,
            use_bias=False,
            kernel_init=nn.initializers.zeros,
            name="flow_proj",
            **dtypes,
        )
        precision = self.param("precision", nn.initializers.ones, (), self.param_dtype)
        precision = precision.astype(self.dtype)
        shape = (len(DISPLACEMENTS),)
        prior = self.param("prior", _stay, shape, self.param_dtype).astype(self.dtype)
        change = jnp.zeros_like(flows[-1])
        changes, pairs = [], []
        for reference, neighbour, flow in zip(
            references[::-1], neighbours[::-1], flows[::-1], strict=True
        ):
            h, w = flow.shape[1:3]
            if change.shape != flow.shape:
                change = 2 * resize_bilinear(change, h, w)
            total = flow + change
            moved = Level(*(flow_warp(x, total, padding="border") for x in neighbour))
            alike, differing = compare(reference, moved)
            matched, share = likeliest_displacement(differing, precision, prior)
            x = jnp.concatenate(
                [alike, share, reference.features, moved.features, total, matched], -1
            )
            pair = nn.leaky_relu(narrow(nn.leaky_relu(wide(x), 0.1)), 0.1)
            # The projection sees what the light says as it is, so that from the first
            # steps on it can follow it.
            change = change + project(jnp.concatenate([pair, matched], -1))
            changes.append(change)
            pairs.append(pair)
        return changes[::-1], pairs[::-1]


def _stay(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """The prior at the start: the further, the less likely."""
    del key
    return jnp.asarray(-_STAY * (DISPLACEMENTS**2).sum(-1), dtype).reshape(shape)


def likeliest_displacement(
    differing: Float[Array, "n h w d"],
    precision: Float[Array, ""],
    prior: Float[Array, " d"],
) -> tuple[Float[Array, "n h w 2"], Float[Array, "n h w d"]]:
    """The mean displacement (x, y) by how alike the light is, and the share of each.

    Args:
      differing: mean squared difference of the light at each displacement.
      precision: how much it says.
      prior: logarithm of how likely each displacement is before.
    """
    prior = prior.reshape(1, 1, 1, -1)
    share = nn.softmax(prior - precision / _DIFFERENCE * differing)
    return share @ jnp.asarray(DISPLACEMENTS[:, ::-1], share.dtype), share


def compare(
    reference: Level, moved: Level
) -> tuple[Float[Array, "n h w d"], Float[Array, "n h w d"]]:
    """Compares each pixel with those at the DISPLACEMENTS from it, edges held.

    Returns:
      Mean products of the features, and mean squared differences of the light around
      the pixel.
    """
    h, w = reference.light.shape[1:3]
    reach = (RADIUS, RADIUS)
    wide = Level(
        *(jnp.pad(x, [(0, 0), reach, reach, (0, 0)], mode="edge") for x in moved)
    )

    # One loop over rows compiles fast, and its backward pass displaces again.
    @jax.checkpoint
    def row(reference: Level, wide: Level, dy: Array) -> tuple[Array, Array]:
        rows = Level(*(jax.lax.dynamic_slice_in_dim(x, dy, h, 1) for x in wide))
        shifted = [
            Level(*(x[:, :, dx : dx + w] for x in rows)) for dx in range(_ACROSS)
        ]
        products = [(reference.features * x.features).mean(-1) for x in shifted]
        squares = [jnp.square(reference.light - x.light)[..., 0] for x in shifted]
        return jnp.stack(products, -1), jnp.stack(squares, -1)

    # What every row needs is no carry, which would be stored once a row.
    def step(carry: None, dy: Array) -> Any:
        return carry, row(reference, wide, dy)

    _, found = jax.lax.scan(step, None, jnp.arange(_ACROSS))
    products, squares = (jnp.concatenate(list(x), -1) for x in found)
    return products, _patch_mean(squares)


def _patch_mean(x: Float[Array, "n h w d"]) -> Float[Array, "n h w d"]:
    """Mean over _PATCH pixels each way, edges held."""
    reach = (_PATCH // 2, _PATCH // 2)
    for axis in (1, 2):
        length = x.shape[axis]
        pad = [(0, 0)] * 4
        pad[axis] = reach
        wide = jnp.pad(x, pad, mode="edge")
        parts = [
            jax.lax.slice_in_dim(wide, i, i + length, axis=axis) for i in range(_PATCH)
        ]
        x = functools.reduce(jnp.add, parts) / _PATCH
    return x


def _pool(x: Float[Array, "n h w c"], factor: int) -> Float[Array, "n h2 w2 c"]:
    pattern = "n (h y) (w x) c -> n h w c"
    return reduce(x, pattern, "mean", y=factor, x=factor)
