"""Spike-Zoo's BASE and S-REDS: spikes with one sharp grey frame each, no blur.

    ROOT/train/spike/NAME.dat    ROOT/test/spike/NAME.dat
    ROOT/train/gt/NAME.png       ROOT/test/gt/NAME.png

or one of train and test as ROOT, or NAME.dat and NAME.png side by side in ROOT. A .dat
is 250x400 with rows bottom-up, of 301 spike frames; the .png is the grey light of the
spike frame in the middle (names end in key_id151, counted from 1). White light gives
0.6 spikes per spike frame (spike_facts 1.4, 1.5).

The blur is made from the spikes: the long TFP of an exposure around the key frame over
the rate of white. So it has the noise of its spikes, 1 / (white_rate * exposure) at
most. A clip is one frame.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_pipeline.exposure import check_odd_exposure
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.rgb_camera import quantise
from data_pipeline.sources.public_set import ClipFiles, PublicSet, check_set_settings
from data_pipeline.sources.spike_folders import (
    GEOMETRY,
    check_stream,
    list_files,
    match_names,
    read_packed,
    read_picture,
    spike_record,
)

SETTINGS: dict[str, type] = {
    **GEOMETRY,
    "white_rate": float,  # spikes per spike frame at white
    "key_frame": int,  # spike frame of the picture, counted from 0
    "exposure": int,  # spike frames around the key frame, odd
}
DEFAULTS: dict[str, Any] = {
    "spike_height": 250,
    "spike_width": 400,
    "flip": True,
    "white_rate": 0.6,
    "key_frame": 150,
    "exposure": 49,
}
_LAYOUT = "Spike-Zoo has spike/NAME.dat and gt/NAME.png in train and in test."


def find_clips(root: Path, split: str, settings: Mapping[str, Any]) -> list[ClipFiles]:
    """Lists the clips of a folder with spike and gt, or of one that holds both.

    Raises:
        FileNotFoundError: a folder or a partner of a file is missing.
        ValueError: a .dat does not fit the geometry, or is too short for the exposure.
    """
    settings = check_zoo_settings(settings)
    folder = root / split
    apart = (folder / "spike").is_dir() or (folder / "gt").is_dir()
    streams = list_files(folder / "spike" if apart else folder, ".dat", _LAYOUT)
    pictures = list_files(folder / "gt" if apart else folder, ".png", _LAYOUT)
    first, last = _window(settings)
    clips = []
    for name in match_names({"stream": streams, "picture": pictures}):
        count = check_stream(streams[name], settings)
        if first < 0 or last > count:
            raise ValueError(
                f"{streams[name]} holds {count} spike frames, but exposure="
                f"{settings['exposure']} around key_frame={settings['key_frame']} "
                f"takes {first} to {last}; take a shorter exposure or another key "
                "frame."
            )
        clips.append(ClipFiles(name, (streams[name],), sharp=(pictures[name],)))
    return clips


def make_clip(files: ClipFiles, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip: blur from the spikes, sharp from the picture.

    Raises:
        ValueError: a file cannot be read or does not fit.
    """
    settings = check_zoo_settings(settings)
    size = (settings["spike_height"], settings["spike_width"])
    white_rate, exposure = settings["white_rate"], settings["exposure"]
    packed = read_packed(files.spikes[0], settings)
    first, last = _window(settings)
    rate = unpack_spikes(packed[first:last], size[1]).mean(axis=0)
    picture = cv2.cvtColor(read_picture(files.sharp[0], size), cv2.COLOR_RGB2GRAY)
    return spike_record(
        name=files.name,
        blur=_frame(quantise(rate / white_rate)),
        sharp=_frame(picture),
        spikes=packed,
        exposure=np.array([[first, last]]),
        sharp_time=np.array([settings["key_frame"] + 0.5]),
        spike_scale=1,
        transfer="gamma",
        blur_kind=f"TFP of {exposure} spike frames over a white of {white_rate:g}, "
        "grey, 8 bits",
        source=f"Spike-Zoo {files.name}, blur made from its spikes",
        licence="MIT (Spike-Zoo)",
        # Charge has no unit of its own: the threshold is the unit.
        threshold=1.0,
        gain=white_rate,
    )


def check_zoo_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_set_settings(settings, SETTINGS)
    check_odd_exposure(checked["exposure"])
    return checked


def _window(settings: Mapping[str, Any]) -> tuple[int, int]:
    first = settings["key_frame"] - settings["exposure"] // 2
    return first, first + settings["exposure"]


def _frame(grey: np.ndarray) -> np.ndarray:
    """Makes a grey frame (H, W) one of three channels (1, H, W, 3)."""
    return np.repeat(grey[None, ..., None], 3, axis=-1)


SPIKE_ZOO = PublicSet("1", SETTINGS, DEFAULTS, find_clips, make_clip)
