"""Chunks: how many, that they change nothing, and what they keep for gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.chunking import count_chunks, map_chunks

RNG = np.random.default_rng(41)


@pytest.mark.parametrize(
    ("items", "numbers", "max_chunk", "plan"),
    [
        (10, 5, 50, (1, 10)),
        (10, 5, 49, (2, 5)),
        (10, 5, 20, (3, 4)),
        (10, 5, 4, (10, 1)),  # one item is the least
        (1, 5, 1, (1, 1)),
    ],
)
def test_chunks_are_even_and_within_the_limit(items, numbers, max_chunk, plan):
    assert count_chunks(items, numbers, max_chunk) == plan


def two_results(shared, x, labels):
    """Uses everything in a way that a wrong order, or a repeated item, would show."""
    hidden = jnp.sin(x @ shared["matrix"]) * labels[:, None]
    return {"sum": hidden.sum(-1), "tokens": hidden + shared["offset"][None]}


@pytest.mark.parametrize("max_chunk", [1, 12, 20])
def test_values_and_gradients_are_those_of_all_items_at_once(max_chunk):
    shared = {
        "matrix": jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32),
        "offset": jnp.asarray(RNG.normal(size=4), jnp.float32),
    }
    x = jnp.asarray(RNG.normal(size=(11, 3)), jnp.float32)
    labels = jnp.arange(11, dtype=jnp.int32)
    weight = jnp.asarray(RNG.normal(size=(11, 4)), jnp.float32)

    def loss(shared, x, max_chunk):
        out = map_chunks(
            two_results, shared, (x, labels), numbers=4, max_chunk=max_chunk
        )
        return (out["sum"] ** 2).sum() + (weight * out["tokens"]).sum(), out

    run = jax.jit(jax.grad(loss, (0, 1), has_aux=True), static_argnums=2)
    found, expected = run(shared, x, max_chunk), run(shared, x, 10**9)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-4),
        found,
        expected,
    )


def test_a_number_that_is_not_finite_stays_with_its_item():
    # The room for the results is made from the first number of the operands.
    x = jnp.asarray(RNG.normal(size=(5, 2)), jnp.float32).at[0, 0].set(jnp.nan)

    def run(x):
        return map_chunks(lambda _, x: 2 * x, (), (x,), numbers=2, max_chunk=2)[
            1:
        ].sum()

    gradient = jax.grad(run)(x)
    assert np.isfinite(run(x))
    np.testing.assert_array_equal(gradient[1:], 2.0)


def test_temporaries_do_not_grow_with_the_items():
    def temporaries(items, max_chunk):
        def loss(x):
            out = map_chunks(
                # An outer product: 64 numbers of temporaries for one of the operands.
                lambda _, x: jnp.sin(x[:, :, None] * x[:, None]).sum((1, 2)),
                (),
                (x,),
                numbers=64 * 64,
                max_chunk=max_chunk,
            )
            return (out**2).sum()

        x = jax.ShapeDtypeStruct((items, 64), jnp.float32)
        compiled = jax.jit(jax.grad(loss)).lower(x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    chunk = 4 * 64 * 64
    few, many = temporaries(16, chunk), temporaries(256, chunk)
    # What grows are the gradient and the results: 65 numbers an item.
    assert many - few <= 1.5 * 4 * 65 * 240
    assert temporaries(256, 10**9) > 3 * many
