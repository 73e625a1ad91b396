"""The calibrated sensor: how a real spike camera departs from the ideal one.

Pixels respond unevenly, with stripes along columns and rows; fire at uneven
thresholds; and integrate a dark current beside the light, which some hot pixels have
far too much of. Where photons are few, their number varies too.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from data_pipeline.spike_camera import Reset, SpikeCamera, pixel_light

# Photons that white brings a pixel in one spike frame of 50 us, as SCSim draws them.
SCSIM_PHOTONS = 5e4
# A response or a threshold further from 1 than this would be a defect, not noise
# (spike_facts 2, 'Recommended simulator').
_UNEVENNESS = (0.8, 1.2)
_JITTER = (0.25, 4.0)  # where fusion models were seen to break down (spike_facts 4.2)
_MOST_PHOTONS = 1e15  # more cannot be drawn, and show nothing

_POSITIVE = ("dark_interval", "hot_rate", "hot_tail", "photons")
_MAY_BE_INFINITE = ("dark_interval", "photons")


@dataclass(frozen=True)
class Sensor:
    """What a sensor is like, in figures that a calibration measures.

    The figures are those of a Vidar of the first generation, 250x400 at 20 kHz,
    measured on the calibration maps that come with SpikeNeRF (spike_facts 7). SCSim's
    are of the same size: a response of 5.8 %, and a dark spike every 214 spike frames.
    What they and RSIR have beside them is either what the readout of the ideal camera
    does (intervals of whole spike frames) or too little to see: 0.2 % of the light lost
    while a pixel is reset, and a noise of the threshold of 0.007 %.
    """

    # Coefficient of variation of the spike rate under even light, all parts together:
    # measured at 335 lux, where the median rate is 0.168.
    response: float = 0.049
    # The parts of it that whole columns and whole rows share; measured likewise.
    response_columns: float = 0.033
    response_rows: float = 0.021
    # The part of it that comes from the thresholds. It cannot be told from the
    # response in a rate, so it is not measured but recommended (spike_facts 2).
    threshold: float = 0.01
    # Spike frames from one spike to the next in the dark: log-normal, median measured;
    # the spread of its logarithm fits the measured 5, 50 and 95 % (110, 224, 492) and
    # the mean dark rate, 0.0049. inf: no dark current.
    dark_interval: float = 224.0
    dark_spread: float = 0.455
    # Share of pixels that fire in the dark above `hot_rate`, measured: 0.14 % above
    # 0.02 spikes per spike frame.
    hot_share: float = 0.0014
    hot_rate: float = 0.02
    # Their rates r are above x with probability (hot_rate / x) ** hot_tail; measured
    # 0.012 % of all pixels above 0.05, so ln(0.14 / 0.012) / ln(0.05 / 0.02).
    hot_tail: float = 2.68
    # Photons that white brings a pixel in one spike frame; inf: no shot noise. In
    # bright light 96.5 % of the pixels show none (measured), so it has to be asked for,
    # with SCSIM_PHOTONS for instance.
    photons: float = math.inf

    def __post_init__(self) -> None:
        """Raises a ValueError that names the figure which cannot be."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _POSITIVE and not value > 0:
                raise ValueError(f"{field.name} must be positive, got {value}.")
            if not value >= 0:
                raise ValueError(f"{field.name} must be 0 or more, got {value}.")
            if field.name not in _MAY_BE_INFINITE and math.isinf(value):
                raise ValueError(f"{field.name} must be finite, got {value}.")
        for name in ("hot_share", "hot_rate"):
            if getattr(self, name) > 1:
                raise ValueError(
                    f"{name} must be at most 1, got {getattr(self, name)}."
                )
        if _MOST_PHOTONS < self.photons < math.inf:
            raise ValueError(
                f"photons must be at most {_MOST_PHOTONS:g}, or inf for no shot noise, "
                f"got {self.photons}."
            )
        shared = math.hypot(self.response_columns, self.response_rows, self.threshold)
        if shared > self.response * (1 + 1e-9):
            raise ValueError(
                "response must be at least what response_columns, response_rows and "
                f"threshold make together, {shared:.4g}, got {self.response}."
            )

    @property
    def response_pixels(self) -> float:
        """The part of `response` that each pixel has for itself."""
        parts = (self.response_columns, self.response_rows, self.threshold)
        rest = self.response**2 - sum(part**2 for part in parts)
        return math.sqrt(max(rest, 0.0))


