"""Warping and resizing against SciPy, closed forms and moved pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from vrt_spike_jax.models.warping import flow_warp, nearest4_warp, resize_bilinear

RNG = np.random.default_rng(3)
IMAGE = jnp.asarray(RNG.random((2, 9, 11, 3)), jnp.float32)
FLOW = jnp.asarray(RNG.normal(0, 4, (2, 9, 11, 2)), jnp.float32)


def test_zero_flow_is_the_identity():
    np.testing.assert_array_equal(flow_warp(IMAGE, jnp.zeros_like(FLOW)), IMAGE)


@pytest.mark.parametrize(("padding", "mode"), [("zeros", None), ("border", "nearest")])
def test_warp_equals_scipy(padding, mode):
    warped = flow_warp(IMAGE, FLOW, padding=padding)
    rows, columns = np.mgrid[:9, :11]
    for n in range(2):
        places = [rows + FLOW[n, ..., 1], columns + FLOW[n, ..., 0]]
        for c in range(3):
            image = IMAGE[n, ..., c]
            if mode is None:
                # Zeros beyond the border take part in the interpolation, as here.
                image = np.pad(image, 30)
                shifted = [place + 30 for place in places]
                expected = ndimage.map_coordinates(image, shifted, order=1)
            else:
                expected = ndimage.map_coordinates(image, places, order=1, mode=mode)
            np.testing.assert_allclose(warped[n, ..., c], expected, atol=2e-6)


def test_nearest4_gives_the_four_pixels_around_in_the_official_order():
    flow = np.broadcast_to(np.float32([1.25, -0.5]), (2, 9, 11, 2))
    warped = np.asarray(nearest4_warp(IMAGE, jnp.asarray(flow)))
    y, x = 4, 3
    corners = [(-1, 1), (0, 1), (-1, 2), (0, 2)]
    expected = np.concatenate([IMAGE[0, y + dy, x + dx] for dy, dx in corners])
    np.testing.assert_array_equal(warped[0, y, x], expected)
    # The last column's ceil lies outside.
    assert not warped[0, y, 9, 6:].any()


def test_nearest4_has_no_gradient_to_the_flow():
    gradient = jax.grad(lambda flow: nearest4_warp(IMAGE, flow).sum())(FLOW)
    assert not np.any(gradient)


def test_resize_holds_the_edges_and_interpolates_half_pixels():
    ramp = jnp.arange(4.0).reshape(1, 1, 4, 1)
    doubled = resize_bilinear(ramp, 1, 8)[0, 0, :, 0]
    np.testing.assert_allclose(doubled, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_resize_can_align_corners():
    ramp = jnp.arange(4.0).reshape(1, 4, 1, 1)
    seven = resize_bilinear(ramp, 7, 1, align_corners=True)[0, :, 0, 0]
    np.testing.assert_allclose(seven, np.arange(7) / 2)


def test_resize_equals_jax_image():
    resized = resize_bilinear(IMAGE, 16, 7)
    expected = jax.image.resize(IMAGE, (2, 16, 7, 3), "bilinear", antialias=False)
    np.testing.assert_allclose(resized, expected, atol=1e-6)
