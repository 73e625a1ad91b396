"""The options of prepare: their defaults, which source takes which, and the parser."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from data_pipeline.arguments import SentenceParser, read_paths, true_or_false
from data_pipeline.camera_settings import CAMERA_OPTIONS
from data_pipeline.choices import unknown_name
from data_pipeline.sources import (
    bss,
    dvd,
    embedded,
    gopro,
    pku_stereo,
    reds,
    rsb,
    s_sdm,
    spike_zoo,
    spikecv,
    spikes,
    spk_gopro,
    spk_x4k,
    video_folder,
)
from data_pipeline.spike_dat import BIT_ORDERS
from data_pipeline.spike_dat import LAYOUTS as SPIKE_LAYOUTS

# Public data sets, each in the folder layout that its file describes.
PUBLIC_SETS = {
    "spike_zoo": spike_zoo.SPIKE_ZOO,
    "spk_gopro": spk_gopro.SPK_GOPRO,
    "spk_x4k": spk_x4k.SPK_X4K,
    "s_sdm": s_sdm.S_SDM,
    "rsb": rsb.RSB,
    "gopro": gopro.GOPRO,
    "dvd": dvd.DVD,
    "reds": reds.REDS,
    "pku_stereo": pku_stereo.PKU_STEREO,
    "bss": bss.BSS,
    "spikecv": spikecv.SPIKECV,
}
SOURCES = ("embedded", "video", "spikes", *PUBLIC_SETS)
LAYOUTS = ("files", "records")

# name -> (default, help). What a source does not take is refused for it. The cameras
# are those that configs/base.py trains with, so that its models fit what this makes. A
# public data set has defaults of its own, which its file states.
OPTIONS: dict[str, tuple[Any, str]] = {
    "exposure": (49, "spike frames the shutter is open, odd"),
    "period": (56, "spike frames from one exposure to the next"),
    "spikes_per_frame": (8, "spike frames from one frame of the footage to the next"),
    "in_between": ("flow", "what is between two frames: flow or linear"),
    "threshold": (1.0, "accumulated light at which a spike pixel fires"),
    "gain": (0.6, "accumulated light in one spike frame at white"),
    "spike_scale": (1, "RGB pixels per spike pixel, each way: 1, 2 or 4"),
    "seed": (0, "of everything random"),
    "num_frames": (6, "frames of a clip"),
    "train_clips": (48, "clips to train on"),
    "test_clips": (None, "clips to test on; default: 4, or a tenth of the footage"),
    "height": (128, "RGB pixels of a clip"),
    "width": (160, "RGB pixels of a clip"),
    "max_blur": (12.0, "RGB pixels the camera moves in one exposure, at most"),
    "spike_height": (None, "spike pixels of a public data set"),
    "spike_width": (None, "spike pixels of a public data set"),
    "trust_size": (False, "true where both are right though they look swapped"),
    "test_spike_height": (None, "spike pixels of its test split, where others"),
    "test_spike_width": (None, "spike pixels of its test split, where others"),
    "flip": (True, "whether its rows are stored bottom-up: true or false"),
    "white_rate": (
        0.6,
        "spikes per spike frame at white; 0 where it is to be measured",
    ),
    "window": (55, "spike frames that a sharp frame is reconstructed from"),
    "dark_rate": (0.0, "spikes per spike frame without light; 0: left in"),
    "spike_rate": (0.0, "spike frames per second; 0: not known"),
    "spike_layout": ("plain", f"of a .dat: {', '.join(SPIKE_LAYOUTS)}"),
    "spike_bit_order": ("little", f"of a .dat: {' or '.join(BIT_ORDERS)}"),
    "spike_key": ("", "of the stream in an .npz or .h5 that holds several"),
    "side": ("left", "of PKU-Spike-Stereo: left or right"),
    "blur_folder": ("blur_gamma", "of GoPro: blur_gamma, blur, or own (gopro)"),
    "frames_folder": ("orig", "of REDS: orig (120 a second) or sharp (24)"),
    "leave_out": ("", "sequences of a public data set, with commas between"),
    "pad": (None, "spike frames of a stream before its exposure, and after it"),
    "key_frame": (None, "spike frame of the sharp picture, counted from 0"),
    **CAMERA_OPTIONS,
}
# How a data set is built, whatever it is built from: name -> (type, help).
BUILD_OPTIONS: dict[str, tuple[type, str]] = {
    "workers": (int, "processes that make clips; default: one for each core"),
    "beam": (bool, "has Apache Beam make the clips, on one machine or on many"),
    "beam_options": (str, "of its runner, such as '--runner=FlinkRunner'"),
}
# What a folder to restore has no use for: one clip, one sharp frame to compare with.
_RECORDS_ONLY = ("num_frames", "test_clips", "sharp_instants")


def parse(argv: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Reads the command line; options that were not given are None.

    Raises:
        ValueError: an option is unknown, or not one of the source or the layout.
    """
    parser = SentenceParser(
        prog="python -m data_pipeline.prepare",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--source", help=" or ".join(SOURCES))
    parser.add_argument(
        "--input", help="video, spike file, folder of either, or public data set"
    )
    parser.add_argument("--output", help="folder to write")
    parser.add_argument("--layout", help="files (default for video) or records")
    parser.add_argument(
        "--verify", help="directory of a data set to check against its manifest"
    )
    for name, (kind, text) in BUILD_OPTIONS.items():
        if kind is bool:
            parser.add_argument(f"--{name}", action="store_true", help=text)
        else:
            parser.add_argument(f"--{name}", type=kind, help=text)
    for name, (default, text) in OPTIONS.items():
        kind = int if default is None else type(default)
        shown = "" if default is None else f" (default {default})"
        metavar = {str: "NAME", bool: "true|false"}.get(kind, "N")
        kind = true_or_false if kind is bool else kind
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, help=text + shown)
    options, others = parser.parse_known_args(argv)
    for argument in others:
        name = argument.split("=")[0].removeprefix("--")
        raise ValueError(unknown_name("option", name, vars(options)))
    read_paths(options, ("input", "output", "verify"))
    if options.verify is not None:
        _check_verifies_only(options)
        return options
    missing = [f"--{n}" for n in ("source", "output") if getattr(options, n) is None]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    if options.source not in SOURCES:
        raise ValueError(unknown_name("source", options.source, SOURCES))
    if options.layout is None:
        options.layout = "files" if options.source == "video" else "records"
    if options.layout not in LAYOUTS:
        raise ValueError(unknown_name("layout", options.layout, LAYOUTS))
    _check_applies(options)
    _check_build(options)
    if options.beam:  # its workers may start in another folder
        options.input = options.input and os.path.abspath(options.input)
    return options


