"""Command line: build a data set, or blur and spikes to restore, from footage.

    python -m data_pipeline.prepare --source=video --input=bikes.mp4 --output=DIR
    python -m data_pipeline.prepare --source=embedded --output=DIR
    python -m data_pipeline.prepare --source=spike_zoo --input=base --output=DIR
    python -m data_pipeline.prepare --source=spikes --input=FILE_OR_FOLDER --output=DIR
    python -m data_pipeline.prepare --verify=DIR/spike_deblur/NAME/VERSION

--layout=files writes what launch.py --mode=restore takes (DIR/blur and DIR/spikes.dat,
with DIR/sharp to compare; of --sensor=calibrated also the spikes of the ideal sensor
and what sets the pixels of the real one apart); --layout=records writes a TFDS data
set to train on. A build that was stopped goes on from its finished clips
(docs/data_preparation.md).

All times are in spike frames. Frame f of the footage is the light of spike frame
f * --spikes_per_frame, so --exposure=49 at --spikes_per_frame=8 blurs 6 frames of the
footage into one. In between, what moves more than a pixel from one frame to the next is
moved along the optical flow; --in_between=linear blends the frames in place.

gopro, dvd and reds are public footage, of which the spikes are simulated; spike_zoo,
spk_gopro, spk_x4k, s_sdm and rsb are public data sets with spikes of their own. --input
is the folder that data_pipeline/sources/NAME.py describes; its defaults are those of
the data set. Its own train and test folders are kept; where it has none, --test_clips
sets clips aside.

spikes takes any spike recording, and pku_stereo, bss and spikecv are public data sets
of spikes alone: blurred and sharp frames are made from the spikes themselves.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_pipeline import spike_dat, spike_sidecar
from data_pipeline.arguments import sentence_of
from data_pipeline.atomic import new_folder, require_writable
from data_pipeline.capture import Captured
from data_pipeline.prepare_options import chosen, parse
from data_pipeline.prepare_sources import find_source
from data_pipeline.records import Record
from data_pipeline.sources import video_folder
from data_pipeline.spike_deblur import build, verify
from data_pipeline.video_files import FrameReader, VideoReader, write_pictures


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 after one sentence on a user's mistake."""
    try:
        options = parse(argv, __doc__)
        if options.verify is not None:
            where = f"{verify(options.verify)}  {options.verify}"
        elif options.layout == "files":
            where = _files(options)
        else:
            where = _records(options)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        code, said = 2, f"prepare: {' '.join([sentence_of(error), *_notes(error)])}"
    except KeyboardInterrupt as error:
        left = _notes(error) or ["Nothing unfinished was left."]
        code, said = 130, f"prepare: stopped. {' '.join(left)}"
    else:
        print(where)
        return 0
    # Only now, when the error and the loops that it left are gone, are their bars
    # closed, and what is printed begins a line of its own.
    print(said, file=sys.stderr)
    return code


def _notes(error: BaseException) -> list[str]:
    """Returns what was added to an error on its way, such as how to go on."""
    return getattr(error, "__notes__", [])


def _records(options: argparse.Namespace) -> str:
    require_writable(options.output)  # before an hour of looking at the input
    source, note = find_source(options)
    if note:  # what a user may want to change comes before hours of work
        print(f"note: {note}", file=sys.stderr)
    beam_options = (options.beam_options or "") if options.beam else None
    return build(
        options.output, source, workers=options.workers, beam_options=beam_options
    )


def _files(options: argparse.Namespace) -> str:
    settings = video_folder.check_video_settings(
        chosen(options, list(video_folder.SETTINGS))
    )
    paths = video_folder.find_videos(options.input)
    with new_folder(options.output) as folder:
        with tqdm(paths, desc="Reading", unit="video", delay=2) as bar:
            shapes = {path: VideoReader(path).shape for path in bar}
        for path, (count, height, width, _) in shapes.items():
            video_folder.check_footage(path.name, height, width, settings)
            video_folder.require_footage(path.name, count, None, settings)
        for path, shape in shapes.items():
            frames = FrameReader(path, shape, keep=2)
            name = video_folder.video_name(path)
            captured = video_folder.film_clip(
                frames,
                settings,
                name=name,
                fps=frames.fps,
                progress=partial(tqdm, desc=path.name, unit="spike frame"),
            )
            _check_light(path, captured.record)
            place = folder if len(paths) == 1 else folder / name
            place.mkdir(exist_ok=len(paths) == 1)
            write_files(place, captured)
    return str(options.output)


def _check_light(footage: Path, record: Record) -> None:
    if not record["spikes"].any():  # nothing that reads spikes would take them
        raise ValueError(
            f"{footage} is too dark for a spike in any of its {len(record['spikes'])} "
            "spike frames; give footage with light, a lower threshold or a higher gain."
        )


def write_files(folder: Path, captured: Captured) -> None:
    """Writes what was captured into an existing folder.

    That is blur/, sharp/ and spikes.dat with its spikes.json; of a sensor that is not
    ideal also clean.dat with its clean.json, the spikes of the ideal one, and
    sensor_maps.npz, what sets its pixels apart (SensorMaps).
    """
    record = captured.record
    for name in ("blur", "sharp"):
        (folder / name).mkdir()
        write_pictures(folder / name, record[name])
    _write_stream(folder / "spikes.dat", record["spikes"], record)
    if captured.maps is not None:
        _write_stream(folder / "clean.dat", captured.clean, record)
        np.savez(folder / "sensor_maps.npz", **vars(captured.maps))


def _write_stream(path: Path, packed: np.ndarray, record: Record) -> None:
    """Writes the packed spikes of a record and what is known of them."""
    scale = int(record["spike_scale"])
    height, width = (length // scale for length in record["blur"].shape[1:3])
    spike_dat.write_packed(path, packed, width, flip=True)
    spike_sidecar.write_sidecar(
        path,
        {
            "height": height,
            "width": width,
            "flip": True,
            "spike_rate": float(record["spike_rate"]),
            "threshold": float(record["threshold"]),
            "gain": float(record["gain"]),
            "spike_scale": scale,
            "exposure": record["exposure"].tolist(),
            "transfer": record["transfer"],
            "cfa": record["cfa"],
        },
    )


if __name__ == "__main__":
    sys.exit(main())
