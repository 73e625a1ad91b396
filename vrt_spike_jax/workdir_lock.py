"""One command at a time trains in a work directory."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import jax

_NAME = ".lock"
# Of file systems that know no locks, such as some that show a bucket as a folder.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(workdir: str | Path) -> Iterator[None]:
    """Keeps other commands from training in a folder, which is made if need be.

    The first process of several has the lock for all. The system gives it up with the
    process, however that ends. On a file system without locks nothing is kept out.

    Raises:
      ValueError: another command has it.
      OSError: the folder cannot be written to.
    """
    if jax.process_index() > 0:
        yield
        return
    folder = Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    # Not for those that this process starts, which may outlive it.
    handle = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(handle, folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(handle, 100).decode(errors="replace").strip()
        raise ValueError(
            f"another command is training in {folder} ({holder}); wait for it, or name "
            "another --workdir."
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    os.truncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
