"""BSS: streams of a spike camera behind Bayer filters, in colour.

    ROOT/config.yaml            (of SpikeCV, may be missing)
    ROOT/data/NAME.dat          or ROOT/NAME.dat

28 recordings of moving cameras and things. A .dat is 1000x1000, without the header bits
of the camera, and was read by SpikeCV and SJDD-Net with rows bottom-up, filters 'bggr'
after they were turned, 39 spike frames at a time, and shown with a gamma of 2.2. That
is what their code says; how many spike frames passed in a second it does not say.

There are no pictures: blur and sharp are made from the spikes and demosaiced
(data_pipeline/spike_triplets.py). The spikes stay behind their filters, as the record's
`cfa` says. A stream too short for a clip is left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline.bayer import check_pattern
from data_pipeline.records import Record
from data_pipeline.sources.public_set import PublicSet
from data_pipeline.sources.spike_folders import GEOMETRY, check_stream, list_files
from data_pipeline.sources.spike_streams import (
    StreamClip,
    check_stream_settings,
    cut_stream,
    make_dat_clip,
    require_stream_clips,
)
from data_pipeline.sources.spikecv import CONFIG, check_cfa, read_attributes
from data_pipeline.spike_triplets import (
    TRIPLET_DEFAULTS,
    TRIPLET_SETTINGS,
    VERSION,
)

SETTINGS: dict[str, type] = {
    **GEOMETRY,
    "cfa": str,  # one of bayer.CFA_PATTERNS
    **TRIPLET_SETTINGS,
}
DEFAULTS: dict[str, Any] = {
    "spike_height": 1000,
    "spike_width": 1000,
    "flip": True,
    "cfa": "bggr",
    **TRIPLET_DEFAULTS,
}
_LAYOUT = "BSS has data/NAME.dat, or NAME.dat beside its config.yaml."


def find_clips(root: Path, split: str, settings: Mapping[str, Any]) -> list[StreamClip]:
    """Lists the clips, stream by stream.

    Raises:
        FileNotFoundError: there is no .dat.
        ValueError: a .dat or the config.yaml does not fit the geometry, or no stream is
            as long as a clip.
    """
    settings = check_bss_settings(settings)
    if (root / CONFIG).is_file():
        _check_config(root / CONFIG, settings)
    folder = root / split
    folder = folder / "data" if (folder / "data").is_dir() else folder
    clips = []
    for name, path in sorted(list_files(folder, ".dat", _LAYOUT).items()):
        clips += cut_stream(name, path, check_stream(path, settings), settings)
    require_stream_clips(clips, folder, settings)
    return clips


def make_clip(files: StreamClip, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip from its stream.

    Raises:
        ValueError: the stream cannot be read, or is all dark in this clip.
    """
    settings = check_bss_settings(settings)
    size = (settings["spike_height"], settings["spike_width"])
    return make_dat_clip(
        files,
        size,
        settings,
        data_set="BSS",
        licence="none stated (BSS)",
        cfa=settings["cfa"],
    )


def check_bss_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_stream_settings(settings, SETTINGS)
    check_pattern(checked["cfa"], may_be_none=False)
    return checked


def _check_config(path: Path, settings: Mapping[str, Any]) -> None:
    attributes = read_attributes(path)
    check_cfa(attributes, settings["cfa"], path)
    size = (settings["spike_height"], settings["spike_width"])
    if size != (attributes.height, attributes.width):
        raise ValueError(
            f"{path} says {attributes.height}x{attributes.width} spike pixels, but "
            f"spike_height and spike_width say {size[0]}x{size[1]}; correct one of "
            "them."
        )


BSS = PublicSet(
    VERSION, SETTINGS, DEFAULTS, find_clips, make_clip, check=check_bss_settings
)
