"""A scene in even motion, and what an ideal spike camera records of it."""

import cv2
import numpy as np

from data_pipeline.bayer import mosaic
from data_pipeline.spike_camera import SpikeCamera

GAIN = 0.6  # spikes per spike frame at white


def moving_light(
    count: int, size: tuple[int, int], *, seed: int = 0, speed: float = 0.2
) -> np.ndarray:
    """Linear light (S, h, w, 3), float32, of soft coloured spots that move right."""
    rng = np.random.default_rng(seed)
    height, width = size[0], size[1] + int(speed * count) + 4
    spots = rng.random((height // 4 + 2, width // 4 + 2, 3), np.float32)
    scene = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
    scene = np.clip(scene, 0.02, 1)
    frames = []
    for sample in range(count):
        left = speed * (count - 1 - sample)
        move = np.array([[1, 0, -left], [0, 1, 0]], np.float32)
        frames.append(cv2.warpAffine(scene, move, size[::-1]))
    return np.stack(frames)


def record_spikes(light: np.ndarray, *, cfa: str = "none", seed: int = 0) -> np.ndarray:
    """Spikes (S, h, w) of light (S, h, w, 3), through filters or of its mean."""
    seen = light.mean(axis=-1) if cfa == "none" else mosaic(light, cfa)
    phase = np.random.default_rng(seed).random(seen.shape[1:], np.float32)
    camera = SpikeCamera(threshold=1.0, gain=GAIN, phase=phase)
    return np.stack([camera.read(frame.astype(np.float32)) for frame in seen]).astype(
        np.uint8
    )
