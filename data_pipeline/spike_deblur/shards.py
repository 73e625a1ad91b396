"""Clips gathered into shards: ArrayRecord files of a size that is good to read.

Clips are not compressed: spikes hardly compress, and reading one of the full recipe
takes 12 ms instead of 32 (benchmarks/data_pipeline/reading.py).
"""

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from array_record.python import array_record_module

from data_pipeline.atomic import write_whole
from data_pipeline.spike_deblur.example import from_example
from data_pipeline.spike_deblur.layout import (
    clip_file,
    facts_file,
    shard_file,
)

# A shard ends with the clip that makes it this large. It is part of what VERSION names.
SHARD_BYTES = 256 << 20
_WRITER_OPTIONS = "group_size:1,uncompressed"


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """The clips of one shard.

    Attributes:
        split: of the clips.
        number: of the shard in its split.
        clips: their indices.
    """

    split: str
    number: int
    clips: range


class ShardPlanner:
    """Tells which clips of a split make the next shard, as soon as they are there."""

    def __init__(self, unfinished: Path, split: str, count: int) -> None:
        """Takes up a split of `count` clips after the shards that it has already."""
        self._unfinished = unfinished
        self._split = split
        self._count = count
        facts = read_facts(unfinished, split)
        self._number = len(facts)
        self._first = self._end = count_clips(facts)
        self._bytes = 0

    def next(self) -> ShardPlan | None:
        """Returns the next shard; None while a clip of it is missing, or at the end."""
        while self._end < self._count and self._bytes < SHARD_BYTES:
            path = clip_file(self._unfinished, self._split, self._end)
            if not path.exists():
                return None
            self._bytes += path.stat().st_size
            self._end += 1
        if self._end == self._first:
            return None
        plan = ShardPlan(self._split, self._number, range(self._first, self._end))
        self._number, self._first, self._bytes = self._number + 1, self._end, 0
        return plan


def write_shard(unfinished: Path, plan: ShardPlan) -> None:
    """Writes a shard and what the manifest says of it; removes the files of its clips.

    Where the shard is there already, since Beam may try it twice, only the latter.

    Raises:
        OSError: it cannot be written.
    """
    target = shard_file(unfinished, plan.split, plan.number)
    if not target.exists():
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            _write(temporary, unfinished, plan)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    for index in plan.clips:
        clip_file(unfinished, plan.split, index).unlink(missing_ok=True)


def read_facts(unfinished: Path, split: str) -> list[dict[str, Any]]:
    """Returns what is in the finished shards of a split."""
    found: list[dict[str, Any]] = []
    while shard_file(unfinished, split, len(found)).exists():
        found.append(json.loads(facts_file(unfinished, split, len(found)).read_text()))
    return found


def count_clips(facts: Iterable[Mapping[str, Any]]) -> int:
    """Returns the clips in some shards."""
    return sum(len(shard["clips"]) for shard in facts)


def file_checksum(path: Path) -> str:
    """Returns the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, unfinished: Path, plan: ShardPlan) -> None:
    try:
        clips = _write_clips(path, unfinished, plan)
    except (RuntimeError, ValueError) as error:  # of the ArrayRecord library
        raise OSError(
            f"Shard {plan.number} of {plan.split} could not be written ({error}); is "
            "there space left?"
        ) from error
    facts = {
        "file": shard_file(unfinished, plan.split, plan.number).name,
        "bytes": path.stat().st_size,
        "sha256": file_checksum(path),
        "clips": clips,
    }
    _flush(path)
    # Before the shard has its name: it counts as finished, so its facts must be there.
    target = facts_file(unfinished, plan.split, plan.number)
    write_whole(target, json.dumps(facts).encode())


def _write_clips(path: Path, unfinished: Path, plan: ShardPlan) -> list[dict[str, Any]]:
    clips = []
    writer = array_record_module.ArrayRecordWriter(str(path), _WRITER_OPTIONS)
    for index in plan.clips:
        data = clip_file(unfinished, plan.split, index).read_bytes()
        writer.write(data)
        name = from_example(data)["name"]
        digest = hashlib.sha256(data).hexdigest()
        clips.append({"index": index, "name": name, "sha256": digest})
    writer.close()
    return clips


def _flush(path: Path) -> None:
    """Has a file on the disk: the clips it was made from are removed next."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
