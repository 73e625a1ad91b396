"""Clips a second of the input pipeline, where its time goes, and a plain generator's.

  python -m benchmarks.data_pipeline.pipeline [--clips 24] [--rounds 3] [--batch_size 1]

Both sides make the same samples (6 frames of 256x256, 32 bins) from the same records of
the embedded data set, at the size of the full recipe, and take turns on one core. The
generator is written as one would first: it unpacks the whole record, cuts it, and bins
spike frame by spike frame in NumPy. Run it with the settings of malloc that launch.py
takes, which keep pages from being mapped anew for every batch:

  GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:\\
glibc.malloc.trim_threshold=1099511627776:glibc.malloc.arena_max=1
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from configs import base
from data_pipeline import augment, jitter, pipeline, samples
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.representations import bin_weights
from data_pipeline.spike_deblur import open_split, prepare_embedded
from data_pipeline.spike_input import SpikeInput

_FRAMES, _SIZE, _BINS = 6, 256, 32
_CLIPS = 8  # of the data set


def served_clips(directory: str, seed: int, batch_size: int) -> Iterator[object]:
    """An item for each clip that the pipeline serves."""
    batches = pipeline.train_batches(
        directory,
        num_frames=_FRAMES,
        crop_size=_SIZE,
        spike_input=SpikeInput("voxel", {"num_bins": _BINS}),
        batch_size=batch_size,
        seed=seed,
        start_step=0,
    )
    for batch in batches:
        yield from batch["spikes"]


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


def clips_per_second(clips: Iterator[object], count: int) -> tuple[float, float]:
    """Clips per second of processor time of all threads, and of time that passes.

    An epoch of clips is made before: then all have been read once, and are verified.
    """
    for _ in range(_CLIPS):
        next(clips)
    start, begun = time.process_time(), time.perf_counter()
    for _ in itertools.islice(clips, count):
        pass
    passed = time.perf_counter() - begun
    return count / (time.process_time() - start), count / passed


def parts_of_a_clip(directory: str, count: int) -> dict[str, float]:
    """Mean milliseconds of processor time of what the pipeline does to a clip."""
    records = open_split(directory, "train")
    rng = np.random.default_rng(0)
    shape = (_FRAMES, _SIZE, _SIZE, 3)
    blur, sharp = np.empty((2, *shape), np.float32)
    grids = np.empty((_FRAMES, _BINS, _SIZE, _SIZE), np.float32)
    sampler = samples.Sampler(
        records,
        num_frames=_FRAMES,
        crop_size=_SIZE,
        spike_input=SpikeInput("voxel", {"num_bins": _BINS}),
        seed=0,
        jitter=pipeline.Jitter(),
    )
    times = dict.fromkeys(("reading", "cutting", "frames", "voxel grids"), 0.0)

    def timed(part: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        times[part] += 1e3 * (time.process_time() - start) / count
        return result

    for number in range(-len(records), count):
        index = number % len(records)
        draws = rng.random(augment.NUM_DRAWS, np.float32)
        varied = rng.random(jitter.NUM_DRAWS, np.float32)
        record = timed("reading", lambda index=index: records[index])
        cut = timed(
            "cutting",
            lambda record=record, drawn=(draws, varied): sampler.cut(record, 0, *drawn),
        )
        timed("frames", lambda cut=cut: sampler.fill_frames(cut, blur, sharp))
        timed("voxel grids", lambda cut=cut: cut.fill_grids(grids))
        if number < 0:  # clips are verified, memory is fetched, tables are made
            times = dict.fromkeys(times, 0.0)
    return times


def main() -> None:
    """Prints clips a second of both, their ratio, and the parts of one clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=1)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    settings = base.get_config("deblur").data.embedded.to_dict()
    settings["spike_scale"] = 1
    settings.update(train_clips=_CLIPS, test_clips=1)
    with tempfile.TemporaryDirectory() as folder:
        directory = prepare_embedded(folder, settings)
        os.sched_setaffinity(0, cores[:1])
        ours, plain = [], []
        for seed in range(options.rounds):
            batches = served_clips(directory, seed, options.batch_size)
            ours.append(clips_per_second(batches, options.clips)[0])
            plain.append(
                clips_per_second(plain_clips(directory, seed), options.clips)[0]
            )
            print(f"round {seed}: {ours[-1]:.2f} and {plain[-1]:.2f} clips/s")
        parts = parts_of_a_clip(directory, options.clips)
        os.sched_setaffinity(0, cores[:2])
        batches = served_clips(directory, 0, options.batch_size)
        both = clips_per_second(batches, options.clips)[1]
    fast, slow = statistics.median(ours), statistics.median(plain)
    print(
        f"pipeline {fast:.2f} clips/s, generator {slow:.2f} clips/s on one core: "
        f"{fast / slow:.2f} times as many"
    )
    print(f"pipeline on {len(cores[:2])} cores, by the clock: {both:.2f} clips/s")
    parts["batches, threads and the rest"] = 1e3 / fast - sum(parts.values())
    print(f"of {1e3 / fast:.1f} ms for a clip:")
    for part, milliseconds in parts.items():
        print(f"  {milliseconds:5.1f} ms {part}")


if __name__ == "__main__":
    main()
