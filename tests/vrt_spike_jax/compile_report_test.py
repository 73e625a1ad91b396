import jax
import jax.numpy as jnp
import pytest

from vrt_spike_jax import compile_report
from vrt_spike_jax.compile_check import (
    Compiled,
    Cost,
    Memory,
    ParameterGroup,
    Program,
)

MEMORY = Memory(
    arguments=5 * 2**30,
    outputs=2 * 2**30,
    aliased=2**30,
    temporaries=3 * 2**30,
    code=2**20,
)


def product():
    """A program whose cost is known: 16x32 times 32x8."""

    def lower():
        shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((16, 32), (32, 8))]
        return jax.jit(jnp.matmul).lower(*shapes)

    return Program("product", "one product", 2, 1, "the sizes", lower, lower)


def test_outputs_in_the_place_of_arguments_count_once():
    assert MEMORY.peak == 9 * 2**30 + 2**20


def test_report_tells_of_each_program_and_of_the_limit(capsys):
    said = []
    arguments, outputs = 4 * (16 * 32 + 32 * 8), 4 * 16 * 8
    sentences = compile_report.check_programs(
        [product()], memory_limit=float(2**30), say=said.append
    )
    assert sentences == []
    text = "\n".join(said)
    assert "product: one product" in text
    assert f"{2 * 16 * 32 * 8 / 1000:.4g} kFLOP" in text
    assert f"arguments     {arguments / 1024:.4g} KiB" in text
    assert f"outputs       {outputs} B" in text
    assert "1 compilation(s)" in text
    assert "fits in       1 GiB" in text
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "tracing the product" in shown.err
    assert "compiling the product" in shown.err


def test_what_does_not_fit_is_one_sentence_that_says_what_to_lower():
    said = []
    (sentence,) = compile_report.check_programs(
        [product()], memory_limit=100.0, say=said.append
    )
    assert "the product needs" in sentence
    assert "more than the limit of 100 B; lower the sizes." in sentence
    assert "exceeds       100 B" in said[-1]
    assert compile_report.shortage(product(), MEMORY, MEMORY.peak) is None


def test_without_a_limit_nothing_is_said_of_it():
    said = []
    assert compile_report.check_programs([product()], say=said.append) == []
    assert "fits" not in "\n".join(said)


def test_groups_of_parameters_are_lines_under_their_sum():
    groups = [
        ParameterGroup("frozen", 1_000_000, 4_000_000, False),
        ParameterGroup("main", 2_000_000, 8_000_000, True),
    ]
    total, frozen, main = compile_report.format_parameters(groups).splitlines()
    assert "3,000,000" in total
    assert total.endswith("11.44 MiB")
    assert "1,000,000" in frozen
    assert main.endswith("trained")
    alone = [ParameterGroup("all", 5, 20, False)]
    assert len(compile_report.format_parameters(alone).splitlines()) == 1


def test_compilations_that_were_found_are_said_to_be():
    text = compile_report.format_compiled(Compiled(MEMORY, 1.0, 0.5, 1, 1))
    assert "1 compilation(s), 1 from the cache" in text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**60, "1024 PiB")],
)
def test_bytes_have_the_unit_that_fits(size, text):
    assert compile_report.format_bytes(size) == text


def test_flops_are_told_by_the_frame():
    text = compile_report.format_cost(product(), Cost(9.32e12, 6e12, 1.0))
    assert "9.32 TFLOP, 4.66 TFLOP a frame" in text
