"""Frequency losses: amplitude and phase of the Fourier transform, and the focal form.

The transform is the orthonormal one of whole frames, each colour by itself, as if the
frame repeated at its borders. A mean over frequencies weighs them with 1 + boost *
radius^2, where the radius is 0 for the mean of the frame and 1 for the highest
frequency of both directions, divided by the mean of these weights.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from vrt_spike_jax.losses.pair import frames_of, magnitude

# Amplitude that the rounding to 8 bits leaves in every frequency; below it, a phase
# means nothing.
_SMALLEST = 1e-3


def frequency(
    prediction: Float[Array, "..."], target: Float[Array, "..."], *, boost: float = 0.0
) -> Float[Array, ""]:
    """Half the difference of the amplitudes, and half that of the phases.

    Source: Fuoli, Van Gool and Timofte, "Fourier Space Losses for Efficient Perceptual
    Image Super-Resolution", ICCV 2021, with another measure of the phase: not the
    difference of angles, which jumps at 180 degrees and counts where there is nothing,
    but sqrt(|P| |S|) |e^ip - e^is|. With it |P - S|^2 is the sum of the squares of both
    parts.

    Args:
      prediction: (..., H, W, 3), RGB.
      target: the same shape.
      boost: what the highest frequency weighs more than the mean, whose weight is 1.

    Raises:
      ValueError: the shapes differ, or are not of RGB frames.
    """
    prediction, target = frames_of(prediction, target)
    weights = _band_weights(prediction.shape[1], prediction.shape[2], boost)
    first, second = (_transformed(x) for x in (prediction, target))
    size_first, size_second = (
        jnp.sqrt(_square(x) + _SMALLEST**2) for x in (first, second)
    )
    amplitude = magnitude(size_first - size_second)
    # Both with the amplitude of their geometric mean: what differs is the phase.
    ratio = jnp.sqrt(size_second / size_first)
    chord = _square(first * ratio - second / ratio)
    phase = jnp.sqrt(chord + _SMALLEST**2) - _SMALLEST
    return _mean((amplitude + phase) / 2, weights)


def focal_frequency(
    prediction: Float[Array, "..."],
    target: Float[Array, "..."],
    *,
    alpha: float = 1.0,
    boost: float = 0.0,
) -> Float[Array, ""]:
    """Squared differences of the transforms, weighed by how hard each frequency is.

    Source: Jiang et al., "Focal Frequency Loss for Image Reconstruction and Synthesis",
    ICCV 2021. The focal weight of a frequency is |P - S|^alpha, divided by the largest
    of the frame's colour; no gradient flows through it.

    Args:
      prediction: (..., H, W, 3), RGB.
      target: the same shape.
      alpha: how far the hard frequencies are preferred; 0 makes it the squared error.
      boost: as for `frequency`.

    Raises:
      ValueError: the shapes differ, or are not of RGB frames.
    """
    prediction, target = frames_of(prediction, target)
    weights = _band_weights(prediction.shape[1], prediction.shape[2], boost)
    square = _square(_transformed(prediction - target))
    focus = jax.lax.stop_gradient(square) ** (alpha / 2)
    hardest = jnp.max(focus, axis=(1, 2), keepdims=True)
    focus = focus / jnp.where(hardest > 0, hardest, 1)
    return _mean(focus * square, weights)


def _transformed(frames: Float[Array, "n h w 3"]) -> Complex[Array, "n h f 3"]:
    """The half of the frequencies that the other half of a real frame repeats."""
    return jnp.fft.rfft2(frames, axes=(1, 2), norm="ortho")


def _square(x: Complex[Array, "n h f 3"]) -> Float[Array, "n h f 3"]:
    # |x| itself has no gradient at 0.
    return jnp.square(x.real) + jnp.square(x.imag)


def _band_weights(
    height: int, width: int, boost: float
) -> Float[np.ndarray, "1 h f 1"]:
    """What each frequency of the half transform weighs in a mean; their sum is 1."""
    down = np.fft.fftfreq(height)[:, None]
    right = np.fft.rfftfreq(width)[None]
    weights = 1 + boost * (down**2 + right**2) / 0.5
    # A column stands for its mirror image too, if that is another one.
    alone = (right == 0) | (right == 0.5)
    weights = weights * np.where(alone, 1, 2)
    return (weights / weights.sum())[None, :, :, None]


def _mean(
    values: Float[Array, "n h f 3"], weights: Float[np.ndarray, "1 h f 1"]
) -> Float[Array, ""]:
    weighed = values * jnp.asarray(weights, values.dtype)
    return jnp.mean(jnp.sum(weighed, axis=(1, 2)))
