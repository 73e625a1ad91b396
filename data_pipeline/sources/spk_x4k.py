"""Spk-X4K1000FPS of SpkDeblurNet: frames of 4000 per second with a spike frame each.

    ROOT/train_fullRGB/002/occ008.320_f2881/0000.png, 0000_000.png .. 0000_002.png, ..
    ROOT/train_blurry_33/002/occ008.320_f2881/0004.png          (or train_blurry_65)
    ROOT/train_spike_2xds/002/occ008.320_f2881/spike.dat

and the same with val, which is the test split here. X4K1000FPS's 65 frames of 1000 per
second were raised fourfold to 257: 0004.png is frame 16, and 0004_000 to 0004_002 are
the three after it. spike.dat has a spike frame for each of them, at half the size:
pictures are 768x768 in train and 512x512 in val, spikes 384x384 and 256x256, rows
bottom-up. A blurred picture is the mean of the 33 (or 65) frames around the one that it
is named after, which is the sharp one; there is one every 15 frames. All that is what
SpkDeblurNet's code reads and writes; how its spikes were simulated it does not say
(spike_facts 1.4 and 2 have a threshold of 2 at gain 1 for its tool, which is not
recorded: a record only holds what is known of its own spikes).

Exposures that overlap are of no camera, and at 33 or 65 frames every 15 they would. A
clip takes the blurred frames that are `period` apart, those in between make clips of
their own: at 33 three clips of 5 use all 15 of a sequence; at 65, where period is 75,
there are three of 3. Spikes are those of the clip and a margin, out of one stream.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipeline.exposure import MARGIN, check_odd_exposure, exposure_windows
from data_pipeline.records import Record, pack_spikes
from data_pipeline.sources.public_set import ClipFiles, PublicSet, check_set_settings
from data_pipeline.sources.spike_folders import (
    join_frames,
    list_files,
    list_sequences,
    read_picture,
    spike_record,
)
from data_pipeline.spike_dat import SpikeDat, count_frames

SETTINGS: dict[str, type] = {
    "spike_height": int,  # of train
    "spike_width": int,
    "test_spike_height": int,
    "test_spike_width": int,
    "flip": bool,
    "spike_scale": int,
    "exposure": int,  # frames of a blur, which names its folder
    "period": int,  # spike frames from one exposure's start to the next
    "num_frames": int,  # blurred frames of a clip
}
DEFAULTS: dict[str, Any] = {
    "spike_height": 384,
    "spike_width": 384,
    "test_spike_height": 256,
    "test_spike_width": 256,
    "flip": True,
    "spike_scale": 2,
    "exposure": 33,
    "period": 45,
    "num_frames": 5,
}
_FRAMES_PER_SECOND = 4000
_PARTS = 4  # frames from one of X4K1000FPS's own to the next
_STRIDE = 15  # frames from one blurred picture to the next
_FOLDERS = {"train": "train", "test": "val"}  # split -> how its folders begin
_LAYOUT = (
    "Spk-X4K1000FPS has {train,val}_{fullRGB,blurry_33,spike_2xds}/GROUP/SEQUENCE, "
    "with NUMBER.png and NUMBER_00N.png in the first two and spike.dat in the third."
)


def find_clips(root: Path, split: str, settings: Mapping[str, Any]) -> list[ClipFiles]:
    """Lists the clips of a split, sequence by sequence.

    Raises:
        FileNotFoundError: a folder or a partner of a file is missing.
        ValueError: a picture's name is not a number, frames are missing, a .dat has
            not as many spike frames as there are frames, or a sequence is shorter than
            a clip.
    """
    settings = check_x4k_settings(settings)
    if not split:
        raise FileNotFoundError(f"{root} holds no train_fullRGB. {_LAYOUT}")
    places = {
        "sharp": root / f"{_FOLDERS[split]}_fullRGB",
        "blur": root / f"{_FOLDERS[split]}_blurry_{settings['exposure']}",
        "stream": root / f"{_FOLDERS[split]}_spike_2xds",
    }
    clips = []
    groups = list_sequences({f"{k} folder": p for k, p in places.items()}, _LAYOUT)
    for group in tqdm(groups, desc=f"Looking at {split}", unit="group", delay=2):
        inside = {f"{kind} folder": place / group for kind, place in places.items()}
        for name in list_sequences(inside, _LAYOUT):
            folders = {kind: place / group / name for kind, place in places.items()}
            clips += _sequence_clips(folders, f"{group}-{name}", settings)
    return clips


def make_clip(files: ClipFiles, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip from its files.

    Raises:
        ValueError: a file cannot be read or does not fit.
    """
    settings = check_x4k_settings(settings)
    scale, count = settings["spike_scale"], len(files.blur)
    exposure, period = settings["exposure"], settings["period"]
    (stream,) = files.spikes
    height, width = stream_size(stream, settings)
    size = (height * scale, width * scale)
    spikes = SpikeDat(stream, height, width, flip=settings["flip"])
    start = frame_number(files.blur[0]) - exposure // 2
    first = max(0, start - MARGIN)
    last = start + (count - 1) * period + exposure + MARGIN
    windows = exposure_windows(
        count, first_start=start - first, exposure=exposure, period=period
    )
    return spike_record(
        name=files.name,
        blur=np.stack([read_picture(path, size) for path in files.blur]),
        sharp=np.stack([read_picture(path, size) for path in files.sharp]),
        spikes=pack_spikes(spikes[first:last]),
        exposure=windows,
        sharp_time=windows.mean(axis=1),
        spike_scale=scale,
        transfer="gamma",
        blur_kind=f"mean of {exposure} interpolated frames of gamma-coded light, 8 "
        "bits",
        source=f"Spk-X4K1000FPS {files.name.rpartition('-')[0]}",
        licence="none stated (SpkDeblurNet)",
        spike_rate=_FRAMES_PER_SECOND,
    )


