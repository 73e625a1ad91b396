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
    spikes: tuple[Path, ...] = ()
    blur: tuple[Path, ...] = ()
    sharp: tuple[Path, ...] = ()

    def sources(self) -> tuple[Path, ...]:
        """Everything that the clip is made from: files, or folders of pictures."""
        return (*self.spikes, *self.blur, *self.sharp)


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
        split_folders: the folders in there that tell of train and of test.
        check: from the settings to checked ones; their table and above 0 where None.
        stream_size: from a .dat and the settings to the height and width of its spike
            frames; those of the settings where None.
        finds_split: whether `find` is to tell 'train' from 'test' without such folders.
    """

    version: str
    settings: Mapping[str, type]
    defaults: Mapping[str, Any]
    find: Callable[[Path, str, Mapping[str, Any]], Sequence[ClipFiles]]
    make: Callable[[Any, Mapping[str, Any]], Record]
    splits_in: str = ""
    split_folders: tuple[str, str] = SPLITS
    check: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    stream_size: Callable[[Path, Mapping[str, Any]], tuple[int, int]] | None = None
    finds_split: bool = False

    def checked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings as plain values.

        Raises:
            ValueError: one is missing, unknown or out of its range.
        """
        if self.check is not None:
            return self.check(settings)
        return check_set_settings(settings, self.settings)

    def streams(
        self, clips: Iterable[ClipFiles], settings: Mapping[str, Any]
    ) -> dict[tuple[int, int], list[Path]]:
        """Returns the streams of clips, by the height and width of spike frames."""
        sizes: dict[tuple[int, int], list[Path]] = {}
        for stream in dict.fromkeys(path for clip in clips for path in clip.spikes):
            if self.stream_size is not None:
                size = self.stream_size(stream, settings)
            else:
                size = (settings["spike_height"], settings["spike_width"])
            sizes.setdefault(size, []).append(stream)
        return sizes


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
) -> dict[str, Sequence[ClipFiles]]:
    """Finds the clips of a data set, of train and test where it has both.

    Returns:
        'train' and 'test' -> clips where there are folders of these names or the data
        set is split in another way; otherwise 'all' -> clips.

    Raises:
        FileNotFoundError: there is no such folder, or a file of a clip is missing.
        ValueError: it is not of the data set's layout, a .dat does not fit its
            geometry, or there is one of train and test without the other.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if spike_set.finds_split:
        return {split: spike_set.find(folder, split, settings) for split in SPLITS}
    parent = folder / spike_set.splits_in
    names = spike_set.split_folders
    there = [name for name in names if (parent / name).is_dir()]
    if len(there) == 1:
        raise ValueError(
            f"{parent} holds {there[0]} but not the other of {' and '.join(names)}; "
            f"complete it, or take what {there[0]} holds out of that folder to split "
            "its clips."
        )
    if there:
        return {split: spike_set.find(folder, split, settings) for split in SPLITS}
    return {"all": spike_set.find(folder, "", settings)}


def split_clips(
    found: Mapping[str, Sequence[ClipFiles]], test_clips: int | None
) -> dict[str, Sequence[ClipFiles]]:
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
                "The data set is split into train and test as it is; leave test_clips "
                "out."
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
    sources = dict.fromkeys(source for clip in clips for source in clip.sources())
    files = (
        file
        for source in sources
        for file in (
            video_files.list_pictures(source) if source.is_dir() else (source,)
        )
    )
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
    frames: Mapping[str, ClipFiles],
    sequence: str,
    num_frames: int,
    *,
    step: int,
    around: int = 0,
) -> list[ClipFiles]:
    """Joins frames that follow each other in a sequence to clips.

    What is left before a gap or at the end, fewer than `num_frames`, is left out.

    Args:
        frames: files of one frame each, by its number in the sequence.
        sequence: its name.
        num_frames: of a clip.
        step: from the number of one frame to that of the next.
        around: frames before its first and after its last whose spikes a clip takes
            as well.

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
        if len(run) == num_frames + 2 * around:
            parts = [frames[number] for number in run]
            own = parts[around : around + num_frames]
            clips.append(
                ClipFiles(
                    f"{sequence}-{run[around]}",
                    tuple(path for part in parts for path in part.spikes),
                    tuple(path for part in own for path in part.blur),
                    tuple(path for part in own for path in part.sharp),
                )
            )
            run = run[num_frames:]
    return clips


def match_exposures(
    streams: Path,
    blur: Path,
    sharp: Path,
    settings: Mapping[str, Any],
    *,
    length: int,
    reason: str,
    layout: str,
    spare: Sequence[str] = (),
) -> dict[str, ClipFiles]:
    """Matches the stream of each exposure with its blurred and its sharp picture.

    Args:
        streams: folder of .dat files, an exposure each.
        blur: folder of .png files.
        sharp: folder of .png files.
        settings: with the geometry.
        length: spike frames of every stream.
        reason: ends the sentence on a stream of another length.
        layout: a sentence that says what the data set looks like.
        spare: of 'blur' and 'sharp', those that may have pictures without a stream.

    Returns:
        Name -> the files of a frame.

    Raises:
        FileNotFoundError: a folder or a partner of a file is missing.
        ValueError: a stream is of another length or does not fit the geometry.
    """
    kinds = {
        "stream": list_files(streams, ".dat", layout),
        "blur": list_files(blur, ".png", layout),
        "sharp": list_files(sharp, ".png", layout),
    }
    frames = {}
    for name in match_names(kinds, spare=spare):
        stream, *pictures = (files[name] for files in kinds.values())
        count = check_stream(stream, settings)
        if count != length:
            raise ValueError(f"{stream} holds {count} spike frames, but {reason}")
        frames[name] = ClipFiles(name, (stream,), *((path,) for path in pictures))
    return frames


def require_clips(clips: Sequence[ClipFiles], folder: Path, num_frames: int) -> None:
    """Raises a ValueError unless a sequence of the folder was as long as a clip."""
    if not clips:
        raise ValueError(
            f"No sequence of {folder} has {num_frames} blurred frames in a row; take a "
            "smaller num_frames."
        )


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
