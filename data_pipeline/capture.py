"""Two cameras on the same light: a clip record from a stream of sharp light."""

import dataclasses
import math
import zlib
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from data_pipeline.bayer import check_pattern, mosaic
from data_pipeline.exposure import Shutter, sharp_times
from data_pipeline.records import (
    UNKNOWN,
    Record,
    check_record,
    pack_spikes,
    rgb_from_spike,
)
from data_pipeline.rgb_camera import RgbCamera
from data_pipeline.sensor import Sensor, SensorMaps
from data_pipeline.sensor_clip import SensorCameras, draw_cameras
from data_pipeline.spike_camera import grey


@dataclasses.dataclass(frozen=True)
class Cameras:
    """What the two cameras are like; both are ideal where nothing is said.

    Both integrate in the transfer space of the RGB camera, so that the long mean of the
    spikes is the grey of the blur in that space (spike_facts 1.4, 'consistent pairs').
    """

    rgb: RgbCamera = RgbCamera()
    sensor: Sensor | None = None  # of the spike camera; None: ideal
    # The threshold of a clip is the given one times a factor that is log-uniform from
    # 1 / spread to spread, and so is the light on the spike camera.
    threshold_spread: float = 1.0
    light_spread: float = 1.0
    cfa: str = "none"  # colour filters over the spike pixels, a name in CFA_PATTERNS

    def __post_init__(self) -> None:
        """Raises a ValueError that names what cannot be."""
        check_pattern(self.cfa)
        for name in ("threshold_spread", "light_spread"):
            if not 1 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name} must be a factor of at least 1 (1: none), "
                    f"got {getattr(self, name)}."
                )


IDEAL = Cameras()


@dataclasses.dataclass(frozen=True, eq=False)
class Captured:
    """A record, and what is known of its spikes beside it."""

    record: Record
    clean: np.ndarray  # (S, h, ceil(w / 8)) bytes: the spikes of the ideal camera
    maps: SensorMaps | None  # of the sensor; None where it is ideal


def capture(
    light: Iterable[np.ndarray], exposure: np.ndarray, **options: Any
) -> Record:
    """Returns the record of `capture_clip`, which says what the options are."""
    return capture_clip(light, exposure, **options).record


def capture_clip(
    light: Iterable[np.ndarray],
    exposure: np.ndarray,
    *,
    threshold: float,
    gain: float,
    spike_scale: int,
    rng: np.random.Generator,
    name: str,
    source: str,
    licence: str,
    seed: int,
    spike_rate: float = float("nan"),
    cameras: Cameras = IDEAL,
    sharp_time: np.ndarray | None = None,
) -> Captured:
    """Records gamma-coded light with an RGB camera and a spike camera.

    Both integrate that light, or both integrate it linearised, as the cameras say.
    What the sensor and the noise are is a function of the seed and the clip's name.

    Args:
        light: RGB light (H, W, 3), gamma-coded float32 in [0, 1], one for each spike
            frame.
        exposure: windows (T, 2) in spike frames.
        threshold: charge at which a spike pixel fires.
        gain: charge that light 1 brings in one spike frame.
        spike_scale: RGB pixels per spike pixel; spikes see the mean over that area.
        rng: draws the phases of the pixels, which no sensor and no noise changes.
        name: of the clip.
        source: where the light comes from.
        licence: of the source.
        seed: what the simulation was seeded with, not negative.
        spike_rate: spike frames per second, NaN where it is not known.
        cameras: what the cameras are like.
        sharp_time: sharp instants (n * T,) in spike frames, as of `sharp_times`; the
            middle of each exposure where they are not given.

    Raises:
        ValueError: there is no light, it is not finite, or it ends too early.
    """
    sensor_rng, noise_rng = _generators(seed, name)
    if sharp_time is None:
        sharp_time = sharp_times(exposure, 1)
    shutter = Shutter(
        exposure, sharp_time=sharp_time, camera=cameras.rgb, rng=noise_rng
    )
    pair: SensorCameras | None = None
    size = (0, 0)
    clean: list[np.ndarray] = []
    spikes: list[np.ndarray] = []
    for sample, frame in enumerate(light):
        if not np.isfinite(frame.sum()):
            raise ValueError(
                f"The light of {name} is not finite in spike frame {sample} (NaN or "
                "infinite); mend the footage, or leave that part of it out."
            )
        if pair is None:
            size = (frame.shape[0] // spike_scale, frame.shape[1] // spike_scale)
            pair = _draw_pair(cameras, size, threshold, gain, rng, sensor_rng)
        collected = cameras.rgb.collect(frame)
        shutter.add(sample, collected)
        seen = _pixel_light(collected, size, cameras.cfa)
        ideal, real = pair.read(seen, sensor_rng)
        spikes.append(pack_spikes(real))
        if real is not ideal:
            clean.append(pack_spikes(ideal))
    if pair is None:
        raise ValueError(f"{name}: there is no light to record.")
    blur, sharp = shutter.develop()
    record: Record = {
        "name": name,
        "blur": blur,
        "sharp": sharp,
        "spikes": np.stack(spikes),
        "exposure": exposure.astype(np.float32),
        "sharp_time": sharp_time.astype(np.float32),
        "spike_rate": np.float32(spike_rate),
        "threshold": np.float32(pair.threshold),
        "gain": np.float32(pair.gain),
        "spike_scale": np.int32(spike_scale),
        "rgb_from_spike": rgb_from_spike(spike_scale),
        "cfa": cameras.cfa,
        "transfer": cameras.rgb.transfer,
        "blur_kind": cameras.rgb.blur_kind,
        "source": source,
        "licence": licence or UNKNOWN,
        "seed": np.int64(seed),
    }
    check_record(record)
    return Captured(
        record=record,
        clean=np.stack(clean) if clean else record["spikes"],
        maps=pair.maps,
    )


def _generators(seed: int, name: str) -> tuple[np.random.Generator, ...]:
    """One for the sensor of a clip and one for the noise of its frames."""
    clip = zlib.crc32(name.encode())
    return tuple(np.random.default_rng([seed, clip, use]) for use in (0, 1))


def _draw_pair(
    cameras: Cameras,
    size: tuple[int, int],
    threshold: float,
    gain: float,
    rng: np.random.Generator,
    sensor_rng: np.random.Generator,
) -> SensorCameras:
    """The spike cameras of a clip, ideal and real."""
    return draw_cameras(
        size,
        threshold=threshold,
        gain=gain,
        rng=sensor_rng,
        sensor=cameras.sensor,
        phase=rng.random(size, np.float32),
        threshold_range=(1 / cameras.threshold_spread, cameras.threshold_spread),
        light_range=(1 / cameras.light_spread, cameras.light_spread),
    )


def _pixel_light(collected: np.ndarray, size: tuple[int, int], cfa: str) -> np.ndarray:
    """What the spike pixels (h, w) see of RGB light (H, W, 3)."""
    light = grey(collected) if cfa == "none" else collected
    if size != collected.shape[:2]:
        light = cv2.resize(light, size[::-1], interpolation=cv2.INTER_AREA)
    return light if cfa == "none" else mosaic(light, cfa)
