"""Folders of SpikeCV: spike streams beside a config.yaml that says what they are.

    ROOT/config.yaml
    ROOT/.../NAME.dat

config.yaml gives the size of all streams (spike_w, spike_h) and the kinds of labels
(labeled_data_type, numbers of LABEL_TYPES). Where labels lie in folders of their own,
data_field_identifier names the folder that the streams lie in; only those are taken
then. That is what SpikeCV's documentation and loader say; labels are not read. Where
ROOT holds train and test, they are the splits (its val is in neither).

What config.yaml does not say: its loader takes rows as stored bottom-up, so `flip` is
true unless it is said otherwise (the optical flow sets SPIFT and PHM are used with
flip=false). Type 7 says that the pixels are behind Bayer filters, not behind which:
`cfa` has to be given then. SpikeCV reads BSS as 'bggr', rows top-down.

Blur and sharp are made from the spikes (data_pipeline/spike_triplets.py). A stream too
short for a clip is left out.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data_pipeline.bayer import CFA_PATTERNS, check_pattern
from data_pipeline.records import Record
from data_pipeline.sources.public_set import PublicSet
from data_pipeline.sources.spike_streams import (
    StreamClip,
    check_size,
    check_stream_settings,
    cut_stream,
    make_dat_clip,
    require_stream_clips,
)
from data_pipeline.spike_dat import count_frames
from data_pipeline.spike_triplets import (
    TRIPLET_DEFAULTS,
    TRIPLET_SETTINGS,
    VERSION,
)

CONFIG = "config.yaml"
BAYER = 7
LABEL_TYPES: dict[float, str] = {
    0: "raw",
    1: "reconstruction",
    2: "optical flow",
    3.1: "monocular depth",
    3.2: "stereo depth",
    4: "detection",
    5: "tracking",
    6: "recognition",
    BAYER: "bayer",
}
SETTINGS: dict[str, type] = {
    "flip": bool,
    "cfa": str,  # 'none' or one of CFA_PATTERNS
    **TRIPLET_SETTINGS,
}
DEFAULTS: dict[str, Any] = {"flip": True, "cfa": "none", **TRIPLET_DEFAULTS}
_NEEDED = ("filename", "spike_w", "spike_h", "labeled_data_type")


@dataclasses.dataclass(frozen=True)
class Attributes:
    """What a config.yaml says of its streams.

    Attributes:
        name: of the data set.
        height: spike pixels.
        width: spike pixels.
        is_bayer: whether the pixels are behind colour filters.
        streams_in: the folder that streams lie in, at any depth; '' where in any.
    """

    name: str
    height: int
    width: int
    is_bayer: bool
    streams_in: str


def read_attributes(path: Path) -> Attributes:
    """Reads a config.yaml.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not YAML, lacks a key, or a value cannot be.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}; a folder of SpikeCV has one, which gives the size of "
            "its streams. Write it, or take --source=spikes with --spike_height, "
            "--spike_width and --flip."
        )
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not valid YAML ({reason}).") from None
    if not isinstance(said, dict):
        raise ValueError(f"{path} must hold keys with values, such as spike_w: 400.")
    lacking = [name for name in _NEEDED if name not in said]
    if lacking:
        raise ValueError(
            f"{path} lacks {', '.join(lacking)}; SpikeCV's folders say "
            f"{', '.join(_NEEDED)}."
        )
    for name in ("spike_w", "spike_h"):
        value = said[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"{path}: {name} must be a whole number of pixels, got {value!r}."
            )
    streams_in = said.get("data_field_identifier") or ""
    if not isinstance(streams_in, str):
        raise ValueError(
            f"{path}: data_field_identifier must be the name of a folder, got "
            f"{streams_in!r}."
        )
    return Attributes(
        str(said["filename"]),
        said["spike_h"],
        said["spike_w"],
        BAYER in _label_types(said["labeled_data_type"], path),
        streams_in,
    )


