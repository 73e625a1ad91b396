"""Data sets on disk: exact, complete or not there, and readable errors."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipeline.records import Record, check_record
from data_pipeline.spike_deblur import Source, build, open_split


def source_of(record: Record, **changes: Any) -> Source:
    """A data set of the same record three times."""

    def make(split: str, index: int) -> Record:
        return record | {"name": f"{split}-{index}"}

    fields: dict[str, Any] = {
        "name": "made",
        "version": "1",
        "settings": {"a": 1},
        "counts": {"train": 2, "test": 1},
        "make": make,
    }
    return Source(**(fields | changes))


def test_records_come_back_bit_by_bit(record: Record, tmp_path: Path) -> None:
    record["spike_rate"] = np.float32(np.nan)
    directory = build(tmp_path, source_of(record))
    read = open_split(directory, "train")
    assert [clip["name"] for clip in read] == ["train-0", "train-1"]
    check_record(read[1])
    for name, value in record.items():
        if name == "name":
            continue
        found = read[1][name]
        np.testing.assert_array_equal(found, value)
        assert isinstance(value, str) or found.dtype == value.dtype


def test_a_recording_without_sharp_frames_comes_back(
    record: Record, tmp_path: Path
) -> None:
    record["sharp"] = record["sharp"][:0]
    directory = build(tmp_path, source_of(record))
    assert open_split(directory, "test")[0]["sharp"].shape == (0, 16, 24, 3)


def test_the_directory_depends_on_settings_and_version(
    record: Record, tmp_path: Path
) -> None:
    directories = {
        build(tmp_path, source_of(record, **changes))
        for changes in ({}, {"settings": {"a": 2}}, {"version": "2"}, {"name": "b"})
    }
    assert len(directories) == 4


def test_an_unreadable_record_is_named(record: Record, tmp_path: Path) -> None:
    directory = build(tmp_path, source_of(record))
    (shard,) = Path(directory).glob("*train*")
    data = shard.read_bytes()
    shard.write_bytes(data[:100] + bytes(255 - value for value in data[100:]))
    with pytest.raises(ValueError, match="cannot be read.*build it again"):
        open_split(directory, "train")[0]
    shard.write_bytes(data[:-100])
    with pytest.raises(ValueError, match="has 130972 bytes.*build it again"):
        open_split(directory, "train")
    shard.unlink()
    with pytest.raises(ValueError, match="is missing.*build it again"):
        open_split(directory, "train")


# Of TFDS with a protobuf before 7.
@pytest.mark.filterwarnings("ignore:label.. is deprecated:DeprecationWarning")
def test_tfds_opens_it_too(record: Record, tmp_path: Path) -> None:
    directory = build(tmp_path, source_of(record))
    builder = tfds.builder_from_directory(directory)
    assert builder.info.config_name == Path(directory).parent.name
    found = builder.as_data_source("train")
    assert len(found) == 2
    for expected, clip in zip(open_split(directory, "train"), found, strict=True):
        assert clip.pop("has_sharp")
        assert clip.keys() == expected.keys()
        for name, value in expected.items():
            stored = clip[name].decode() if isinstance(value, str) else clip[name]
            np.testing.assert_array_equal(stored, value)


def test_a_data_set_of_an_older_version_is_refused(
    record: Record, tmp_path: Path
) -> None:
    directory = Path(build(tmp_path, source_of(record)))
    manifest = directory / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"format": "2', '"format": "1'))
    with pytest.raises(ValueError, match="is of version 1.*build it again"):
        open_split(directory, "train")
    manifest.write_text(text[:-20])
    with pytest.raises(ValueError, match="manifest .* cannot be read.*build it again"):
        open_split(directory, "train")
    manifest.unlink()  # as before there was one
    with pytest.raises(ValueError, match="by a version before 2.*build it again"):
        open_split(directory, "train")


def test_a_finished_data_set_is_used_where_nothing_can_be_written(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = build(tmp_path, source_of(record))
    # The super-user can write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert build(tmp_path, source_of(record)) == directory
    with pytest.raises(PermissionError, match="read-only for this user; name another"):
        build(tmp_path, source_of(record, version="2"))
    assert [p.name for p in tmp_path.glob("spike_deblur/*/*")] == ["2.0.0"]


def test_mistakes_are_named(record: Record, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        build(tmp_path, source_of(record), workers=0)
    with pytest.raises(ValueError, match="gs://data is no folder; name one"):
        build("gs://data", source_of(record))
    with pytest.raises(ValueError, match="Unknown split 'tset'. Did you mean 'test'"):
        open_split(build(tmp_path / "data", source_of(record)), "tset")
    with pytest.raises(ValueError, match="The test split would hold no clip"):
        build(tmp_path, source_of(record, counts={"train": 2, "test": 0}))
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "folder"):
        with pytest.raises(NotADirectoryError, match="file is a file; name another"):
            build(place, source_of(record))
