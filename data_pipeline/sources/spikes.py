"""Any spike recording as clip records: blur and sharp are made from the spikes.

The input is a file or folder of .dat, .npy, .npz or .h5 (data_pipeline/spike_files.py)
at any depth. What a .dat does not say of itself is said by the .json beside it or by
the options: its size, `flip`, and, of a camera's own files, `layout` and `bit_order`.
White, colour filters, transfer and spike rate are taken from the .json too, where it
knows them. Only the part of a recording that a clip needs is read (of an .npz all).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline import spike_sidecar, spike_triplets
from data_pipeline.bayer import check_pattern
from data_pipeline.records import UNKNOWN, Record
from data_pipeline.sources.spike_streams import (
    StreamClip,
    check_size,
    check_stream_settings,
    cut_stream,
    require_stream_clips,
)
from data_pipeline.spike_files import SUFFIXES, SpikeStream, open_spikes
from data_pipeline.spike_triplets import (
    TRIPLET_DEFAULTS,
    TRIPLET_SETTINGS,
    make_triplets,
)
from data_pipeline.stream_check import require_size_as_said, require_spikes

VERSION = spike_triplets.VERSION
SETTINGS: dict[str, type] = {
    "cfa": str,  # 'none' or one of bayer.CFA_PATTERNS
    **TRIPLET_SETTINGS,
}
DEFAULTS: dict[str, Any] = {"cfa": "none", **TRIPLET_DEFAULTS}
# How the bits of a recording are stored: option -> the argument of open_spikes.
STORAGE = {
    "spike_height": "height",
    "spike_width": "width",
    "flip": "flip",
    "spike_bit_order": "bit_order",
    "spike_layout": "layout",
    "spike_key": "key",
}
_NEEDED = ("height", "width", "flip")  # of a .dat


@dataclasses.dataclass(frozen=True)
class SpikeRecording:
    """One recording, and how it is to be read.

    Attributes:
        path: of the file.
        storage: arguments of open_spikes.
        settings: of its clips, SETTINGS.
    """

    path: Path
    storage: Mapping[str, Any]
    settings: Mapping[str, Any]

    def open(self) -> SpikeStream:
        """Opens the stream; nothing of it is read yet (of an .npz all)."""
        return open_spikes(self.path, **self.storage)


@dataclasses.dataclass(frozen=True)
class RecordingClips:
    """Makes the clips of recordings.

    Attributes:
        recordings: by their paths.
        splits: split -> its clips.
    """

    recordings: Mapping[Path, SpikeRecording]
    splits: Mapping[str, Sequence[Any]]

    def __call__(self, split: str, index: int) -> Record:
        """Makes a clip."""
        clip: StreamClip = self.splits[split][index]
        recording = self.recordings[clip.spikes[0]]
        return make_triplets(
            recording.open(),
            clip.start,
            recording.settings,
            name=clip.name,
            source=f"recording {recording.path.name}",
            licence=UNKNOWN,
            cfa=recording.settings["cfa"],
        )


def find_recordings(
    source: str | Path, storage: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[SpikeRecording]:
    """Lists the recordings of a file or a folder in the order of their paths.

    Args:
        source: the file or folder.
        storage: arguments of open_spikes, None where they were not said.
        settings: of SETTINGS, None where they were not said.

    Raises:
        FileNotFoundError: there is no such file or folder, or no recording in it.
        ValueError: it is not said how a file is to be read, or a file's .json says it
            otherwise, or a setting cannot be.
    """
    place = Path(source)
    if not place.exists():
        raise FileNotFoundError(f"There is no recording or folder {place}.")
    paths = [place]
    if place.is_dir():
        paths = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{place} holds no {', '.join(SUFFIXES)} file.")
    return [_recording(path, storage, settings) for path in paths]


def check_recording(recording: SpikeRecording, *, trust_size: bool) -> int:
    """Returns the spike frames of a recording, looking at its file.

    Raises:
        ValueError: the file is broken or does not fit, holds no spike, is too small, or
            looks as if height and width were swapped.
    """
    stream = recording.open()
    count, height, width = stream.shape
    check_size(height, width, f"{recording.path}: frames")
    require_spikes(stream, recording.path)
    if recording.path.suffix.lower() == ".dat" and not trust_size:
        stored = {name: recording.storage[name] for name in ("bit_order", "layout")}
        insist = "add --trust_size=true"
        require_size_as_said(recording.path, height, width, insist=insist, **stored)
    return count


def cut_recordings(
    recordings: Sequence[SpikeRecording],
    counts: Sequence[int],
    source: str | Path,
) -> tuple[list[StreamClip], list[Path]]:
    """Returns the clips of recordings, and those too short for one.

    Raises:
        ValueError: all are too short.
    """
    root = Path(source)
    clips: list[StreamClip] = []
    short = []
    for recording, count in zip(recordings, counts, strict=True):
        inside = recording.path.relative_to(root) if root.is_dir() else Path(root.name)
        # Files of one name and two suffixes are two recordings.
        name = "-".join(inside.parts).replace(".", "-")
        cut = cut_stream(name, recording.path, count, recording.settings)
        clips += cut
        if not cut:
            short.append(recording.path)
    require_stream_clips(clips, root, recordings[0].settings)
    return clips, short


def _recording(
    path: Path, storage: Mapping[str, Any], settings: Mapping[str, Any]
) -> SpikeRecording:
    facts: dict[str, Any] = {n: v for n, v in storage.items() if v is not None}
    said = {name: value for name, value in settings.items() if value is not None}
    if path.suffix.lower() == ".dat":
        key = facts.pop("key", None)
        known = spike_sidecar.merge_facts(path, facts, needed=_NEEDED)
        if any(name not in known for name in _NEEDED):
            raise ValueError(
                f"{path} does not say how it is to be read and there is no "
                f"{spike_sidecar.sidecar_path(path).name} beside it; pass "
                "--spike_height, --spike_width and --flip (true where rows are stored "
                "bottom-up, as cameras do)."
            )
        names = (*_NEEDED, "bit_order", "layout")
        facts = {name: known[name] for name in names} | {"key": key}
        said = _known_settings(known) | said
    checked = check_stream_settings(DEFAULTS | said, SETTINGS)
    check_pattern(checked["cfa"])
    return SpikeRecording(path, facts, checked)


def _known_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a .json beside a .dat answers."""
    known: dict[str, Any] = {}
    white = facts.get("gain", math.nan) / facts.get("threshold", math.nan)
    if 0 < white <= 1:
        known["white_rate"] = white
    if facts.get("spike_rate", math.nan) > 0:
        known["spike_rate"] = facts["spike_rate"]
    if facts["transfer"] != UNKNOWN:
        known["transfer"] = facts["transfer"]
    known["cfa"] = facts["cfa"]
    return known
