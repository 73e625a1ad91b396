"""Gamma-coded and linear light: the spaces in which a camera can integrate."""

import numpy as np

from data_pipeline.choices import unknown_name
from data_pipeline.records import TRANSFERS

# What footage is coded with, and GOPRO's `blur_gamma` was averaged without: the curve
# that stands for the unknown ones of cameras (Nah et al., CVPR 2017).
GAMMA = 2.2
INTEGRATED = ("gamma", "linear")  # the transfers that a camera can integrate in


def to_linear(coded: np.ndarray) -> np.ndarray:
    """Turns gamma-coded light, float from 0 to 1, into linear light."""
    light: np.ndarray = np.maximum(coded, 0) ** np.float32(GAMMA)
    return light


def to_gamma(light: np.ndarray) -> np.ndarray:
    """Codes linear light, float from 0 to 1, with the gamma of pictures."""
    coded: np.ndarray = np.maximum(light, 0) ** np.float32(1 / GAMMA)
    return coded


def to_spike_space(blur: np.ndarray, transfer: str) -> np.ndarray:
    """Brings blurred frames into the space in which the spikes of a record integrated.

    There the grey of the blurred frame is the mean of the exposure's spikes, up to one
    factor. Pictures are gamma-coded, so they change where the spikes integrated linear
    light only; where the transfer is not known they are left as they are.

    Args:
        blur: pictures (..., 3), uint8 or float in [0, 1].
        transfer: of the record.

    Returns:
        The pictures as float32 in [0, 1].

    Raises:
        ValueError: the transfer is unknown to records.
    """
    if transfer not in TRANSFERS:
        raise ValueError(unknown_name("transfer", transfer, TRANSFERS))
    if blur.dtype == np.uint8:
        levels = np.arange(256, dtype=np.float32) / np.float32(255)
        return (to_linear(levels) if transfer == "linear" else levels)[blur]
    light = blur.astype(np.float32)
    return to_linear(light) if transfer == "linear" else light
