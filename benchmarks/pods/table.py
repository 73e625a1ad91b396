"""Compiles the full training step for slices of TPU pods; prints the table of docs.

  python -m benchmarks.pods.table [TOPOLOGY ...] [--config=FILE:RECIPE] [--clips=N]

Each slice is compiled by launch.py in a process of its own, one after the other, with N
clips a chip (default 1), and is a line of the table as soon as it is done. That needs
libtpu: pip install -e '.[tpu-compile]'.
"""

import argparse
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vrt_spike_jax.topology import count_chips

ROOT = Path(__file__).resolve().parents[2]
TOPOLOGIES = (
    "v5e:2x4",
    "v5e:8x8",
    "v5e:16x16",
    "v5p:2x2x2",
    "v5p:4x4x4",
    "v5p:4x8x8",
    "v6e:2x4",
    "v6e:8x8",
    "v6e:16x16",
)
# Column -> what launch.py prints before it.
_COLUMNS = {
    "arguments": r"\n  arguments +(.+)",
    "temporaries": r"\n  temporaries +(.+)",
    "peak": r"\n  peak +(.+)",
    "all-reduce": r"\n  all-reduce +.*, (.+) in all",
    "arithmetic": r"\n  arithmetic +(\S+ ms)",
    "collectives": r"\n  collectives +(\S+ ms)",
    "step": r"\n  step +at least (.+)",
    "compiled in": r"\n  compile time +(.+?),",
}


def main(argv: Sequence[str]) -> int:
    """Prints the table; 1 where a slice did not compile or does not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topologies", nargs="*", default=TOPOLOGIES)
    parser.add_argument("--config", default="configs/cross_attn.py:deblur")
    parser.add_argument("--clips", type=int, default=1, help="of each chip")
    options = parser.parse_args(argv)
    print(f"| slice | clips | {' | '.join(_COLUMNS)} | memory of the compiler |")
    print("|---" * (len(_COLUMNS) + 3) + "|", flush=True)
    failed = False
    for name in options.topologies:
        clips = options.clips * count_chips(name)
        text = _compiled(name, clips, options.config)
        failed |= text is None
        cells = ["-"] * len(_COLUMNS) if text is None else _cells(text)
        # The largest of all processes so far.
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        cells = [name, str(clips), *cells, f"at most {used:.1f} GiB"]
        print(f"| {' | '.join(cells)} |", flush=True)
    return int(failed)


def _compiled(name: str, clips: int, config: str) -> str | None:
    """What launch.py prints of a slice; None where it fails, which it says itself."""
    command = [
        sys.executable,
        str(ROOT / "launch.py"),
        "--mode=compile",
        f"--topology={name}",
        f"--config={config}",
        f"--config.data.batch_size={clips}",
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return None if done.returncode else done.stdout


def _cells(text: str) -> list[str]:
    found = [re.search(pattern, text) for pattern in _COLUMNS.values()]
    return [match.group(1) if match else "-" for match in found]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
