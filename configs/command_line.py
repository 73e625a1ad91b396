"""Reads the arguments of launch.py: options by mode, each checked as it stands."""

import argparse
import difflib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from configs.eval_options import EVAL, check_eval

MODES = ("train", "eval", "restore", "ablate", "robustness", "compile", "export")
PARTS = ("forward", "train")
_RESTORE = {
    "input": "video file or folder of pictures to restore",
    "output": "an .mp4 file, or a folder for PNG pictures; of eval and export, a "
    "folder",
    "spikes": "the spike recording beside the video: .dat, .npy, .npz or .h5",
    "spike_height": "spike pixels; default: the .json beside the .dat",
    "spike_width": "spike pixels; default: the .json beside the .dat",
    "spike_flip": "true where rows are stored bottom-up, else false",
    "spike_bit_order": "little or big; default: the .json, else little",
    "spike_layout": "plain, gen1 or gen2: header bits that cameras store; default: "
    "the .json, else plain",
    "spike_key": "of the stream in an .npz or .h5 that holds several",
    "spike_trust_size": "true where height and width are right though the pictures "
    "look as if they were swapped",
    "exposure": "FIRST,LENGTH,PERIOD of the exposures, in spike frames",
    "instants": "sharp frames to write of each blurred one, evenly in its exposure",
    "sigma": "noise level for denoising: standard deviation, 0 to 255 is white",
    "then": "work directory of the model that follows; may be given again",
}
# Option -> argument of data_pipeline's Recording.
_SPIKE_FACTS = {
    "spike_height": "spike_height",
    "spike_width": "spike_width",
    "spike_flip": "flip",
    "spike_bit_order": "bit_order",
    "spike_layout": "layout",
    "spike_key": "key",
    "spike_trust_size": "trust_size",
    "exposure": "exposure",
}
_PROCESSES = {
    "coordinator": "HOST:PORT of process 0, any free port; the same for all",
    "num_processes": "of the run",
    "process_id": "of this one, from 0 on",
}
_COMPILE = {
    "part": "forward or train; default: both",
    "topology": "of TPU chips to compile the training step for, such as v5e:16x16",
    "memory_limit": "GiB a device has; what needs more is an error",
}

_OPTIONS = {"eval": EVAL, "restore": _RESTORE, "compile": _COMPILE}
# Options that further modes take.
_SHARED = {
    "output": ("restore", "eval", "export"),
    "step": ("eval", "restore", "robustness", "export"),
}

# What can differ from the training: it changes neither parameters nor their meaning.
_NOT_OF_THE_TRAINING = (
    "--config.eval.",
    "--config.data.dir=",
    "--config.model.max_chunk=",
)
_DTYPE = "--config.model.dtype="  # of an export, float32 unless it is told


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions with one sentence."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see launch.py --help.")


def parse(argv: Sequence[str], description: str) -> argparse.Namespace:
    """Returns the options, with `overrides`: the list of --config.KEY=VALUE.

    Args:
      argv: the arguments, without the name of the program.
      description: what --help begins with.

    Raises:
      ValueError: an option is unknown, missing, of another mode, or malformed.
    """
    parser = _Parser(
        prog="launch.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE[:RECIPE]")
    parser.add_argument("--workdir", help="default: runs/NAME_RECIPE")
    parser.add_argument("--mode", default="train", help=", ".join(MODES))
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="this is one of several processes of a TPU pod or Slurm job",
    )
    group = parser.add_argument_group("one of several processes elsewhere")
    for name, text in _PROCESSES.items():
        group.add_argument(f"--{name}", help=text)
    for mode, arguments in _OPTIONS.items():
        group = parser.add_argument_group(f"--mode={mode}")
        for name, text in arguments.items():
            action = "append" if name in ("then", "data") else "store"
            group.add_argument(f"--{name}", help=text, action=action)
    options, others = parser.parse_known_args(argv)
    options.overrides = [a for a in others if a.startswith("--config.")]
    for argument in others:
        if argument.startswith("--config."):
            continue
        if not argument.startswith("-"):
            raise ValueError(
                f"unexpected argument {argument!r}; write options as --NAME=VALUE."
            )
        names = ["--config.KEY", "--help", *(f"--{name}" for name in vars(options))]
        names.remove("--overrides")
        raise ValueError(_unknown("option", argument.partition("=")[0], names))
    _check(options)
    return options


