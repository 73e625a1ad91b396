"""Command line: build a data set, or blur and spikes to restore, from footage.

    python -m data_pipeline.prepare --source=video --input=bikes.mp4 --output=DIR
    python -m data_pipeline.prepare --source=embedded --output=DIR
    python -m data_pipeline.prepare --source=spike_zoo --input=base --output=DIR

--layout=files writes what launch.py --mode=restore takes (DIR/blur and DIR/spikes.dat,
with DIR/sharp to compare); --layout=records writes a TFDS data set to train on.

All times are in spike frames. Frame f of the footage is the light of spike frame
f * --spikes_per_frame, so --exposure=49 at --spikes_per_frame=8 blurs 6 frames of the
footage into one. In between, what moves more than a pixel from one frame to the next is
moved along the optical flow; --in_between=linear blends the frames in place.

spike_zoo, spk_gopro, s_sdm and rsb are public data sets. --input is the folder that
data_pipeline/sources/NAME.py describes; its defaults are the published geometry. Its
own train and test folders are kept; where it has none, --test_clips sets clips aside.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from data_pipeline import spike_dat, spike_sidecar
from data_pipeline.atomic import new_folder
from data_pipeline.choices import unknown_name
from data_pipeline.records import Record
from data_pipeline.sources import (
    embedded,
    rsb,
    s_sdm,
    spike_folders,
    spike_zoo,
    spk_gopro,
    video_folder,
)
from data_pipeline.spike_deblur import Source, build, prepare_embedded
from data_pipeline.video_files import list_pictures, read_video, write_pictures

# Public data sets, each in the folder layout that its file describes.
SPIKE_SETS = {
    "spike_zoo": spike_zoo.SPIKE_ZOO,
    "spk_gopro": spk_gopro.SPK_GOPRO,
    "s_sdm": s_sdm.S_SDM,
    "rsb": rsb.RSB,
}
SOURCES = ("embedded", "video", *SPIKE_SETS)
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
    "flip": (True, "whether its rows are stored bottom-up: true or false"),
    "white_rate": (0.6, "spikes per spike frame at white"),
    "blur_folder": ("blur_gamma", "of GoPro: blur_gamma or blur"),
    "pad": (None, "spike frames of a stream before its exposure, and after it"),
    "key_frame": (None, "spike frame of the sharp picture, counted from 0"),
}
_RECORDS_ONLY = ("num_frames", "test_clips")


class _Parser(argparse.ArgumentParser):
    """A parser that reports every error in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"prepare: {message.rstrip('.')}; see --help.\n")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; options that were not given are None.

    Raises:
        ValueError: an option is unknown, or not one of the source or the layout.
    """
    parser = _Parser(
        prog="python -m data_pipeline.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--source", required=True, help=" or ".join(SOURCES))
    parser.add_argument(
        "--input", help="video file, folder of videos or pictures, or public data set"
    )
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--layout", help="files (default for video) or records")
    for name, (default, text) in OPTIONS.items():
        kind: Any = int if default is None else type(default)
        shown = "" if default is None else f" (default {default})"
        metavar = {str: "NAME", bool: "true|false"}.get(kind, "N")
        kind = _flag if kind is bool else kind
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, help=text + shown)
    options, others = parser.parse_known_args(argv)
    for argument in others:
        name = argument.split("=")[0].removeprefix("--")
        raise ValueError(unknown_name("option", name, vars(options)))
    for name in ("input", "output"):
        value = getattr(options, name)
        if value == "":
            raise ValueError(f"--{name} is empty; give it a value.")
        # A shell leaves the ~ in --input=~/footage to the program.
        setattr(options, name, value and os.path.expanduser(value))
    if options.source not in SOURCES:
        raise ValueError(unknown_name("source", options.source, SOURCES))
    if options.layout is None:
        options.layout = "files" if options.source == "video" else "records"
    if options.layout not in LAYOUTS:
        raise ValueError(unknown_name("layout", options.layout, LAYOUTS))
    _check_applies(options)
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 after one sentence on a user's mistake."""
    try:
        options = parse(argv)
        if options.source == "embedded":
            where = _embedded_records(options)
        elif options.source in SPIKE_SETS:
            where = _spike_set_records(options)
        elif options.layout == "records":
            where = _video_records(options)
        else:
            where = _video_files(options)
    except (ValueError, OSError) as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare: stopped; nothing unfinished was left.", file=sys.stderr)
        return 130
    print(where)
    return 0


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


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
    elif options.source in SPIKE_SETS:
        if options.layout == "files":
            raise ValueError(
                f"--source={options.source} is a data set to train on; it takes "
                "--layout=records only."
            )
        takes = {*SPIKE_SETS[options.source].settings, "test_clips"}
        if options.input is None:
            raise ValueError(
                f"--source={options.source} needs --input, the folder of the data set."
            )
    else:
        takes = set(video_folder.SETTINGS)
        if options.layout == "records":
            takes |= set(_RECORDS_ONLY)
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


