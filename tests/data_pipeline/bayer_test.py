"""Colour filter arrays: every pixel has the colour of its place in the pattern."""

import numpy as np
import pytest

from data_pipeline.bayer import CFA_PATTERNS, colour_map, mosaic


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 1)])
def test_pixels_see_the_colour_of_the_pattern(cfa: str, size: tuple[int, int]) -> None:
    light = np.random.default_rng(0).random((3, *size, 3), np.float32)
    seen, colours = mosaic(light, cfa), colour_map(cfa, *size)
    assert seen.dtype == light.dtype and colours.dtype == np.uint8
    for y, x in np.ndindex(size):
        colour = "rgb".index(cfa[2 * (y % 2) + x % 2])
        assert colours[y, x] == colour
        np.testing.assert_array_equal(seen[:, y, x], light[:, y, x, colour])


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="Unknown cfa 'rgbb'. Did you mean 'rggb'"):
        mosaic(np.zeros((2, 2, 3)), "rgbb")
    with pytest.raises(ValueError, match="Did you mean 'rggb'.*Valid: rggb, bggr"):
        colour_map("RGGB", 2, 2)
    with pytest.raises(ValueError, match=r"needs RGB light \(..., h, w, 3\), got \(2"):
        mosaic(np.zeros((2, 2, 2)), "rggb")
