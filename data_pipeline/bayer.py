"""Colour filter arrays: which colour of the light each spike pixel sees."""

import cv2
import numpy as np

from data_pipeline.choices import unknown_name

# The colours of the upper left 2x2 pixels, row by row; they repeat over the sensor.
CFA_PATTERNS = ("rggb", "bggr", "grbg", "gbrg")
COLOURS = "rgb"
# OpenCV names a pattern by the second and third pixel of its second row.
_DEMOSAIC = {
    "rggb": cv2.COLOR_BayerBG2RGB_EA,
    "bggr": cv2.COLOR_BayerRG2RGB_EA,
    "grbg": cv2.COLOR_BayerGB2RGB_EA,
    "gbrg": cv2.COLOR_BayerGR2RGB_EA,
}


def check_pattern(cfa: str, *, may_be_none: bool = True) -> None:
    """Raises a ValueError unless cfa is a pattern, or 'none' where that may be."""
    choices = ("none", *CFA_PATTERNS) if may_be_none else CFA_PATTERNS
    if cfa not in choices:
        raise ValueError(unknown_name("cfa", cfa, choices))


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


def demosaic(light: np.ndarray, cfa: str) -> np.ndarray:
    """Interpolates the colours of a mosaic (h, w), float in [0, 1], to (h, w, 3).

    By OpenCV's edge-aware method, in 16 bits: a pixel keeps its own colour to that.

    Raises:
        ValueError: the pattern is unknown, or light is not (h, w) of at least 4x4.
    """
    _cells(cfa)
    if light.ndim != 2 or min(light.shape) < 4:
        raise ValueError(
            f"A mosaic must be (h, w) of 4x4 pixels or more, got {light.shape}."
        )
    levels = np.rint(np.clip(light, 0, 1) * 65535).astype(np.uint16)
    # OpenCV repeats the inner neighbour at the border; mirrored there, the pattern and
    # the colours of the border go on.
    levels = cv2.copyMakeBorder(levels, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    colours = cv2.demosaicing(levels, _DEMOSAIC[cfa])[2:-2, 2:-2]
    return colours.astype(np.float32) / np.float32(65535)


def _cells(cfa: str) -> dict[tuple[int, int], int]:
    """The colour of each of the 2x2 pixels that repeat."""
    check_pattern(cfa, may_be_none=False)
    return {divmod(cell, 2): COLOURS.index(cfa[cell]) for cell in range(4)}
