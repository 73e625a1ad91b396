"""The calibrated sensor: how a real spike camera departs from the ideal one.

Pixels respond unevenly, with stripes along columns and rows; fire at uneven
thresholds; and integrate a dark current beside the light, which some hot pixels have
far too much of. Where photons are few, their number varies too.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from data_pipeline.spike_camera import Reset, SpikeCamera

# Photons that white brings a pixel in one spike frame of 50 us, as SCSim draws them.
SCSIM_PHOTONS = 5e4
# A response or a threshold further from 1 than this would be a defect, not noise
# (spike_facts 2, 'Recommended simulator').
_UNEVENNESS = (0.8, 1.2)
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
