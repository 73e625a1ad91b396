"""Optical flow for metrics: Farneback's, by OpenCV on the CPU.

Source: Farneback, "Two-Frame Motion Estimation Based on Polynomial Expansion", SCIA
2003, with the settings of TecoGAN's evaluation. Flow is (x, y) in pixels.
"""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Array, Bool, Float, Num, UInt8

from vrt_spike_jax.metrics.quantise import frame_pair

_SETTINGS: dict[str, Any] = {
    "pyr_scale": 0.5,
    "levels": 3,
    "winsize": 15,
    "iterations": 3,
    "poly_n": 5,
    "poly_sigma": 1.2,
    "flags": 0,
}
# Pixels between two frames above which a pixel moves.
MOVING = 2.0


def clip_flow(
    frames: Num[Array | np.ndarray, "..."], *, backward: bool = False
) -> Float[np.ndarray, "p h w 2"]:
    """Flow from each frame of a clip to the next.

    Args:
      frames: (T, H, W, 3), float in [0, 1] or uint8; rounded to 8 bits, and seen in
        grey.
      backward: the flow from each next frame back, on the grid of the next.

    Returns:
      float32, T - 1 of them.

    Raises:
      ValueError: shapes, types or values other than these, or fewer than 2 frames.
    """
    greys = _grey(frames)
    pairs = zip(greys[:-1], greys[1:], strict=True)
    return np.stack([_farneback(*((b, a) if backward else (a, b))) for a, b in pairs])


def moving_mask(
    sharp: Num[Array | np.ndarray, "..."], *, threshold: float = MOVING
) -> Bool[np.ndarray, "n h w"]:
    """The pixels of a clip that move, where blur is: for a mask of PSNR and SSIM.

    A pixel moves where the flow of the sharp frames to the next one is longer than
    `threshold`; in the last frame, the flow to the one before.

    Args:
      sharp: (T, H, W, 3) sharp frames, float in [0, 1] or uint8, at least 2.
      threshold: pixels.

    Raises:
      ValueError: as `clip_flow`, or a threshold below 0.
    """
    if threshold < 0:
        raise ValueError(f"threshold must be at least 0 pixels; got {threshold}.")
    flow = clip_flow(sharp)
    last = clip_flow(sharp[-2:], backward=True)
    square = np.square(np.concatenate([flow, last])).sum(axis=-1)
    return square > threshold**2


def _grey(frames: Num[Array | np.ndarray, "..."]) -> list[UInt8[np.ndarray, "h w"]]:
    scaled, _ = frame_pair(frames, frames)
    if frames.ndim != 4 or len(frames) < 2:
        raise ValueError(
            "flow needs the frames of one clip, (frames, height, width, 3), at least "
            f"2; got {frames.shape}."
        )
    bytes_ = np.asarray(scaled).astype(np.uint8)
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in bytes_]


def _farneback(
    first: UInt8[np.ndarray, "h w"], second: UInt8[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w 2"]:
    # Without an array to write into, which the stubs of OpenCV do not allow for.
    no_flow: Any = None
    return cv2.calcOpticalFlowFarneback(first, second, no_flow, **_SETTINGS)
