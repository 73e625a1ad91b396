"""Which tiles cover one axis of a video, and with which weights they are blended."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class AxisTiles:
    """The tiles of one axis; all of one size, so that a model compiles once.

    Attributes:
      size: of the video along this axis.
      tile: of each tile; at least as long as `size` where there is only one.
      starts: where each tile begins, increasing. The last may reach past `size`; what
        lies there is to be padded.
      weights: (tiles, scale * tile) of each tile's output at its own positions. At
        every position of the restored video the weights of the tiles there sum to one.
      scale: positions of the restored video for one of the given.
    """

    size: int
    tile: int
    starts: tuple[int, ...]
    weights: Float[np.ndarray, "tiles scaled_tile"]
    scale: int = 1

    def place(self, index: int) -> slice:
        """Where the output of a tile lies in the restored video, without padding."""
        start = self.starts[index]
        stop = min(start + self.tile, self.size)
        return slice(start * self.scale, stop * self.scale)


def plan_axis(
    size: int,
    *,
    tile: int,
    overlap: int,
    unit: int,
    minimum: int,
    bucket: int = 1,
    scale: int = 1,
) -> AxisTiles:
    """Covers an axis with tiles that start at multiples of `unit`.

    Args:
      size: of the video along this axis, at least 1.
      tile: wanted size of a tile, a multiple of `unit` and at least `minimum`. A
        shorter video gets one tile of the next bucket, never a larger one than this.
      overlap: of neighbouring tiles, at least this much; at most `tile - unit`.
      unit: what starts and tile sizes are multiples of.
      minimum: the smallest tile that the model takes.
      bucket: what the tile of a shorter video is a multiple of, as well as of `unit`:
        with coarse buckets, videos of many sizes share few tile sizes.
      scale: how many times as large the restored video is.
    """
    step = math.lcm(unit, bucket)
    tile = min(tile, _round_up(max(size, minimum), step))
    starts = (0,)
    if tile < size:
        stride = (tile - overlap) // unit * unit
        last = _round_up(size, unit) - tile
        # The last tile is moved back inside: real pixels are better than mirrored ones.
        starts = (*range(0, last, stride), last)
    scaled = tuple(scale * start for start in starts)
    return AxisTiles(size, tile, starts, _blend_weights(scaled, scale * tile), scale)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _blend_weights(
    starts: tuple[int, ...], tile: int
) -> Float[np.ndarray, "tiles tile"]:
    """Each tile's share, smooth from tile to tile and summing to one everywhere."""
    weights = np.ones((len(starts), tile))
    for index in range(1, len(starts)):
        overlap = starts[index - 1] + tile - starts[index]
        if overlap <= 0:
            continue
        rise = _rise(overlap)
        weights[index, :overlap] *= rise
        weights[index - 1, tile - overlap :] *= rise[::-1]
    # Two neighbours sum to one already; where three or more meet, this makes them.
    return normalised(starts, weights)


def normalised(
    starts: tuple[int, ...], weights: Float[np.ndarray, "tiles tile"]
) -> Float[np.ndarray, "tiles tile"]:
    """Divides the weights of tiles by their sum at each position, as float32.

    Every position between the first start and the last end must have a weight above 0.
    """
    tile = weights.shape[1]
    total = np.zeros(starts[-1] + tile)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + tile] += weight
    shares = [
        weight / total[start : start + tile]
        for start, weight in zip(starts, weights, strict=True)
    ]
    return np.asarray(shares, np.float32)


def _rise(overlap: int) -> Float[np.ndarray, " overlap"]:
    """From 0 to 1 over an overlap; sin^2, so that rise and mirrored rise sum to one.

    The outer quarter is 0: next to its border a tile has seen nothing of its neighbour,
    and there its output is at its worst.
    """
    margin = overlap // 4
    ramp = np.clip((np.arange(overlap) + 0.5 - margin) / (overlap - 2 * margin), 0, 1)
    return np.square(np.sin(0.5 * np.pi * ramp))
