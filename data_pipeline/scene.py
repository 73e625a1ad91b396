"""What a recording shows: its spikes, and frames where there are any beside them."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import spike_sidecar
from data_pipeline.records import (
    UNKNOWN,
    Record,
    check_exposure,
    rgb_from_spike,
    unpack_spikes,
)
from data_pipeline.spike_dat import check_slice
from data_pipeline.spike_deblur import open_split
from data_pipeline.spike_files import SpikeStream, open_spikes
from data_pipeline.stream_check import require_size_as_said, require_spikes
from data_pipeline.video_files import read_video


@dataclasses.dataclass(frozen=True)
class Scene:
    """A spike stream with what is known of it."""

    name: str
    spikes: SpikeStream
    spike_rate: float = math.nan  # spike frames per second
    frames: np.ndarray | None = None  # (T, H, W, 3) uint8, blurred
    exposure: np.ndarray | None = None  # (T, 2), start and end in spike frames
    rgb_from_spike: np.ndarray | None = None  # (3, 3) homography of pixel centres
    transfer: str = UNKNOWN  # of the light that the spikes integrated
    cfa: str = "none"  # colour filters over the spike pixels


def open_scene(
    path: str | Path,
    *,
    split: str | None = None,
    clip: int | None = None,
    trust_size: bool = False,
    **options: Any,
) -> Scene:
    """Opens a spike file, a folder of `prepare --layout=files`, or a built data set.

    Args:
        path: of the file or folder.
        split: of a data set; by default 'train'.
        clip: index in the split; by default the first.
        trust_size: whether the height and width given for a .dat are right though its
            pictures look as if they were swapped.
        **options: how a spike file is read, as for open_spikes; for a .dat what is not
            given is taken from the .json beside it.

    Raises:
        FileNotFoundError: there is nothing there, or nothing that can be shown.
        ValueError: it cannot be read, holds no spike at all, looks as if height and
            width had been swapped, or an option does not suit it.
    """
    path = Path(path)
    options = {name: value for name, value in options.items() if value is not None}
    is_set = (path / "dataset_info.json").is_file()
    if path.exists() and not is_set and (split, clip) != (None, None):
        raise ValueError(f"{path} is no data set; leave split and clip out.")
    if path.is_file():
        return _live(_spike_file(path, options, trust_size=trust_size), path)
    if not path.is_dir():
        raise FileNotFoundError(f"There is no spike file or folder {path}.")
    if options:
        raise ValueError(
            f"{path} knows how its spikes are stored; leave {next(iter(options))} out."
        )
    if is_set:
        shown = _clip(path, split or "train", clip or 0)
        return _live(shown, f"Clip {shown.name} of {path}")
    if (path / "spikes.dat").is_file():
        return _live(_prepared(path), path / "spikes.dat")
    raise FileNotFoundError(
        f"{path} holds neither spikes.dat nor a data set; name a spike file, or a "
        "folder that python -m data_pipeline.prepare wrote."
    )


def _live(scene: Scene, name: str | Path) -> Scene:
    """The scene, if its stream holds a spike."""
    require_spikes(scene.spikes, name)
    return scene


def _spike_file(path: Path, options: dict[str, Any], *, trust_size: bool) -> Scene:
    facts = dict(options)
    if path.suffix.lower() == ".dat":
        facts = spike_sidecar.merge_facts(
            path, options, needed=("height", "width", "flip")
        )
    names = ("height", "width", "flip", "bit_order", "layout", "key")
    spikes = open_spikes(path, **{n: facts[n] for n in names if n in facts})
    # A .json is written by what wrote the spikes; what a person says may be swapped.
    is_said = {"height", "width"} & options.keys()
    if path.suffix.lower() == ".dat" and is_said and not trust_size:
        require_size_as_said(
            path,
            facts["height"],
            facts["width"],
            insist="add --trust_size=true",
            bit_order=facts["bit_order"],
            layout=facts["layout"],
        )
    rate = facts.get("spike_rate", math.nan)
    return Scene(name=path.name, spikes=spikes, spike_rate=rate)


def _prepared(folder: Path) -> Scene:
    scene = _spike_file(folder / "spikes.dat", {}, trust_size=True)
    sidecar = spike_sidecar.read_sidecar(folder / "spikes.dat")
    frames, _ = read_video(folder / "blur")
    exposure = np.asarray(sidecar["exposure"], np.float32)
    if len(exposure) != len(frames):
        raise ValueError(
            f"{folder} has {len(frames)} frames in blur and {len(exposure)} exposures "
            "in spikes.json; prepare it again."
        )
    check_exposure(exposure, len(scene.spikes))
    scale, size = sidecar["spike_scale"], scene.spikes.shape[1:]
    if frames.shape[1:3] != (size[0] * scale, size[1] * scale):
        raise ValueError(
            f"{folder} has frames of {frames.shape[1]}x{frames.shape[2]} and spikes of "
            f"{size[0]}x{size[1]}, but spikes.json says that one spike pixel covers "
            f"{scale}; prepare it again."
        )
    return dataclasses.replace(
        scene,
        name=folder.resolve().name,
        frames=frames,
        exposure=exposure,
        rgb_from_spike=rgb_from_spike(scale),
        transfer=sidecar["transfer"],
        cfa=sidecar["cfa"],
    )


def _clip(directory: Path, split: str, clip: int) -> Scene:
    records = open_split(directory, split)
    if not 0 <= clip < len(records):
        raise ValueError(
            f"{directory} has the clips 0 to {len(records) - 1} in {split!r}; there is "
            f"no clip {clip}."
        )
    record: Record = records[clip]
    width = record["blur"].shape[2] // int(record["spike_scale"])
    return Scene(
        name=str(record["name"]),
        spikes=_PackedStream(record["spikes"], width),
        spike_rate=float(record["spike_rate"]),
        frames=record["blur"],
        exposure=record["exposure"],
        rgb_from_spike=record["rgb_from_spike"],
        transfer=record["transfer"],
        cfa=record["cfa"],
    )


class _PackedStream:
    """The packed spikes of a record as a stream."""

    def __init__(self, packed: np.ndarray, width: int) -> None:
        self.shape = (len(packed), packed.shape[1], width)
        self._packed = packed

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice) -> np.ndarray:
        check_slice(key)
        return unpack_spikes(self._packed[key], self.shape[2])
