"""Layers over many independent items, chunk by chunk, so that temporaries stay small.

What fits into a processor's cache is also the fastest there, so chunks bound the memory
without costing time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


def count_chunks(items: int, numbers: int, max_chunk: int) -> tuple[int, int]:
    """Number and size of even chunks of items.

    Args:
      items: how many there are.
      numbers: elements of the largest temporary that one item needs.
      max_chunk: elements that the temporary of a chunk may have; a chunk of one item
        may have more.
    """
    limit = max(1, max_chunk // numbers)
    count = -(-items // limit)
    return count, -(-items // count)


def map_chunks(
    function: Callable[..., PyTree],
    operands: PyTree,
    *,
    numbers: int,
    max_chunk: int,
) -> PyTree:
    """function(*operands), for chunks of their leading axis.

    Args:
      function: treats the items of the leading axis independently.
      operands: a tuple of arrays (or trees of them) with one leading axis.
      numbers: as for `count_chunks`.
      max_chunk: as for `count_chunks`. What a chunk computes is computed again in the
        backward pass, so that there, too, one chunk's temporaries exist at once.
    """
    items = _items(operands)
    count, size = count_chunks(items, numbers, max_chunk)
    if count == 1:
        return function(*operands)
    again = jax.checkpoint(function)
    out = jax.lax.map(lambda chunk: again(*chunk), _split(operands, count, size))
    return _join(out, items)


def map_module_chunks(
    function: Callable[..., PyTree],
    module: nn.Module,
    operands: PyTree,
    *,
    numbers: int,
    max_chunk: int,
) -> PyTree:
    """function(module, *operands), for chunks of the operands' leading axis.

    As `map_chunks`, for a function that uses parameters of `module`; all chunks share
    them. Here the backward pass keeps what it needs, as it would without chunks.
    """
    items = _items(operands)
    count, size = count_chunks(items, numbers, max_chunk)
    # Parameters are born outside of the loop.
    if count == 1 or module.is_initializing():
        return function(module, *operands)
    scan = nn.scan(
        lambda module, carry, chunk: (carry, function(module, *chunk)),
        variable_broadcast="params",
        split_rngs={"params": False},
    )
    _, out = scan(module, None, _split(operands, count, size))
    return _join(out, items)


def _items(operands: PyTree) -> int:
    return int(jax.tree.leaves(operands)[0].shape[0])


def _split(operands: PyTree, count: int, size: int) -> PyTree:
    """(items, ...) to (count, size, ...); the last chunk is filled with zeros."""

    def split(x: Array) -> Array:
        padding = [(0, count * size - x.shape[0])] + [(0, 0)] * (x.ndim - 1)
        return jnp.pad(x, padding).reshape(count, size, *x.shape[1:])

    return jax.tree.map(split, operands)


def _join(out: PyTree, items: int) -> Any:
    def join(x: Array) -> Array:
        return x.reshape(-1, *x.shape[2:])[:items]

    return jax.tree.map(join, out)
