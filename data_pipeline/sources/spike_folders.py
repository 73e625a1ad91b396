"""Public spike data sets as folders: files found and matched, read, and split."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import video_files
from data_pipeline.records import (
    SPIKE_SCALES,
    Record,
    check_record,
    pack_spikes,
    rgb_from_spike,
)
from data_pipeline.settings import check_settings
from data_pipeline.spike_dat import SpikeDat, count_frames

SPLITS = ("train", "test")
# What every .dat of a data set has in common. It is never taken from a file.
GEOMETRY: dict[str, type] = {"spike_height": int, "spike_width": int, "flip": bool}


@dataclasses.dataclass(frozen=True)
class ClipFiles:
    """The files of one clip, a frame each, in the order of time."""

    name: str
    spikes: tuple[Path, ...]
    blur: tuple[Path, ...] = ()
    sharp: tuple[Path, ...] = ()


@dataclasses.dataclass(frozen=True)
class SpikeSet:
    """A public data set: its settings and how its clips are found and made.

    Attributes:
        version: raised whenever the same settings would give other clips.
        settings: name -> type.
        defaults: the published values of the settings.
        find: from the root, 'train', 'test' or '' where there are no such folders, and
            the settings to the clips; it looks at every file's name and size.
        make: from the files of a clip and the settings to its record.
        splits_in: the folder of the root that train and test lie in.
    """

    version: str
    settings: Mapping[str, type]
    defaults: Mapping[str, Any]
    find: Callable[[Path, str, Mapping[str, Any]], list[ClipFiles]]
    make: Callable[[ClipFiles, Mapping[str, Any]], Record]
    splits_in: str = ""


def check_set_settings(
    settings: Mapping[str, Any], types: Mapping[str, type]
) -> dict[str, Any]:
    """Returns the settings as plain values; numbers are above 0.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_settings(settings, types)
    for name, value in checked.items():
        least = 0 if name == "key_frame" else 1
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, int) and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
        if not value > 0 and least:
            raise ValueError(f"{name} must be above 0, got {value:g}.")
    scale = checked.get("spike_scale", 1)
    if scale not in SPIKE_SCALES:
        raise ValueError(f"spike_scale must be one of {SPIKE_SCALES}, got {scale}.")
    return checked


def find_splits(
    spike_set: SpikeSet, root: str | Path, settings: Mapping[str, Any]
) -> dict[str, list[ClipFiles]]:
    """Finds the clips of a data set, of train and test where it has both.

    Returns:
        'train' and 'test' -> clips where there are folders of these names; otherwise
        'all' -> clips.

    Raises:
        FileNotFoundError: there is no such folder, or a file of a clip is missing.
        ValueError: it is not of the data set's layout, a .dat does not fit its
            geometry, or there is one of train and test without the other.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    parent = folder / spike_set.splits_in
    there = [split for split in SPLITS if (parent / split).is_dir()]
    if len(there) == 1:
        raise ValueError(
            f"{parent} holds {there[0]} but not the other of train and test; complete "
            f"it, or take what {there[0]} holds out of that folder to split its clips."
        )
    if there:
        return {split: spike_set.find(folder, split, settings) for split in there}
    return {"all": spike_set.find(folder, "", settings)}


def split_clips(
    found: Mapping[str, list[ClipFiles]], test_clips: int | None
) -> dict[str, list[ClipFiles]]:
    """Keeps the data set's own split, or sets the last clips aside for the test.

    Args:
        found: of find_splits.
        test_clips: how many to set aside, a tenth where None.

    Raises:
        ValueError: no clip would be left to train on, or none to test on, or the data
            set has a split of its own.
    """
    if "all" not in found:
        if test_clips is not None:
            raise ValueError(
                "The data set has its own train and test folders; leave test_clips out."
            )
        return dict(found)
    clips = found["all"]
    count = max(1, round(len(clips) / 10)) if test_clips is None else test_clips
    if not 1 <= count < len(clips):
        raise ValueError(
            f"The folder gives {len(clips)} clip(s); test_clips must leave at least "
            f"one of them to train on and take at least one, got {count}."
        )
    return {"train": clips[:-count], "test": clips[-count:]}


def identity(root: str | Path, clips: Iterable[ClipFiles]) -> str:
    """Names the state of all files: others under the same names are another set."""
    files = (file for c in clips for file in (*c.spikes, *c.blur, *c.sharp))
    states = [
        (str(file.relative_to(root)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
    ]
    digest = hashlib.sha256(json.dumps(states).encode()).hexdigest()[:12]
    return f"{Path(root).resolve().name}-{digest}"


def list_sequences(kinds: Mapping[str, Path], layout: str) -> list[str]:
    """Returns the names of the sequences, folders that all kinds of files have.

    Args:
        kinds: what a kind of file is called -> the folder of its sequences.
        layout: a sentence that says what the data set looks like.

    Raises:
        FileNotFoundError: there is no such folder, it holds no sequence, or a sequence
            lacks a kind of file.
    """
    found: dict[str, dict[str, Path]] = {}
    for kind, folder in kinds.items():
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}. {layout}")
        found[kind] = {path.name: path for path in folder.iterdir() if path.is_dir()}
        if not found[kind]:
            raise FileNotFoundError(f"{folder} holds no sequence. {layout}")
    return match_names(found)


def join_frames(
    frames: Mapping[str, ClipFiles], sequence: str, num_frames: int, *, step: int
) -> list[ClipFiles]:
    """Joins frames that follow each other in a sequence to clips.

    What is left before a gap or at the end, fewer than `num_frames`, is left out.

    Args:
        frames: files of one frame each, by its number in the sequence.
        sequence: its name.
        num_frames: of a clip.
        step: from the number of one frame to that of the next.

    Raises:
        ValueError: a name is not a number.
    """
    for name in frames:
        if not name.isdecimal():
            raise ValueError(
                f"{frames[name].spikes[0]} of {sequence} is not named by a number, so "
                "what comes before and after it is not known."
            )
    clips: list[ClipFiles] = []
    run: list[str] = []
    for name in sorted(frames, key=int):
        if run and int(name) != int(run[-1]) + step:
            run = []
        run.append(name)
        if len(run) == num_frames:
            parts = [frames[number] for number in run]
            clips.append(
                ClipFiles(
                    f"{sequence}-{run[0]}",
                    tuple(path for part in parts for path in part.spikes),
                    tuple(path for part in parts for path in part.blur),
                    tuple(path for part in parts for path in part.sharp),
                )
            )
            run = []
    return clips


def list_files(folder: Path, suffix: str, layout: str) -> dict[str, Path]:
    """Returns the files of a suffix by their names without it.

    Args:
        folder: to look in, not below.
        suffix: such as '.dat'.
        layout: a sentence that says what the data set looks like.

    Raises:
        FileNotFoundError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. {layout}")
    files = {path.stem: path for path in folder.iterdir() if path.suffix == suffix}
    if not files:
        raise FileNotFoundError(f"{folder} holds no {suffix} file. {layout}")
    return files