def _label_types(said: Any, path: Path) -> list[float]:
    types = said if isinstance(said, list) else [said]
    for kind in types:
        number = isinstance(kind, int | float) and not isinstance(kind, bool)
        if not number or kind not in LABEL_TYPES:
            known = ", ".join(f"{n:g} {text}" for n, text in LABEL_TYPES.items())
            raise ValueError(
                f"{path}: labeled_data_type {kind!r} is none of SpikeCV's: {known}."
            )
    return types


def check_cfa(attributes: Attributes, cfa: str, path: Path) -> None:
    """Raises a ValueError unless colour filters are said where there are some."""
    if attributes.is_bayer and cfa == "none":
        raise ValueError(
            f"{path} says that the pixels are behind Bayer filters "
            f"(labeled_data_type {BAYER}), but not behind which; add --cfa= and one of "
            f"{', '.join(CFA_PATTERNS)} (SpikeCV reads BSS as bggr)."
        )
    if cfa != "none" and not attributes.is_bayer:
        raise ValueError(
            f"cfa is {cfa}, but {path} does not say that there are Bayer filters "
            f"(labeled_data_type {BAYER}); leave cfa out, or correct the file."
        )


def find_clips(root: Path, split: str, settings: Mapping[str, Any]) -> list[StreamClip]:
    """Lists the clips of a split, stream by stream in the order of their paths.

    Raises:
        FileNotFoundError: there is no config.yaml, or no stream.
        ValueError: config.yaml or the settings do not say what is needed, a .dat does
            not fit them, or none is as long as a clip.
    """
    settings = check_spikecv_settings(settings)
    attributes = read_attributes(root / CONFIG)
    check_cfa(attributes, settings["cfa"], root / CONFIG)
    check_size(attributes.height, attributes.width, f"{root / CONFIG}: streams")
    folder = root / split
    streams = [
        path
        for path in folder.rglob("*.dat")
        if not attributes.streams_in
        or attributes.streams_in in path.relative_to(root).parts[:-1]
    ]
    if not streams:
        inside = f" in a folder {attributes.streams_in}" * bool(attributes.streams_in)
        raise FileNotFoundError(f"{folder} holds no .dat{inside}, at any depth.")
    clips = []
    for path in sorted(streams, key=_in_order):
        count = count_frames(path, attributes.height, attributes.width)
        name = "-".join(path.relative_to(root).with_suffix("").parts)
        clips += cut_stream(name, path, count, settings)
    require_stream_clips(clips, folder, settings)
    return clips


def make_clip(files: StreamClip, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip from its stream.

    Raises:
        ValueError: the stream cannot be read, or is all dark in this clip.
    """
    settings = check_spikecv_settings(settings)
    attributes = read_attributes(_config_of(files.spikes[0]))
    return make_dat_clip(
        files,
        (attributes.height, attributes.width),
        settings,
        data_set=f"SpikeCV {attributes.name},",
        licence=f"of the data set {attributes.name}",
        cfa=settings["cfa"],
    )


def stream_size(path: Path, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the height and width that the config.yaml above a stream says."""
    del settings
    attributes = read_attributes(_config_of(path))
    return attributes.height, attributes.width


def check_spikecv_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_stream_settings(settings, SETTINGS)
    check_pattern(checked["cfa"])
    return checked


def _config_of(stream: Path) -> Path:
    """The nearest config.yaml in a folder that the stream lies in."""
    for folder in stream.parents:
        if (folder / CONFIG).is_file():
            return folder / CONFIG
    raise FileNotFoundError(f"There is no {CONFIG} above {stream} any more.")


def _in_order(path: Path) -> tuple[list[str], int, str]:
    """Sorts 2.dat before 10.dat."""
    number = int(path.stem) if path.stem.isdecimal() else -1
    return [*path.parent.parts], number, path.stem


SPIKECV = PublicSet(
    VERSION,
    SETTINGS,
    DEFAULTS,
    find_clips,
    make_clip,
    check=check_spikecv_settings,
    stream_size=stream_size,
)
