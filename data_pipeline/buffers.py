"""Memory that is used again, so that large arrays take no new pages from the system.

The first touch of a page costs more than what a pipeline writes into it. An array from
here gives its memory back by itself, when the last view of it is gone.
"""

import mmap
import weakref
from typing import Any

import numpy as np

_PAGE = 1 << 21  # bytes of a large page


class BufferPool:
    """Makes arrays from memory that earlier ones have left."""

    def __init__(self, *, kept: int = 16) -> None:
        """Takes how many buffers to keep at most while nothing uses them."""
        self._free: list[mmap.mmap] = []
        self._kept = kept

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Returns an array whose values are yet to be written, as `np.empty` does.

        It begins at a whole page, so that TensorFlow takes it over without a copy.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        buffer = self._take(max(-(-size // _PAGE), 1) * _PAGE)
        owner = np.frombuffer(buffer, np.uint8)  # what all views of it keep alive
        weakref.finalize(owner, self._give_back, buffer).atexit = False
        return owner[:size].view(dtype).reshape(shape)

    def _take(self, size: int) -> mmap.mmap:
        for buffer in list(self._free):
            if len(buffer) == size:
                try:
                    self._free.remove(buffer)
                except ValueError:  # another thread has just taken it
                    continue
                return buffer
        buffer = mmap.mmap(-1, size)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            buffer.madvise(mmap.MADV_HUGEPAGE)
        return buffer

    def _give_back(self, buffer: mmap.mmap) -> None:
        # Whenever an array goes, in any thread: a lock could be held already.
        self._free.append(buffer)
        del self._free[: -self._kept]
