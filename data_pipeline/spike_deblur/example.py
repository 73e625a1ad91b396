"""A clip record as the bytes of one tf.train.Example, and back without a copy.

The protobuf library copies every array twice, and the frames and spikes of a clip are
megabytes. The bytes are those that TFDS expects for the features in
tfds_metadata.py, so TFDS reads them too.
"""

from typing import Any

import numpy as np

from data_pipeline.records import ARRAYS, NUMBERS, TEXTS, Record

# On disk only: TFDS cannot read back an array of varying shape without any element (nor
# with fewer bytes than it has axes).
HAS_SHARP = "has_sharp"
# None: any length. An array with more than one of these is stored with its shape.
SHAPES: dict[str, tuple[int | None, ...]] = {
    "blur": (None, None, None, 3),
    "sharp": (None, None, None, 3),
    "spikes": (None, None, None),
    "exposure": (None, 2),
    "sharp_time": (None,),
    "rgb_from_spike": (3, 3),
}

# Fields of protobuf's wire format: number << 3 | 2, what follows is as long as it says.
_FIRST, _SECOND, _THIRD = 0x0A, 0x12, 0x1A
_KINDS = {_FIRST: "bytes", _SECOND: "float", _THIRD: "int64"}
_Parts = list[bytes | memoryview]


def to_example(record: Record) -> bytes:
    """Returns the bytes of a record; equal records give equal bytes."""
    features: dict[str, _Parts] = {}
    has_sharp = len(record["sharp"]) > 0
    features[HAS_SHARP] = _int_feature([has_sharp])
    for name, (dtype, _) in ARRAYS.items():
        array = np.ascontiguousarray(record[name], dtype)
        if name == "sharp" and not has_sharp:
            array = np.zeros((1, 2, 2, 3), np.uint8)
        data = memoryview(array.reshape(-1).view(np.uint8))
        if SHAPES[name].count(None) > 1:
            features[f"{name}/shape"] = _int_feature(array.shape)
            features[f"{name}/value"] = _bytes_feature(data)
        else:
            features[name] = _bytes_feature(data)
    for name, number_type in NUMBERS.items():
        if np.issubdtype(number_type, np.integer):
            features[name] = _int_feature([record[name]])
        else:
            value = np.array([record[name]], "<f4").tobytes()
            features[name] = _field(_SECOND, _field(_FIRST, [value]))
    for name in TEXTS:
        features[name] = _bytes_feature(memoryview(record[name].encode()))
    entries: _Parts = []
    for name in sorted(features):
        key = _field(_FIRST, [name.encode()])
        entries += _field(_FIRST, key + _field(_SECOND, features[name]))
    return b"".join(_field(_FIRST, entries))


def from_example(data: bytes | memoryview) -> Record:
    """Returns a record whose arrays lie in `data`, so they cannot be written to.

    Raises:
        ValueError: these are not the bytes of a record.
    """
    try:
        found = dict(_features(memoryview(data)))
        return _record(found)
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"it is no clip record: {error}") from error


def _record(found: dict[str, Any]) -> Record:
    record: Record = {}
    for name, (dtype, _) in ARRAYS.items():
        if SHAPES[name].count(None) > 1:
            shape = tuple(found[f"{name}/shape"])
            values = found[f"{name}/value"]
        else:
            shape = tuple(-1 if n is None else n for n in SHAPES[name])
            values = found[name]
        array = np.frombuffer(values, dtype).reshape(shape)
        # Bytes lie anywhere, but numbers of several bytes want a place of their own.
        record[name] = array if array.itemsize == 1 else array.copy()
    if not found[HAS_SHARP][0]:
        record["sharp"] = np.zeros((0, *record["blur"].shape[1:]), np.uint8)
    for name, number_type in NUMBERS.items():
        record[name] = number_type(found[name][0])
    for name in TEXTS:
        record[name] = str(found[name], "utf-8")
    return record


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # a negative number is its two's complement
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _field(tag: int, parts: _Parts) -> _Parts:
    length = sum(len(part) for part in parts)
    return [bytes([tag]) + _varint(length), *parts]


def _bytes_feature(data: memoryview) -> _Parts:
    return _field(_FIRST, _field(_FIRST, [data]))


def _int_feature(values: Any) -> _Parts:
    packed = b"".join(_varint(int(value)) for value in values)
    return _field(_THIRD, _field(_FIRST, [packed]))


def _features(data: memoryview) -> Any:
    """Yields (name, value); a value is a view of bytes, or numbers."""
    (features,) = (part for _, part in _fields(data))
    for _, entry in _fields(features):
        parts = dict(_fields(entry))
        ((tag, values),) = _fields(parts[_SECOND])
        ((_, value),) = _fields(values)
        kind = _KINDS[tag]
        name = str(parts[_FIRST], "utf-8")
        if kind == "bytes":
            yield name, value
        elif kind == "float":
            yield name, np.frombuffer(value, "<f4")
        else:
            yield name, _read_ints(value)


def _fields(data: memoryview) -> Any:
    """Yields (tag, bytes) of the fields that follow each other."""
    place = 0
    while place < len(data):
        tag = data[place]
        length, place = _read_varint(data, place + 1)
        if tag not in _KINDS or place + length > len(data):
            raise ValueError(f"field {tag:#x} of {length} bytes does not fit")
        yield tag, data[place : place + length]
        place += length


def _read_varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        group = data[place]
        place += 1
        value |= (group & 127) << shift
        if group < 128:
            return value, place
        shift += 7


def _read_ints(data: memoryview) -> list[int]:
    values, place = [], 0
    while place < len(data):
        value, place = _read_varint(data, place)
        values.append(value - (1 << 64) if value >> 63 else value)
    return values
