"""Spike-only recordings as triplets: blur and sharp are made of the spikes themselves.

Blur is the long TFP of an exposure, with the spikes at both of its ends shared by the
charge of the pixels (data_pipeline/charge.py). Sharp is the light of an instant in it,
reconstructed along the motion (data_pipeline/reconstruct.py). The spikes are those of
the recording, so the noise in all three is real.

A sensor integrates linear light: pictures of it are gamma-coded. White is the rate that
`white_rate` says, or the one that all but the brightest 0.5 % of the blur stay below.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipeline.charge import mean_rate
from data_pipeline.choices import unknown_name
from data_pipeline.exposure import (
    MARGIN,
    count_windows,
    exposure_windows,
    instant_step,
    sharp_times,
)
from data_pipeline.noise_maps import NoiseMaps, estimated_maps
from data_pipeline.reconstruct import (
    SEGMENTS,
    check_window,
    reconstruct,
    stream_window,
    to_light,
)
from data_pipeline.records import (
    Record,
    check_record,
    pack_spikes,
    rgb_from_spike,
)
from data_pipeline.rgb_camera import RgbCamera
from data_pipeline.spike_files import SpikeStream
from data_pipeline.transfer import INTEGRATED

VERSION = "2"  # raised whenever the same settings would give other clips
# All times in spike frames.
TRIPLET_SETTINGS: dict[str, type] = {
    "exposure": int,
    "period": int,
    "num_frames": int,
    "sharp_instants": int,
    "window": int,
    "white_rate": float,
    "dark_rate": float,
    "spike_rate": float,
    "transfer": str,
}
TRIPLET_DEFAULTS: dict[str, Any] = {
    "exposure": 49,
    "period": 56,
    "num_frames": 6,
    "sharp_instants": 1,
    "window": 55,
    "white_rate": 0.0,
    "dark_rate": 0.0,
    "spike_rate": 0.0,
    "transfer": "linear",
}
_WHITE = 99.5  # percentile of the blur that is white where white_rate is not said


def check_triplet_settings(settings: Mapping[str, Any]) -> None:
    """Raises a ValueError that names the setting which cannot be."""
    for name in ("exposure", "num_frames"):
        if settings[name] < 1:
            raise ValueError(f"{name} must be at least 1, got {settings[name]}.")
    exposure, period = settings["exposure"], settings["period"]
    if period < exposure:
        raise ValueError(
            f"period must be at least the exposure, {exposure} spike frames, "
            f"got {period}."
        )
    instant_step(settings["sharp_instants"], exposure)
    check_window(settings["window"])
    longest = 2 * SEGMENTS * MARGIN
    if settings["window"] > longest:
        raise ValueError(
            f"window must be at most {longest} spike frames, so that its middle "
            f"segment lies in the margin of a clip, got {settings['window']}."
        )
    for name in ("white_rate", "dark_rate"):
        if not 0 <= settings[name] <= 1:
            raise ValueError(
                f"{name} must be from 0 (not known) to 1 spikes per spike frame, "
                f"got {settings[name]:g}."
            )
    if not 0 <= settings["spike_rate"] < math.inf:
        raise ValueError(
            "spike_rate must be the spike frames per second, or 0 where they are not "
            f"known, got {settings['spike_rate']:g}."
        )
    if settings["transfer"] not in INTEGRATED:
        raise ValueError(unknown_name("transfer", settings["transfer"], INTEGRATED))


def check_filters(settings: Mapping[str, Any], cfa: str) -> None:
    """Raises a ValueError where a setting makes no sense behind colour filters."""
    if settings["dark_rate"] and cfa != "none":
        raise ValueError(
            "The noise of a sensor cannot be estimated through colour filters; leave "
            "dark_rate at 0."
        )


def clip_starts(num_spike_frames: int, settings: Mapping[str, Any]) -> list[int]:
    """Returns the spike frames at which the clips of a stream begin, margin included.

    Clips follow each other in periods; what is left at the end is in no clip.
    """
    windows = count_windows(
        num_spike_frames,
        first_start=MARGIN,
        exposure=settings["exposure"],
        period=settings["period"],
        margin=MARGIN,
    )
    length = settings["num_frames"] * settings["period"]
    return [clip * length for clip in range(windows // settings["num_frames"])]


def clip_length(settings: Mapping[str, Any]) -> int:
    """Returns the spike frames of a clip, with its margins."""
    periods = (settings["num_frames"] - 1) * settings["period"]
    return periods + settings["exposure"] + 2 * MARGIN


def clip_source(start: int, settings: Mapping[str, Any]) -> range:
    """Returns the spike frames of a stream that a clip is made from, if they are there.

    They are more than its own: frames at its ends are made from what is around them.

    Args:
        start: spike frame at which the clip begins, of clip_starts.
        settings: TRIPLET_SETTINGS, and any others.
    """
    exposure = _exposure_windows(settings)
    times = sharp_times(exposure, settings["sharp_instants"])
    window, last = settings["window"], start + clip_length(settings)
    beyond = _beyond(*exposure[0].tolist())
    first_seen, _ = stream_window(start + times[0], window, last)
    _, last_seen = stream_window(start + times[-1], window, last + 2 * window)
    return range(
        max(0, min(start, start + int(exposure[0, 0]) - beyond, first_seen)),
        max(last, start + int(exposure[-1, 1]) + beyond, last_seen),
    )


def make_triplets(
    stream: SpikeStream,
    start: int,
    settings: Mapping[str, Any],
    *,
    name: str,
    source: str,
    licence: str,
    cfa: str = "none",
) -> Record:
    """Makes the record of a clip; only the stream around it is read.

    Args:
        stream: of the recording.
        start: spike frame at which the clip begins, of clip_starts.
        settings: TRIPLET_SETTINGS, and any others.
        name: of the clip.
        source: of the recording.
        licence: of the recording.
        cfa: colour filters of the pixels, 'none' or one of bayer.CFA_PATTERNS.

    Raises:
        ValueError: a setting cannot be, the stream is too short or too small, is all
            dark in this clip, or its dark rate cannot be estimated.
    """
    check_triplet_settings(settings)
    check_filters(settings, cfa)
    length = clip_length(settings)
    if not 0 <= start <= len(stream) - length:
        raise ValueError(
            f"{name}: a clip takes {length} spike frames, but the stream holds "
            f"{len(stream)} and the clip would begin at {start}."
        )
    spikes = stream[start : start + length]
    dark_rate = settings["dark_rate"]
    maps = estimated_maps(spikes, dark_rate=dark_rate) if dark_rate else None
    exposure = _exposure_windows(settings)
    blur = np.stack(
        [
            _exposure_light(stream, start + first, start + last, cfa, maps)
            for first, last in exposure.tolist()
        ]
    )
    times = sharp_times(exposure, settings["sharp_instants"])
    sharp = np.stack(
        [
            _instant_light(stream, start + time, settings["window"], cfa, maps)
            for time in times.tolist()
        ]
    )
    white = settings["white_rate"] or _measured_white(blur, spikes, name)
    camera = RgbCamera(transfer=settings["transfer"])
    record: Record = {
        "name": name,
        "blur": _frames(camera.picture(blur / np.float32(white))),
        "sharp": _frames(camera.picture(sharp / np.float32(white))),
        "spikes": pack_spikes(spikes),
        "exposure": exposure,
        "sharp_time": times,
        "spike_rate": np.float32(settings["spike_rate"] or math.nan),
        # Charge has no unit of its own: the threshold is the unit.
        "threshold": np.float32(1.0),
        "gain": np.float32(white),
        "spike_scale": np.int32(1),
        "rgb_from_spike": rgb_from_spike(1),
        "cfa": cfa,
        "transfer": settings["transfer"],
        "blur_kind": _blur_kind(settings, white, cfa),
        "source": f"{source}, blur and sharp made from its spikes",
        "licence": licence,
        "seed": np.int64(-1),
    }
    check_record(record)
    return record


def _exposure_windows(settings: Mapping[str, Any]) -> np.ndarray:
    return exposure_windows(
        settings["num_frames"],
        first_start=MARGIN,
        exposure=settings["exposure"],
        period=settings["period"],
    )


def _beyond(start: float, end: float) -> int:
    """Spike frames beside an exposure in which firings are looked up."""
    return max(MARGIN, int(end - start) // 2)


def _exposure_light(
    stream: SpikeStream, start: float, end: float, cfa: str, maps: NoiseMaps | None
) -> np.ndarray:
    """The mean light of an exposure as rates; firings are looked up around it."""
    beyond = _beyond(start, end)
    first, last = max(0, int(start) - beyond), min(len(stream), int(end) + beyond)
    rate = mean_rate(stream[first:last], start - first, end - first)
    return to_light(rate, cfa, maps)


def _instant_light(
    stream: SpikeStream, instant: float, window: int, cfa: str, maps: NoiseMaps | None
) -> np.ndarray:
    first, last = stream_window(instant, window, len(stream))
    return reconstruct(
        stream[first:last], instant - first, window=window, cfa=cfa, maps=maps
    )


def _measured_white(blur: np.ndarray, spikes: np.ndarray, name: str) -> float:
    white = float(np.percentile(blur, _WHITE)) or float(blur.max())
    if not (white > 0 and spikes.any()):
        raise ValueError(
            f"{name} is all dark, so what is white in it is not known; say white_rate, "
            "in spikes per spike frame, or leave this stream out."
        )
    return white


def _frames(pictures: np.ndarray) -> np.ndarray:
    """Gives grey pictures (T, h, w) three equal channels."""
    if pictures.ndim == 4:
        return pictures
    return np.repeat(pictures[..., None], 3, axis=-1)


def _blur_kind(settings: Mapping[str, Any], white: float, cfa: str) -> str:
    kind = f"TFP of {settings['exposure']} spike frames, ends shared by intervals, over"
    how = "as said" if settings["white_rate"] else f"measured, {_WHITE:g} % of the blur"
    kind += f" a white of {white:.4g} ({how})"
    if settings["dark_rate"]:
        kind += f", without a dark rate of {settings['dark_rate']:g}"
    if cfa != "none":
        kind += f", {cfa} demosaiced"
    if settings["transfer"] == "linear":
        kind += ", gamma-coded"
    return f"{kind}, 8 bits; sharp: along the motion within {settings['window']}"
