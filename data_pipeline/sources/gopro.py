"""GoPro: spikes of its frames of 240 per second, with its own blur or with ours.

    ROOT/GOPRO_Large_all/train/GOPRxxxx_yy_zz/000323.png
    ROOT/GOPRO_Large/train/GOPRxxxx_yy_zz/{blur,blur_gamma,sharp}/000047.png

and the same with test; 720x1280. GOPRO_Large_all is the footage, of which gopro_frames
tells where each picture of GOPRO_Large lies in time. Spikes are always simulated, from
the footage; `blur_folder` says what the blurred frames are:

    blur        GOPRO_Large's mean of yy gamma-coded frames, which the tables of video
                deblurring are on; spikes integrate gamma-coded light (transfer=gamma)
    blur_gamma  GOPRO_Large's mean of yy frames of linear light (gamma 2.2), coded
                again; spikes integrate linear light (transfer=linear)
    own         made here, from the footage and what the optical flow puts in between,
                in either transfer; GOPRO_Large is not needed

The other pairs are refused: their spikes would not add up to the grey of their blur
(spike_facts 1.4). Exposures of blur and blur_gamma are those of GOPRO_Large: yy frames
around the sharp one, each standing for the time until half-way to its neighbours (less
a spike frame where that is an even number). With own they are the same where exposure
and period are 0; given, they are those of all sequences.

From GOPRO_Large alone nothing can be made: its sharp frames are yy 240ths of a second
apart, so between two of them lies as much motion as each blur was made of, and what was
seen in it can only be invented. The first blurred frames of a sequence are in no clip:
the footage starts in them, and a clip has spikes before its first exposure.

That pictures and footage lie where gopro_frames says is checked: a sharp picture must
show its frame, and no other one better (DeepDeblur_release #65: they differ by less
than a grey level).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipeline.camera_settings import CAMERA_DEFAULTS
from data_pipeline.choices import unknown_name
from data_pipeline.records import Record
from data_pipeline.settings import check_settings
from data_pipeline.sources import footage_sets, video_folder
from data_pipeline.sources.footage_sets import Footage, FootageClip
from data_pipeline.sources.gopro_frames import (
    FRAMES_PER_SECOND,
    GoproSequence,
    sequence_of,
)
from data_pipeline.sources.public_set import PublicSet
from data_pipeline.sources.spike_folders import (
    list_sequences,
    match_names,
    read_picture,
)

SETTINGS: dict[str, type] = {**footage_sets.SETTINGS, "blur_folder": str}
DEFAULTS: dict[str, Any] = {
    **footage_sets.DEFAULTS,
    "blur_folder": "blur",
    "spikes_per_frame": 8,
    "exposure": 0,
    "period": 0,
}
OWN = "own"
# blur_folder -> the transfer of its spikes, and blur_kind of its records.
PUBLISHED = {
    "blur": ("gamma", "blur: mean of {} frames of gamma-coded light, 8 bits"),
    "blur_gamma": (
        "linear",
        "blur_gamma: mean of {} frames of linear light (gamma 2.2), gamma-coded, 8 "
        "bits",
    ),
}
_LIGHT = {"gamma": "gamma-coded", "linear": "linear"}
# Settings of an RGB camera, which published pictures have had already.
_OF_OWN_BLUR = {"exposure": 0, "period": 0, "rgb_gain": 1.0, "read_noise": 0.0}
_MOST_LEVELS = 2.0  # grey levels that a sharp picture is from its frame, on average
_SAME_LEVELS = 0.05  # and closer to another frame than to its own, at most
_LAYOUT = (
    "GoPro has GOPRO_Large_all/SPLIT/GOPRxxxx_yy_zz/NUMBER.png, of which the spikes "
    "are made, and GOPRO_Large/SPLIT/GOPRxxxx_yy_zz/{blur,blur_gamma,sharp}/NUMBER.png,"
    " which blur_folder=own does without."
)


def find_clips(
    root: Path, split: str, settings: Mapping[str, Any]
) -> list[FootageClip]:
    """Lists the clips of a split, sequence by sequence.

    Raises:
        FileNotFoundError: a folder, a frame or a partner of a picture is missing.
        ValueError: a picture does not belong there, the sharp pictures are not of the
            footage, or a sequence is too short.
    """
    settings = check_gopro_settings(settings)
    num_frames = settings["num_frames"]
    names = _sequences(root, split, settings)
    footage = []
    for name in tqdm(names, desc=f"Looking at {split}", unit="sequence", delay=2):
        sequence = sequence_of(name)
        found = footage_sets.picture_footage(
            name, root / "GOPRO_Large_all" / split / name, _LAYOUT
        )
        footage.append(_from_first_blur(found, sequence, settings))
    video = {name: _video_settings(sequence_of(name), settings) for name in names}
    footage_sets.require_long_enough(
        ((found, video[found.name]) for found in footage), num_frames
    )
    clips = []
    for found in tqdm(footage, desc=f"Checking {split}", unit="sequence", delay=2):
        own = footage_sets.cut_clips(found, video[found.name], num_frames)
        if settings["blur_folder"] != OWN:
            pictures = root / "GOPRO_Large" / split / found.name
            own = _with_pictures(own, pictures, settings)
        clips += own
    return clips


def make_clip(clip: FootageClip, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip.

    Raises:
        ValueError: a picture cannot be read, or is not of the footage.
    """
    settings = check_gopro_settings(settings)
    sequence = sequence_of(clip.footage.name)
    record = footage_sets.simulate(
        clip,
        _video_settings(sequence, settings),
        settings["num_frames"],
        fps=FRAMES_PER_SECOND,
        data_set="GoPro",
        licence="CC BY 4.0 (GOPRO_Large)",
    )
    if settings["blur_folder"] == OWN:
        return record
    size = clip.footage.shape[1:3]
    instants = settings["sharp_instants"]
    for index, picture in enumerate(clip.sharp):
        middle = index * instants + instants // 2
        sharp = read_picture(picture, size)
        _check_same(picture, sharp, record["sharp"][middle])
        record["sharp"][middle] = sharp
    record["blur"] = np.stack([read_picture(picture, size) for picture in clip.blur])
    kind = PUBLISHED[settings["blur_folder"]][1]
    record["blur_kind"] = kind.format(sequence.blurred)
    return record