def match_names(
    kinds: Mapping[str, Mapping[str, Path]], *, spare: Sequence[str] = ()
) -> list[str]:
    """Returns the names of the first kind of files, in order, which all kinds have.

    Args:
        kinds: what a kind of file is called -> its files by name.
        spare: kinds that may have files without partners, which are left out.

    Raises:
        FileNotFoundError: a file has no partner of another kind.
    """
    for kind in (kind for kind in kinds if kind not in spare):
        files = kinds[kind]
        for other, partners in kinds.items():
            lacking = sorted(files.keys() - partners.keys())
            if lacking:
                raise FileNotFoundError(
                    f"The {kind} {files[lacking[0]]} has no {other} named "
                    f"{lacking[0]} ({len(lacking)} such in its folder); complete the "
                    "data set or remove it."
                )
    return sorted(next(iter(kinds.values())))


def check_stream(path: Path, settings: Mapping[str, Any]) -> int:
    """Returns the spike frames of a .dat, as its size says.

    Raises:
        ValueError: its size does not fit the geometry.
    """
    return count_frames(path, settings["spike_height"], settings["spike_width"])


def read_packed(
    path: Path, settings: Mapping[str, Any], frames: slice = slice(None)
) -> np.ndarray:
    """Reads spike frames of a .dat as packed spikes (s, h, ceil(w / 8))."""
    height, width = settings["spike_height"], settings["spike_width"]
    stream = SpikeDat(path, height, width, flip=settings["flip"])
    return pack_spikes(stream[frames])


def read_picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Reads a picture (H, W, 3), uint8 RGB, of a size that is known.

    Raises:
        ValueError: it cannot be read or is of another size.
    """
    picture = video_files.read_picture(path)
    if picture.shape[:2] != size:
        raise ValueError(
            f"The picture {path} is {picture.shape[0]}x{picture.shape[1]}, but "
            f"{size[0]}x{size[1]} belongs to these spikes; check spike_height and "
            "spike_width, and that this is the data set that was named."
        )
    return picture


def spike_record(
    *,
    name: str,
    blur: np.ndarray,
    sharp: np.ndarray,
    spikes: np.ndarray,
    exposure: np.ndarray,
    sharp_time: np.ndarray,
    spike_scale: int,
    transfer: str,
    blur_kind: str,
    source: str,
    licence: str,
    spike_rate: float = math.nan,
    threshold: float = math.nan,
    gain: float = math.nan,
) -> Record:
    """Returns a checked record of monochrome spikes that lie square on the frames."""
    record: Record = {
        "name": name,
        "blur": blur,
        "sharp": sharp,
        "spikes": spikes,
        "exposure": exposure.astype(np.float32),
        "sharp_time": sharp_time.astype(np.float32),
        "spike_rate": np.float32(spike_rate),
        "threshold": np.float32(threshold),
        "gain": np.float32(gain),
        "spike_scale": np.int32(spike_scale),
        "rgb_from_spike": rgb_from_spike(spike_scale),
        "cfa": "none",
        "transfer": transfer,
        "blur_kind": blur_kind,
        "source": source,
        "licence": licence,
        "seed": np.int64(-1),
    }
    check_record(record)
    return record
