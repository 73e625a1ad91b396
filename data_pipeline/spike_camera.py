"""The integrate-and-fire spike camera: light in, spikes out."""

import math
from typing import Literal

import numpy as np

from data_pipeline.bayer import check_pattern, mosaic
from data_pipeline.choices import unknown_name

Reset = Literal["soft", "hard"]
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma

# Pixels that are read through all spike frames before the next ones: their charge, a
# buffer and three maps of float32, 640 KiB, stay in the second-level cache.
_BLOCK = 1 << 15
# Luma of white may be rounded to just above 1.
_WHITE = 1 + 1e-6


def grey(light: np.ndarray) -> np.ndarray:
    """Returns the luma (..., H, W) of RGB light (..., H, W, 3), in the same space."""
    return light @ GREY_WEIGHTS


class SpikeCamera:
    """A camera whose pixels integrate light and fire at a threshold.

    A_0 = phase * threshold; A <- A + gain * light + dark; where A >= threshold the
    pixel fires and A <- A - threshold (soft reset) or A <- 0 (hard reset). One readout
    a spike frame holds one bit, so what a pixel collects beyond one threshold in a
    single spike frame is lost, as in the sensor.

    With soft reset and constant light, spike t is floor(phase + (t + 1) r) -
    floor(phase + t r), r = (gain * light + dark) / threshold <= 1.
    """

    def __init__(
        self,
        *,
        threshold: float | np.ndarray,
        gain: float | np.ndarray,
        phase: np.ndarray,
        reset: Reset = "soft",
        dark: float | np.ndarray = 0.0,
    ) -> None:
        """Takes one number or a map (h, w) of threshold, gain and dark.

        Args:
            threshold: charge at which a pixel fires.
            gain: charge that light 1 brings in one spike frame.
            phase: charge at the start in thresholds, (h, w) in [0, 1).
            reset: 'soft' keeps the charge above the threshold, 'hard' loses it.
            dark: charge that comes in each spike frame without light.

        Raises:
            ValueError: threshold or gain is not positive, dark is negative, a map or
                the phase has the wrong shape, or reset is unknown.
        """
        phase = np.asarray(phase)
        if phase.ndim != 2 or 0 in phase.shape:
            raise ValueError(f"phase must be (h, w), none zero, got {phase.shape}.")
        if not (phase.min() >= 0 and phase.max() < 1):
            raise ValueError(
                "phase must lie in [0, 1), the charge at the start in thresholds, got "
                f"values from {phase.min()} to {phase.max()}."
            )
        if reset not in ("soft", "hard"):
            raise ValueError(unknown_name("reset", reset, ("soft", "hard")))
        self._reset = reset
        self._threshold = _positive("threshold", threshold, phase.shape)
        self._gain = _positive("gain", gain, phase.shape)
        self._dark = _number_or_map("dark", dark, phase.shape)
        if not (self._dark.min() >= 0 and self._dark.max() < np.inf):
            raise ValueError(
                f"dark must be 0 or a positive number, got {_extent(self._dark)}."
            )
        self._charge = phase.astype(np.float32, order="C") * self._threshold
        self._overflows = bool(np.any(self._gain + self._dark > self._threshold))
        # The most that light 1, and no light, can bring, in thresholds.
        self._light_share = float(np.max(self._gain / self._threshold))
        self._dark_share = float(np.max(self._dark / self._threshold))
        self._multiples = [self._threshold]
        self._rows = max(1, _BLOCK // phase.shape[1])
        self._buffer = np.empty_like(self._charge[: self._rows])

    def read(self, light: np.ndarray) -> np.ndarray:
        """Returns the spikes (h, w), bool, of one spike frame of light in [0, 1].

        Light above 1 is read as well; what is beyond one threshold is lost.

        Raises:
            ValueError: light is not (h, w) or not finite.
        """
        return self.read_clip(light[None]).view(bool)[0]

    def read_clip(self, light: np.ndarray, *, peak: float | None = None) -> np.ndarray:
        """Returns the spikes (S, h, w), uint8, of S spike frames of light in [0, 1].

        They are those of `read` frame by frame, and so is the charge that is left.

        Args:
            light: (S, h, w), as float.
            peak: what no light is above, where that is known; saves a look at it all.

        Raises:
            ValueError: light is not (S, h, w) or not finite.
        """
        if light.ndim != 3 or light.shape[1:] != self._charge.shape:
            size, got = (
                " x ".join(map(str, shape))
                for shape in (self._charge.shape, light.shape[1:])
            )
            raise ValueError(
                f"light must have the size of the camera, {size}, got {got}."
            )
        if peak is not None:
            return self._read_blocks(light, [self._steps(peak)] * len(light))
        peaks = light.max(axis=(1, 2)).astype(np.float64)
        if not np.isfinite(peaks).all():
            frame = int(np.argmin(np.isfinite(peaks)))
            raise ValueError(f"light must be finite, but spike frame {frame} is not.")
        return self._read_blocks(light, [self._steps(one) for one in peaks.tolist()])

    def _read_blocks(self, light: np.ndarray, steps: list[int]) -> np.ndarray:
        spikes = np.empty(light.shape, np.uint8)
        for top in range(0, len(self._charge), self._rows):
            self._read_rows(slice(top, top + self._rows), light, steps, spikes)
        return spikes

    def _read_rows(
        self, rows: slice, light: np.ndarray, steps: list[int], spikes: np.ndarray
    ) -> None:
        """Reads some rows through all spike frames, in place."""
        charge = self._charge[rows]
        buffer = self._buffer[: len(charge)]
        gain, dark = _cut(self._gain, rows), _cut(self._dark, rows)
        multiples = [_cut(multiple, rows) for multiple in self._multiples]
        has_gain, has_dark = np.any(gain != 1), np.any(dark != 0)
        fired = spikes.view(bool)[:, rows]
        for frame, count in enumerate(steps):
            collected = light[frame, rows]
            # Only float32 fits the buffer; other light is summed in its own precision.
            out = buffer if collected.dtype == np.float32 else None
            if has_gain:
                collected = np.multiply(collected, gain, out=out)
            if has_dark:
                collected = np.add(collected, dark, out=out)
            charge += collected
            np.greater_equal(charge, multiples[0], out=fired[frame])
            if self._reset == "hard":
                _empty(charge, multiples[0], buffer)
            else:
                for multiple in reversed(multiples[:count]):
                    _reduce(charge, multiple, buffer)

    def _steps(self, peak: float) -> int:
        """How many of threshold * (1, 2, 4, ...) a charge has to be reduced by.

        Each leaves less than itself of a charge below its double, exactly, so that
        the charge ends as the remainder of the threshold.
        """
        if not self._overflows and peak <= _WHITE:
            return 1
        most = 1 + max(peak, 0.0) * self._light_share + self._dark_share
        count = math.ceil(math.log2(1.01 * most))  # the sums are rounded
        while len(self._multiples) < count:
            self._multiples.append(self._multiples[-1] * np.float32(2))
        return count


def simulate(
    light: np.ndarray,
    *,
    threshold: float | np.ndarray,
    gain: float | np.ndarray,
    rng: np.random.Generator,
    reset: Reset = "soft",
    phase: np.ndarray | None = None,
    dark: float | np.ndarray = 0.0,
    cfa: str = "none",
) -> np.ndarray:
    """Turns light (S, h, w) in [0, 1] into spikes (S, h, w), uint8 of 0 and 1.

    Args:
        light: what each spike frame sees, as float; RGB (S, h, w, 3) with a `cfa`.
        threshold: charge at which a pixel fires, one number or a map (h, w).
        gain: charge that light 1 brings in one spike frame, likewise.
        rng: draws the phases, uniform in [0, 1), where none are given.
        reset: 'soft' keeps the charge above the threshold, 'hard' loses it.
        phase: charge at the start in thresholds, (h, w).
        dark: charge that comes in each spike frame without light, one number or a map.
        cfa: 'none', or the pattern of the colour filters, as 'rggb'.

    Raises:
        ValueError: light has the wrong shape, is not finite or outside [0, 1], the
            pattern is unknown, or an option does not suit the camera.
    """
    light = pixel_light(light, cfa)
    if phase is None:
        phase = rng.random(light.shape[1:], np.float32)
    camera = SpikeCamera(
        threshold=threshold, gain=gain, phase=phase, reset=reset, dark=dark
    )
    return camera.read_clip(light, peak=1.0)


def pixel_light(light: np.ndarray, cfa: str) -> np.ndarray:
    """Returns the light (S, h, w) in [0, 1] that the pixels see behind their filters.

    Raises:
        ValueError: light has the wrong shape, is not finite or outside [0, 1], or the
            pattern is neither 'none' nor a known one.
    """
    check_pattern(cfa)
    if cfa != "none":
        light = mosaic(light, cfa)
    if light.ndim != 3 or 0 in light.shape:
        shape = "(S, h, w)" if cfa == "none" else "(S, h, w, 3)"
        raise ValueError(f"light must be {shape}, none zero, got {light.shape}.")
    # Frame by frame, so that the second look finds the frame in the cache.
    extremes = np.array([(frame.min(), frame.max()) for frame in light])
    finite = np.isfinite(extremes).all(axis=1)
    if not finite.all():
        frame = int(np.argmin(finite))
        raise ValueError(f"light must be finite, but spike frame {frame} is not.")
    low, high = float(extremes.min()), float(extremes.max())
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(f"light must lie in [0, 1], got values from {low} to {high}.")
    return light


def _reduce(charge: np.ndarray, amount: np.ndarray, buffer: np.ndarray) -> None:
    """Takes `amount` from the charges that hold it.

    As bits, a negative number is above all positive ones, so that the smaller of the
    charge and the difference is the difference where that is not negative.
    """
    np.subtract(charge, amount, out=buffer)
    bits = charge.view(np.uint32)
    np.minimum(bits, buffer.view(np.uint32), out=bits)


def _empty(charge: np.ndarray, threshold: np.ndarray, buffer: np.ndarray) -> None:
    """Sets the charges that reach the threshold to zero."""
    np.subtract(charge, threshold, out=buffer)
    negative = buffer.view(np.int32)
    np.right_shift(negative, 31, out=negative)  # all ones below the threshold
    bits = charge.view(np.int32)
    np.bitwise_and(bits, negative, out=bits)


def _cut(value: np.ndarray, rows: slice) -> np.ndarray:
    return value[rows] if value.ndim else value


def _positive(
    name: str, value: float | np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    array = _number_or_map(name, value, shape)
    if not (array.min() > 0 and array.max() < np.inf):
        raise ValueError(f"{name} must be a positive number, got {_extent(array)}.")
    return array


def _number_or_map(
    name: str, value: float | np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    with np.errstate(over="ignore"):  # becomes infinite, which is refused by name
        array = np.asarray(value).astype(np.float32)
    if array.ndim and array.shape != shape:
        raise ValueError(
            f"{name} must be one number or a map of the size of the phase, {shape}, "
            f"got {array.shape}."
        )
    return array


def _extent(array: np.ndarray) -> str:
    if array.ndim:
        return f"values from {array.min()} to {array.max()}"
    return str(array)
