"""Files and folders appear whole, or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_pipeline.atomic import (
    new_file,
    new_folder,
    require_writable,
    write_whole,
)


def test_a_file_replaces_the_old_one_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_text("old")
    with pytest.raises(RuntimeError), new_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    with new_file(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_bytes_that_many_write_at_once_are_those_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.bin"
    written = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_whole(target, data), written))
    assert target.read_bytes() in written

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    kept = target.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left for a.bin in .*; make room"):
        write_whole(target, b"new")
    assert target.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    with pytest.raises(RuntimeError), new_folder(target) as temporary:
        (temporary / "x").write_text("half")
        raise RuntimeError
    assert not (tmp_path / "deep").exists()
    with new_folder(target) as temporary:
        (temporary / "x").write_text("all")
    assert (target / "x").read_text() == "all"


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        with new_folder(tmp_path / "full"):
            pass
    with pytest.raises(FileNotFoundError, match="nowhere .* does not exist"):
        with new_file(tmp_path / "nowhere" / "a.txt"):
            pass
    with pytest.raises(IsADirectoryError, match="is a folder"):
        with new_file(tmp_path / "full"):
            pass
    assert (tmp_path / "full" / "mine").read_text() == "keep"


def test_folders_above_go_with_what_was_not_finished(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for deep in ("there/a/b", "new/a/b"):
        with pytest.raises(RuntimeError):
            with new_folder(tmp_path / deep / "c"):
                raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    with pytest.raises(RuntimeError):
        with new_folder(tmp_path / "shared" / "c"):
            (tmp_path / "shared" / "other").mkdir()
            raise RuntimeError
    assert (tmp_path / "shared" / "other").is_dir()
    with new_folder(tmp_path / "new" / "a" / "c") as folder:
        (folder / "x").write_text("x")
    assert (tmp_path / "new" / "a" / "c" / "x").read_text() == "x"


def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_writable(tmp_path / "deep" / "folder")
    (tmp_path / "file").write_text("keep")
    for place in ("file", "file/folder"):
        with pytest.raises(NotADirectoryError, match="file is a file; name another"):
            require_writable(tmp_path / place)
    # Asked of the system, since nothing is read-only for root, who may run this.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    for make in (new_file, new_folder):
        with pytest.raises(PermissionError, match=f"{tmp_path} is read-only"):
            with make(tmp_path / "new"):
                pass
    with pytest.raises(PermissionError, match=f"{tmp_path} is read-only"):
        require_writable(tmp_path / "deep" / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
