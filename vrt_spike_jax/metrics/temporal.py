"""Temporal change of a clip against that of the sharp one: tOF and tLP of TecoGAN.

Source: Chu et al., "Learning Temporal Coherence via Self-Supervision for GAN-based
Video Generation", SIGGRAPH 2020, arXiv 1811.09393, as its published code computes them:
the norm of tOF is L2, where the paper writes L1.
"""

import numpy as np
from jaxtyping import Array, Float, Num

from vrt_spike_jax.metrics.lpips import LPIPSWeights, frame_lpips
from vrt_spike_jax.metrics.optical_flow import clip_flow
from vrt_spike_jax.metrics.quantise import frame_pair

# Frames left out at both ends of a clip, whose restoration lacks neighbours.
DROPPED = 2
_MULTIPLE = 32  # of the sides that are compared
_MARGIN = 16  # pixels left out of each direction, at least, shared by both sides


def tof(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    *,
    dropped: int = DROPPED,
) -> Float[np.ndarray, " p"]:
    """How much the motion of each pair of frames differs from the sharp one, in pixels.

    The mean over the pixels of the length of the difference of both flows, which are
    Farneback's of the whole frames, seen within the middle of a multiple of 32 pixels.

    Args:
      prediction: (T, H, W, 3) of one clip, float in [0, 1] or uint8; rounded to 8 bits.
      target: the same shape.
      dropped: frames left out at each end.

    Returns:
      float64, T - 1 - 2 `dropped` of them; the tOF of the clip is their mean.

    Raises:
      ValueError: shapes, types or values other than these, too few frames, or sides
        below 48 pixels.
    """
    prediction, target = _clip_pair(prediction, target, dropped)
    difference = clip_flow(prediction) - clip_flow(target)
    lengths = np.sqrt(np.square(_middle(difference).astype(np.float64)).sum(axis=-1))
    return lengths.mean(axis=(1, 2))


def tlp(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    weights: LPIPSWeights,
    *,
    dropped: int = DROPPED,
) -> Float[np.ndarray, " p"]:
    """How much the perceptual change of each pair of frames differs, times 100.

    100 |LPIPS(p_t, p_t+1) - LPIPS(s_t, s_t+1)| of frames cut to the same middle as for
    `tof`. TecoGAN takes AlexNet.

    Args:
      prediction: (T, H, W, 3) of one clip, float in [0, 1] or uint8; rounded to 8 bits.
      target: the same shape.
      weights: of LPIPS, from `vrt_spike_jax.feature_files.load_lpips`.
      dropped: frames left out at each end.

    Returns:
      float64, T - 1 - 2 `dropped` of them; the tLP of the clip is their mean.

    Raises:
      ValueError: as `tof`.
    """
    prediction, target = (
        _middle(frames) for frames in _clip_pair(prediction, target, dropped)
    )
    changes = [
        np.asarray(frame_lpips(frames[:-1], frames[1:], weights)).astype(np.float64)
        for frames in (prediction, target)
    ]
    return 100.0 * np.abs(changes[0] - changes[1])


def _clip_pair(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    dropped: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Both clips in 8 bits, without their ends, after a check of their shapes."""
    if dropped < 0:
        raise ValueError(f"dropped must be at least 0 frames; got {dropped}.")
    pair = frame_pair(prediction, target)
    if prediction.ndim != 4 or len(prediction) < 2 * dropped + 2:
        raise ValueError(
            "tOF and tLP take the frames of one clip, (frames, height, width, 3), at "
            f"least {2 * dropped + 2}, of which {dropped} at each end are left out; "
            f"got {prediction.shape}. Pass a smaller `dropped`, and say so beside the "
            "number."
        )
    height, width = prediction.shape[1:3]
    smallest = _MULTIPLE + _MARGIN
    if min(height, width) < smallest:
        raise ValueError(
            f"tOF and tLP compare a middle of {_MULTIPLE} pixels or more, {_MARGIN} "
            f"less than the frame: they need at least {smallest}x{smallest} pixels; "
            f"got {height}x{width}."
        )
    kept = slice(dropped, len(prediction) - dropped)
    first, second = (np.asarray(x).astype(np.uint8)[kept] for x in pair)
    return first, second


def _middle(frames: np.ndarray) -> np.ndarray:
    """The middle of frames or flow whose sides are multiples of 32."""
    height, width = (
        (size - _MARGIN) // _MULTIPLE * _MULTIPLE for size in frames.shape[1:3]
    )
    top, left = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
    return frames[:, top : top + height, left : left + width]
