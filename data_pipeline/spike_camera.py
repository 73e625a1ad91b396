"""The integrate-and-fire spike camera: light in, spikes out."""

from typing import Literal

import numpy as np

from data_pipeline.choices import unknown_name

Reset = Literal["soft", "hard"]
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma


def grey(light: np.ndarray) -> np.ndarray:
    """Returns the luma (..., H, W) of RGB light (..., H, W, 3), in the same space."""
    return light @ GREY_WEIGHTS


class SpikeCamera:
    """An ideal camera whose pixels integrate light and fire at a threshold.

    A_0 = phase * threshold; A <- A + gain * light; where A >= threshold the pixel
    fires and A <- A - threshold (soft reset) or A <- 0 (hard reset). One readout a
    spike frame holds one bit, so what a pixel collects beyond one threshold in a
    single spike frame is lost, as in the sensor.

    With soft reset and constant light, spike t is floor(phase + (t + 1) r) -
    floor(phase + t r), r = gain * light / threshold <= 1.
    """

    def __init__(
        self,
        *,
        threshold: float,
        gain: float,
        phase: np.ndarray,
        reset: Reset = "soft",
    ) -> None:
        """Takes the phase (h, w) in [0, 1), the charge at the start in thresholds.

        Raises:
            ValueError: threshold or gain is not positive, or reset is unknown.
        """
        for name, value in (("threshold", threshold), ("gain", gain)):
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be a positive number, got {value}.")
        if reset not in ("soft", "hard"):
            raise ValueError(unknown_name("reset", reset, ("soft", "hard")))
        self._threshold = np.float32(threshold)
        self._gain = np.float32(gain)
        self._reset = reset
        self._charge = phase.astype(np.float32) * self._threshold

    def read(self, light: np.ndarray) -> np.ndarray:
        """Returns the spikes (h, w), bool, of one spike frame of light in [0, 1]."""
        self._charge += self._gain * light
        fired = self._charge >= self._threshold
        if self._reset == "hard":
            self._charge[fired] = 0.0
        elif self._gain <= self._threshold:
            self._charge -= self._threshold * fired
        else:
            np.remainder(self._charge, self._threshold, out=self._charge)
        return fired


def simulate(
    light: np.ndarray,
    *,
    threshold: float,
    gain: float,
    rng: np.random.Generator,
    reset: Reset = "soft",
    phase: np.ndarray | None = None,
) -> np.ndarray:
    """Turns light (S, h, w) in [0, 1] into spikes (S, h, w), uint8 of 0 and 1.

    Args:
        light: what each spike frame sees, as float.
        threshold: charge at which a pixel fires.
        gain: charge that light 1 brings in one spike frame.
        rng: draws the phases, uniform in [0, 1), where none are given.
        reset: 'soft' keeps the charge above the threshold, 'hard' loses it.
        phase: charge at the start in thresholds, (h, w).

    Raises:
        ValueError: light is not (S, h, w), not finite or outside [0, 1].
    """
    if light.ndim != 3 or 0 in light.shape:
        raise ValueError(f"light must be (S, h, w), none zero, got {light.shape}.")
    low, high = float(light.min()), float(light.max())
    if not (low >= 0.0 and high <= 1.0):
        raise ValueError(f"light must lie in [0, 1], got values from {low} to {high}.")
    if phase is None:
        phase = rng.random(light.shape[1:], np.float32)
    camera = SpikeCamera(threshold=threshold, gain=gain, phase=phase, reset=reset)
    return np.stack([camera.read(frame) for frame in light]).astype(np.uint8)
