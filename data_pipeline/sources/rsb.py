"""RSB of S-SDM: real spikes with real blurred frames, no sharp ones.

    ROOT/spike_data/SEQUENCE/NAME.dat
    ROOT/blur_data/SEQUENCE/NAME.jpg

A .dat is 250x400 with rows bottom-up, of any number of spike frames; a picture is
1000x1600. Nothing says when the shutter was open: the published code takes the 97 spike
frames around the middle of the stream (frame S // 2), and so it is here, as `exposure`
(spike_facts 1.4). Nothing says either how frames follow each other: a clip is one.

Its records have no sharp frames; they can be viewed and restored, not trained with.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.exposure import check_odd_exposure
from data_pipeline.records import UNKNOWN, Record
from data_pipeline.sources.public_set import ClipFiles, PublicSet, check_set_settings
from data_pipeline.sources.spike_folders import (
    GEOMETRY,
    check_stream,
    list_files,
    list_sequences,
    match_names,
    read_packed,
    read_picture,
    spike_record,
)

SETTINGS: dict[str, type] = {
    **GEOMETRY,
    "spike_scale": int,
    "exposure": int,  # spike frames around the middle of a stream, odd
}
DEFAULTS: dict[str, Any] = {
    "spike_height": 250,
    "spike_width": 400,
    "flip": True,
    "spike_scale": 4,
    "exposure": 97,
}
_LAYOUT = "RSB has spike_data/SEQUENCE/NAME.dat and blur_data/SEQUENCE/NAME.jpg."


def find_clips(root: Path, split: str, settings: Mapping[str, Any]) -> list[ClipFiles]:
    """Lists the clips, a frame each, sequence by sequence.

    Raises:
        FileNotFoundError: a folder or a partner of a file is missing.
        ValueError: a .dat does not fit the geometry, or is shorter than the exposure.
    """
    settings = check_rsb_settings(settings)
    streams, pictures = root / split / "spike_data", root / split / "blur_data"
    clips = []
    kinds = {"spike folder": streams, "blur folder": pictures}
    for sequence in list_sequences(kinds, _LAYOUT):
        spikes = list_files(streams / sequence, ".dat", _LAYOUT)
        blur = list_files(pictures / sequence, ".jpg", _LAYOUT)
        for name in match_names({"stream": spikes, "blur": blur}):
            count = check_stream(spikes[name], settings)
            first, last = _window(count, settings["exposure"])
            if first < 0 or last > count:
                raise ValueError(
                    f"{spikes[name]} holds {count} spike frames, too few for exposure="
                    f"{settings['exposure']} around its middle; take a shorter "
                    "exposure."
                )
            files = ClipFiles(f"{sequence}-{name}", (spikes[name],), (blur[name],))
            clips.append(files)
    return clips


def make_clip(files: ClipFiles, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a frame from its files.

    Raises:
        ValueError: a file cannot be read or does not fit.
    """
    settings = check_rsb_settings(settings)
    scale = settings["spike_scale"]
    height, width = settings["spike_height"] * scale, settings["spike_width"] * scale
    spikes = read_packed(files.spikes[0], settings)
    return spike_record(
        name=files.name,
        blur=read_picture(files.blur[0], (height, width))[None],
        sharp=np.zeros((0, height, width, 3), np.uint8),
        spikes=spikes,
        exposure=np.array([_window(len(spikes), settings["exposure"])]),
        sharp_time=np.array([np.nan]),
        spike_scale=scale,
        transfer=UNKNOWN,
        blur_kind="of a camera; its exposure taken to be around the stream's middle",
        source=f"RSB {files.name}",
        licence="none stated (S-SDM)",
    )


def check_rsb_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_set_settings(settings, SETTINGS)
    check_odd_exposure(checked["exposure"])
    return checked


def _window(count: int, exposure: int) -> tuple[int, int]:
    first = count // 2 - exposure // 2
    return first, first + exposure


RSB = PublicSet("1", SETTINGS, DEFAULTS, find_clips, make_clip)