def check_gopro_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range, or the blurred frames
            and the spikes would be of two transfers.
    """
    folder = settings.get("blur_folder")
    if folder != OWN and folder not in PUBLISHED:
        raise ValueError(unknown_name("blur_folder", folder, (*PUBLISHED, OWN)))
    times = [settings.get(name) for name in ("exposure", "period")]
    if (times[0] == 0) != (times[1] == 0):
        raise ValueError(
            "exposure and period are both given, or both 0 for those of GOPRO_Large; "
            f"got {times[0]} and {times[1]}."
        )
    checked = check_settings(settings, SETTINGS, defaults=CAMERA_DEFAULTS)
    if folder != OWN:
        _check_published(checked)
    if times[0]:
        return footage_sets.check_footage_settings(checked, SETTINGS)
    # All that is not of the exposures; those are checked of each sequence.
    rate = max(1, checked["spikes_per_frame"])
    longest = _exposures(GoproSequence("", 13, 0), rate)
    plain = {**checked, **longest, "sharp_instants": 1}
    rest = footage_sets.check_footage_settings(plain, SETTINGS)
    return {**rest, **{name: checked[name] for name in (*longest, "sharp_instants")}}


def _check_published(settings: Mapping[str, Any]) -> None:
    folder, transfer = settings["blur_folder"], settings["transfer"]
    expected = PUBLISHED[folder][0]
    if transfer != expected:
        raise ValueError(
            f"blur_folder={folder} is a mean of {_LIGHT[expected]} light, which spikes "
            f"of transfer={transfer} do not add up to; take transfer={expected}, or "
            "another blur_folder."
        )
    for name, value in _OF_OWN_BLUR.items():
        if settings[name] != value:
            raise ValueError(
                f"{name}={settings[name]:g} would change the blurred frames, but those "
                f"of blur_folder={folder} are as published; take blur_folder=own, or "
                f"leave {name} out."
            )


def _exposures(sequence: GoproSequence, rate: int) -> dict[str, int]:
    return {"exposure": sequence.exposure(rate), "period": sequence.period(rate)}


def _video_settings(
    sequence: GoproSequence, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of video_folder, with the exposures of a sequence."""
    video = footage_sets.video_settings(settings)
    if video["exposure"] == 0:
        video |= _exposures(sequence, video["spikes_per_frame"])
    return video_folder.check_video_settings(video)


