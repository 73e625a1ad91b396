"""Which pixels of sharp frames move far enough in one exposure to be blurred."""

import cv2
import numpy as np

MIN_MOTION = 2.0  # RGB pixels in one exposure


def moving_pixels(
    sharp: np.ndarray,
    sharp_time: np.ndarray,
    exposure: np.ndarray,
    *,
    min_motion: float = MIN_MOTION,
) -> np.ndarray:
    """Marks the pixels that move by more than `min_motion` while the shutter is open.

    The motion is that from each sharp frame to the one before and to the one after,
    found by OpenCV's dense inverse search (DIS, preset medium) on their 8-bit luma,
    divided by the time between them, averaged over both, and taken for as long as the
    exposure lasts. One definition serves every data set, also those whose true motion
    nobody knows.

    Args:
        sharp: (T, H, W, 3) uint8, one frame of each exposure.
        sharp_time: (T,) instants that they show, in spike frames, rising.
        exposure: (T, 2) start and end of each exposure in spike frames.
        min_motion: RGB pixels in one exposure.

    Returns:
        (T, H, W) of bool. Of a single frame no motion is known, and nothing is marked.

    Raises:
        ValueError: the numbers of frames, instants and exposures differ, or instants
            are not in the order of time.
    """
    count = len(sharp)
    if sharp.ndim != 4 or sharp.dtype != np.uint8 or sharp.shape[-1] != 3:
        raise ValueError(
            f"sharp must be (T, H, W, 3) of uint8, got {sharp.dtype} {sharp.shape}."
        )
    if sharp_time.shape != (count,) or exposure.shape != (count, 2):
        raise ValueError(
            f"{count} sharp frames need as many instants and exposures, got "
            f"{sharp_time.shape} and {exposure.shape}."
        )
    if not (np.diff(sharp_time) > 0).all():
        raise ValueError(
            f"sharp_time must be in the order of time, got {sharp_time.tolist()}."
        )
    luma = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in sharp]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    lasts = np.diff(exposure.astype(np.float64), axis=1)[:, 0]
    moving = np.zeros(sharp.shape[:3], bool)
    for frame in range(count):
        speeds = []
        for other in (frame - 1, frame + 1):
            if not 0 <= other < count:
                continue
            flow = search.calc(luma[frame], luma[other], None)
            between = abs(float(sharp_time[other]) - float(sharp_time[frame]))
            speeds.append(np.linalg.norm(flow, axis=-1) / between)
        if speeds:
            moving[frame] = np.mean(speeds, axis=0) * lasts[frame] > min_motion
    return moving
