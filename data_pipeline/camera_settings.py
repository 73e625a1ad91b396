"""The settings of both cameras that every simulated source shares."""

import math
from collections.abc import Mapping
from typing import Any

from data_pipeline.bayer import CFA_PATTERNS
from data_pipeline.capture import Cameras
from data_pipeline.choices import unknown_name
from data_pipeline.exposure import check_odd_exposure, instant_step
from data_pipeline.records import SPIKE_SCALES
from data_pipeline.rgb_camera import RgbCamera
from data_pipeline.sensor import Sensor

SENSORS = ("ideal", "calibrated")

# name -> (default, help). With the defaults both cameras are ideal, and see the
# gamma-coded light of pictures.
CAMERA_OPTIONS: dict[str, tuple[Any, str]] = {
    "transfer": ("gamma", "light that both cameras integrate: gamma (coded) or linear"),
    "sharp_instants": (1, "sharp frames of each exposure, odd"),
    "rgb_gain": (1.0, "brightness of the RGB frames; what gets above white saturates"),
    "read_noise": (0.0, "of the blurred frames, standard deviation in 255ths of white"),
    "sensor": ("ideal", "of the spikes: ideal, or calibrated (uneven, dark current)"),
    "photons": (
        0.0,
        "that white brings a pixel of the calibrated sensor in one spike frame; 0: no "
        "shot noise",
    ),
    "threshold_spread": (
        1.0,
        "factor that the threshold of a clip is drawn higher or lower by, at most",
    ),
    "light_spread": (1.0, "likewise, of the light on the spike camera"),
    "cfa": ("none", f"colour filters of the spikes: none, {', '.join(CFA_PATTERNS)}"),
}
CAMERA_SETTINGS: dict[str, type] = {
    name: type(default) for name, (default, _) in CAMERA_OPTIONS.items()
}
CAMERA_DEFAULTS: dict[str, Any] = {
    name: default for name, (default, _) in CAMERA_OPTIONS.items()
}


def check_cameras(settings: Mapping[str, Any], *, instants_every: int = 1) -> None:
    """Raises a ValueError that names the setting which does not suit the cameras.

    Args:
        settings: exposure, period, spike_scale, threshold, gain and CAMERA_SETTINGS.
        instants_every: spike frames between two instants that can be sharp.
    """
    check_odd_exposure(settings["exposure"])
    if settings["period"] < settings["exposure"]:
        raise ValueError(
            f"period must be at least the exposure, {settings['exposure']} spike "
            f"frames, got {settings['period']}."
        )
    scale = settings["spike_scale"]
    if scale not in SPIKE_SCALES:
        raise ValueError(f"spike_scale must be one of {SPIKE_SCALES}, got {scale}.")
    for name in ("threshold", "gain"):
        if not settings[name] > 0:
            raise ValueError(f"{name} must be above 0, got {settings[name]}.")
    instant_step(settings["sharp_instants"], settings["exposure"], every=instants_every)
    cameras(settings)


def cameras(settings: Mapping[str, Any]) -> Cameras:
    """Returns the cameras that the settings describe.

    Raises:
        ValueError: a setting is out of its range.
    """
    name, photons = settings["sensor"], settings["photons"]
    if name not in SENSORS:
        raise ValueError(unknown_name("sensor", name, SENSORS))
    if photons < 0:
        raise ValueError(f"photons must be 0 (no shot noise) or more, got {photons}.")
    if name == "ideal" and photons:
        raise ValueError(
            f"The ideal sensor sees no photons, but photons is {photons:g}; take "
            "sensor=calibrated, or leave photons at 0."
        )
    return Cameras(
        rgb=RgbCamera(
            transfer=settings["transfer"],
            gain=settings["rgb_gain"],
            read_noise=settings["read_noise"],
        ),
        sensor=None if name == "ideal" else Sensor(photons=photons or math.inf),
        threshold_spread=settings["threshold_spread"],
        light_spread=settings["light_spread"],
        cfa=settings["cfa"],
    )
