"""S-SDM's GOPRO: frames of four times finer pixels, spikes around each exposure.

    ROOT/train/spike_data/GOPRxxxx_yy_zz/000019.dat
    ROOT/train/blur_data/GOPRxxxx_yy_zz/000019.png
    ROOT/train/sharp_data/GOPRxxxx_yy_zz/000019.png

and the same with test, or one of them as ROOT. Pictures are 720x1280. A .dat is
180x320, rows bottom-up, of 137 spike frames: 20, the 97 of the exposure, and 20.
GoPro's 240 frames per second were raised eightfold; 13 of them, 97 then, make a blur,
and the next begins one frame, 8 spike frames, after its last (spike_facts 1.4). The
number of a file is that of its middle among GoPro's frames, so that 19 comes before 32.

The pictures of the first and last exposure of a sequence have no .dat; they are left
out. A clip joins the streams of `num_frames` exposures in a row: each gives its spikes
from the start of its exposure to that of the next. Each was simulated by itself, so at
that seam a pixel's charge starts anew. What is left of a sequence is left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.exposure import check_odd_exposure, exposure_windows
from data_pipeline.records import Record
from data_pipeline.sources.public_set import ClipFiles, PublicSet, check_set_settings
from data_pipeline.sources.spike_folders import (
    GEOMETRY,
    join_frames,
    list_sequences,
    match_exposures,
    read_packed,
    read_picture,
    require_clips,
    spike_record,
)

SETTINGS: dict[str, type] = {
    **GEOMETRY,
    "spike_scale": int,
    "spikes_per_frame": int,  # spike frames of one frame of 240 per second
    "exposure": int,  # spike frames, odd
    "period": int,  # spike frames from one exposure's start to the next
    "pad": int,  # spike frames of a .dat before its exposure, and after it
    "num_frames": int,  # blurred frames of a clip
}
DEFAULTS: dict[str, Any] = {
    "spike_height": 180,
    "spike_width": 320,
    "flip": True,
    "spike_scale": 4,
    "spikes_per_frame": 8,
    "exposure": 97,
    "period": 104,
    "pad": 20,
    "num_frames": 6,
}
_FRAMES_PER_SECOND = 240
_LAYOUT = (
    "S-SDM's GOPRO has SPLIT/{spike_data,blur_data,sharp_data}/SEQUENCE/NUMBER, .dat "
    "and .png."
)


def find_clips(root: Path, split: str, settings: Mapping[str, Any]) -> list[ClipFiles]:
    """Lists the clips of a split, sequence by sequence.

    Raises:
        FileNotFoundError: a folder or a picture of a stream is missing.
        ValueError: a .dat is not an exposure with its pads, or no sequence is as long
            as a clip.
    """
    settings = check_sdm_settings(settings)
    folder = root / split
    length = settings["exposure"] + 2 * settings["pad"]
    step = settings["period"] // settings["spikes_per_frame"]
    clips = []
    for sequence in list_sequences({"spike folder": folder / "spike_data"}, _LAYOUT):
        frames = match_exposures(
            folder / "spike_data" / sequence,
            folder / "blur_data" / sequence,
            folder / "sharp_data" / sequence,
            settings,
            length=length,
            reason=f"exposure={settings['exposure']} with pad={settings['pad']} on "
            f"both sides takes {length}; check these, spike_height and spike_width.",
            layout=_LAYOUT,
            spare=("blur", "sharp"),
        )
        clips += join_frames(frames, sequence, settings["num_frames"], step=step)
    require_clips(clips, folder, settings["num_frames"])
    return clips


def make_clip(files: ClipFiles, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip from its files.

    Raises:
        ValueError: a file cannot be read or does not fit.
    """
    settings = check_sdm_settings(settings)
    scale, count = settings["spike_scale"], len(files.spikes)
    pad, period = settings["pad"], settings["period"]
    size = (settings["spike_height"] * scale, settings["spike_width"] * scale)
    exposure = exposure_windows(
        count, first_start=pad, exposure=settings["exposure"], period=period
    )
    parts = []
    for index, path in enumerate(files.spikes):
        first = pad if index else 0
        last = pad + period if index < count - 1 else None
        parts.append(read_packed(path, settings, slice(first, last)))
    return spike_record(
        name=files.name,
        blur=np.stack([read_picture(path, size) for path in files.blur]),
        sharp=np.stack([read_picture(path, size) for path in files.sharp]),
        spikes=np.concatenate(parts),
        exposure=exposure,
        sharp_time=exposure.mean(axis=1),
        spike_scale=scale,
        transfer="gamma",
        blur_kind=f"mean of {settings['exposure']} interpolated frames of gamma-coded "
        "light, 8 bits",
        source=f"S-SDM GOPRO {files.name.rpartition('-')[0]}, the streams of {count} "
        "exposures joined",
        licence="MIT by its badge, no licence file (S-SDM)",
        spike_rate=_FRAMES_PER_SECOND * settings["spikes_per_frame"],
    )


def check_sdm_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_set_settings(settings, SETTINGS)
    check_odd_exposure(checked["exposure"])
    exposure, period = checked["exposure"], checked["period"]
    if not exposure <= period <= exposure + checked["pad"]:
        raise ValueError(
            f"period must be between the exposure, {exposure} spike frames, and that "
            f"with the pad after it, {exposure + checked['pad']}, got {period}."
        )
    if period % checked["spikes_per_frame"]:
        raise ValueError(
            f"period must be a multiple of spikes_per_frame, "
            f"{checked['spikes_per_frame']}, got {period}."
        )
    return checked


S_SDM = PublicSet("1", SETTINGS, DEFAULTS, find_clips, make_clip)