def frame_number(picture: Path) -> int:
    """Returns the number of a frame among the raised ones, which its name says.

    Raises:
        ValueError: the name is not NUMBER or NUMBER_00N with N below 3.
    """
    whole, _, part = picture.stem.partition("_")
    if whole.isdecimal() and not part and "_" not in picture.stem:
        return int(whole) * _PARTS
    if whole.isdecimal() and part.isdecimal() and int(part) < _PARTS - 1:
        return int(whole) * _PARTS + int(part) + 1
    raise ValueError(
        f"The picture {picture} is named neither NUMBER nor NUMBER_000 to "
        f"NUMBER_00{_PARTS - 2}, so its place in time is not known. {_LAYOUT}"
    )


def stream_size(stream: Path, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the height and width of a stream, which those of train and val differ in.

    Args:
        stream: a spike.dat in its place.
        settings: with both sizes.
    """
    is_test = stream.parents[2].name.startswith(_FOLDERS["test"])
    before = "test_" if is_test else ""
    return settings[f"{before}spike_height"], settings[f"{before}spike_width"]


def check_x4k_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_set_settings(settings, SETTINGS)
    check_odd_exposure(checked["exposure"])
    exposure, period = checked["exposure"], checked["period"]
    if period % _STRIDE or period < exposure:
        least = _STRIDE * math.ceil(exposure / _STRIDE)
        raise ValueError(
            f"period must be a multiple of {_STRIDE}, the frames between blurred "
            f"pictures, and no shorter than the exposure, {exposure}: {least} is the "
            f"least, got {period}."
        )
    return checked


def _sequence_clips(
    folders: Mapping[str, Path], sequence: str, settings: Mapping[str, Any]
) -> list[ClipFiles]:
    sharp = _by_number(folders["sharp"])
    blur = _by_number(folders["blur"])
    stream = folders["stream"] / "spike.dat"
    if not stream.is_file():
        raise FileNotFoundError(f"There is no stream {stream}. {_LAYOUT}")
    missing = sorted(set(range(max(sharp) + 1)) - sharp.keys())
    if missing:
        raise FileNotFoundError(
            f"{folders['sharp']} lacks {len(missing)} of the frames up to "
            f"{sharp[max(sharp)].name}, the first of them number {missing[0]} from 0 "
            "on; complete the data set."
        )
    height, width = stream_size(stream, settings)
    count = count_frames(stream, height, width)
    if count != len(sharp):
        raise ValueError(
            f"{stream} holds {count} spike frames of {height}x{width}, but its "
            f"sequence has {len(sharp)} frames; check the height and width of its "
            "spikes."
        )
    half = settings["exposure"] // 2
    expected = set(range(half, count - half, _STRIDE))
    if blur.keys() != expected:
        first = min(blur.keys() ^ expected)
        raise ValueError(
            f"{folders['blur']} should have a picture of every {_STRIDE}th frame from "
            f"{half} to {count - half - 1}, but frame {first} is "
            f"{'missing' if first in expected else 'there'}; complete the data set, "
            "and check exposure."
        )
    frames = {
        number: ClipFiles(str(number), (stream,), (picture,), (sharp[number],))
        for number, picture in blur.items()
    }
    clips = []
    for phase in range(0, settings["period"], _STRIDE):
        chosen = {
            str(number): files
            for number, files in frames.items()
            if (number - half) % settings["period"] == phase
        }
        joined = join_frames(
            chosen, sequence, settings["num_frames"], step=settings["period"]
        )
        clips += [ClipFiles(c.name, c.spikes[:1], c.blur, c.sharp) for c in joined]
    if not clips:
        raise ValueError(
            f"The sequence {sequence} has {len(blur)} blurred frames, which give none "
            f"{settings['num_frames']} times in a row at period={settings['period']}; "
            "take a smaller num_frames."
        )
    return clips


def _by_number(folder: Path) -> dict[int, Path]:
    pictures = list_files(folder, ".png", _LAYOUT)
    return {frame_number(picture): picture for picture in pictures.values()}


SPK_X4K = PublicSet(
    "1",
    SETTINGS,
    DEFAULTS,
    find_clips,
    make_clip,
    split_folders=("train_fullRGB", "val_fullRGB"),
    check=check_x4k_settings,
    stream_size=stream_size,
)
