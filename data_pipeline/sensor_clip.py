"""The spikes of one clip, as the ideal camera and as a real sensor record them."""

import math
from dataclasses import dataclass

import numpy as np

from data_pipeline.sensor import Sensor, SensorMaps, draw_sensor_maps
from data_pipeline.spike_camera import Reset, SpikeCamera, pixel_light

_JITTER = (0.25, 4.0)  # where fusion models were seen to break down (spike_facts 4.2)


@dataclass(frozen=True, eq=False)
class SensorCameras:
    """The ideal camera and a real one, with the phases and the light of one clip."""

    ideal: SpikeCamera
    real: SpikeCamera  # the ideal one itself where there is no sensor
    maps: SensorMaps | None
    threshold: float  # of this clip, its random factor included
    gain: float  # of this clip, the random factor of its light included
    photons: float  # that white brings a pixel in one spike frame; inf: no shot noise

    def read(
        self, light: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the spikes (h, w), bool, of one spike frame: ideal and real.

        Args:
            light: (h, w) in [0, 1].
            rng: draws the photons.

        Raises:
            ValueError: light is not (h, w) or not finite.
        """
        clean = self.ideal.read(light)
        if self.real is self.ideal:
            return clean, clean
        return clean, self.real.read(self.seen(light, rng))

    def seen(self, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns the light (h, w) as the photons of one spike frame show it."""
        if math.isinf(self.photons):
            return light
        return shot_noise(light, self.photons, rng)


@dataclass(frozen=True, eq=False)
class SensorClip:
    """A clip as the ideal camera and as a real one sees it, and what made it."""

    clean: np.ndarray  # (S, h, w) uint8 of 0 and 1
    noisy: np.ndarray  # (S, h, w) uint8 of 0 and 1
    maps: SensorMaps
    threshold: float  # of this clip, its random factor included
    gain: float  # of this clip, the random factor of its light included


def draw_cameras(
    size: tuple[int, int],
    *,
    threshold: float,
    gain: float,
    rng: np.random.Generator,
    sensor: Sensor | None,
    maps: SensorMaps | None = None,
    phase: np.ndarray | None = None,
    threshold_range: tuple[float, float] = _JITTER,
    light_range: tuple[float, float] = _JITTER,
    reset: Reset = "soft",
) -> SensorCameras:
    """Returns the ideal and the real camera of one clip.

    Both have the threshold and the light of this clip: the given ones times factors
    that are log-uniform in the ranges. Dark current follows neither.

    Args:
        size: (h, w) in spike pixels.
        threshold: charge at which an even pixel fires, times its factor.
        gain: charge that light 1 brings in one spike frame, times its factor.
        rng: draws the factors, the maps and the phases, in that order.
        sensor: what the real camera is like; None: it is the ideal one.
        maps: those of one specimen, for several clips of the same camera.
        phase: charge at the start in thresholds, (h, w); drawn where not given.
        threshold_range: least and greatest factor; (1, 1) for none.
        light_range: likewise, for the light.
        reset: 'soft' keeps the charge above the threshold, 'hard' loses it.

    Raises:
        ValueError: a range is not one, or an option does not suit the camera.
    """
    for name, value in (("threshold", threshold), ("gain", gain)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a positive number, got {value}.")
    clip_threshold = threshold * _log_uniform("threshold_range", threshold_range, rng)
    light_factor = _log_uniform("light_range", light_range, rng)
    if sensor is not None and maps is None:
        maps = draw_sensor_maps(sensor, *size, rng)
    if phase is None:
        phase = rng.random(size, np.float32)
    clip_gain = gain * light_factor
    ideal = SpikeCamera(
        threshold=clip_threshold, gain=clip_gain, phase=phase, reset=reset
    )
    real = ideal
    if maps is not None:
        real = maps.camera(
            threshold=clip_threshold,
            gain=clip_gain,
            phase=phase,
            reset=reset,
            nominal_threshold=threshold,
        )
    return SensorCameras(
        ideal=ideal,
        real=real,
        maps=maps,
        threshold=clip_threshold,
        gain=clip_gain,
        photons=math.inf if sensor is None else sensor.photons * light_factor,
    )


def simulate_sensor(
    light: np.ndarray,
    *,
    threshold: float,
    gain: float,
    rng: np.random.Generator,
    sensor: Sensor | None = None,
    maps: SensorMaps | None = None,
    threshold_range: tuple[float, float] = _JITTER,
    light_range: tuple[float, float] = _JITTER,
    reset: Reset = "soft",
    cfa: str = "none",
) -> SensorClip:
    """Turns light (S, h, w) in [0, 1] into the spikes of the ideal and the real camera.

    Both cameras begin with the same phases, and have the threshold and the light of
    this clip. Dark current does not follow either, so it shows the more, the lower the
    threshold is.

    The light is integrated as it is: whether that is gamma-coded or linear light is for
    the caller to record.

    Args:
        light: what each spike frame sees, as float; RGB (S, h, w, 3) with a `cfa`.
        threshold: charge at which an even pixel fires, times its factor.
        gain: charge that light 1 brings in one spike frame, times its factor.
        rng: draws the factors, the maps, the phases and the photons, in that order.
        sensor: what it is like; Sensor() where it is not given.
        maps: those of one specimen, for several clips of the same camera; of `sensor`
            only the photons count then.
        threshold_range: least and greatest factor; (1, 1) for none.
        light_range: likewise, for the light.
        reset: 'soft' keeps the charge above the threshold, 'hard' loses it.
        cfa: 'none', or the pattern of the colour filters, as 'rggb'.

    Raises:
        ValueError: light has the wrong shape, is not finite or outside [0, 1], a range
            is not one, or an option does not suit the camera.
    """
    light = pixel_light(light, cfa)
    height, width = light.shape[1:]
    cameras = draw_cameras(
        (height, width),
        threshold=threshold,
        gain=gain,
        rng=rng,
        sensor=Sensor() if sensor is None else sensor,
        maps=maps,
        threshold_range=threshold_range,
        light_range=light_range,
        reset=reset,
    )
    assert cameras.maps is not None
    if math.isinf(cameras.photons):
        noisy = cameras.real.read_clip(light, peak=1.0)
    else:
        noisy = np.empty(light.shape, np.uint8)
        for frame, one in enumerate(light):
            noisy[frame] = cameras.real.read(cameras.seen(one, rng))
    return SensorClip(
        clean=cameras.ideal.read_clip(light, peak=1.0),
        noisy=noisy,
        maps=cameras.maps,
        threshold=cameras.threshold,
        gain=cameras.gain,
    )


def shot_noise(
    light: np.ndarray, photons: float, rng: np.random.Generator
) -> np.ndarray:
    """Returns light (...) as counted photons show it, float32, white being `photons`.

    Its variance is light / photons, and it may be above 1.
    """
    counts = rng.poisson(light.astype(np.float64) * photons)
    return (counts / photons).astype(np.float32)


def _log_uniform(
    name: str, limits: tuple[float, float], rng: np.random.Generator
) -> float:
    """Draws a factor whose logarithm is uniform between those of the limits."""
    if len(limits) != 2 or not 0 < limits[0] <= limits[1] < math.inf:
        raise ValueError(
            f"{name} must be a least and a greatest factor, both positive, "
            f"got {limits}."
        )
    low, high = limits
    return float(low * (high / low) ** rng.random())
