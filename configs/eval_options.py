"""The options of launch.py --mode=eval: what is evaluated, and where results go."""

import argparse
import os
from pathlib import Path

EVAL = {
    "data": "directory of a prepared data set, in place of the training's; may be "
    "given again",
    "step": "of the checkpoint, also of restore, robustness and export; default: the "
    "newest",
    "prediction": "a folder of pictures or a video to compare, without a model",
    "sharp": "the sharp pictures or video that --prediction is compared with",
}


def check_eval(options: argparse.Namespace) -> None:
    """Checks the options of an evaluation; --data becomes overrides of data.sets.

    Raises:
      ValueError: they do not go together.
    """
    if options.prediction is None and options.sharp is None:
        if options.data is not None:
            sets = tuple((directory, 1.0) for directory in options.data)
            options.overrides.append(f"--config.data.sets={sets!r}")
        return
    for name, other in (("prediction", "sharp"), ("sharp", "prediction")):
        if getattr(options, name) is None:
            raise ValueError(
                f"--{other} is compared with --{name}, which is missing; pass "
                "--prediction=FOLDER_OR_VIDEO --sharp=FOLDER_OR_VIDEO."
            )
    for name in ("config", "workdir", "data", "step"):
        if getattr(options, name) is not None:
            raise ValueError(
                f"--prediction is compared without a model; leave --{name} out."
            )
    for argument in options.overrides:
        if not argument.startswith("--config.eval."):
            raise ValueError(
                f"{argument} has no effect on --prediction, which is compared without "
                "a model; only --config.eval.* can be set."
            )
    # A shell leaves the ~ in --sharp=~/sharp to the program.
    options.prediction = os.path.expanduser(options.prediction)
    options.sharp = os.path.expanduser(options.sharp)


def results_folder(
    options: argparse.Namespace,
    workdir: Path | None = None,
    *,
    newest: int | None = None,
) -> Path:
    """Where the results go: --output, or a folder named after what is evaluated.

    The work directory itself holds those of the newest checkpoint on the training's
    data, as the training does, which is taken as finished by them; what is of --data or
    of another --step goes below it.

    Args:
      options: of --mode=eval, checked.
      workdir: of the model; None for a comparison without one.
      newest: step of the newest checkpoint of the work directory.
    """
    if options.output is not None:
        return Path(options.output).expanduser().resolve()
    if workdir is None:
        source = Path(options.prediction).resolve()
        # A folder has no suffix: what follows a dot tells restored_x4.2 from _x4.3.
        name = source.name if source.is_dir() else source.stem
        return Path("runs", f"eval_{name}").resolve()
    parts = []
    if options.data is not None:
        # A data set's directory ends in its version.
        names = [Path(name).expanduser().resolve().parent.name for name in options.data]
        parts.append("+".join(names))
    if options.step not in (None, newest):
        parts.append(f"step_{options.step}")
    return workdir.joinpath("eval", *parts) if parts else workdir
