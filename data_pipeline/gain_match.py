"""The gain match: turns spike rates into light whose threshold and gain are unknown."""

import numpy as np

from data_pipeline.records import SPIKE_SCALES
from data_pipeline.spike_camera import GREY_WEIGHTS

# A pixel that fires in more than this share of the spike frames of an exposure may have
# seen, in part of it, more light than it could report: it says nothing about the gain.
SATURATED = 0.7
# The least share of the energy of all rates that the others have to have: with less,
# what is left are pixels so dark that their few spikes say nothing either.
LEAST_ENERGY = 0.01


def match_gain(rate: np.ndarray, blur: np.ndarray) -> float:
    """Returns the factor that turns the spike rates of a clip into its light.

    Least squares of the mean rate of each exposure against the grey of its blurred
    frame: both are the mean light of the exposure, so threshold, gain and light of the
    spike camera cancel. Pixels above SATURATED do not count, unless the others have
    less than LEAST_ENERGY of the energy. A clip without spikes gets 1. In NumPy what
    `vrt_spike_jax.models.spike_encoder.match_gain` does.

    Both have to be in the same transfer space: where the camera integrated linear
    light, the blurred frames have to be linear too.

    Args:
        rate: (T, h, w), the mean rate of each exposure in spikes per spike frame.
        blur: (T, H, W, 3), float in [0, 1], H and W being 1, 2 or 4 times h and w.

    Raises:
        ValueError: the shapes do not fit, or the blurred frames are whole numbers.
    """
    return gain_of(gain_sums(rate, blur))


def gain_sums(rate: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Returns what a part of a clip adds to the sums (2, 2) of which the gain is made.

    Products of rate and grey, and energies of the rate: in the first row those of the
    pixels that are not saturated, in the second those of all.

    Args and errors are those of `match_gain`.
    """
    if blur.dtype.kind != "f":
        raise ValueError(
            f"blur must be float in [0, 1], got {blur.dtype}; divide 8 bits by 255."
        )
    scale = spike_scale_of(rate.shape, blur.shape)
    grey = blur.astype(np.float64) @ GREY_WEIGHTS.astype(np.float64)
    frames, height, width = rate.shape
    cells = grey.reshape(frames, height, scale, width, scale)
    rates = rate.astype(np.float64)
    terms = np.stack([rates * cells.mean(axis=(2, 4)), rates * rates])
    return np.stack([terms[:, rates <= SATURATED].sum(1), terms.sum((1, 2, 3))])


def gain_of(sums: np.ndarray) -> float:
    """Returns the gain of a clip from the `gain_sums` of all its parts, added up."""
    (product, energy), (all_products, all_energy) = sums.tolist()
    if all_energy == 0:
        return 1.0
    if energy < LEAST_ENERGY * all_energy:
        return float(all_products / all_energy)
    return float(product / energy)


def spike_scale_of(rate_shape: tuple[int, ...], blur_shape: tuple[int, ...]) -> int:
    """Returns RGB pixels per spike pixel, from the shapes (T, h, w) and (T, H, W, 3).

    Raises:
        ValueError: the frames differ in number, or the sizes are not 1, 2 or 4 apart.
    """
    if len(rate_shape) == 3 and len(blur_shape) == 4 and blur_shape[3] == 3:
        frames, height, width = rate_shape
        for scale in SPIKE_SCALES:
            if blur_shape[:3] == (frames, height * scale, width * scale):
                return scale
    raise ValueError(
        "rate must be (T, h, w) and blur (T, H, W, 3) with H and W 1, 2 or 4 times h "
        f"and w, got {rate_shape} and {blur_shape}."
    )
