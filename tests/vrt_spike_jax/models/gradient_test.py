"""Gradients of every parameter of VRT against the public code's, in float64."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parity_case
from vrt_spike_jax import convert_vrt_state_dict

HERE = Path(__file__).parent

# Relative to the norm of the parameter's gradient.
BOUND = 1e-4
# Compiles in half the time; the sums are the same.
QUICK = {"xla_backend_optimization_level": 0}
OTHER_CASES = [
    "gradient_interp",
    "gradient_nonblind",
    "gradient_pa6",
    "gradient_sr_x4_pa4",
]


def by_official_name(tree: Any, case: Any) -> dict[str, np.ndarray]:
    """Leaves of a tree of the parameters' form, by the names of their parameters."""
    names = list(case.state_dict)
    numbered = {
        name: np.full(case.state_dict[name].shape, number)
        for number, name in enumerate(names)
    }
    numbers = jax.tree.leaves(convert_vrt_state_dict(numbered, case.model))
    leaves = jax.tree.leaves(tree)
    return {
        names[int(np.ravel(number)[0])]: np.asarray(leaf)
        for number, leaf in zip(numbers, leaves, strict=True)
    }


def assert_gradients(name: str, **options: Any) -> None:
    with jax.enable_x64(True):
        case = parity_case.load_gradients(HERE / "parity", name, **options)
        params = convert_vrt_state_dict(case.state_dict, case.model)
        frames = jnp.asarray(case.frames)
        out = jax.eval_shape(case.model.apply, {"params": params}, frames)
        n, d, h, w, c = out.shape
        cotangent = case.cotangent((n, d, c, h, w)).transpose(0, 1, 3, 4, 2)

        @functools.partial(jax.jit, compiler_options=QUICK)
        def run(params, frames, cotangent):
            def loss(params):
                return (case.model.apply({"params": params}, frames) * cotangent).sum()

            return jax.value_and_grad(loss)(params)

        loss, gradient = run(params, frames, cotangent)
        found = by_official_name(gradient, case)
        # Converted as weights are, a probe has the layout of the gradient it meets.
        probes = [
            by_official_name(convert_vrt_state_dict(case.probe(i), case.model), case)
            for i in range(len(case.projections))
        ]
    np.testing.assert_allclose(loss, case.loss, rtol=BOUND)
    assert set(found) == set(case.norms)
    wrong = {}
    for key, norm in case.norms.items():
        errors = [np.linalg.norm(found[key]) - norm]
        for probe, projection in zip(probes, case.projections, strict=True):
            errors.append(np.vdot(found[key], probe[key]) - projection[key])
        if not np.max(np.abs(errors)) <= BOUND * norm:
            wrong[key] = np.max(np.abs(errors)) / norm
    assert not wrong


def test_every_parameter_has_the_gradient_of_the_public_code():
    # In one chunk, which compiles and runs several times sooner without optimisation.
    assert_gradients("gradient_deblur", max_chunk=2**40)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER_CASES)
def test_every_task_has_the_gradients_of_the_public_code(name):
    assert_gradients(name)


@pytest.mark.slow
def test_gradients_do_not_depend_on_what_bounds_the_memory():
    remat = ("stage1", "stage3", "stage4", "stage6", "stage8")
    assert_gradients("gradient_deblur", remat=remat, max_chunk=2**14)
