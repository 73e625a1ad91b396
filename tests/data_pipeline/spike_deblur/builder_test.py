"""Data sets on disk: exact, complete or not there, and readable errors."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.records import Record, check_record
from data_pipeline.sources import embedded
from data_pipeline.spike_deblur import Source, build, open_split

ROOT = Path(__file__).resolve().parents[3]


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


def test_the_manifest_says_what_the_data_set_is(record: Record, tmp_path: Path) -> None:
    directory = build(tmp_path, source_of(record))
    manifest = json.loads((Path(directory) / "settings.json").read_text())
    assert manifest == {
        "source": "made",
        "version": "1",
        "settings": {"a": 1},
        "clips": {"train": 2, "test": 1},
    }


def test_the_directory_depends_on_settings_and_version(
    record: Record, tmp_path: Path
) -> None:
    directories = {
        build(tmp_path, source_of(record, **changes))
        for changes in ({}, {"settings": {"a": 2}}, {"version": "2"}, {"name": "b"})
    }
    assert len(directories) == 4


def test_a_build_that_fails_leaves_nothing_that_is_read(
    record: Record, tmp_path: Path
) -> None:
    def broken(split: str, index: int) -> Record:
        if index == 1:
            raise ValueError("the second clip cannot be made")
        return record

    with pytest.raises(ValueError, match="the second clip cannot be made"):
        build(tmp_path, source_of(record, make=broken))
    assert not list(tmp_path.rglob("*.array_record*"))
    directory = build(tmp_path, source_of(record))
    assert len(open_split(directory, "train")) == 2


def test_a_killed_build_is_never_read_and_the_next_one_is_right(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = settings | {"train_clips": 30, "num_frames": 6}
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "data_pipeline.prepare", "--source=embedded"]
    command += [f"--output={tmp_path}", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("settings.json")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (unfinished,) = tmp_path.rglob("*incomplete*/settings.json")
    with pytest.raises(FileNotFoundError, match="no finished data set"):
        open_split(unfinished.parent, "train")

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    directory = done.stdout.strip()
    assert not list(tmp_path.rglob("*incomplete*"))
    records = open_split(directory, "train")
    assert len(records) == 30
    expected = embedded.make_clip(settings, "train", 29)
    np.testing.assert_array_equal(records[29]["spikes"], expected["spikes"])
    np.testing.assert_array_equal(records[29]["sharp"], expected["sharp"])


def test_an_unreadable_record_is_named(record: Record, tmp_path: Path) -> None:
    directory = build(tmp_path, source_of(record))
    (shard,) = Path(directory).glob("*train*")
    data = shard.read_bytes()
    shard.write_bytes(data[:100] + bytes(255 - value for value in data[100:]))
    with pytest.raises(ValueError, match="cannot be read.*build it again"):
        open_split(directory, "train")[0]
    shard.unlink()
    with pytest.raises(ValueError, match="cannot be read.*build it again"):
        open_split(directory, "train")[0]


def test_mistakes_are_named(record: Record, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="The test split would hold no clip"):
        build(tmp_path, source_of(record, counts={"train": 2, "test": 0}))
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "folder"):
        with pytest.raises(NotADirectoryError, match="file is a file; name another"):
            build(place, source_of(record))
