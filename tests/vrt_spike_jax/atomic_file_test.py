"""What is being written is old, then new, and never in between."""

import os

import pytest

from vrt_spike_jax.atomic_file import new_directory, replacing


def test_the_new_file_appears_at_the_end(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_the_permissions_of_any_other(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("")
    modes = {os.stat(tmp_path / name).st_mode for name in ("ordinary", "file")}
    assert len(modes) == 1


def test_a_directory_appears_whole_with_ordinary_permissions(tmp_path):
    path = tmp_path / "parent" / "new"
    with new_directory(path) as temporary:
        (temporary / "file").write_text("")
        assert not path.exists()
    (tmp_path / "ordinary").mkdir()
    assert [x.name for x in path.iterdir()] == ["file"]
    assert os.stat(path).st_mode == os.stat(tmp_path / "ordinary").st_mode


def test_an_error_leaves_no_directory(tmp_path):
    with pytest.raises(RuntimeError), new_directory(tmp_path / "new"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_directory_with_something_in_it_is_kept(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").write_text("")
    with pytest.raises(FileExistsError, match="name a new one"):
        with new_directory(tmp_path / "new"):
            pass
    assert (tmp_path / "new" / "file").exists()
