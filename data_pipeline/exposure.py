"""Exposure windows, the blur they make of light, and the spikes they hold."""

from collections.abc import Sequence

import numpy as np

MARGIN = 16  # spike frames that a clip has before its first and after its last exposure


def exposure_windows(
    num_frames: int, *, first_start: int, exposure: int, period: int
) -> np.ndarray:
    """Returns (T, 2) float32 starts and ends in spike frames, one every `period`.

    Raises:
        ValueError: no frame, an empty exposure, one longer than the period, or a
            negative start.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}.")
    if not 1 <= exposure <= period:
        raise ValueError(
            f"exposure must be between 1 and the period, {period} spike frames, "
            f"got {exposure}."
        )
    if first_start < 0:
        raise ValueError(f"The first exposure cannot start at {first_start}, below 0.")
    starts = first_start + period * np.arange(num_frames)
    return np.stack([starts, starts + exposure], axis=-1).astype(np.float32)


def count_windows(
    num_spike_frames: int,
    *,
    first_start: int,
    exposure: int,
    period: int,
    margin: int,
) -> int:
    """Returns how many exposures fit a stream that keeps `margin` free at its end."""
    room = num_spike_frames - first_start - exposure - margin
    return 0 if room < 0 else 1 + room // period


def check_odd_exposure(exposure: int) -> None:
    """Raises a ValueError unless the exposure has a middle spike frame."""
    if exposure < 1 or exposure % 2 == 0:
        raise ValueError(
            "exposure must be an odd number of spike frames, so that the sharp frame "
            f"is the light of the middle one; got {exposure}, try {exposure + 1}."
        )


def quantise(light: np.ndarray) -> np.ndarray:
    """Rounds light in [0, 1] to uint8."""
    return np.rint(np.clip(light, 0.0, 1.0) * 255.0).astype(np.uint8)


class Shutter:
    """Collects blurred and sharp frames from light that arrives sample by sample.

    Blur is the mean of the light over the exposure, taken in whatever transfer space
    the light is in, and rounded to 8 bits only then. Sharp is the light of the spike
    frame in the middle of the exposure.
    """

    def __init__(self, exposure: np.ndarray) -> None:
        """Takes windows (T, 2) in spike frames."""
        self._exposure = exposure.astype(np.float64)
        self._middle = np.floor(self._exposure.mean(axis=1)).astype(int)
        self._sums: dict[int, np.ndarray] = {}
        self._blur: dict[int, np.ndarray] = {}
        self._sharp: dict[int, np.ndarray] = {}

    def add(self, sample: int, light: np.ndarray) -> None:
        """Takes the light (H, W, 3) of spike frame `sample`, in [0, 1], in order."""
        starts, ends = self._exposure.T
        overlaps = np.minimum(sample + 1, ends) - np.maximum(sample, starts)
        for frame in np.flatnonzero(overlaps > 0).tolist():
            share = np.float32(overlaps[frame])
            if frame in self._sums:
                self._sums[frame] += share * light
            else:
                self._sums[frame] = share * light
            if sample == self._middle[frame]:
                self._sharp[frame] = quantise(light)
            if sample + 1 >= ends[frame]:
                length = np.float32(ends[frame] - starts[frame])
                self._blur[frame] = quantise(self._sums.pop(frame) / length)

    def develop(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns blur and sharp, uint8 (T, H, W, 3) each.

        Raises:
            ValueError: the light ended before the last exposure did.
        """
        if len(self._blur) != len(self._exposure):
            raise ValueError(
                f"The light ended after {len(self._blur)} of {len(self._exposure)} "
                "exposures; give more light or fewer frames."
            )
        frames = range(len(self._exposure))
        return (
            np.stack([self._blur[frame] for frame in frames]),
            np.stack([self._sharp[frame] for frame in frames]),
        )


def mean_blur(light: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """Blurs light (S, H, W, 3) in [0, 1] over windows (T, 2) to uint8 (T, H, W, 3)."""
    shutter = Shutter(exposure)
    for sample, frame in enumerate(light):
        shutter.add(sample, frame)
    return shutter.develop()[0]


def cut_exposure(spikes: np.ndarray, window: Sequence[float]) -> np.ndarray:
    """Cuts the spike frames (L, ...) of one exposure out of a stream (S, ...).

    Raises:
        ValueError: the window is not made of whole spike frames or leaves the stream.
    """
    start, end = (float(edge) for edge in window)
    if not (start.is_integer() and end.is_integer()):
        raise ValueError(
            f"The exposure [{start}, {end}] does not fall on whole spike frames; use "
            "representations.voxel_grid with start and end, which shares the edges."
        )
    if not 0 <= start < end <= len(spikes):
        raise ValueError(
            f"The exposure [{start:g}, {end:g}] is not inside the stream, "
            f"which covers [0, {len(spikes)}]."
        )
    return spikes[int(start) : int(end)]
