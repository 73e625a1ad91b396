"""Records of an uncompressed shard out of mapped memory, several times as fast.

The ArrayRecord library copies a record three times and computes its hash. Here it is
copied once, out of the pages that the system keeps of the file, into memory that is
used again. That is for records whose hash was right before: it is not looked at.

Layout (riegeli's records file, which ArrayRecord writes): blocks of 64 KiB that begin
with a header of 24 bytes; in what is between those, chunks, each a header of 40 bytes
and its data. With groups of one and no compression the data of a clip are a zero, the
number of bytes that its size takes, its size, and the record.
"""

import mmap
from typing import NamedTuple

import numpy as np

from data_pipeline.buffers import BufferPool

_BLOCK, _BLOCK_HEADER, _CHUNK_HEADER = 1 << 16, 24, 40
_RECORDS = ord("r")  # the kind of a chunk that holds records


class _Place(NamedTuple):
    start: int  # in the file
    size: int  # bytes, without the headers of blocks between them


class MappedShard:
    """Random access to the records of a shard."""

    def __init__(self, path: str, count: int, buffers: BufferPool) -> None:
        """Maps a file and finds its first `count` records.

        Raises:
            ValueError: the file is not laid out as a shard is.
        """
        with open(path, "rb") as file:
            self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._buffers = buffers
        self._places: list[_Place] = []
        place = 0
        while len(self._places) < count:
            place = self._find_next(place)

    def read(self, index: int) -> memoryview:
        """Returns the bytes of a record, which cannot be written to."""
        start, size = self._places[index]
        record = self._buffers.empty((size,), np.uint8)
        done = min(size, _BLOCK - start % _BLOCK)
        record[:done] = np.frombuffer(self._file, np.uint8, done, start)
        blocks, rest = divmod(size - done, _BLOCK - _BLOCK_HEADER)
        start += done
        if blocks:
            whole = np.frombuffer(self._file, np.uint8, blocks * _BLOCK, start)
            middle = record[done : size - rest].reshape(blocks, _BLOCK - _BLOCK_HEADER)
            middle[:] = whole.reshape(blocks, _BLOCK)[:, _BLOCK_HEADER:]
        if rest:
            start += blocks * _BLOCK + _BLOCK_HEADER
            record[size - rest :] = np.frombuffer(self._file, np.uint8, rest, start)
        return memoryview(record).toreadonly()

    def _find_next(self, place: int) -> int:
        """Notes the record of the chunk at a place, if it is one; returns its end."""
        header, place = self._bytes(place, _CHUNK_HEADER)
        size = int.from_bytes(header[8:16], "little")
        kind, num_records = header[24], int.from_bytes(header[25:32], "little")
        if kind == _RECORDS:
            begin, _ = self._bytes(place, 2)
            sizes, start = self._bytes(place, 2 + begin[1])
            record = _Place(_skip_header(start), size - len(sizes))
            if num_records != 1 or begin[0] or _varint(sizes[2:]) != record.size:
                raise ValueError("it is compressed, or its records lie in groups")
            self._places.append(record)
        return _advance(place, size)

    def _bytes(self, place: int, count: int) -> tuple[bytes, int]:
        """Returns `count` bytes of the chunks, and the place behind them."""
        found = b""
        while len(found) < count:
            place = _skip_header(place)
            part = self._file[place : place + min(count - len(found), _left(place))]
            if not part:
                raise ValueError("it ends before its last record")
            found += part
            place += len(part)
        return found, place


def _skip_header(place: int) -> int:
    return place if place % _BLOCK else place + _BLOCK_HEADER


def _left(place: int) -> int:
    return _BLOCK - place % _BLOCK


def _advance(place: int, size: int) -> int:
    """Returns the place `size` bytes of chunks further."""
    place = _skip_header(place)
    if size <= _left(place):
        return place + size
    blocks, rest = divmod(size - _left(place), _BLOCK - _BLOCK_HEADER)
    place += _left(place) + blocks * _BLOCK
    return place + _BLOCK_HEADER + rest if rest else place


def _varint(data: bytes) -> int:
    return sum((byte & 127) << (7 * number) for number, byte in enumerate(data))
