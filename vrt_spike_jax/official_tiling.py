"""The tiling of the public VRT code (main_test_vrt.py), index by index.

It is there to compare numbers with published ones. Clips are averaged evenly in time.
Patches are square; each loses half of its overlap at the sides where another patch
follows, so that where patches are a full stride apart they meet in a hard seam. For
super-resolution that half is not enlarged with the picture. What is smaller than a tile
goes to the model as it is; only a tile of 0, the whole axis, is padded by mirroring.
"""

import numpy as np
from jaxtyping import Float

from vrt_spike_jax.tiles import AxisTiles, normalised

Sizes = tuple[int, int, int]


def plan_official(
    shape: Sizes, *, tile: Sizes, overlap: Sizes, window: Sizes, scale: int
) -> tuple[AxisTiles, AxisTiles, AxisTiles]:
    """Plans time, height and width as the public code does.

    Args:
      shape: frames, height and width of the video.
      tile: frames, height and width of a tile; height and width are equal. 0 frames or
        a height and width of 0 take all there is.
      overlap: of neighbouring tiles; height and width are equal.
      window: of the model's attention, in frames, rows and columns.
      scale: how many times as high and wide the restored video is.

    Raises:
      ValueError: a tile or overlap that the public code has no answer for.
    """
    _check_tile(tile, overlap, window)
    frames, height, width = shape
    time = _plan_time(frames, tile=tile[0], overlap=overlap[0], window=window[0])
    rows, columns = (
        _plan_space(size, tile=tile[1], overlap=overlap[1], window=side, scale=scale)
        for size, side in ((height, window[1]), (width, window[2]))
    )
    return time, rows, columns


def _check_tile(tile: Sizes, overlap: Sizes, window: Sizes) -> None:
    if tile[1] != tile[2] or overlap[1] != overlap[2]:
        raise ValueError(
            "tiling='official' has square patches: height and width of tile and of "
            f"overlap must be equal; got tile {tile} and overlap {overlap}."
        )
    if min(tile) < 0 or tile[1] % window[2]:
        raise ValueError(
            f"tile height and width must be a multiple of {window[2]}, the window of "
            "the model, or 0 for whole frames, and its frames at least 0; got tile "
            f"{tile}."
        )
    for name, length, shared in zip(
        ("frames", "height", "width"), tile, overlap, strict=True
    ):
        if length and not 0 <= shared < length:
            raise ValueError(
                f"overlap {name} must be at least 0 and less than the {length} of the "
                f"tile; got {shared} in overlap {overlap}."
            )


def _plan_time(size: int, *, tile: int, overlap: int, window: int) -> AxisTiles:
    if not tile:
        return _whole(size, window, 1)
    starts = _starts(size, tile, overlap)
    tile = min(tile, size)
    even = np.ones((len(starts), tile))
    return AxisTiles(size, tile, starts, normalised(starts, even))


def _plan_space(
    size: int, *, tile: int, overlap: int, window: int, scale: int
) -> AxisTiles:
    if not tile:
        return _whole(size, window, scale)
    starts = _starts(size, tile, overlap)
    if len(starts) > 1 and not overlap:
        raise ValueError(
            "tiling='official' divides by zero where several patches share no pixel; "
            f"give overlap at least 1 for a video of {size} pixels in tiles of {tile}."
        )
    tile = min(tile, size)
    kept = _kept(len(starts), scale * tile, overlap)
    scaled = tuple(scale * start for start in starts)
    return AxisTiles(size, tile, starts, normalised(scaled, kept), scale)


def _starts(size: int, tile: int, overlap: int) -> tuple[int, ...]:
    return (*range(0, size - tile, tile - overlap), max(0, size - tile))


def _kept(count: int, length: int, overlap: int) -> Float[np.ndarray, "tiles length"]:
    """1 where a patch counts; an odd overlap loses its larger half at the end."""
    kept = np.ones((count, length))
    kept[1:, : overlap // 2] = 0
    kept[:-1, length - (overlap + 1) // 2 :] = 0
    return kept


def _whole(size: int, window: int, scale: int) -> AxisTiles:
    """One tile, padded to whole windows by at most the mirror image of all there is."""
    tile = size + min(size, -size % window)
    return AxisTiles(size, tile, (0,), np.ones((1, scale * tile), np.float32), scale)
