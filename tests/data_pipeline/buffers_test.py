"""Memory is used again when the last view of it has gone, and not before."""

import numpy as np
import pytest

from data_pipeline.buffers import BufferPool


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_are_whole_writable_and_aligned(dtype: type[np.generic]) -> None:
    array = BufferPool().empty((3, 5, 7), dtype)
    assert array.shape == (3, 5, 7) and array.dtype == dtype
    assert array.flags.c_contiguous and address(array) % 64 == 0
    array[:] = 1
    np.testing.assert_array_equal(array, np.ones((3, 5, 7), dtype))


def test_memory_is_used_again_when_nothing_looks_at_it() -> None:
    pool = BufferPool()
    array = pool.empty((100, 100), np.float32)
    first = address(array)
    part = array[5].view(np.int32)[2:]
    del array
    part[:] = 7
    other = pool.empty((100, 100), np.float32)
    assert address(other) != first
    other[:] = 0
    assert (part == 7).all()
    del part
    assert address(pool.empty((100, 100), np.float32)) == first


def test_sizes_are_not_mixed_up_and_few_are_kept() -> None:
    pool = BufferPool(kept=2)
    small = pool.empty((1,), np.uint8)
    first = address(small)
    del small
    large = pool.empty((5 << 20,), np.uint8)
    assert large.nbytes == 5 << 20
    large[:] = 1
    assert address(pool.empty((1,), np.uint8)) == first
    many = [pool.empty((1,), np.uint8) for _ in range(5)]
    del many
    assert len(pool._free) == 2
