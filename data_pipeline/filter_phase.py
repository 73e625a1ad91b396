"""Where a sample may begin so that, turned, its colour filters are those of the sensor.

Behind colour filters every other pixel has the same colour. A crop that begins a pixel
off, or is mirrored, has other filters than the sensor, which a model cannot see; one
that begins at the right one of 2x2 pixels has the same ones again.
"""

import numpy as np

from data_pipeline.bayer import colour_map
from data_pipeline.orientation import Orientation

_CELL = 2  # pixels each way after which filters repeat


def crop_phase(cfa: str, orientation: Orientation, size: int) -> tuple[int, int]:
    """Returns the row and the column, 0 or 1, that a crop is to begin at or two on.

    Args:
        cfa: one of bayer.CFA_PATTERNS.
        orientation: that the crop is brought into.
        size: of the crop, height and width, at least 2 spike pixels.

    Raises:
        ValueError: the pattern is unknown.
    """
    few = _CELL + size % _CELL  # what repeats need not be looked at again
    sensor = colour_map(cfa, few + 1, few + 1)
    for row, column in np.ndindex(_CELL, _CELL):
        crop = sensor[row : row + few, column : column + few]
        if np.array_equal(_oriented(crop, orientation), sensor[:few, :few]):
            return row, column
    raise AssertionError(f"{cfa} was turned into no Bayer pattern")


def fits(cfa: str, orientation: Orientation, size: int, room: tuple[int, int]) -> bool:
    """Whether a crop of this orientation has a place that keeps the filters.

    Args:
        cfa: 'none' or one of bayer.CFA_PATTERNS.
        orientation: that the crop is brought into.
        size: of the crop in spike pixels.
        room: spike pixels that the record is higher and wider than the crop.
    """
    if cfa == "none":
        return True
    row, column = crop_phase(cfa, orientation, size)
    return row <= room[0] and column <= room[1]


def place(share: float, room: int, phase: int) -> int:
    """Returns the start, `phase` or some pairs of pixels on, that `share` chooses.

    Args:
        share: uniform in [0, 1).
        room: the last start that there is, at least the phase.
        phase: 0 or 1, of crop_phase.
    """
    count = (room - phase) // _CELL + 1
    return phase + _CELL * min(int(share * count), count - 1)


def shifted(start: int, shift: int, room: int, phase: int) -> int:
    """Moves a start by whole pairs of pixels, as many as `shift` has and there are."""
    last = place(1.0, room, phase)
    moved = start + _CELL * int(shift / _CELL)
    return min(max(moved, phase), last)


def _oriented(crop: np.ndarray, orientation: Orientation) -> np.ndarray:
    if orientation.mirror:
        crop = crop[:, ::-1]
    if orientation.turn:
        crop = crop[::-1]
    return crop.T if orientation.transpose else crop
