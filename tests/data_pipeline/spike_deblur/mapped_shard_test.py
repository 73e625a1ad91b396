"""Mapped records against what the ArrayRecord library reads of the same file."""

from pathlib import Path

import numpy as np
import pytest
from array_record.python import array_record_module

from data_pipeline.buffers import BufferPool
from data_pipeline.spike_deblur import open_split
from data_pipeline.spike_deblur.mapped_shard import MappedShard
from data_pipeline.spike_deblur.shards import _WRITER_OPTIONS

BLOCK, HEADER = 1 << 16, 24


def written(path: Path, records: list[bytes], options: str = _WRITER_OPTIONS) -> str:
    writer = array_record_module.ArrayRecordWriter(str(path), options)
    for record in records:
        writer.write(record)
    writer.close()
    return str(path)


def random_bytes(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()


# Of no block, of one, of several; and around all places at which a block can end: in
# the record, between it and its chunk's header, inside that.
SIZES = [
    [1, 2, 127, 128, 300],
    [5 * BLOCK + 7, 3, 2 * BLOCK],
    [BLOCK - HEADER, BLOCK - HEADER - 1, BLOCK],
]
EDGES = [[BLOCK - 200 + 8 * edge, 50, 20] for edge in range(24)]
FINE = [[BLOCK - 2 * HEADER - 40 - 44 - edge, 70_000] for edge in range(64)]


@pytest.mark.parametrize("sizes", SIZES + EDGES + FINE, ids=str)
def test_records_are_those_of_the_library(tmp_path: Path, sizes: list[int]) -> None:
    records = [random_bytes(size) for size in sizes]
    path = written(tmp_path / "shard", records)
    shard = MappedShard(path, len(records), BufferPool())
    for number in reversed(range(len(records))):
        found = shard.read(number)
        assert found == records[number]
        assert found.readonly


@pytest.mark.parametrize("options", ["group_size:2,uncompressed", "group_size:1,zstd"])
def test_another_layout_is_refused(tmp_path: Path, options: str) -> None:
    path = written(tmp_path / "shard", [bytes(1000)] * 4, options)
    with pytest.raises(ValueError, match="compressed, or its records lie in groups"):
        MappedShard(path, 4, BufferPool())


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "shard", [random_bytes(9 * BLOCK)] * 2)
    short = tmp_path / "short"
    short.write_bytes(Path(path).read_bytes()[: 8 * BLOCK])
    with pytest.raises(ValueError, match="ends before its last record"):
        MappedShard(str(short), 2, BufferPool())


def test_a_clip_reads_the_same_the_first_and_the_second_time(directory: str) -> None:
    records = open_split(directory, "train")
    for index in range(len(records)):
        first, second = records[index], records[index]
        assert first.keys() == second.keys()
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])
