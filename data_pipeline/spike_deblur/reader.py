"""The clips of a finished data set, read one by one in any order."""

import bisect
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from array_record.python import array_record_module

from data_pipeline.buffers import BufferPool
from data_pipeline.choices import unknown_name
from data_pipeline.records import Record
from data_pipeline.spike_deblur.example import from_example
from data_pipeline.spike_deblur.manifest import check_size, read_manifest
from data_pipeline.spike_deblur.mapped_shard import MappedShard
from data_pipeline.spike_deblur.source import SPLITS

_RANDOM_ACCESS = "readahead_buffer_size:0,max_parallelism:0"
_OPEN_SHARDS = 128  # at a time; a process may hold about a thousand files


def open_split(directory: str | Path, split: str) -> Sequence[Record]:
    """Opens a split of a built data set for random access by index.

    Any number of threads may read from it. The arrays of a record cannot be written to.

    Raises:
        FileNotFoundError: there is no finished data set in the directory.
        ValueError: it has no such split, is of another version, or lacks a part.
    """
    manifest = read_manifest(directory)
    if split not in SPLITS:
        raise ValueError(unknown_name("split", split, SPLITS))
    shards = manifest["splits"][split]["shards"]
    for shard in shards:
        check_size(Path(directory), shard)
    return _Records(Path(directory), split, shards)


class _Records(Sequence[Record]):
    """The records of a split, as `records.py` has them."""

    def __init__(
        self, directory: Path, split: str, shards: Sequence[dict[str, Any]]
    ) -> None:
        self._directory = directory
        self._label = f"{directory} ({split})"
        self._files = [str(directory / shard["file"]) for shard in shards]
        self._counts = [len(shard["clips"]) for shard in shards]
        self._ends = list(itertools.accumulate(self._counts))
        self._reader = functools.lru_cache(maxsize=_OPEN_SHARDS)(_open_shard)
        self._mapped = functools.lru_cache(maxsize=_OPEN_SHARDS)(self._map_shard)
        self._buffers = BufferPool()
        self._verified: set[int] = set()  # clips that were read with their hash

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._label} has {len(self)} clips, not {index}.")
        shard = bisect.bisect_right(self._ends, index)
        before = self._ends[shard - 1] if shard else 0
        try:
            return from_example(self._read(shard, int(index) - before, int(index)))
        except Exception as error:
            raise ValueError(
                f"Clip {index} of {self._label} cannot be read ({error}); delete "
                f"{self._directory} and build it again."
            ) from error

    def _read(self, shard: int, number: int, index: int) -> bytes | memoryview:
        """Returns the bytes of a clip; the first time, its hash is looked at."""
        if index in self._verified:
            return self._mapped(shard).read(number)
        (data,) = self._reader(self._files[shard]).read([number])
        self._verified.add(index)
        return data

    def _map_shard(self, shard: int) -> MappedShard:
        return MappedShard(self._files[shard], self._counts[shard], self._buffers)


def _open_shard(path: str) -> Any:
    return array_record_module.ArrayRecordReader(path, _RANDOM_ACCESS)
