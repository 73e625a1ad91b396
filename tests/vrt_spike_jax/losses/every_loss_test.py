"""What holds for every loss of the table: gradients, types, inputs of all kinds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loss_inputs import OPTIONS, clip_inputs, random_discriminator, random_vgg19
from vrt_spike_jax.losses.table import LOSSES

NAMES = tuple(LOSSES)
# Each function runs a few times: to compile it fast counts for more.
FAST = {"xla_backend_optimization_level": 0}
# Of the compared frames; where they are sharp is 0, up to what Charbonnier starts at.
# The adversarial loss has no smallest value.
AT_IDENTITY = {
    name: OPTIONS.get(name, {}).get("epsilon", 0.0)
    for name, loss in LOSSES.items()
    if "sharp" in loss.inputs and name != "adversarial"
}


@functools.cache
def networks():
    return {"vgg19": random_vgg19(), "discriminator": random_discriminator()}


def compiled(name, inputs, dtype):
    """The loss as a compiled function of the prediction, its value and its gradient."""
    loss = LOSSES[name]
    inputs = networks() | {k: jnp.asarray(v, dtype) for k, v in inputs.items()}
    arguments = [inputs[field] for field in loss.inputs]
    options = dict(OPTIONS.get(name, {}))
    if "dtype" in options:
        options["dtype"] = dtype
    function = jax.value_and_grad(lambda x: loss.function(x, *arguments, **options))
    return jax.jit(function, compiler_options=FAST)


def prediction_of(inputs, *, seed=1, sigma=0.1):
    noise = np.random.default_rng(seed).normal(0, sigma, inputs["sharp"].shape)
    return inputs["sharp"] + noise


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"focal_frequency"}))
def test_gradient_equals_finite_differences_in_float64(name):
    inputs = clip_inputs()
    direction = np.random.default_rng(2).normal(size=inputs["sharp"].shape)
    step = 1e-7  # short enough to cross no ReLU
    with jax.enable_x64(True):
        function = compiled(name, inputs, jnp.float64)
        at = jnp.asarray(prediction_of(inputs))
        value, gradient = function(at)
        assert value.dtype == gradient.dtype == jnp.float64
        ahead, behind = (function(at + s * direction)[0] for s in (step, -step))
        slope = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(jnp.vdot(gradient, direction), slope, rtol=1e-5)
        assert abs(slope) > 1e-3 * float(jnp.linalg.norm(gradient))


@pytest.mark.parametrize("name", NAMES)
def test_identity_black_constant_saturated_and_small_inputs(name):
    """One compiled function: 0 at identity, and no NaN or infinity anywhere."""
    size = 11 if name == "ms_ssim" else 8
    loss, options = LOSSES[name], OPTIONS.get(name, {})
    function = jax.jit(
        jax.value_and_grad(lambda x, *rest: loss.function(x, *rest, **options)),
        compiler_options=FAST,
    )
    made = clip_inputs(size)
    nothing = {key: np.zeros_like(made[key]) for key in ("rate_short", "rate_long")}
    spikes = {key: np.ones_like(value) for key, value in nothing.items()}
    black, white = np.zeros_like(made["sharp"]), np.ones_like(made["sharp"])
    cases = {
        "identity": (made["sharp"], made),
        "black": (black, made | {"sharp": black, "blur": black} | nothing),
        "constant": (white / 2, made | {"sharp": white / 3, "blur": white / 3}),
        "saturated": (white, made | {"sharp": white, "blur": white} | spikes),
        "below black": (-white / 4, made),
        "without spikes": (made["sharp"], made | nothing),
    }
    for case, (prediction, inputs) in cases.items():
        inputs = networks() | {
            key: jnp.asarray(value, jnp.float32) for key, value in inputs.items()
        }
        value, gradient = function(
            jnp.asarray(prediction, jnp.float32), *(inputs[k] for k in loss.inputs)
        )
        assert np.isfinite(value), case
        assert np.isfinite(gradient).all(), case
        if case in ("identity", "black", "saturated") and name in AT_IDENTITY:
            np.testing.assert_allclose(value, AT_IDENTITY[name], atol=1e-6)
        if case == "identity" and name in AT_IDENTITY:
            np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_close_to_float32(name):
    inputs = clip_inputs()
    loss, options = LOSSES[name], OPTIONS.get(name, {})

    def value_of(dtype):
        given = networks() | {
            key: jnp.asarray(value, jnp.float32) for key, value in inputs.items()
        }
        given |= {key: given[key].astype(dtype) for key in ("sharp", "blur")}
        prediction = jnp.asarray(prediction_of(inputs), dtype)
        function = functools.partial(loss.function, **options)
        found = jax.jit(function, compiler_options=FAST)(
            prediction, *(given[key] for key in loss.inputs)
        )
        assert found.dtype == jnp.float32
        return float(found)

    # Rounding of the frames to 8 bits of precision alone: the loss computes in float32.
    assert value_of(jnp.bfloat16) == pytest.approx(value_of(jnp.float32), rel=2e-2)


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_broadcasts(name):
    clips = {key: jnp.asarray(value) for key, value in clip_inputs().items()}
    inputs = networks() | clips
    arguments = [inputs[field] for field in LOSSES[name].inputs]
    with pytest.raises(ValueError, match="must have one shape"):
        LOSSES[name].function(
            jnp.zeros((1, 1, 24, 24, 3)), *arguments, **OPTIONS.get(name, {})
        )