def _chosen(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Returns the options of these names, or their defaults."""
    given = {name: getattr(options, name) for name in names}
    return {
        name: OPTIONS[name][0] if value is None else value
        for name, value in given.items()
    }


def _embedded_records(options: argparse.Namespace) -> str:
    settings = _chosen(options, list(embedded.SETTINGS))
    if settings["test_clips"] is None:
        settings["test_clips"] = 4
    return prepare_embedded(options.output, settings)


def _spike_set_records(options: argparse.Namespace) -> str:
    spike_set = SPIKE_SETS[options.source]
    given = {name: getattr(options, name) for name in spike_set.settings}
    settings = spike_folders.check_set_settings(
        {n: spike_set.defaults[n] if v is None else v for n, v in given.items()},
        spike_set.settings,
    )
    found = spike_folders.find_splits(spike_set, options.input, settings)
    splits = spike_folders.split_clips(found, options.test_clips)
    every = [clip for split in spike_folders.SPLITS for clip in splits[split]]
    source = Source(
        name=options.source,
        version=spike_set.version,
        settings={
            **settings,
            "test_clips": len(splits["test"]),
            "files": spike_folders.identity(options.input, every),
        },
        counts={split: len(clips) for split, clips in splits.items()},
        clips=lambda split: (spike_set.make(c, settings) for c in splits[split]),
    )
    where = build(options.output, source)
    total = sum(1 for _ in Path(options.input).rglob("*.dat"))
    left = total - sum(len(clip.spikes) for clip in every)
    if left:
        print(
            f"prepare: {left} of {total} streams are in no clip; they are fewer than a "
            "clip takes in a row, or not where the layout has them.",
            file=sys.stderr,
        )
    return where


def _video_records(options: argparse.Namespace) -> str:
    settings = video_folder.check_video_settings(
        _chosen(options, list(video_folder.SETTINGS))
    )
    num_frames = _chosen(options, ["num_frames"])["num_frames"]
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}.")
    paths = video_folder.find_videos(options.input)
    counts = []
    for path in tqdm(paths, desc="Counting clips", unit="video"):
        frames, _ = read_video(path)
        counts.append(
            (path, video_folder.count_clips(len(frames), num_frames, settings))
        )
    total = sum(count for _, count in counts)
    test_clips = options.test_clips
    if test_clips is None:
        test_clips = max(1, round(total / 10))
    splits = video_folder.split_clips(counts, test_clips)
    source = Source(
        name="video",
        version=video_folder.VERSION,
        settings={
            **settings,
            "num_frames": num_frames,
            "test_clips": test_clips,
            "footage": [_identity(path) for path in paths],
        },
        counts={
            split: sum(len(chosen) for _, chosen in videos)
            for split, videos in splits.items()
        },
        clips=lambda split: video_folder.clips(splits[split], settings, num_frames),
    )
    return build(options.output, source)


def _video_files(options: argparse.Namespace) -> str:
    settings = video_folder.check_video_settings(
        _chosen(options, list(video_folder.SETTINGS))
    )
    paths = video_folder.find_videos(options.input)
    with new_folder(options.output) as folder:
        for path in paths:
            frames, fps = read_video(path)
            record = video_folder.make_clip(
                frames,
                settings,
                name=path.stem,
                fps=fps,
                progress=partial(tqdm, desc=path.name, unit="spike frame"),
            )
            place = folder if len(paths) == 1 else folder / path.stem
            place.mkdir(exist_ok=len(paths) == 1)
            write_files(place, record)
    return str(options.output)


def write_files(folder: Path, record: Record) -> None:
    """Writes blur/, sharp/, spikes.dat and spikes.json into an existing folder."""
    for name in ("blur", "sharp"):
        (folder / name).mkdir()
        write_pictures(folder / name, record[name])
    scale = int(record["spike_scale"])
    height, width = (length // scale for length in record["blur"].shape[1:3])
    spike_dat.write_packed(folder / "spikes.dat", record["spikes"], width, flip=True)
    spike_sidecar.write_sidecar(
        folder / "spikes.dat",
        {
            "height": height,
            "width": width,
            "flip": True,
            "spike_rate": float(record["spike_rate"]),
            "threshold": float(record["threshold"]),
            "gain": float(record["gain"]),
            "spike_scale": scale,
            "exposure": record["exposure"].tolist(),
        },
    )


def _identity(path: Path) -> str:
    """Names the state of a video: other footage under the same name is another set."""
    files = list_pictures(path) if path.is_dir() else [path]
    states = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files
    ]
    digest = hashlib.sha256(json.dumps(states).encode()).hexdigest()[:12]
    return f"{path.name}-{digest}"


if __name__ == "__main__":
    sys.exit(main())
