"""Flips and transposition of frames, and of spikes while they are unpacked."""

from typing import NamedTuple

import cv2
import numpy as np


class Orientation(NamedTuple):
    """Mirrored first, then turned upside down, then transposed."""

    mirror: bool = False
    turn: bool = False
    transpose: bool = False


UPRIGHT = Orientation()


def orient_frames(frames: np.ndarray, orientation: Orientation) -> np.ndarray:
    """Orients uint8 frames (T, H, W, 3), or returns them as they are."""
    if orientation == UPRIGHT:
        return frames
    mirror, turn, transpose = orientation
    height, width = frames.shape[1:3]
    size = (width, height) if transpose else (height, width)
    oriented = np.empty((len(frames), *size, frames.shape[3]), frames.dtype)
    around = -1 if mirror and turn else int(mirror)  # OpenCV's name of the flip
    for frame, target in zip(frames, oriented, strict=True):
        if not transpose:
            cv2.flip(frame, around, dst=target)
            continue
        flipped = cv2.flip(frame, around) if mirror or turn else frame
        cv2.transpose(flipped, dst=target)
    return oriented


def unpack_oriented(
    packed: np.ndarray, width: int, orientation: Orientation = UPRIGHT
) -> np.ndarray:
    """Unpacks and orients spikes: bytes (..., h, ceil(w / 8)) into uint8 (..., h, w).

    Turning them while packed costs next to nothing, and a transposition little more
    than unpacking alone: bytes instead of bits change places.

    Args:
        packed: as in a record, least significant bit leftmost.
        width: w, in spike pixels.
        orientation: of the result, (..., w, h) where it is transposed.
    """
    mirror, turn, transpose = orientation
    rows = packed[..., ::-1, :] if turn else packed
    if transpose:
        return _unpack_transposed(rows, width, mirror)
    if not mirror:
        return np.unpackbits(rows, axis=-1, count=width, bitorder="little")
    # A row read from its other end, in bytes and in the bits of each byte.
    bits = np.unpackbits(rows[..., ::-1], axis=-1, bitorder="big")
    return np.ascontiguousarray(bits[..., bits.shape[-1] - width :])


def _unpack_transposed(rows: np.ndarray, width: int, mirror: bool) -> np.ndarray:
    columns = np.ascontiguousarray(rows.swapaxes(-1, -2))
    *axes, count, height = columns.shape
    bits = np.empty((*axes, count, 8, height), np.bool_)
    one = np.empty_like(columns)
    for bit in range(8):
        np.bitwise_and(columns, 1 << bit, out=one)
        np.not_equal(one, 0, out=bits[..., bit, :])
    spikes = bits.view(np.uint8).reshape(*axes, 8 * count, height)[..., :width, :]
    return np.ascontiguousarray(spikes[..., ::-1, :] if mirror else spikes)