# A sensor without any fault: its maps give the ideal camera, bit for bit.
IDEAL_SENSOR = Sensor(
    response=0.0,
    response_columns=0.0,
    response_rows=0.0,
    threshold=0.0,
    dark_interval=math.inf,
    hot_share=0.0,
)


@dataclass(frozen=True, eq=False)
class SensorMaps:
    """What sets the pixels (h, w) of one sensor apart from each other."""

    response: np.ndarray  # float32, spikes per light, about 1
    dark: np.ndarray  # float32, spikes per spike frame in the dark
    threshold: np.ndarray  # float32, of the camera's threshold, about 1
    hot: np.ndarray  # bool, where dark is that of a hot pixel

    def __post_init__(self) -> None:
        """Raises a ValueError unless all maps have one size (h, w)."""
        shapes = {
            field.name: np.shape(getattr(self, field.name)) for field in fields(self)
        }
        if len(set(shapes.values())) > 1 or len(shapes["response"]) != 2:
            raise ValueError(
                "The sensor maps must all be of the same size (h, w), got "
                + ", ".join(f"{name} {shape}" for name, shape in shapes.items())
                + "."
            )

    def camera(
        self,
        *,
        threshold: float,
        gain: float,
        phase: np.ndarray,
        reset: Reset = "soft",
        nominal_threshold: float | None = None,
    ) -> SpikeCamera:
        """Returns a camera with these faults, for reading frame by frame.

        Args:
            threshold: charge at which an even pixel fires.
            gain: charge that light 1 brings an even pixel in one spike frame.
            phase: charge at the start in thresholds, (h, w) in [0, 1).
            reset: 'soft' keeps the charge above the threshold, 'hard' loses it.
            nominal_threshold: the threshold at which the dark rates hold, where it is
                not `threshold`: a sensor set to half of it fires twice as often in the
                dark.

        Raises:
            ValueError: the maps do not have the size of the phase, or an option does
                not suit the camera.
        """
        if np.shape(phase) != self.response.shape:
            raise ValueError(
                f"The sensor maps are {' x '.join(map(str, self.response.shape))} "
                f"pixels, but the spikes are {' x '.join(map(str, np.shape(phase)))}; "
                "draw maps of that size."
            )
        nominal = threshold if nominal_threshold is None else nominal_threshold
        return SpikeCamera(
            threshold=np.float32(threshold) * self.threshold,
            gain=np.float32(gain) * self.response,
            dark=np.float32(nominal) * self.dark,
            phase=phase,
            reset=reset,
        )


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


def draw_sensor_maps(
    sensor: Sensor, height: int, width: int, rng: np.random.Generator
) -> SensorMaps:
    """Returns the maps of one specimen of the sensor, (height, width) pixels.

    Raises:
        ValueError: height or width is not positive.
    """
    if height < 1 or width < 1:
        raise ValueError(
            f"height and width must be positive, got {height} and {width}."
        )
    size = (height, width)
    normal = rng.standard_normal
    response = (
        1
        + sensor.response_pixels * normal(size)
        + sensor.response_columns * normal((1, width))
        + sensor.response_rows * normal((height, 1))
    )
    threshold = 1 + sensor.threshold * normal(size)
    interval = sensor.dark_interval * np.exp(sensor.dark_spread * normal(size))
    hot = rng.random(size) < sensor.hot_share
    hot_dark = sensor.hot_rate * (1 - rng.random(size)) ** (-1 / sensor.hot_tail)
    dark = np.where(hot, hot_dark, np.minimum(1 / interval, sensor.hot_rate))
    return SensorMaps(
        response=np.clip(response, *_UNEVENNESS).astype(np.float32),
        dark=np.minimum(dark, 1.0).astype(np.float32),
        threshold=np.clip(threshold, *_UNEVENNESS).astype(np.float32),
        hot=hot,
    )


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
