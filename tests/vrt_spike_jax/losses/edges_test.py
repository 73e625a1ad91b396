"""Edge losses against OpenCV, and against values by hand."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.losses.edges import laplacian, sobel


def _step(column, *, size=(8, 12)):
    """A frame that is 0.25 left of a column, and 0.75 from there on."""
    frame = np.where(np.arange(size[1]) < column, 0.25, 0.75)
    return np.tile(frame[None, :, None], (size[0], 1, 3))


def test_both_equal_opencv():
    rng = np.random.default_rng(0)
    prediction, target = rng.random((2, 9, 10, 3)), rng.random((2, 9, 10, 3))
    border = {"borderType": cv2.BORDER_REPLICATE}
    first, second = [], []
    for frame in prediction - target:
        first += [
            cv2.Sobel(frame, cv2.CV_64F, x, 1 - x, ksize=3, scale=1 / 8, **border)
            for x in (0, 1)
        ]
        second.append(cv2.Laplacian(frame, cv2.CV_64F, ksize=1, **border))
    pair = [jnp.asarray(x, jnp.float32) for x in (prediction, target)]
    assert float(jax.jit(sobel)(*pair)) == pytest.approx(np.abs(first).mean(), 1e-5)
    assert float(jax.jit(laplacian)(*pair)) == pytest.approx(
        np.abs(second).mean(), 1e-5
    )


def test_values_by_hand():
    sharp, shifted = jnp.asarray(_step(6)), jnp.asarray(_step(7))
    # One column differs by 0.5: its neighbours' slopes by 0.25 each, half the gradient.
    assert float(sobel(shifted, sharp)) == pytest.approx((0.25 + 0.25) / 12 / 2)
    # The second derivative: 0.5, -1 and 0.5 beside and in that column.
    assert float(laplacian(shifted, sharp)) == pytest.approx(2.0 / 12)
    # The step blurred over 2 columns differs in one of them, by 0.25: half of both.
    blurred = sharp.at[:, 6].set(0.5)
    assert float(sobel(blurred, sharp)) == pytest.approx(0.25 / 12 / 2)
    assert float(laplacian(blurred, sharp)) == pytest.approx(1.0 / 12)
    for loss in (sobel, laplacian):
        assert float(loss(sharp + 0.1, sharp)) == pytest.approx(0, abs=1e-7)