def chosen(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Returns the options of these names, or their defaults."""
    given = {name: getattr(options, name) for name in names}
    return {
        name: OPTIONS[name][0] if value is None else value
        for name, value in given.items()
    }


def _check_verifies_only(options: argparse.Namespace) -> None:
    for name, value in vars(options).items():
        if name != "verify" and value not in (None, False):
            raise ValueError(f"--verify checks a data set and takes no --{name}.")


def _check_build(options: argparse.Namespace) -> None:
    for name in BUILD_OPTIONS:
        if getattr(options, name) and options.layout == "files":
            raise ValueError(
                f"--{name} is of building a data set; --layout=files has no use for it."
            )
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {options.workers}.")
    if options.beam and options.workers is not None:
        raise ValueError(
            "--workers has no meaning with --beam, whose runner has its own option; "
            "say it in --beam_options, such as --direct_num_workers=4."
        )
    if options.beam_options is not None and not options.beam:
        raise ValueError("--beam_options has no meaning without --beam.")


def _check_applies(options: argparse.Namespace) -> None:
    if options.source == "embedded":
        if options.layout == "files":
            raise ValueError(
                "--source=embedded has many short clips and no video; it takes "
                "--layout=records only."
            )
        takes = set(embedded.SETTINGS)
        if options.input is not None:
            raise ValueError("--source=embedded brings its own pictures, not --input.")
    elif options.source in PUBLIC_SETS:
        if options.layout == "files":
            raise ValueError(
                f"--source={options.source} is a data set to train on; it takes "
                "--layout=records only."
            )
        takes = {*PUBLIC_SETS[options.source].settings, "test_clips", "trust_size"}
        if options.input is None:
            raise ValueError(
                f"--source={options.source} needs --input, the folder of the data set."
            )
    elif options.source == "spikes":
        if options.layout == "files":
            raise ValueError(
                "--source=spikes makes a data set to train on of a recording; it takes "
                "--layout=records only."
            )
        takes = {*spikes.SETTINGS, *spikes.STORAGE, "test_clips", "trust_size"}
        if options.input is None:
            raise ValueError(
                "--source=spikes needs --input, a spike file or a folder of them."
            )
    else:
        takes = set(video_folder.SETTINGS) | set(_RECORDS_ONLY)
        if options.layout == "files":
            takes -= set(_RECORDS_ONLY)
        if options.input is None:
            raise ValueError(
                "--source=video needs --input, a video file or a folder of videos or "
                "pictures."
            )
    for name in OPTIONS:
        if getattr(options, name) is not None and name not in takes:
            raise ValueError(
                f"--{name} has no meaning for --source={options.source} with "
                f"--layout={options.layout}, which takes {', '.join(sorted(takes))}."
            )
