"""Spk-GoPro of SpkDeblurNet: GoPro's frames with spikes of twice coarser pixels.

    ROOT/GOPRO_Large/train/GOPRxxxx_yy_zz/blur_gamma/000047.png     (or blur)
    ROOT/GOPRO_Large/train/GOPRxxxx_yy_zz/sharp/000047.png
    ROOT/GOPRO_Large_spike_seq/train/GOPRxxxx_yy_zz/spike/000047.dat

and the same with test. Pictures are 720x1280. A .dat is 360x640, rows bottom-up, of 8
spike frames for each of the yy frames of 240 per second that a blur is the mean of
(spike_facts 0 trap 1, 1.4).

SpkDeblurNet cut the .dat of a sequence out of one stream over its GOPRO_Large_all, one
after the other from its beginning. Joined again they are that stream: spike frame 8 j
is frame j, which the 7 after it lead on to the next. The blurred frames lie elsewhere
in it, as gopro_frames.py tells: around frame yy // 2 - zz of every yy, so 3 + 8 zz
spike frames earlier than their .dat. `exposure` and `sharp_time` say so, and the sharp
frame is in the middle. (That is read from the published code and the search for equal
pictures; the whole .dat, or its middle 56 frames, is what SpkDeblurNet pairs.)

A clip joins the streams of `num_frames` blurred frames in a row, and what its exposures
and a margin on both sides need of the one before and of the one after. So the first and
the last blurred frame of a row are in no clip. What is left of a sequence is left out.

The spikes are of gamma-coded grey. blur_gamma is the mean of linear light, so the long
TFP is not its grey and what relies on that (gain match, blur x short / long) is off
where things move; blur is the mean of gamma-coded light and agrees (spike_facts 1.4).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.choices import unknown_name
from data_pipeline.exposure import MARGIN, exposure_windows
from data_pipeline.records import Record
from data_pipeline.sources.gopro_frames import FRAMES_PER_SECOND, sequence_of
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
        length = sequence_of(sequence).period(settings["spikes_per_frame"])
        frames = match_exposures(
            streams / sequence / "spike",
            pictures / sequence / settings["blur_folder"],
            pictures / sequence / "sharp",
            settings,
            length=length,
            reason=f"each of {sequence} takes {length} at spikes_per_frame="
            f"{settings['spikes_per_frame']}; check spike_height, spike_width and "
            "spikes_per_frame.",
            layout=_LAYOUT,
        )
        num_frames = settings["num_frames"]
        clips += join_frames(frames, sequence, num_frames, step=1, around=1)
    require_clips(clips, pictures, settings["num_frames"] + 2)
    return clips


def make_clip(files: ClipFiles, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip from its files.

    Raises:
        ValueError: a file cannot be read or does not fit.
    """
    settings = check_gopro_settings(settings)
    scale, count = settings["spike_scale"], len(files.blur)
    size = (settings["spike_height"] * scale, settings["spike_width"] * scale)
    sequence = sequence_of(files.name.rpartition("-")[0])
    rate = settings["spikes_per_frame"]
    period, length = sequence.period(rate), sequence.exposure(rate)
    # In spike frames from where the .dat of the first blurred frame begins.
    start = rate * sequence.middle(0) - length // 2
    lead = min(period, max(0, MARGIN - start))
    end = start + (count - 1) * period + length
    rest = min(period, max(0, end + MARGIN - count * period))
    before, *own, after = (read_packed(path, settings) for path in files.spikes)
    exposure = exposure_windows(
        count, first_start=lead + start, exposure=length, period=period
    )
    return spike_record(
        name=files.name,
        blur=np.stack([read_picture(path, size) for path in files.blur]),
        sharp=np.stack([read_picture(path, size) for path in files.sharp]),
        spikes=np.concatenate([before[period - lead :], *own, after[:rest]]),
        exposure=exposure,
        sharp_time=exposure.mean(axis=1),
        spike_scale=scale,
        transfer="gamma",
        blur_kind=BLUR_KINDS[settings["blur_folder"]],
        source=f"Spk-GoPro {sequence.name}, the streams of {count} blurred frames "
        "joined",
        licence="none stated (SpkDeblurNet)",
        spike_rate=FRAMES_PER_SECOND * rate,
    )


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


SPK_GOPRO = PublicSet(
    "3", SETTINGS, DEFAULTS, find_clips, make_clip, splits_in="GOPRO_Large"
)
