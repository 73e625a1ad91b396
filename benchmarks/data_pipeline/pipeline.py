"""Clips a second of the input pipeline, where its time goes, and a plain generator's.

  python -m benchmarks.data_pipeline.pipeline [--clips 24] [--rounds 3]

Both sides make the same samples (6 frames of 256x256, 32 bins) from the same records of
the embedded data set, at the size of the full recipe, and take turns on one core. The
generator is written as one would first: it unpacks the whole record, cuts it, and bins
spike frame by spike frame in NumPy.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np

from configs import base
from data_pipeline import augment, pipeline
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.representations import bin_weights
from data_pipeline.spike_deblur import open_split, prepare_embedded

_FRAMES, _SIZE, _BINS = 6, 256, 32


def plain_clips(directory: str, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """The same kind of samples from a plain Python generator."""
    records = open_split(directory, "train")
    rng = np.random.default_rng(seed)
    while True:
        for index in rng.permutation(len(records)):
            yield plain_sample(records[index], rng)


def plain_sample(record: Record, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Window, crop, bins, flips and transposition of one record."""
    spikes = unpack_spikes(record["spikes"], record["blur"].shape[2])
    total, height, width = record["blur"].shape[:3]
    first = rng.integers(total - _FRAMES + 1)
    top, left = rng.integers(height - _SIZE + 1), rng.integers(width - _SIZE + 1)
    area = (slice(top, top + _SIZE), slice(left, left + _SIZE))
    grids = []
    for start, end in record["exposure"][first : first + _FRAMES].tolist():
        begin, count = int(start), int(np.ceil(end)) - int(start)
        weights = bin_weights(start, end, _BINS, first=begin, count=count)
        grid = np.zeros((_BINS, _SIZE, _SIZE), np.float32)
        for offset in range(count):
            frame = spikes[begin + offset][area].astype(np.float32)
            for number in np.flatnonzero(weights[:, offset]):
                grid[number] += weights[number, offset] * frame
        grids.append(grid)
    frames = slice(first, first + _FRAMES)
    sample = {
        "blur": record["blur"][frames][:, *area].astype(np.float32) / 255,
        "sharp": record["sharp"][frames][:, *area].astype(np.float32) / 255,
        "spikes": np.stack(grids),
    }
    axes = {"blur": (1, 2), "sharp": (1, 2), "spikes": (2, 3)}
    mirror, turn, transpose = rng.random(3) < 0.5
    for name, (vertical, horizontal) in axes.items():
        x = sample[name]
        x = np.flip(x, horizontal) if mirror else x
        x = np.flip(x, vertical) if turn else x
        x = np.swapaxes(x, vertical, horizontal) if transpose else x
        sample[name] = np.ascontiguousarray(x)
    return sample


def clips_per_second(clips: Iterator[object], count: int) -> float:
    """Clips per second of processor time of all threads, after two that warm up."""
    for _ in range(2):
        next(clips)
    start = time.process_time()
    for _ in itertools.islice(clips, count):
        pass
    return count / (time.process_time() - start)


def seconds_of(work: Callable[[], object], runs: int = 8) -> float:
    """Median seconds of a piece of work."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    """Prints clips a second of both, their ratio, and the parts of one clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, {0})
    settings = base.get_config("deblur").data.embedded.to_dict()
    settings.update(train_clips=8, test_clips=1)
    sizes = {"num_frames": _FRAMES, "crop_size": _SIZE, "num_bins": _BINS}
    with tempfile.TemporaryDirectory() as folder:
        directory = prepare_embedded(folder, settings)
        ours, plain = [], []
        for round_number in range(options.rounds):
            batches = pipeline.train_batches(
                directory, **sizes, batch_size=1, seed=round_number, start_step=0
            )
            ours.append(clips_per_second(batches, options.clips))
            plain.append(
                clips_per_second(plain_clips(directory, round_number), options.clips)
            )
        records = open_split(directory, "train")
        record, draws = records[0], np.full(augment.NUM_DRAWS, 0.3, np.float32)
        reading = seconds_of(lambda: records[0])
        cutting = seconds_of(lambda: augment.crop_record(record, draws, **sizes))
    fast, slow = statistics.median(ours), statistics.median(plain)
    print(
        f"pipeline {fast:.2f} clips/s, generator {slow:.2f} clips/s on one core: "
        f"{fast / slow:.2f} times as many"
    )
    print(
        f"of {1e3 / fast:.0f} ms for a clip: reading {1e3 * reading:.0f}, cutting "
        f"{1e3 * cutting:.0f}, the rest (unpacking, binning, flips, copies) "
        f"{1e3 * (1 / fast - reading - cutting):.0f}"
    )


if __name__ == "__main__":
    main()
