"""Files and folders, whole or not there: written under another name, then renamed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write, and renames it at the end.

    The temporary name keeps the suffix, by which libraries choose a format. An
    exception, or a kill, leaves what was at `path` before. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _open_to_all(temporary, 0o666)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_directory(path: str | Path) -> Iterator[Path]:
    """Gives a temporary folder beside `path` to fill, and renames it at the end.

    An exception, or a kill, leaves nothing at `path`. Missing parents are made.

    Raises:
      FileExistsError, NotADirectoryError, PermissionError: see `require_new`.
    """
    path = Path(path).resolve()  # a link is not replaced, but what it points to
    require_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        _open_to_all(temporary, 0o777)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_new(path: str | Path) -> None:
    """Checks that a folder can be made at `path`.

    Raises:
      FileExistsError: there is something other than an empty folder.
      NotADirectoryError: a file stands where a parent should be.
      PermissionError: the parent cannot be written to.
    """
    path = Path(path)
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise FileExistsError(
            f"{path} exists and is not an empty folder; name a new one."
        )
    there = next(place for place in path.absolute().parents if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(
            f"{path} cannot be made, since {there} is a file; name another folder."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{path} cannot be made, since {there} cannot be written to; name "
            "another folder."
        )


def _open_to_all(path: Path, mode: int) -> None:
    # tempfile makes what only its owner reads; a result is for everybody.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)
