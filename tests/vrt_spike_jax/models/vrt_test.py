"""VRT against reference runs of the public code, in float64, and its arguments."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parity_case
from vrt_spike_jax import VRT, convert_vrt_state_dict, create_model
from vrt_spike_jax.models.vrt import flows_of

HERE = Path(__file__).parent

# The bound of ../shared/vrt_parity/README.md.
BOUND = 1e-5
# Compiles in half the time; the sums are the same.
QUICK = {"xla_backend_optimization_level": 0}
OTHER_CASES = [
    "deblur_odd_size",
    "denoise_nonblind",
    "interp_4frames",
    "sr_x4_pa4",
    "sr_x4_pa6",
]


def assert_parity(folder: Path, name: str) -> None:
    with jax.enable_x64(True):
        model, state_dict, arrays, stride = parity_case.load(folder, name)
        params = convert_vrt_state_dict(state_dict, model)
        frames = jnp.asarray(arrays["input"].transpose(0, 1, 3, 4, 2), jnp.float64)

        @functools.partial(jax.jit, compiler_options=QUICK)
        def run(params, frames):
            out = model.apply({"params": params}, frames, mutable=["intermediates"])
            return out, flows_of(model, params, frames) if model.pa_frames else []

        (output, state), flows = run(params, frames)
        output = np.asarray(output).transpose(0, 1, 4, 2, 3)[..., ::stride, ::stride]
        deepest = state["intermediates"]["deepest_features"][0]
        found = {
            "output": output,
            "stage4": np.asarray(deepest).transpose(0, 4, 1, 2, 3),
        }
        if "flow_backward0" in arrays:
            to_reference = (0, 1, 4, 2, 3)
            found["flow_backward0"] = flows[0].backward.transpose(to_reference)
            found["flow_forward3"] = flows[3].forward.transpose(to_reference)
    for key, value in found.items():
        np.testing.assert_allclose(value, arrays[key], rtol=0, atol=BOUND, err_msg=key)


def test_deblurring_equals_the_public_code():
    assert_parity(HERE / "parity", "deblur_small")


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER_CASES)
def test_every_task_equals_the_public_code(name, shared):
    assert_parity(shared / "vrt_parity", name)


def test_deblur_has_the_published_number_of_parameters():
    model = create_model("deblur")
    frames = jax.ShapeDtypeStruct((1, 6, 64, 64, 3), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), frames)["params"]
    assert sum(x.size for x in jax.tree.leaves(params)) == 18_320_007


def test_untrained_flow_is_zero():
    model = create_model("tiny")
    frames = jax.random.uniform(jax.random.key(1), (1, 3, 40, 48, 3))

    @functools.partial(jax.jit, compiler_options=QUICK)
    def run(key, frames):
        # Calls, and so creates, SpyNet alone.
        params = model.init(
            key, frames, method=lambda model, frames: model.spynet(frames[0], frames[0])
        )["params"]
        return flows_of(model, params, frames)

    flows = jax.tree.leaves(run(jax.random.key(0), frames))
    assert len(flows) == 8
    assert all(not np.any(flow) for flow in flows)


def test_frames_of_a_clip_are_restored_alike_in_any_batch():
    rng = np.random.default_rng(0)
    # In float64: a deep network of random weights makes much of the last digit.
    with jax.enable_x64(True):
        model = create_model("tiny", dtype=jnp.float64, param_dtype=jnp.float64)
        clips = jnp.asarray(rng.random((2, 3, 32, 32, 3)))
        shapes = jax.eval_shape(model.init, jax.random.key(0), clips)["params"]
        params = jax.tree.map(
            lambda x: jnp.asarray(rng.normal(0, 0.2, x.shape)), shapes
        )

        @functools.partial(jax.jit, compiler_options=QUICK)
        def run(params, clips):
            return model.apply({"params": params}, clips)

        both = run(params, clips)
        np.testing.assert_allclose(run(params, clips[1:]), both[1:], rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 3, 40, 41, 3), "multiples of 8"),
        ((1, 3, 24, 32, 3), "at least 32"),
        ((1, 1, 32, 32, 3), "at least 2"),
        ((1, 3, 32, 32, 4), "4 channels"),
    ],
)
def test_frames_that_do_not_fit_are_refused(shape, sentence):
    model = create_model("tiny")
    with pytest.raises(ValueError, match=sentence):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"depths": (2,) * 7}, "same length"),
        ({"pa_frames": 3}, "pa_frames must be 0, 2, 4 or 6"),
        ({"upscale": 2}, "upscale must be 1 or 4"),
    ],
)
def test_arguments_that_make_no_vrt_are_refused(arguments, sentence):
    model = VRT(**arguments)
    with pytest.raises(ValueError, match=sentence):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 6, 64, 64, 3)))
