"""Command line: a picture sheet and a video of a spike recording.

    python -m data_pipeline.view recording.dat --height=250 --width=400 --flip=true
    python -m data_pipeline.view DIR          # of prepare --layout=files
    python -m data_pipeline.view DATASET --split=test --clip=2

writes NAME_view/sheet.png and NAME_view/stream.mp4, or into --output; NAME is that of
the file, folder or clip. All times are in
spike frames. What is not said of a .dat is taken from the .json beside it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_pipeline.arguments import (
    SentenceParser,
    read_paths,
    sentence_of,
    true_or_false,
)
from data_pipeline.atomic import new_folder
from data_pipeline.choices import unknown_name
from data_pipeline.scene import Scene, open_scene
from data_pipeline.spike_dat import BIT_ORDERS, LAYOUTS
from data_pipeline.stream_sheet import View, choose_view, save_sheet, white_of
from data_pipeline.stream_statistics import mean_rate
from data_pipeline.video_files import new_video

_SECONDS = 30  # of the video, at most, where --step is not given
_STORAGE = ("height", "width", "flip", "bit_order", "layout", "key")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 after one sentence on a user's mistake."""
    try:
        options = _parse(argv)
        scene = open_scene(
            options.path,
            split=options.split,
            clip=options.clip,
            trust_size=bool(options.trust_size),
            **{name: getattr(options, name) for name in _STORAGE},
        )
        view = choose_view(
            scene,
            center=options.center,
            short=options.short,
            long=options.long,
            row=options.row,
        )
        name = scene.name
        if Path(options.path).is_file():
            name = Path(name).stem
        output = options.output or f"{name}_view"
        with new_folder(output) as folder:
            write_stream(
                folder / "stream.mp4", scene, view, step=options.step, fps=options.fps
            )
            save_sheet(folder / "sheet.png", scene, view)
    except (ValueError, OSError) as error:
        code, said = 2, f"view: {sentence_of(error)}"
    except KeyboardInterrupt:
        code, said = 130, "view: stopped; nothing unfinished was left."
    else:
        print(output)
        return 0
    # Only now, when the error and the loops that it left are gone, are their bars
    # closed, and what is printed begins a line of its own.
    print(said, file=sys.stderr)
    return code


def write_stream(
    path: str | Path, scene: Scene, view: View, *, step: int | None, fps: float
) -> None:
    """Writes an .mp4: the spikes, and beside them their short TFP.

    Args:
        path: ends in .mp4.
        scene: whose spikes are shown.
        view: `short` is the window of the TFP, `long` decides what is white.
        step: spike frames from one picture to the next; None takes as few as keep the
            video shorter than half a minute.
        fps: pictures a second.

    Raises:
        ValueError: step or fps is not positive.
    """
    if step is not None and step < 1:
        raise ValueError(f"step must be at least 1 spike frame, got {step}.")
    if not 1 <= fps <= 1000:
        raise ValueError(f"fps must be from 1 to 1000 pictures a second, got {fps:g}.")
    stream = scene.spikes
    count = len(stream)
    step = step or max(1, -(-count // int(_SECONDS * fps)))
    white = white_of(mean_rate(stream, *view.long))
    half = view.short // 2
    with new_video(path, fps=fps) as write:
        for at in tqdm(range(0, count, step), desc="Writing", unit="picture"):
            first, last = max(0, at - half), min(count, at + half + 1)
            window = stream[first:last]
            light = np.clip(window.mean(0, dtype=np.float32) / white, 0, 1)
            both = np.concatenate([window[at - first].astype(np.float32), light], 1)
            picture = np.rint(both * 255).astype(np.uint8)
            write(np.repeat(picture[..., None], 3, axis=2))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = SentenceParser(
        prog="python -m data_pipeline.view",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("path", help="a spike file, a prepared folder or a data set")
    parser.add_argument("--output", help="folder to write; default: NAME_view")
    parser.add_argument("--height", type=int, help="spike pixels")
    parser.add_argument("--width", type=int, help="spike pixels")
    parser.add_argument(
        "--flip", type=true_or_false, help="true where rows are stored bottom-up"
    )
    parser.add_argument("--bit_order", help=" or ".join(BIT_ORDERS))
    parser.add_argument("--layout", help=f"{', '.join(LAYOUTS)}: bits of the camera")
    parser.add_argument("--key", help="of the stream in an .npz or .h5")
    parser.add_argument(
        "--trust_size",
        type=true_or_false,
        help="true where height and width are right though they look swapped",
    )
    parser.add_argument("--split", help="of a data set; default: train")
    parser.add_argument("--clip", type=int, help="index in the split; default: 0")
    parser.add_argument("--center", type=int, help="spike frame to look at")
    parser.add_argument("--short", type=int, default=21, help="window of the short TFP")
    parser.add_argument(
        "--long", type=int, help="window of the long; default: exposure, or all"
    )
    parser.add_argument("--row", type=int, help="of the raster and the x-t slice")
    parser.add_argument("--step", type=int, help="spike frames between two pictures")
    parser.add_argument("--fps", type=float, default=25.0, help="pictures a second")
    options, others = parser.parse_known_args(argv)
    if others and not others[0].startswith("-"):
        raise ValueError(f"unexpected argument {others[0]!r}; one recording is taken.")
    if others:
        name = others[0].partition("=")[0].removeprefix("--")
        raise ValueError(unknown_name("option", name, vars(options)))
    read_paths(options, ("path", "output"))
    return options


if __name__ == "__main__":
    sys.exit(main())
