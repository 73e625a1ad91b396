"""Layers over many independent items, chunk by chunk, so that temporaries stay small.

What fits into a processor's cache is also the fastest there, so chunks bound the memory
without costing time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

# (what all chunks share, *chunk of each operand) -> arrays with the items' axis first.
ChunkFunction = Callable[..., PyTree]


def count_chunks(items: int, numbers: int, max_chunk: int) -> tuple[int, int]:
    """Number and size of even chunks of items; the last may overlap the one before.

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
    function: ChunkFunction,
    shared: PyTree,
    operands: PyTree,
    *,
    numbers: int,
    max_chunk: int,
) -> PyTree:
    """function(shared, *operands), for chunks of the operands' leading axis.

    With more than one chunk, the backward pass (reverse mode alone) keeps nothing but
    the operands: it computes a chunk again and pulls its cotangents back before the
    next, so that there, too, one chunk's temporaries exist at once.

    Args:
      function: treats the items of the leading axis independently; closes over no
        array that is traced.
      shared: arrays that all chunks use.
      operands: a tuple of arrays (or trees of them) with one leading axis.
      numbers: as for `count_chunks`.
      max_chunk: as for `count_chunks`.
    """
    items = int(jax.tree.leaves(operands)[0].shape[0])
    count, size = count_chunks(items, numbers, max_chunk)
    if count == 1:
        return function(shared, *operands)
    return _map_chunks(function, (items, count, size), shared, operands)


def map_module_chunks(
    function: ChunkFunction,
    module: nn.Module,
    operands: PyTree,
    *,
    numbers: int,
    max_chunk: int,
    shared: tuple[PyTree, ...] = (),
) -> PyTree:
    """function(module, *operands, *shared), for chunks of the operands as `map_chunks`.

    Parameters are shared by all chunks. The function draws no random numbers and stores
    no variables.
    """
    # Parameters are born outside of the loop.
    if module.is_initializing():
        return function(module, *operands, *shared)
    unbound = module.clone(parent=None)

    def run(common: PyTree, *chunk: PyTree) -> PyTree:
        params, shared = common
        return unbound.apply({"params": params}, *chunk, *shared, method=function)

    common = (module.variables["params"], shared)
    return map_chunks(run, common, operands, numbers=numbers, max_chunk=max_chunk)


Plan = tuple[int, int, int]  # items, chunks, items of a chunk


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _map_chunks(
    function: ChunkFunction, plan: Plan, shared: PyTree, operands: PyTree
) -> PyTree:
    items, count, _ = plan
    shapes = jax.eval_shape(function, shared, *_cut(operands, _start(plan, 0), plan))

    def chunk(i: Int[Array, ""], out: PyTree) -> PyTree:
        start = _start(plan, i)
        part = function(shared, *_cut(operands, start, plan))
        return _put(out, part, start)

    out = jax.tree.map(
        lambda x: _room((items, *x.shape[1:]), x.dtype, operands), shapes
    )
    return jax.lax.fori_loop(0, count, chunk, out)


def _forward(
    function: ChunkFunction, plan: Plan, shared: PyTree, operands: PyTree
) -> tuple[PyTree, tuple[PyTree, PyTree]]:
    return _map_chunks(function, plan, shared, operands), (shared, operands)


def _backward(
    function: ChunkFunction,
    plan: Plan,
    saved: tuple[PyTree, PyTree],
    cotangents: PyTree,
) -> tuple[PyTree, PyTree]:
    shared, operands = saved
    leaves, tree = jax.tree.flatten((shared, operands))
    # Integers and booleans have no gradient.
    smooth = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]
    of_shared = len(jax.tree.leaves(shared))

    def chunk(i: Int[Array, ""], gradients: list[Array]) -> list[Array]:
        start = _start(plan, i)
        cut = leaves[:of_shared] + _cut(leaves[of_shared:], start, plan)

        def run(variables: list[Array]) -> PyTree:
            given = iter(variables)
            merged = [next(given) if s else x for s, x in zip(smooth, cut, strict=True)]
            shared, operands = jax.tree.unflatten(tree, merged)
            return function(shared, *operands)

        variables = [x for s, x in zip(smooth, cut, strict=True) if s]
        _, pull = jax.vjp(run, variables)
        (found,) = pull(_once(_cut(cotangents, start, plan), start, i, plan))
        many = sum(smooth[:of_shared])
        sums = jax.tree.map(jnp.add, gradients[:many], found[:many])
        before = _cut(gradients[many:], start, plan)
        parts = jax.tree.map(jnp.add, before, found[many:])
        return sums + _put(gradients[many:], parts, start)

    zeros = [
        0 * _room(x.shape, x.dtype, cotangents)
        for s, x in zip(smooth, leaves, strict=True)
        if s
    ]
    found = iter(jax.lax.fori_loop(0, plan[1], chunk, zeros))
    return jax.tree.unflatten(tree, [next(found) if s else None for s in smooth])


_map_chunks.defvjp(_forward, _backward)


def _start(plan: Plan, i: int | Int[Array, ""]) -> Int[Array, ""]:
    """First item of a chunk; the last chunk is moved back to end with the items."""
    items, _, size = plan
    return jnp.minimum(jnp.asarray(i, jnp.int32) * size, items - size)


def _cut(tree: PyTree, start: Int[Array, ""], plan: Plan) -> PyTree:
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, plan[2]), tree)


def _put(tree: PyTree, part: PyTree, start: Int[Array, ""]) -> PyTree:
    return jax.tree.map(
        lambda x, p: jax.lax.dynamic_update_slice_in_dim(x, p, start, 0), tree, part
    )


def _once(
    cotangents: PyTree, start: Int[Array, ""], i: Int[Array, ""], plan: Plan
) -> PyTree:
    """Zero for the items that the chunk before has pulled back already."""
    items, _, size = plan
    new = start + jnp.arange(size) >= i * size

    def mask(x: Array) -> Array:
        return jnp.where(new.reshape(size, *[1] * (x.ndim - 1)), x, 0)

    return jax.tree.map(mask, cotangents)


def _room(shape: tuple[int, ...], dtype: jnp.dtype, after: PyTree) -> Array:
    """An array to be written to, which a scheduler cannot allocate before `after`.

    Zeros depend on nothing: on a CPU, XLA fills those of all layers at the start, and a
    deep model holds a hundred of them.
    """
    number = jax.tree.leaves(after)[0].reshape(-1)[0]
    return jnp.broadcast_to(number.astype(dtype), shape)
