"""PKU-Spike-Stereo: what one side of a pair of spike cameras recorded.

    ROOT/indoor/left/0000/0000/0000.dat     ROOT/indoor/right/0000/0000/0000.dat
    ROOT/indoor/left/0000/0000/0000_gt.npy  (depth, not read)
    ROOT/outdoor/..

The first number is that of a scene, the second and third that of a short recording of
it. A .dat is 250x400 with rows bottom-up. All that, and that the first 80 % of the
scenes of indoor and of outdoor are there to train on, is what SpikeCV's documentation
and loader say (Spike-Stero there). They do not say how many spike frames a .dat holds,
nor how many passed in a second; a .dat is read as long as it is.

There are no pictures: blur and sharp are made from the spikes of one side
(data_pipeline/spike_triplets.py). A recording too short for a clip is left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline.choices import unknown_name
from data_pipeline.records import Record
from data_pipeline.sources.public_set import PublicSet
from data_pipeline.sources.spike_folders import (
    GEOMETRY,
    check_stream,
    list_files,
    list_sequences,
)
from data_pipeline.sources.spike_streams import (
    StreamClip,
    check_stream_settings,
    cut_stream,
    make_dat_clip,
    require_stream_clips,
)
from data_pipeline.spike_triplets import (
    TRIPLET_DEFAULTS,
    TRIPLET_SETTINGS,
    VERSION,
)

SIDES = ("left", "right")
SCENES = ("indoor", "outdoor")
SETTINGS: dict[str, type] = {
    **GEOMETRY,
    "side": str,  # one of SIDES
    **TRIPLET_SETTINGS,
}
DEFAULTS: dict[str, Any] = {
    "spike_height": 250,
    "spike_width": 400,
    "flip": True,
    "side": "left",
    **TRIPLET_DEFAULTS,
}
_TRAIN_SHARE = 0.8  # of the scenes, as published
_LAYOUT = "PKU-Spike-Stereo has {indoor,outdoor}/{left,right}/SCENE/NUMBER/NUMBER.dat."


def find_clips(root: Path, split: str, settings: Mapping[str, Any]) -> list[StreamClip]:
    """Lists the clips of a split, scene by scene.

    Raises:
        FileNotFoundError: a folder or the .dat in it is missing.
        ValueError: a .dat does not fit the geometry, there is one scene only, or no
            stream is as long as a clip.
    """
    settings = check_stereo_settings(settings)
    clips = []
    for place in SCENES:
        folder = root / place / settings["side"]
        scenes = list_sequences({"scene": folder}, _LAYOUT)
        train = int(_TRAIN_SHARE * len(scenes))
        if not train:
            raise ValueError(
                f"{folder} holds one scene, which cannot be split into train and test; "
                "get the rest of the data set, or take --source=spikes."
            )
        for scene in scenes[:train] if split == "train" else scenes[train:]:
            for number in list_sequences({"recording": folder / scene}, _LAYOUT):
                streams = list_files(folder / scene / number, ".dat", _LAYOUT)
                if list(streams) != [number]:
                    raise FileNotFoundError(
                        f"{folder / scene / number} must hold {number}.dat and no "
                        f"other, but holds {', '.join(sorted(streams))}. {_LAYOUT}"
                    )
                path = streams[number]
                count = check_stream(path, settings)
                name = f"{place}-{settings['side']}-{scene}-{number}"
                clips += cut_stream(name, path, count, settings)
    require_stream_clips(clips, root, settings)
    return clips


def make_clip(files: StreamClip, settings: Mapping[str, Any]) -> Record:
    """Makes the record of a clip from its stream.

    Raises:
        ValueError: the stream cannot be read, or is all dark in this clip.
    """
    settings = check_stereo_settings(settings)
    size = (settings["spike_height"], settings["spike_width"])
    return make_dat_clip(
        files,
        size,
        settings,
        data_set="PKU-Spike-Stereo",
        licence="none stated (PKU-Spike-Stereo)",
    )


def check_stereo_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_stream_settings(settings, SETTINGS)
    if checked["side"] not in SIDES:
        raise ValueError(unknown_name("side", checked["side"], SIDES))
    return checked


PKU_STEREO = PublicSet(
    VERSION,
    SETTINGS,
    DEFAULTS,
    find_clips,
    make_clip,
    check=check_stereo_settings,
    finds_split=True,
)
