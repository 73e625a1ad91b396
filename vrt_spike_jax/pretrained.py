"""Command line: official PyTorch weights to a work directory of launch.py, and back.

    python -m vrt_spike_jax.pretrained IN.pth OUT_DIR --task=006
    python -m vrt_spike_jax.pretrained --to_torch WORKDIR OUT.pth

The first writes OUT_DIR/checkpoints and OUT_DIR/config.json, with which launch.py
--mode=restore --workdir=OUT_DIR restores videos. The second writes the VRT of such a
directory, or of a training, as {'params': state_dict}, which the official PyTorch model
loads with strict=True. Both need PyTorch: pip install -e '.[torch]'.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from vrt_spike_jax.models.variants import VARIANTS, nearest_name
from vrt_spike_jax.official_files import convert_file, export_workdir, load_pretrained
from vrt_spike_jax.official_tasks import RELEASE_URL, TASKS
from vrt_spike_jax.official_weights import convert_vrt_state_dict, to_vrt_state_dict

__all__ = ["convert_vrt_state_dict", "load_pretrained", "main", "to_vrt_state_dict"]

_SPYNET = (
    "--task=spynet is no model that restores; in Python, "
    "convert_vrt_state_dict(state_dict, model) turns the file of SpyNet into "
    "{'spynet': ..}, a part of the parameters of a VRT."
)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are exceptions with one sentence."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message.rstrip('.')}; see --help.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 after one sentence on a user's mistake."""
    # orbax notes which of its optional files are absent.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        options = _parse(argv)
        if options.to_torch:
            count, fused = export_workdir(options.input, options.output)
            rest = (
                "; the spike encoder and the fusions stay behind, since the official "
                "VRT has no place for them"
                if fused
                else ""
            )
            print(f"{options.output}: {count:,} parameters of VRT{rest}")
        else:
            count = convert_file(options.input, options.output, task=options.task)
            print(
                f"{options.output}: {count:,} parameters; restore with python "
                f"launch.py --mode=restore --workdir={options.output} --input=VIDEO "
                "--output=PATH"
            )
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"pretrained: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pretrained: stopped; nothing unfinished was left.", file=sys.stderr)
        return 130
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    tasks = "".join(
        f"\n  {number}  {task.file}: {task.purpose}" for number, task in TASKS.items()
    )
    parser = _Parser(
        prog="python -m vrt_spike_jax.pretrained",
        description=__doc__,
        epilog=f"The official files, from {RELEASE_URL}:{tasks}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("input", help="a .pth file; with --to_torch a work directory")
    parser.add_argument("output", help="a new folder; with --to_torch a new .pth file")
    parser.add_argument("--task", help=f"what the file is for: {', '.join(VARIANTS)}")
    parser.add_argument(
        "--to_torch", action="store_true", help="from a work directory to a .pth file"
    )
    options, others = parser.parse_known_args(argv)
    for argument in others:
        if not argument.startswith("-"):
            raise ValueError(
                f"unexpected argument {argument!r}; one input and one output are taken."
            )
        name = argument.partition("=")[0]
        raise ValueError(nearest_name(name, ["--task", "--to_torch"], "option"))
    if options.to_torch and options.task is not None:
        raise ValueError(
            "--task has no meaning with --to_torch: the config.json of the directory "
            "names the model; leave it out."
        )
    if options.task == "spynet":
        raise ValueError(_SPYNET)
    if options.task is None and not options.to_torch:
        raise ValueError(
            f"--task is missing; pass the number in the name of the official file: "
            f"{', '.join(TASKS)}."
        )
    return options


if __name__ == "__main__":
    sys.exit(main())
