"""Colour filter arrays: which colour of the light each spike pixel sees."""

import numpy as np

from data_pipeline.choices import unknown_name

# The colours of the upper left 2x2 pixels, row by row; they repeat over the sensor.
CFA_PATTERNS = ("rggb", "bggr", "grbg", "gbrg")
COLOURS = "rgb"


def mosaic(light: np.ndarray, cfa: str) -> np.ndarray:
    """Returns what the pixels behind the filters see: (..., h, w) of (..., h, w, 3).

    Raises:
        ValueError: the pattern is unknown or light is not RGB.
    """
    cells = _cells(cfa)
    if light.ndim < 3 or light.shape[-1] != 3:
        raise ValueError(
            f"A camera with the colour filters {cfa!r} needs RGB light (..., h, w, 3), "
            f"got {light.shape}."
        )
    seen = np.empty(light.shape[:-1], light.dtype)
    for (row, column), colour in cells.items():
        seen[..., row::2, column::2] = light[..., row::2, column::2, colour]
    return seen


def colour_map(cfa: str, height: int, width: int) -> np.ndarray:
    """Returns the colour of each pixel, uint8 (h, w): 0 red, 1 green, 2 blue.

    Raises:
        ValueError: the pattern is unknown.
    """
    colours = np.empty((height, width), np.uint8)
    for (row, column), colour in _cells(cfa).items():
        colours[row::2, column::2] = colour
    return colours


def _cells(cfa: str) -> dict[tuple[int, int], int]:
    """The colour of each of the 2x2 pixels that repeat."""
    if cfa not in CFA_PATTERNS:
        raise ValueError(unknown_name("cfa", cfa, CFA_PATTERNS))
    return {divmod(cell, 2): COLOURS.index(cfa[cell]) for cell in range(4)}
