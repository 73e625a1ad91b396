"""Voxel grids by table: the bits of a few spike frames at a pixel are one number.

A bin of a voxel grid is a weighted sum of the spike frames that it touches, mostly two
or three. Up to eight of them make a byte at each pixel, and one table look-up turns it
into their sum, whatever the weights are. That reads each spike frame about once and
writes each bin once, where a matrix product spends its time on weights of zero.
"""

import functools
from typing import NamedTuple

import cv2
import numpy as np

from data_pipeline.representations import Binning, bin_weights

_MOST = 8  # spike frames in a byte


class _Piece(NamedTuple):
    """Up to _MOST spike frames of one bin, and the sums that their bits can make."""

    first: int
    length: int
    sums: np.ndarray  # (1, 256) float32


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
    if not grids.flags.c_contiguous:  # OpenCV would write to a copy of it
        raise ValueError("grids must be contiguous, to be written to.")
    code = np.empty(spikes.shape[2:], np.uint8)
    more = np.empty(spikes.shape[2:], np.float32)
    for frames, (start, end), rates in zip(
        spikes, exposure.tolist(), grids, strict=True
    ):
        bins = _pieces(start, end, len(rates), len(frames), binning)
        for pieces, rate in zip(bins, rates, strict=True):
            _look_up(frames, pieces[0], code, rate)
            for piece in pieces[1:]:
                _look_up(frames, piece, code, more)
                np.add(rate, more, out=rate)


def _look_up(
    frames: np.ndarray, piece: _Piece, code: np.ndarray, target: np.ndarray
) -> None:
    """Writes the weighted sum (h, w) of the spike frames of one piece."""
    first, length, sums = piece
    bits = frames[first + length - 1]
    for number in range(first + length - 2, first - 1, -1):
        np.add(bits, bits, out=code)
        np.bitwise_or(code, frames[number], out=code)
        bits = code
    cv2.LUT(bits, sums, dst=target)


@functools.lru_cache(maxsize=256)  # the exposures of a data set are much alike
def _pieces(
    start: float, end: float, num_bins: int, count: int, binning: Binning
) -> tuple[tuple[_Piece, ...], ...]:
    """Returns the pieces that each bin is the sum of."""
    weights = bin_weights(start, end, num_bins, first=0, count=count, binning=binning)
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], 1, bitorder="little")
    bins = []
    for row in weights:
        touched = np.flatnonzero(row)
        pieces = []
        for first in range(touched[0], touched[-1] + 1, _MOST):
            part = row[first : min(first + _MOST, touched[-1] + 1)]
            sums = bits[:, : len(part)].astype(np.float32) @ part
            pieces.append(_Piece(first, len(part), sums[None]))
        bins.append(tuple(pieces))
    return tuple(bins)
