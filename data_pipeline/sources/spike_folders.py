"""The folders of public data sets: files listed, matched, joined and read."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import video_files
from data_pipeline.records import Record, check_record, pack_spikes, rgb_from_spike
from data_pipeline.sources.public_set import ClipFiles
from data_pipeline.spike_dat import SpikeDat, count_frames

# What every .dat of a data set has in common. It is never taken from a file.
GEOMETRY: dict[str, type] = {"spike_height": int, "spike_width": int, "flip": bool}


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