def workdir_of(options: argparse.Namespace, config: Any) -> Path:
    """The work directory of a command: --workdir, or one named after its run."""
    if options.workdir:
        return Path(options.workdir).expanduser().resolve()
    return Path("runs", f"{config.name}_{config.recipe}").resolve()


def spike_facts(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say of --spikes; None where they do not."""
    return {fact: getattr(options, name) for name, fact in _SPIKE_FACTS.items()}


def check_spikes(
    options: argparse.Namespace, workdir: Path, takes_spikes: bool
) -> None:
    """Raises ValueError unless --spikes is there exactly where the model takes them."""
    if takes_spikes and options.spikes is None:
        raise ValueError(
            f"the model in {workdir} restores with spikes; pass --spikes=FILE.dat, or "
            "take a model without spikes (configs/baseline.py)."
        )
    if options.spikes is not None and not takes_spikes:
        raise ValueError(
            f"the model in {workdir} takes no spikes (model.fusion is 'none'); leave "
            "--spikes out, or take a model such as that of configs/cross_attn.py."
        )


def _check(options: argparse.Namespace) -> None:
    for name in ("config", "workdir", *_PROCESSES, *EVAL, *_RESTORE, *_COMPILE):
        value = getattr(options, name)
        if value == "" or (isinstance(value, list) and "" in value):
            raise ValueError(f"--{name} is empty; give it a value or leave it out.")
    if options.mode not in MODES:
        raise ValueError(_unknown("--mode", options.mode, MODES))
    for mode, names in _OPTIONS.items():
        for name in names:
            modes = _SHARED.get(name, (mode,))
            if getattr(options, name) is not None and options.mode not in modes:
                raise ValueError(f"--{name} belongs to --mode={'|'.join(modes)}.")
    options.step = _step(options.step)
    _check_processes(options)
    if options.mode == "ablate" and options.config is None:
        raise ValueError(
            "--mode=ablate needs --config: pass --config=configs/ablation.py."
        )
    if options.mode == "eval" and (options.prediction or options.sharp):
        check_eval(options)
        return
    if options.config is None and (options.mode == "train" or not options.workdir):
        raise ValueError(
            "--config is missing; pass one such as --config=configs/cross_attn.py."
        )
    if options.mode in ("train", "ablate"):
        return
    if options.mode == "compile":
        _check_compile(options)
        return
    if options.mode == "export":
        _check_export(options)
        return
    for argument in options.overrides:
        if not argument.startswith(_NOT_OF_THE_TRAINING):
            raise ValueError(
                f"{argument} has no effect in --mode={options.mode}, which takes the "
                "settings of the training; only --config.eval.*, --config.data.dir and "
                "--config.model.max_chunk can be set anew."
            )
    if options.mode == "eval":
        check_eval(options)
    if options.mode == "restore":
        _check_restore(options)


def _check_processes(options: argparse.Namespace) -> None:
    """Makes numbers of the options that name the processes of a run."""
    given = [name for name in _PROCESSES if getattr(options, name) is not None]
    for name in _PROCESSES if given else ():
        if name not in given:
            raise ValueError(
                f"--{given[0]} needs --{name} beside it: {_PROCESSES[name]}."
            )
    if given:
        options.distributed = True
        host, _, port = options.coordinator.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(
                f"--coordinator={options.coordinator} is not HOST:PORT, such as "
                "10.0.0.1:8476."
            )
        count, own = options.num_processes, options.process_id
        options.num_processes = _whole(count, "num_processes", of="processes")
        if not own.isdecimal() or int(own) >= options.num_processes:
            raise ValueError(
                f"--process_id={own} is not one of 0 to {options.num_processes - 1}, "
                f"as of --num_processes={count}."
            )
        options.process_id = int(own)
    if options.distributed and options.mode not in ("train", "eval"):
        name = given[0] if given else "distributed"
        raise ValueError(
            f"--{name} has no effect in --mode={options.mode}, which one process "
            "runs; leave it out."
        )


def _check_restore(options: argparse.Namespace) -> None:
    for name in ("input", "output"):
        if getattr(options, name) is None:
            raise ValueError(f"--mode=restore needs --{name}: {_RESTORE[name]}.")
    # A shell leaves the ~ in --input=~/video.mp4 to the program.
    options.input = os.path.expanduser(options.input)
    options.output = os.path.expanduser(options.output)
    options.spikes = options.spikes and os.path.expanduser(options.spikes)
    _check_output(Path(options.output))
    given = [name for name in _SPIKE_FACTS if getattr(options, name) is not None]
    if given and options.spikes is None:
        raise ValueError(f"--{given[0]} describes --spikes, which is missing.")
    options.spike_height = _whole(options.spike_height, "spike_height")
    options.spike_width = _whole(options.spike_width, "spike_width")
    options.instants = _whole(options.instants, "instants", of="sharp frames")
    for name in ("spike_flip", "spike_trust_size"):
        setattr(options, name, _flag(getattr(options, name), name))
    options.exposure = _exposure(options.exposure)
    options.sigma = _noise(options.sigma)


def _check_export(options: argparse.Namespace) -> None:
    if options.output is None:
        raise ValueError("--mode=export needs --output: a new folder.")
    options.output = os.path.expanduser(options.output)
    for argument in options.overrides:
        if not argument.startswith((*_NOT_OF_THE_TRAINING, _DTYPE)):
            raise ValueError(
                f"{argument} has no effect in --mode=export, which takes the settings "
                "of the training; only --config.eval.tile, --config.model.dtype and "
                "--config.model.max_chunk can be set anew."
            )
    options.overrides.insert(0, f"{_DTYPE}float32")


def _check_compile(options: argparse.Namespace) -> None:
    if options.part is not None and options.part not in PARTS:
        raise ValueError(_unknown("--part", options.part, PARTS))
    if options.topology is not None and options.part == "forward":
        raise ValueError(
            "--topology compiles the training step; leave --part=forward out."
        )
    if options.memory_limit is None:
        return
    try:
        limit = float(options.memory_limit)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise ValueError(
            f"--memory_limit={options.memory_limit} is not a number of GiB above 0, "
            "such as 16 or 7.5."
        )
    options.memory_limit = limit


def _check_output(path: Path) -> None:
    """What would otherwise fail after the work is done."""
    if path.suffix not in ("", ".mp4"):
        raise ValueError(
            f"--output={path} must end in .mp4, or have no suffix and be a folder for "
            "PNG pictures."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"--output={path} lies in a folder that does not exist; make it first."
        )
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            f"--output={path} lies in a folder that cannot be written to; name another."
        )
    # The video to restore may be among what exists.
    empty = not path.suffix and path.is_dir() and not any(path.iterdir())
    if path.exists() and not empty:
        kind = "" if path.suffix else " and is not an empty folder"
        raise FileExistsError(f"--output={path} exists{kind}; name a new one.")


def _unknown(what: str, value: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(value, known, n=1, cutoff=0.0)[0]
    return (
        f"unknown {what} {value!r}; did you mean {nearest!r}? "
        f"There are {', '.join(known)}."
    )


def _whole(text: str | None, name: str, of: str = "spike pixels") -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(f"--{name}={text} is not a number of {of}.")
    return int(text)


def _step(text: str | None) -> int | None:
    if text is not None and not text.isdecimal():
        raise ValueError(f"--step={text} is not a number of steps.")
    return None if text is None else int(text)


def _noise(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        sigma = float(text)
    except ValueError:
        sigma = math.nan
    if not 0 <= sigma <= 255:
        raise ValueError(
            f"--sigma={text} is not a noise level from 0 to 255, such as 20; 255 is "
            "white."
        )
    return sigma


def _flag(text: str | None, name: str) -> bool | None:
    choices = {None: None, "true": True, "false": False}
    if text not in choices:
        raise ValueError(f"--{name}={text} is neither true nor false.")
    return choices[text]


def _exposure(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise ValueError(
            f"--exposure={text} must be three whole numbers FIRST,LENGTH,PERIOD in "
            "spike frames, such as 0,49,56."
        )
    first, length, period = map(int, parts)
    return first, length, period