def _sequences(root: Path, split: str, settings: Mapping[str, Any]) -> list[str]:
    """The names of the sequences of a split, without those that are left out."""
    parents = {"footage": root / "GOPRO_Large_all"}
    if settings["blur_folder"] != OWN:
        parents["picture folder"] = root / "GOPRO_Large"
    kinds = {kind: parent / split for kind, parent in parents.items()}
    known = {
        folder.name
        for folder in parents["footage"].glob("*/*" if split else "*")
        if folder.is_dir()
    }
    names = list_sequences(kinds, _LAYOUT)
    return footage_sets.without_left_out(names, settings, sorted(known))


def _from_first_blur(
    footage: Footage, sequence: GoproSequence, settings: Mapping[str, Any]
) -> Footage:
    """Has the clips begin where the middle of the first exposure is a sharp picture."""
    if settings["blur_folder"] == OWN:
        return footage
    middle = video_folder.first_sharp_frame(_video_settings(sequence, settings))
    blur = _first_blur(sequence, settings)
    first = sequence.middle(blur) - middle
    return Footage(
        footage.name, footage.path, footage.shape, min(first, footage.length)
    )


def _first_blur(sequence: GoproSequence, settings: Mapping[str, Any]) -> int:
    """The first blurred frame before which the footage has what a clip takes."""
    middle = video_folder.first_sharp_frame(_video_settings(sequence, settings))
    return max(0, math.ceil((middle - sequence.middle(0)) / sequence.blurred))


def _with_pictures(
    clips: list[FootageClip], folder: Path, settings: Mapping[str, Any]
) -> list[FootageClip]:
    """Gives each clip of a sequence its blurred and its sharp pictures."""
    kinds = {
        kind: footage_sets.numbered_pictures(folder / kind, _LAYOUT)
        for kind in (settings["blur_folder"], "sharp")
    }
    match_names({kind: {p.stem: p for p in found} for kind, found in kinds.items()})
    blur, sharp = kinds.values()
    num_frames = settings["num_frames"]
    footage = clips[0].footage
    sequence = sequence_of(footage.name)
    begin = _first_blur(sequence, settings)
    complete = []
    for clip in clips:
        first = begin + clip.index * num_frames
        chosen = slice(first, first + num_frames)
        if len(blur[chosen]) < num_frames:
            break
        complete.append(
            FootageClip(
                f"{footage.name}-{blur[first].stem}",
                blur=blur[chosen],
                sharp=sharp[chosen],
                footage=footage,
                index=clip.index,
                frames=clip.frames,
            )
        )
    if not complete:
        raise ValueError(
            f"{folder} has {len(blur)} blurred frames, but its first clip takes those "
            f"up to number {begin + num_frames}; take fewer num_frames, or leave it "
            f"out: leave_out={footage.name}."
        )
    for number in (begin, begin + len(complete) * num_frames - 1):
        _check_place(sharp[number], footage, sequence, number)
    return complete


def _check_place(
    picture: Path, footage: Footage, sequence: GoproSequence, number: int
) -> None:
    """Raises a ValueError unless a sharp picture shows its own frame and no other."""
    frames = footage_sets.numbered_pictures(footage.path, _LAYOUT)
    size = footage.shape[1:3]
    sharp, middle = read_picture(picture, size), sequence.middle(number)
    near = {0, -2, -1, 1, 2, sequence.missing, -sequence.missing}
    off = {
        at: _levels_off(sharp, read_picture(frames[at], size))
        for at in (middle + step for step in near)
        if 0 <= at < len(frames)
    }
    best = min(off, key=lambda at: off[at])
    if off[best] + _SAME_LEVELS < off[middle]:
        raise ValueError(
            f"{picture} shows {frames[best]}, but frame {frames[middle].name} is where "
            "its blur was taken from, so that blur and spikes would be of two times; "
            "check that both are complete, or leave the sequence out: "
            f"leave_out={footage.name}."
        )
    _check_same(picture, sharp, read_picture(frames[middle], size))


def _check_same(picture: Path, sharp: np.ndarray, frame: np.ndarray) -> None:
    """Raises a ValueError unless a sharp picture shows its frame of the footage."""
    off = _levels_off(sharp, frame)
    if off > _MOST_LEVELS:
        raise ValueError(
            f"{picture} is {off:.1f} grey levels from its frame of GOPRO_Large_all, so "
            "that blur and spikes would be of two times; check that both are complete, "
            f"or leave the sequence out: leave_out={picture.parent.parent.name}."
        )


def _levels_off(picture: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(picture.astype(np.int16) - other).mean())


GOPRO = PublicSet(
    f"1.{video_folder.VERSION}",
    SETTINGS,
    DEFAULTS,
    find_clips,
    make_clip,
    splits_in="GOPRO_Large_all",
    check=check_gopro_settings,
)
