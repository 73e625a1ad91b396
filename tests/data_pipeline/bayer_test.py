"""Colour filter arrays: every pixel has the colour of its place in the pattern."""

import numpy as np
import pytest

from data_pipeline.bayer import CFA_PATTERNS, colour_map, demosaic, mosaic


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


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("size", [(8, 12), (9, 13), (4, 4)])
def test_demosaicing_keeps_the_mosaic_and_finds_the_other_colours(
    cfa: str, size: tuple[int, int]
) -> None:
    rows, columns = np.mgrid[: size[0], : size[1]] / 20
    light = np.stack([0.1 + rows, 0.9 - columns, 0.3 + 0 * rows], axis=-1)
    colours = demosaic(mosaic(light, cfa), cfa)
    assert colours.shape == light.shape and colours.dtype == np.float32
    np.testing.assert_allclose(mosaic(colours, cfa), mosaic(light, cfa), atol=1e-5)
    # A slope is met exactly, but for the border, beyond which it is mirrored.
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(colours[inner], light[inner], atol=1e-4)
    noise = np.random.default_rng(1).random(size)
    np.testing.assert_allclose(mosaic(demosaic(noise, cfa), cfa), noise, atol=1e-5)


def test_what_cannot_be_demosaiced() -> None:
    with pytest.raises(ValueError, match="Unknown cfa 'bgr'"):
        demosaic(np.zeros((8, 8)), "bgr")
    for shape in ((8, 3), (8, 8, 3)):
        with pytest.raises(ValueError, match="4x4 pixels or more"):
            demosaic(np.zeros(shape), "bggr")
