"""Light between two frames of footage: blended in place, or moved along the flow.

Where things move more than a pixel from one frame to the next, blending in place shows
every frame as a ghost of its own and the blur as steps. Moved along the optical flow
(OpenCV's DIS, Kroeger et al., ECCV 2016) things pass through all places in between.
"""

import cv2
import numpy as np

from data_pipeline.choices import unknown_name

IN_BETWEEN = ("flow", "linear")
_LEAST_MOTION = 1.0  # pixels; less is blended in place as well
_LEAST_SIZE = 32  # pixels that the flow needs each way
# Pixels that a round trip along both flows may miss, and its part of the way, before
# what is there counts as hidden in one of the frames (Sundaram et al., ECCV 2010).
_TOLERANCE = (0.5, 0.01)


def check_in_between(name: str) -> None:
    """Raises a ValueError unless the name is one of IN_BETWEEN."""
    if name not in IN_BETWEEN:
        raise ValueError(unknown_name("in_between", name, IN_BETWEEN))


def check_flow_size(name: str, height: int, width: int) -> None:
    """Raises a ValueError that names the footage if it is too small for a flow."""
    if min(height, width) < _LEAST_SIZE:
        raise ValueError(
            f"The flow between frames needs at least {_LEAST_SIZE}x{_LEAST_SIZE} "
            f"pixels, but {name} is {height}x{width}; take in_between=linear."
        )


class InBetween:
    """The light between two frames, at any share of the way."""

    def __init__(self, before: np.ndarray, after: np.ndarray, in_between: str) -> None:
        """Takes uint8 frames (H, W, 3) and one of IN_BETWEEN.

        Raises:
            ValueError: the name is unknown, or the frames are too small for a flow.
        """
        check_in_between(in_between)
        self._before = before.astype(np.float32)
        self._after = after.astype(np.float32)
        self._flows: tuple[np.ndarray, np.ndarray] | None = None
        if in_between == "flow" and not np.array_equal(before, after):
            forward, backward = optical_flow(before, after), optical_flow(after, before)
            if max(_largest(forward), _largest(backward)) > _LEAST_MOTION:
                self._flows = forward, backward
                self._seen = (
                    _is_seen(forward, backward),
                    _is_seen(backward, forward),
                )

    def light(self, share: float) -> np.ndarray:
        """Returns the light (H, W, 3), float32 from 0 to 255; share is in [0, 1)."""
        if share == 0:
            return self._before.copy()
        step = np.float32(share)
        blended = self._before + step * (self._after - self._before)
        if self._flows is None:
            return blended
        forward, backward = self._flows
        # The flow of what is at a pixel at the time between, from what is known at
        # both ends (Jiang et al., Super SloMo, CVPR 2018, equation 4).
        to_before = -(1 - step) * step * forward + step**2 * backward
        to_after = (1 - step) ** 2 * forward - step * (1 - step) * backward
        moved_before = _sample(self._before, to_before)
        moved_after = _sample(self._after, to_after)
        weight_before = (1 - step) * _sample(self._seen[0], to_before)[..., None]
        weight_after = step * _sample(self._seen[1], to_after)[..., None]
        total = weight_before + weight_after
        # Where neither flow is to be trusted nothing better than blending is known.
        trust = np.clip(total / min(step, 1 - step), 0, 1)
        moved = weight_before * moved_before + weight_after * moved_after
        moved /= np.maximum(total, np.float32(1e-6))
        light: np.ndarray = trust * moved + (1 - trust) * blended
        return light


def optical_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Flow (H, W, 2), float32 pixels (x, y), from uint8 frames (H, W, 3) to the next.

    Raises:
        ValueError: the frames are smaller than 32 pixels.
    """
    check_flow_size("a frame", *before.shape[:2])
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    greys = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after))
    flow: np.ndarray = estimator.calc(*greys, None)
    return flow


def _largest(flow: np.ndarray) -> float:
    """The length that all but a thousandth of the flow stay below."""
    return float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 99.9))


def _is_seen(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """1 where going there and back ends close to the start, float32 (H, W)."""
    miss = there + _sample(back, there)
    length = (there**2).sum(-1) + (back**2).sum(-1)
    absolute, relative = _TOLERANCE
    return ((miss**2).sum(-1) <= absolute + relative * length).astype(np.float32)


def _sample(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The image at every pixel displaced by the flow; its border goes on outside."""
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    sampled: np.ndarray = cv2.remap(
        image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled
