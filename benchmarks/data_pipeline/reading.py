"""Reading one clip of the full recipe: shards as they are, and as TFDS writes them.

  python -m benchmarks.data_pipeline.reading [--clips 4] [--rounds 8]

The same clips (12 frames of 320x384) are written with the options of an ArrayRecord
file that are in question, and read one by one in any order, by TFDS or by open_split;
milliseconds of processor time and bytes on the disk. All files are in the memory of the
system, so this is the cost that a core pays for each clip.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow_datasets as tfds
from array_record.python import array_record_module

from configs import base
from data_pipeline.spike_deblur import open_split, prepare_embedded
from data_pipeline.spike_deblur.example import from_example

_RANDOM = "readahead_buffer_size:0,max_parallelism:0"
_OPTIONS = ("zstd:3", "zstd:1", "snappy", "uncompressed")


def milliseconds(read: Callable[[int], object], clips: int, rounds: int) -> float:
    """The median over all reads, after a round that warms up."""
    times = []
    for number in range(clips * (rounds + 1)):
        start = time.process_time()
        read(number % clips)
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times[clips:])


def main() -> None:
    """Prints a line for each way to write and read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    settings = base.get_config("deblur").data.embedded.to_dict()
    settings["spike_scale"] = 1
    settings.update(train_clips=options.clips, test_clips=1)
    with tempfile.TemporaryDirectory() as folder:
        directory = prepare_embedded(folder, settings)
        (shard,) = Path(directory).glob("*train*")
        clips = array_record_module.ArrayRecordReader(str(shard)).read_all()
        for name in _OPTIONS:
            path = Path(folder, "try.array_record")
            writer = array_record_module.ArrayRecordWriter(
                str(path), f"group_size:1,{name}"
            )
            for clip in clips:
                writer.write(clip)
            writer.close()
            reader = array_record_module.ArrayRecordReader(str(path), _RANDOM)

            def read(index: int, reader: object = reader) -> object:
                return from_example(reader.read([index])[0])

            spent = milliseconds(read, options.clips, options.rounds)
            size = path.stat().st_size / options.clips / 1e6
            print(f"{name}: {spent:.1f} ms, {size:.1f} MB a clip")
        source = tfds.builder_from_directory(directory).as_data_source("train")
        records = open_split(directory, "train")
        for name, read in (("TFDS", source), ("open_split", records)):
            spent = milliseconds(read.__getitem__, options.clips, options.rounds)
            print(f"the shards as they are, by {name}: {spent:.1f} ms")


if __name__ == "__main__":
    main()
