"""Two cameras on the same light: a clip record from a stream of sharp light."""

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np

from data_pipeline.exposure import Shutter, check_odd_exposure
from data_pipeline.records import (
    SPIKE_SCALES,
    UNKNOWN,
    Record,
    check_record,
    pack_spikes,
    rgb_from_spike,
)
from data_pipeline.spike_camera import SpikeCamera, grey


def check_cameras(settings: Mapping[str, Any]) -> None:
    """Raises a ValueError unless exposure, period and spike_scale suit both cameras."""
    check_odd_exposure(settings["exposure"])
    if settings["period"] < settings["exposure"]:
        raise ValueError(
            f"period must be at least the exposure, {settings['exposure']} spike "
            f"frames, got {settings['period']}."
        )
    scale = settings["spike_scale"]
    if scale not in SPIKE_SCALES:
        raise ValueError(f"spike_scale must be one of {SPIKE_SCALES}, got {scale}.")


def capture(
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
) -> Record:
    """Records gamma-coded light with an RGB camera and a spike camera.

    Blur is the mean of the 8-bit-scale (gamma-coded) light and the spikes integrate
    the grey of that same light, so that the long mean of the spikes is the grey of
    the blur (spike_facts 1.4, 'consistent pairs').

    Args:
        light: RGB light (H, W, 3), float32 in [0, 1], one for each spike frame.
        exposure: windows (T, 2) in spike frames.
        threshold: charge at which a spike pixel fires.
        gain: charge that light 1 brings in one spike frame.
        spike_scale: RGB pixels per spike pixel; spikes see the mean over that area.
        rng: draws the phases of the pixels.
        name: of the clip.
        source: where the light comes from.
        licence: of the source.
        seed: what the simulation was seeded with.
        spike_rate: spike frames per second, NaN where it is not known.
    """
    shutter = Shutter(exposure)
    camera: SpikeCamera | None = None
    packed: list[np.ndarray] = []
    size = (0, 0)
    for sample, frame in enumerate(light):
        if camera is None:
            size = (frame.shape[0] // spike_scale, frame.shape[1] // spike_scale)
            phase = rng.random(size, np.float32)
            camera = SpikeCamera(threshold=threshold, gain=gain, phase=phase)
        shutter.add(sample, frame)
        luma = grey(frame)
        if spike_scale > 1:
            luma = cv2.resize(luma, size[::-1], interpolation=cv2.INTER_AREA)
        packed.append(pack_spikes(camera.read(luma)))
    if camera is None:
        raise ValueError(f"{name}: there is no light to record.")
    blur, sharp = shutter.develop()
    record: Record = {
        "name": name,
        "blur": blur,
        "sharp": sharp,
        "spikes": np.stack(packed),
        "exposure": exposure.astype(np.float32),
        "sharp_time": exposure.mean(axis=1).astype(np.float32),
        "spike_rate": np.float32(spike_rate),
        "threshold": np.float32(threshold),
        "gain": np.float32(gain),
        "spike_scale": np.int32(spike_scale),
        "rgb_from_spike": rgb_from_spike(spike_scale),
        "cfa": "none",
        "transfer": "gamma",
        "blur_kind": "mean of gamma-coded light, 8 bits",
        "source": source,
        "licence": licence or UNKNOWN,
        "seed": np.int64(seed),
    }
    check_record(record)
    return record
