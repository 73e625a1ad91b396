"""Voxel grids by table: the bits of a few spike frames at a place are one number.

A bin of a voxel grid is a weighted sum of the spike frames that it touches, mostly two
or three. Their bits at a pixel, or at two neighbours, make a byte, and one look-up in a
table turns it into the sums, whatever the weights are. That reads each spike frame
about once and writes each bin once, where a matrix product spends its time on weights
of zero. Flips and transpositions are of those bytes: of one bin, while it is in the
cache.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from data_pipeline.buffers import BufferPool
from data_pipeline.orientation import UPRIGHT, Orientation
from data_pipeline.representations import Binning, bin_weights

_VALUES = np.arange(256, dtype=np.uint8)
_BITS = np.unpackbits(_VALUES[:, None], axis=1, bitorder="little")
# The 8 pixels of a byte as 8 bytes, as 8 bytes of which each is the second of two
# pixels, and as 4 bytes of two pixels each, in the types that OpenCV looks up.
_PIXELS = _BITS.view(np.float64).reshape(1, 256)
_SECOND_PIXELS = (2 * _BITS).view(np.float64).reshape(1, 256)
_PAIRS = (_BITS[:, ::2] | _BITS[:, 1::2] << 1).view(np.int32).reshape(1, 256)
_SCRATCH = BufferPool(kept=4)


class _Piece(NamedTuple):
    """Spike frames of one bin whose bits fit a byte, and the sums that these make."""

    first: int
    length: int
    sums: np.ndarray  # (1, 256) float32, or float64 that are two float32 each


class _Codes(NamedTuple):
    """How the codes of a bin are made of the planes of spike frames.

    A plane holds one pixel or two neighbours, lowest bit first, in every byte.
    """

    pixels: int  # of a plane's byte
    swapped: bool  # whether the second of the two neighbours comes first
    turn: Callable[[np.ndarray], np.ndarray]  # brings codes into their orientation


def fill_voxel_grids(
    spikes: np.ndarray,
    exposure: np.ndarray,
    grids: np.ndarray,
    *,
    binning: Binning = "hard",
) -> None:
    """Writes the rates of T exposures, as `representations.voxel_grid` has them.

    Args:
        spikes: (T, L, h, w) uint8 of 0 and 1, what each exposure touches, or more.
        exposure: (T, 2), start and end among the L, in spike frames.
        grids: (T, K, h, w) float32, contiguous, that is written to.
        binning: 'hard' or 'bilinear', see `representations.bin_weights`.

    Raises:
        ValueError: an exposure is empty, leaves its spike frames, or is too short for
            so many bilinear bins, or the grids are not contiguous.
    """
    codes = _Codes(pixels=1, swapped=False, turn=lambda code: code)
    for planes, window, rates in zip(spikes, exposure.tolist(), grids, strict=True):
        _fill(planes, window, rates, codes, binning)


def fill_from_packed(
    packed: np.ndarray,
    exposure: np.ndarray,
    grids: np.ndarray,
    *,
    orientation: Orientation = UPRIGHT,
    binning: Binning = "hard",
) -> None:
    """Writes rates as `fill_voxel_grids` does, oriented, from spikes that are packed.

    It takes about half as long as unpacking, turning and binning one after the other.

    Args:
        packed: (T, L, h, ceil(w / 8)) bytes, least significant bit leftmost.
        exposure: (T, 2), start and end among the L, in spike frames.
        grids: (T, K, h, w) float32, or (T, K, w, h) where it is transposed; the last
            axis is even.
        orientation: of the grids.
        binning: 'hard' or 'bilinear', see `representations.bin_weights`.

    Raises:
        ValueError: as `fill_voxel_grids`, or the last axis of the grids is odd.
    """
    width = grids.shape[-2 if orientation.transpose else -1]
    if grids.shape[-1] % 2:
        raise ValueError(
            f"Rows of grids must have an even number of pixels, got {grids.shape[-1]}."
        )
    codes = _Codes(
        pixels=2,
        swapped=orientation.turn if orientation.transpose else orientation.mirror,
        turn=functools.partial(_turn, orientation),
    )
    unpack = _unpack_rows_in_pairs if orientation.transpose else _unpack_in_pairs
    scratch = _SCRATCH.empty((8 * packed[0].size,), np.uint8)
    for window, bounds, rates in zip(packed, exposure.tolist(), grids, strict=True):
        planes = unpack(np.ascontiguousarray(window), width, scratch)
        _fill(planes, bounds, rates, codes, binning)


def _unpack_in_pairs(packed: np.ndarray, width: int, scratch: np.ndarray) -> np.ndarray:
    """Unpacks (L, h, n) bytes into planes (L, h, w / 2) of horizontal neighbours."""
    rows = packed.reshape(-1, packed.shape[-1])
    pairs = scratch[: 4 * rows.size].view(np.int32).reshape(rows.shape)
    cv2.LUT(rows, _PAIRS, dst=pairs)
    planes = pairs.view(np.uint8).reshape(*packed.shape[:2], -1)
    return planes[..., : width // 2]


def _unpack_rows_in_pairs(
    packed: np.ndarray, width: int, scratch: np.ndarray
) -> np.ndarray:
    """Unpacks (L, h, n) bytes into planes (L, h / 2, w) of vertical neighbours."""
    length, height, count = packed.shape
    rows = packed.reshape(length * height // 2, 2 * count)  # two of them side by side
    shape = (2, len(rows), count)
    upper, lower = scratch.view(np.float64).reshape(shape)
    cv2.LUT(rows[:, :count], _PIXELS, dst=upper)
    cv2.LUT(rows[:, count:], _SECOND_PIXELS, dst=lower)
    planes = upper.view(np.uint8)
    np.bitwise_or(planes, lower.view(np.uint8), out=planes)
    return planes.reshape(length, height // 2, -1)[..., :width]


def _turn(orientation: Orientation, code: np.ndarray) -> np.ndarray:
    mirror, turn, transpose = orientation
    if mirror or turn:
        code = cv2.flip(code, -1 if mirror and turn else int(mirror))
    return cv2.transpose(code) if transpose else code


def _fill(
    planes: np.ndarray,
    window: tuple[float, float],
    rates: np.ndarray,
    codes: _Codes,
    binning: Binning,
) -> None:
    """Writes the rates (K, h, w) of one exposure from the planes of its L frames."""
    if not rates.flags.c_contiguous:  # OpenCV would write to a copy of it
        raise ValueError("grids must be contiguous, to be written to.")
    places = rates.view(np.float64) if codes.pixels == 2 else rates
    bins = _pieces(
        *window, len(rates), len(planes), binning, codes.pixels, codes.swapped
    )
    for pieces, rate, place in zip(bins, rates, places, strict=True):
        for number, piece in enumerate(pieces):
            code = codes.turn(_code(planes, piece, codes.pixels))
            if number == 0:
                cv2.LUT(code, piece.sums, dst=place)
            else:
                np.add(rate, cv2.LUT(code, piece.sums).view(np.float32), out=rate)


def _code(planes: np.ndarray, piece: _Piece, pixels: int) -> np.ndarray:
    """Returns the bits of the spike frames of a piece, the first ones lowest."""
    first, length, _ = piece
    if length == 1:
        return planes[first]
    code = planes[first + length - 1].copy()
    for number in range(first + length - 2, first - 1, -1):
        for _ in range(pixels):
            np.add(code, code, out=code)
        np.bitwise_or(code, planes[number], out=code)
    return code


@functools.lru_cache(maxsize=256)  # the exposures of a data set are much alike
def _pieces(
    start: float,
    end: float,
    num_bins: int,
    count: int,
    binning: Binning,
    pixels: int,
    swapped: bool,
) -> tuple[tuple[_Piece, ...], ...]:
    """Returns the pieces that each bin is the sum of."""
    weights = bin_weights(start, end, num_bins, first=0, count=count, binning=binning)
    most = 8 // pixels
    bins = []
    for row in weights:
        touched = np.flatnonzero(row)
        end_of_bin = int(touched[-1]) + 1
        pieces = []
        for first in range(int(touched[0]), end_of_bin, most):
            part = row[first : min(first + most, end_of_bin)]
            pieces.append(_Piece(first, len(part), _sums(part, pixels, swapped)))
        bins.append(tuple(pieces))
    return tuple(bins)


def _sums(weights: np.ndarray, pixels: int, swapped: bool) -> np.ndarray:
    """Returns the weighted sums of every code, of two pixels in one float64."""
    sums = [
        _BITS[:, pixel::pixels][:, : len(weights)].astype(np.float32) @ weights
        for pixel in range(pixels)
    ]
    table = np.stack(sums[::-1] if swapped else sums, axis=1)
    return (table.view(np.float64) if pixels == 2 else table).reshape(1, 256)
