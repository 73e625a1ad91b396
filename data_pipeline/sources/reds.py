"""REDS as footage: its frames of 120 per second are what the cameras record.

    ROOT/train/train_orig/000/00000000.png       ROOT/val/val_orig/000/00000000.png

as the parts of its 120 fps version unpack: 500 frames of 720x1280 a sequence. val is
the test split here, as the sharp frames of REDS's own are not published. Blur, sharp
frames and spikes are all made from these frames, in the transfer that the settings say.
train_blur is not taken: it is a mean over frames that a network put in between, of
light that REDS's camera response made linear; no spikes made here agree with it.

With frames_folder=sharp it is the version of 24 frames per second that is recorded,

    ROOT/train/train_sharp/000/00000000.png      ROOT/val/val_sharp/000/00000000.png

100 frames a sequence. A 24th of a second lies between them, and what moved in it is
invented by the optical flow; take spikes_per_frame=80 for the same 1920 spike frames
per second. A sequence is called train-000, as both splits begin with 000.

The defaults: 1920 spike frames per second, exposures of 65 (5 frames and what lies
between them), 24 of them per second, as REDS's own (its page; Nah et al., CVPRW 2019).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_pipeline.choices import unknown_name
from data_pipeline.records import Record
from data_pipeline.sources import footage_sets, video_folder
from data_pipeline.sources.footage_sets import FootageClip
from data_pipeline.sources.public_set import PublicSet
from data_pipeline.sources.spike_folders import list_sequences

SETTINGS: dict[str, type] = {**footage_sets.SETTINGS, "frames_folder": str}
DEFAULTS: dict[str, Any] = {
    **footage_sets.DEFAULTS,
    "frames_folder": "orig",
    "spikes_per_frame": 16,
    "exposure": 65,
    "period": 80,
}
_RATES = {"orig": 120, "sharp": 24}  # frames_folder -> frames per second
_FOLDERS = {"train": "train", "test": "val"}
_LAYOUT = (
    "REDS has train/train_orig/NNN/NNNNNNNN.png and val/val_orig/NNN/NNNNNNNN.png, or "
    "train_sharp and val_sharp there with frames_folder=sharp."
)


def find_clips(
    root: Path, split: str, settings: Mapping[str, Any]
) -> list[FootageClip]:
    """Lists the clips of a split, sequence by sequence.

    Raises:
        FileNotFoundError: a folder or a frame is missing.
        ValueError: a picture does not belong there, or a sequence is too short.
    """
    settings = check_reds_settings(settings)
    if not split:
        raise FileNotFoundError(f"{root} holds neither train nor val. {_LAYOUT}")
    folders = {}
    for part in _FOLDERS.values():
        folder = root / part / f"{part}_{settings['frames_folder']}"
        for name in list_sequences({"folder": folder}, _LAYOUT):
            folders[f"{part}-{name}"] = folder / name
    own = [name for name in folders if name.startswith(f"{_FOLDERS[split]}-")]
    chosen = footage_sets.without_left_out(own, settings, folders)
    video, num_frames = footage_sets.video_settings(settings), settings["num_frames"]
    footage = [
        footage_sets.picture_footage(name, folders[name], _LAYOUT)
        for name in tqdm(chosen, desc=f"Looking at {split}", unit="sequence", delay=2)
    ]
    footage_sets.require_long_enough(
        ((sequence, video) for sequence in footage), num_frames
    )
    return [
        clip
        for sequence in footage
        for clip in footage_sets.cut_clips(sequence, video, num_frames)
    ]


def make_clip(clip: FootageClip, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip.

    Raises:
        ValueError: a frame cannot be read.
    """
    settings = check_reds_settings(settings)
    kind = settings["frames_folder"]
    return footage_sets.simulate(
        clip,
        footage_sets.video_settings(settings),
        settings["num_frames"],
        fps=_RATES[kind],
        data_set=f"REDS ({kind})",
        licence="CC BY 4.0 (REDS)",
    )


def check_reds_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = footage_sets.check_footage_settings(settings, SETTINGS)
    if checked["frames_folder"] not in _RATES:
        raise ValueError(
            unknown_name("frames_folder", checked["frames_folder"], _RATES)
        )
    return checked


REDS = PublicSet(
    f"1.{video_folder.VERSION}",
    SETTINGS,
    DEFAULTS,
    find_clips,
    make_clip,
    split_folders=("train", "val"),
    check=check_reds_settings,
)
