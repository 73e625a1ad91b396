"""The bytes of a record against the protobuf library, and against damage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_datasets.proto import tf_example_pb2

from data_pipeline.records import ARRAYS, NUMBERS, TEXTS, Record, check_record
from data_pipeline.spike_deblur.example import from_example, to_example


def features(data: bytes) -> dict[str, object]:
    """What the protobuf library reads in the bytes of an Example."""
    example = tf_example_pb2.Example.FromString(data)
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value)
    return found


def test_protobuf_reads_what_was_written(record: Record) -> None:
    record |= {"seed": np.int64(-1), "spike_rate": np.float32(20000)}
    found = features(to_example(record))
    assert found["blur/shape"] == [3, 16, 24, 3]
    assert found["blur/value"] == [record["blur"].tobytes()]
    assert found["spikes/value"] == [record["spikes"].tobytes()]
    assert found["exposure"] == [record["exposure"].tobytes()]
    assert found["seed"] == [-1] and found["spike_rate"] == [20000]
    assert found["has_sharp"] == [1] and found["name"] == [b"clip"]


def test_what_protobuf_writes_is_read(record: Record) -> None:
    example = tf_example_pb2.Example.FromString(to_example(record))
    read = from_example(example.SerializeToString())
    check_record(read)
    for name in (*ARRAYS, *NUMBERS, *TEXTS):
        np.testing.assert_array_equal(read[name], record[name])


def test_arrays_are_views_of_the_bytes(record: Record) -> None:
    data = to_example(record)
    read = from_example(data)
    for name in ("blur", "sharp", "spikes"):
        assert np.shares_memory(read[name], np.frombuffer(data, np.uint8))
        assert not read[name].flags.writeable
    assert read["exposure"].flags.aligned


@pytest.mark.parametrize("seed", [0, -1, 2**62])
@pytest.mark.parametrize("instants", [0, 1, 3])
def test_records_come_back(record: Record, seed: int, instants: int) -> None:
    record |= {
        "name": "Straße 5",
        "seed": np.int64(seed),
        "gain": np.float32(np.nan),
        "sharp": np.repeat(record["sharp"], instants, axis=0),
    }
    data = to_example(record)
    read = from_example(data)
    for name, value in record.items():
        np.testing.assert_array_equal(read[name], value)
        if not isinstance(value, str):
            assert read[name].dtype == value.dtype and read[name].shape == value.shape
    assert to_example(read) == data


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="it is no clip record"):
        from_example(data)


@given(st.data())
def test_cut_off_bytes_are_refused(data: st.DataObject) -> None:
    whole = to_example(_small_record())
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="it is no clip record"):
        from_example(whole[:length])


def _small_record() -> Record:
    record: Record = {name: "text" for name in TEXTS}
    record |= {name: dtype(1) for name, dtype in NUMBERS.items()}
    shapes = {"exposure": (1, 2), "sharp_time": (1,), "rgb_from_spike": (3, 3)}
    for name, (dtype, ndim) in ARRAYS.items():
        shape = shapes.get(name, (1, 2, 2, 3) if ndim == 4 else (4, 2, 1))
        record[name] = np.ones(shape, dtype)
    return record
