"""Files and folders that appear complete or not at all."""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


def require_writable(folder: str | Path) -> None:
    """Checks that files can be made in a folder, or in one that is made there.

    Raises:
        NotADirectoryError: it is a file, or lies below one.
        PermissionError: it cannot be written to, or the folder it would be made in.
    """
    path = Path(folder)
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(
            f"Nothing can be written to {path}, since {there} is a file; name another "
            "folder."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(
            f"Nothing can be written to {path}, since {there} is read-only for this "
            "user; name another folder."
        )


@contextlib.contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path that takes the place of `path` when the block ends well.

    Raises:
        FileNotFoundError: the folder of `path` does not exist.
        IsADirectoryError: `path` is a folder.
        PermissionError: the folder of `path` cannot be written to.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"The folder {target.parent} for {target.name} does not exist; create it."
        )
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give the name of a file.")
    require_writable(target.parent)
    # The suffix stays last: writers of video choose the format by it.
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that appears whole, even where the machine stops meanwhile.

    Several processes, on several machines, may write the same file at once.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(
            f"There is no space left for {path.name} in {path.parent}; make room."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Gives a temporary folder that becomes `path` when the block ends well.

    The folders above it are made with it, and go with it where the block fails.

    Raises:
        FileExistsError: there is something at `path` that is not an empty folder.
        NotADirectoryError, PermissionError: no folder can be made there.
    """
    target = Path(path).resolve()  # a link is not replaced, but what it points to
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(
            f"{target} already exists and is not an empty folder; remove it or choose "
            "another name."
        )
    require_writable(target.parent)
    made = [place for place in target.parents if not place.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for place in made:  # from the innermost on
            with contextlib.suppress(OSError):  # it holds the folder, or something else
                place.rmdir()
