"""Spk-GoPro of SpkDeblurNet: GoPro's frames with spikes of twice coarser pixels.

    ROOT/GOPRO_Large/train/GOPRxxxx_yy_zz/blur_gamma/000047.png     (or blur)
    ROOT/GOPRO_Large/train/GOPRxxxx_yy_zz/sharp/000047.png
    ROOT/GOPRO_Large_spike_seq/train/GOPRxxxx_yy_zz/spike/000047.dat

and the same with test. Pictures are 720x1280. A .dat is 360x640, rows bottom-up, of 8
spike frames for each of the yy frames of 240 per second that the blur is the mean of:
its exposure is the whole .dat (spike_facts 0 trap 1, 1.4).

Blurred frames of a sequence are numbered one by one and do not overlap in time, so a
clip joins the streams of `num_frames` in a row. Each was simulated by itself: at a seam
a pixel's charge starts anew. What is left of a sequence is left out.

The sharp frame is taken to be in the middle of the exposure. With yy even the middle
falls between two frames and the sharp one is half a frame, 4 spike frames, beside it.

The spikes are of gamma-coded grey. blur_gamma is the mean of linear light, so the long
TFP is not its grey and what relies on that (gain match, blur x short / long) is off
where things move; blur is the mean of gamma-coded light and agrees (spike_facts 1.4).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.choices import unknown_name
from data_pipeline.exposure import exposure_windows
from data_pipeline.records import Record
from data_pipeline.sources.spike_folders import (
    GEOMETRY,
    ClipFiles,
    SpikeSet,
    check_set_settings,
    check_stream,
    join_frames,
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
    "spikes_per_frame": int,  # spike frames of one frame of 240 per second
    "blur_folder": str,
    "num_frames": int,  # blurred frames of a clip
}
DEFAULTS: dict[str, Any] = {
    "spike_height": 360,
    "spike_width": 640,
    "flip": True,
    "spike_scale": 2,
    "spikes_per_frame": 8,
    "blur_folder": "blur_gamma",
    "num_frames": 6,
}
# blur_folder -> blur_kind of the record.
BLUR_KINDS = {
    "blur_gamma": "blur_gamma: mean of linear light (gamma 2.2), while the spikes are "
    "of gamma-coded grey, so their mean is not its grey",
    "blur": "blur: mean of gamma-coded light, 8 bits",
}
_FRAMES_PER_SECOND = 240
_SEQUENCE = re.compile(r"GOPR\d+_(\d+)_\d+")
_LAYOUT = (
    "Spk-GoPro has GOPRO_Large/SPLIT/GOPRxxxx_yy_zz/{blur_gamma,sharp}/NUMBER.png and "
    "GOPRO_Large_spike_seq/SPLIT/GOPRxxxx_yy_zz/spike/NUMBER.dat."
)


def find_clips(root: Path, split: str, settings: Mapping[str, Any]) -> list[ClipFiles]:
    """Lists the clips of a split, sequence by sequence.

    Raises:
        FileNotFoundError: a folder or a partner of a file is missing.
        ValueError: a sequence does not say how many frames a blur is the mean of, a
            .dat is not of that many, or no sequence is as long as a clip.
    """
    settings = check_gopro_settings(settings)
    pictures = root / "GOPRO_Large" / split
    streams = root / "GOPRO_Large_spike_seq" / split
    clips = []
    kinds = {"picture folder": pictures, "spike folder": streams}
    for sequence in list_sequences(kinds, _LAYOUT):
        length = exposure_of(sequence, settings)
        spikes = list_files(streams / sequence / "spike", ".dat", _LAYOUT)
        folder = pictures / sequence
        blur = list_files(folder / settings["blur_folder"], ".png", _LAYOUT)
        sharp = list_files(folder / "sharp", ".png", _LAYOUT)
        frames = {}
        for name in match_names({"stream": spikes, "blur": blur, "sharp": sharp}):
            count = check_stream(spikes[name], settings)
            if count != length:
                raise ValueError(
                    f"{spikes[name]} holds {count} spike frames, but the exposures of "
                    f"{sequence} take {length} at spikes_per_frame="
                    f"{settings['spikes_per_frame']}; check spike_height, spike_width "
                    "and spikes_per_frame."
                )
            files = ClipFiles(name, (spikes[name],), (blur[name],), (sharp[name],))
            frames[name] = files
        clips += join_frames(frames, sequence, settings["num_frames"], step=1)
    if not clips:
        raise ValueError(
            f"No sequence of {pictures} has {settings['num_frames']} blurred frames in "
            "a row; take a smaller num_frames."
        )
    return clips


def make_clip(files: ClipFiles, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip from its files.

    Raises:
        ValueError: a file cannot be read or does not fit.
    """
    settings = check_gopro_settings(settings)
    scale, count = settings["spike_scale"], len(files.spikes)
    size = (settings["spike_height"] * scale, settings["spike_width"] * scale)
    sequence = files.name.rpartition("-")[0]
    length = exposure_of(sequence, settings)
    exposure = exposure_windows(count, first_start=0, exposure=length, period=length)
    return spike_record(
        name=files.name,
        blur=np.stack([read_picture(path, size) for path in files.blur]),
        sharp=np.stack([read_picture(path, size) for path in files.sharp]),
        spikes=np.concatenate([read_packed(path, settings) for path in files.spikes]),
        exposure=exposure,
        sharp_time=exposure.mean(axis=1),
        spike_scale=scale,
        transfer="gamma",
        blur_kind=BLUR_KINDS[settings["blur_folder"]],
        source=f"Spk-GoPro {sequence}, the streams of {count} exposures joined",
        licence="none stated (SpkDeblurNet)",
        spike_rate=_FRAMES_PER_SECOND * settings["spikes_per_frame"],
    )


def exposure_of(sequence: str, settings: Mapping[str, Any]) -> int:
    """Returns the spike frames of an exposure, as the name of its sequence says.

    Raises:
        ValueError: the name is not GOPRxxxx_yy_zz, or yy is 0.
    """
    match = _SEQUENCE.fullmatch(sequence)
    if match is None or not int(match[1]):
        raise ValueError(
            f"The sequence {sequence} is not named GOPRxxxx_yy_zz, yy being the frames "
            "of a blur; only Spk-GoPro's own sequences can be read."
        )
    return int(match[1]) * int(settings["spikes_per_frame"])


def check_gopro_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_set_settings(settings, SETTINGS)
    if checked["blur_folder"] not in BLUR_KINDS:
        raise ValueError(
            unknown_name("blur_folder", checked["blur_folder"], BLUR_KINDS)
        )
    return checked


SPK_GOPRO = SpikeSet(
    "1", SETTINGS, DEFAULTS, find_clips, make_clip, splits_in="GOPRO_Large"
)
