"""Exposure windows, the blur they make of light, and the spikes they hold."""

from collections.abc import Sequence

import numpy as np

from data_pipeline.rgb_camera import RgbCamera

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


def instant_step(count: int, exposure: int, *, every: int = 1) -> int:
    """Returns the spike frames between `count` sharp instants of one exposure.

    It is the multiple of `every` that is nearest to an even share of the exposure and
    keeps all instants inside.

    Raises:
        ValueError: count is not odd, or the exposure has no room for so many.
    """
    if count < 1 or count % 2 == 0:
        raise ValueError(
            "sharp_instants must be odd, so that one of them is the middle of the "
            f"exposure; got {count}, try {max(1, count + 1)}."
        )
    if count == 1:
        return 0
    most = (exposure - 1) // ((count - 1) * every)
    if most < 1:
        room = 1 + 2 * ((exposure - 1) // 2 // every)
        raise ValueError(
            f"An exposure of {exposure} spike frames has room for {room} sharp "
            f"instants, {every} apart at least, but sharp_instants is {count}; ask for "
            "fewer or expose for longer."
        )
    return every * min(max(round(exposure / (count * every)), 1), most)


def sharp_times(exposure: np.ndarray, count: int, *, every: int = 1) -> np.ndarray:
    """Returns `count` instants of each of the windows (T, 2), (T * count,) float32.

    They lie around the middle of the window, as far apart as `instant_step` says.

    Raises:
        ValueError: count is not odd, or a window has no room for so many.
    """
    shortest = int((exposure[:, 1] - exposure[:, 0]).min())
    step = instant_step(count, shortest, every=every)
    steps = step * (np.arange(count) - count // 2)
    middle = exposure.mean(axis=1, keepdims=True)
    return (middle + steps).astype(np.float32).ravel()


class Shutter:
    """Collects blurred and sharp frames from light that arrives sample by sample.

    Blur is the mean of the light over the exposure, taken in whatever transfer space
    the light is in, and rounded to 8 bits only then. Sharp is the light of the spike
    frames at the sharp instants, without the noise of the camera.
    """

    def __init__(
        self,
        exposure: np.ndarray,
        *,
        sharp_time: np.ndarray | None = None,
        camera: RgbCamera | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Takes windows and instants in spike frames.

        Args:
            exposure: windows (T, 2).
            sharp_time: sharp instants (n * T,), inside their windows and in order; the
                middle of each window where they are not given.
            camera: makes the pictures; RgbCamera() where it is not given.
            rng: draws the noise that the blurred frames are misread by; none without.
        """
        self._exposure = exposure.astype(np.float64)
        times = self._exposure.mean(axis=1) if sharp_time is None else sharp_time
        self._instants = np.floor(times).astype(int)
        self._camera = camera or RgbCamera()
        self._rng = rng
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
            if sample + 1 >= ends[frame]:
                length = np.float32(ends[frame] - starts[frame])
                mean = self._sums.pop(frame) / length
                self._blur[frame] = self._camera.picture(mean, self._rng)
        for instant in np.flatnonzero(self._instants == sample).tolist():
            self._sharp[instant] = self._camera.picture(light)

    def develop(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns blur (T, H, W, 3) and sharp (n * T, H, W, 3), uint8 each.

        Raises:
            ValueError: the light ended before the last exposure did.
        """
        if len(self._blur) != len(self._exposure):
            raise ValueError(
                f"The light ended after {len(self._blur)} of {len(self._exposure)} "
                "exposures; give more light or fewer frames."
            )
        return (
            np.stack([self._blur[frame] for frame in range(len(self._blur))]),
            np.stack([self._sharp[instant] for instant in range(len(self._sharp))]),
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
