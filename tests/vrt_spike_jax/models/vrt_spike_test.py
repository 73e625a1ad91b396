"""VRTSpike: VRT at step 0, no matter how bright the spikes, no use of absent ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from vrt_spike_jax import create_model
from vrt_spike_jax.models.spike_encoder import match_gain
from vrt_spike_jax.models.vrt_spike import PLACES

RNG = np.random.default_rng(17)
BLUR = jnp.asarray(RNG.random((1, 2, 32, 40, 3)), jnp.float32)
SPIKES = jnp.asarray(RNG.random((1, 2, 32, 32, 40)) < 0.4, jnp.float32)
# Compiles in half the time; the sums are the same.
QUICK = {"xla_backend_optimization_level": 0}


@pytest.fixture(scope="module")
def model():
    return create_model("tiny", fusion="cross_attn")


def is_projection(name):
    return name.startswith("fusion_") and "/proj/" in name


@pytest.fixture(scope="module")
def params(model):
    """Every parameter away from its start, but for the fusions' last projections.

    What reads the spikes keeps their scale from layer to layer, so that they matter.
    """
    shapes = jax.eval_shape(model.init, jax.random.key(0), BLUR, SPIKES)["params"]
    flat = traverse_util.flatten_dict(shapes, sep="/")
    rng = np.random.default_rng(0)

    def fill(name, shape):
        if is_projection(name):
            return jnp.zeros(shape)
        scale = 0.1
        if name.endswith("/kernel") and not name.startswith("vrt/"):
            scale = np.prod(shape[:-1]) ** -0.5
        return jnp.asarray(rng.normal(0, scale, shape), jnp.float32)

    return traverse_util.unflatten_dict(
        {name: fill(name, x.shape) for name, x in flat.items()}, sep="/"
    )


@pytest.fixture(scope="module")
def run(model):
    return jax.jit(
        lambda params, *inputs: model.apply({"params": params}, *inputs),
        compiler_options=QUICK,
    )


def opened(params):
    """The same, with random last projections of the fusions."""
    flat = traverse_util.flatten_dict(params, sep="/")
    rng = np.random.default_rng(1)
    projections = {
        name: jnp.asarray(rng.normal(0, x.shape[0] ** -0.5, x.shape), x.dtype)
        for name, x in flat.items()
        if is_projection(name)
    }
    assert len(projections) == 2 * 7
    return traverse_util.unflatten_dict({**flat, **projections}, sep="/")


def test_at_step_0_it_equals_vrt_bit_for_bit(model, params, run):
    vrt = create_model("tiny")
    plain = jax.jit(
        lambda params, x: vrt.apply({"params": params}, x), compiler_options=QUICK
    )
    expected = plain(params["vrt"], BLUR)
    np.testing.assert_array_equal(run(params, BLUR, SPIKES), expected)


def test_an_open_projection_lets_the_spikes_in(params, run):
    params = opened(params)
    change = run(params, BLUR, SPIKES) - run(params, BLUR, SPIKES[:, :, ::-1])
    assert np.abs(change).max() > 1e-3


def test_threshold_and_light_cancel(params, run):
    params = opened(params)
    expected = run(params, BLUR, SPIKES)
    for factor in (0.25, 1 / 3, 4.0):
        found = run(params, BLUR, SPIKES * factor)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_spikes_that_are_no_rates_are_taken_as_they_come(params, run):
    """What the model has matched itself, given to one that matches nothing."""
    params = opened(params)
    gain = match_gain(SPIKES, BLUR)
    model = create_model("tiny", fusion="cross_attn", matches_gain=False)
    light = SPIKES * gain[:, None, None, None, None]
    taken = jax.jit(model.apply, compiler_options=QUICK)
    found = taken({"params": params}, BLUR, light)
    np.testing.assert_allclose(found, run(params, BLUR, SPIKES), atol=1e-5)
    with pytest.raises(ValueError, match="matches_gain=False.*leave it out"):
        model.apply({"params": params}, BLUR, light, spike_gain=gain)


def test_side_channels_are_seen_but_are_no_light():
    model = create_model("tiny", fusion="cross_attn", side_channels=1)
    blur, rates = BLUR[..., :32, :], SPIKES[..., :32]
    side = jnp.asarray(RNG.random((1, 2, 1, 32, 32)), jnp.float32)
    spikes = jnp.concatenate([rates, side], 2)
    init = jax.eval_shape(model.init, jax.random.key(0), blur, spikes)
    keys = jax.random.split(jax.random.key(1), len(jax.tree.leaves(init)))
    leaves, tree = jax.tree.flatten(init)
    variables = tree.unflatten(
        [0.1 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    )
    run = jax.jit(model.apply, compiler_options=QUICK)
    found = run(variables, blur, spikes)
    # Half the rates are the same light; the side channel stays what it is.
    half = jnp.concatenate([rates / 2, side], 2)
    np.testing.assert_allclose(run(variables, blur, half), found, atol=1e-5)
    other = jnp.concatenate([rates, 1 - side], 2)
    assert np.abs(run(variables, blur, other) - found).max() > 1e-4


def test_the_parameters_of_vrt_stand_under_its_name(params):
    frames = jax.ShapeDtypeStruct(BLUR.shape, BLUR.dtype)
    vrt = create_model("tiny")
    expected = jax.eval_shape(vrt.init, jax.random.key(0), frames)["params"]
    assert jax.tree.map(jnp.shape, params["vrt"]) == jax.tree.map(jnp.shape, expected)
    others = {"vrt", "spike_encoder", *(f"fusion_{p}" for p in PLACES["both"])}
    assert set(params) == others


@pytest.mark.parametrize(
    ("arguments", "channels", "shape"),
    [
        ({"nonblind_denoising": True}, 4, (1, 3, 32, 32, 3)),
        ({"upscale": 4}, 3, (1, 3, 128, 128, 3)),
        ({"pa_frames": 0, "img_size": (3, 64, 64)}, 3, (1, 1, 32, 32, 3)),
    ],
)
def test_every_kind_of_task_takes_spikes(arguments, channels, shape):
    model = create_model("tiny", fusion="cross_attn", **arguments)
    blur = jax.ShapeDtypeStruct((1, 3, 32, 32, channels), jnp.float32)
    spikes = jax.ShapeDtypeStruct((1, 3, 32, 32, 32), jnp.float32)
    out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), blur, spikes)
    assert out.shape == shape
