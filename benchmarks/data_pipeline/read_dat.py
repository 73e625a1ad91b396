"""Reading a .dat against a loop over frames and bits, as toolboxes have it, in turns.

  python -m benchmarks.data_pipeline.read_dat [--rounds 5]

A random stream of 301 spike frames of 250x400, the size of Spike-Zoo's recordings. Both
sides read all of it from the same file and must give the same spikes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from data_pipeline.spike_dat import read_dat, write_dat

SHAPE = (301, 250, 400)


def read_by_loops(path: Path, height: int, width: int) -> np.ndarray:
    """Takes every frame and every bit of a byte by itself."""
    raw = np.fromfile(path, np.uint8)
    frame = height * width // 8
    spikes = np.zeros((len(raw) // frame, height, width), np.uint8)
    for index in range(len(spikes)):
        part = raw[index * frame : (index + 1) * frame].tolist()
        pixels = spikes[index].reshape(-1)
        for number, byte in enumerate(part):
            for bit in range(8):
                pixels[number * 8 + bit] = byte >> bit & 1
        spikes[index] = spikes[index, ::-1]
    return spikes


def main() -> None:
    """Times both and prints the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    spikes = np.random.default_rng(0).integers(0, 2, SHAPE, np.uint8)
    ours, loops = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.dat")
        write_dat(path, spikes)
        for _ in range(rounds):
            start = time.perf_counter()
            found = read_dat(path, *SHAPE[1:])
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            expected = read_by_loops(path, *SHAPE[1:])
            loops.append(time.perf_counter() - start)
            if not (np.array_equal(found, spikes) and np.array_equal(expected, spikes)):
                raise SystemExit("the two sides read different spikes")
    ratio = statistics.median(loops) / statistics.median(ours)
    print(
        f"read_dat {statistics.median(ours) * 1e3:.1f} ms, loops "
        f"{statistics.median(loops):.2f} s: {ratio:.0f} times as fast"
    )


if __name__ == "__main__":
    main()
