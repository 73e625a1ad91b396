"""A model that is asked for an instant: VRT at step 0, then what the instant tells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from vrt_spike_jax import create_model
from vrt_spike_jax.models.closed_form import change_to_middle
from vrt_spike_jax.models.latent_instant import TimeCode, around_instant
from vrt_spike_jax.models.spike_encoder import SpikeEncoder3D

RNG = np.random.default_rng(23)
BLUR = jnp.asarray(RNG.random((1, 2, 32, 32, 3)), jnp.float32)
SPIKES = jnp.asarray(RNG.random((1, 2, 8, 32, 32)) < 0.4, jnp.float32)
# Compiles in half the time; the sums are the same.
QUICK = {"xla_backend_optimization_level": 0}


def at(*instants):
    return jnp.asarray([instants], jnp.float32)


def ramp(parts=8):
    """Light that rises evenly through two exposures: its parts are 0, 1, 2, ..."""
    return jnp.broadcast_to(
        jnp.arange(parts, dtype=jnp.float32)[None, None, :, None, None],
        (1, 2, parts, 1, 1),
    )


def test_the_window_moves_with_the_instant():
    np.testing.assert_array_equal(around_instant(SPIKES, at(0, 0)), SPIKES)
    moved = np.asarray(around_instant(ramp(), at(0.5, -1)))[0, :, :, 0, 0]
    # Beyond the ends of the exposure lies its mirror image.
    np.testing.assert_array_equal(moved[0], [2, 3, 4, 5, 6, 7, 7, 6])
    np.testing.assert_array_equal(moved[1], [3, 2, 1, 0, 0, 1, 2, 3])
    between = np.asarray(around_instant(ramp(), at(1 / 16, -1 / 16)))[0, :, :, 0, 0]
    np.testing.assert_allclose(between[0, :-1], np.arange(7) + 0.25, rtol=1e-6)
    np.testing.assert_allclose(between[1, 1:], np.arange(1, 8) - 0.25, rtol=1e-6)


def test_time_that_runs_backwards_negates_the_instant():
    instant = at(0.3, -0.8)
    forward = around_instant(SPIKES, instant)
    backward = around_instant(SPIKES[:, :, ::-1], -instant)
    np.testing.assert_allclose(backward, forward[:, :, ::-1], atol=2e-6)


def test_the_closed_form_compares_the_instant_with_the_whole_exposure():
    # In two of eight parts there is light, before the middle.
    light = jnp.zeros((1, 1, 8, 1, 1)).at[:, :, 1:3].set(1.0)
    dark, bright = (
        change_to_middle(around_instant(light, at(x)), light).item()
        for x in (0.75, -0.5)
    )
    assert dark == pytest.approx(-0.25 / 0.26)
    assert bright == pytest.approx(0.25 / 0.26)


def test_the_encoder_is_told_the_mean_of_the_exposure():
    encoder = SpikeEncoder3D((4,) * 4, (4,) * 4, time_strides=(4,))
    light = SPIKES[:, :1]
    params = jax.jit(
        lambda key: encoder.init(key, light, spike_scale=1), compiler_options=QUICK
    )(jax.random.key(0))
    run = jax.jit(
        lambda mean: encoder.apply(params, light, spike_scale=1, mean=mean)[0],
        compiler_options=QUICK,
    )
    mean = light.mean(2)
    own = encoder.apply(params, light, spike_scale=1)[0]
    np.testing.assert_allclose(run(mean), own, atol=1e-5)
    assert np.abs(run(mean + 0.1) - own).max() > 1e-2


def test_the_code_says_nothing_at_the_start_and_tells_all_instants_apart():
    code = TimeCode(3)
    instants = jnp.linspace(-1, 1, 21)[None]
    params = code.init(jax.random.key(0), instants)
    assert not np.asarray(code.apply(params, instants)).any()
    identity = {"params": {"proj": {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}}}
    waves = np.asarray(TimeCode(4).apply(identity, instants))[0]
    apart = np.linalg.norm(waves[:, None] - waves[None], axis=-1)
    assert apart[~np.eye(21, dtype=bool)].min() > 0.1


@pytest.fixture(scope="module")
def model():
    return create_model(
        "tiny",
        fusion="cross_attn",
        takes_instant=True,
        time_code=True,
    )


@pytest.fixture(scope="module")
def shapes(model):
    found = jax.eval_shape(model.init, jax.random.key(0), BLUR, SPIKES)["params"]
    return traverse_util.flatten_dict(found, sep="/")


def filled(shapes, *, opened):
    """Random parameters; what is zero at the start as well, where it is opened."""
    rng = np.random.default_rng(0)

    def fill(name, shape):
        if name.startswith("fusion_") and "/proj/" in name:
            values = rng.normal(0, 0.3, shape)
            return jnp.asarray(values * opened, jnp.float32)
        scale = 0.1
        if name.endswith("/kernel") and not name.startswith("vrt/"):
            scale = np.prod(shape[:-1]) ** -0.5
        return jnp.asarray(rng.normal(0, scale, shape), jnp.float32)

    return traverse_util.unflatten_dict(
        {name: fill(name, x.shape) for name, x in shapes.items()}, sep="/"
    )


@pytest.fixture(scope="module")
def run(model):
    traces = []

    def restore(params, blur, spikes, instant):
        traces.append(1)
        return model.apply({"params": params}, blur, spikes, instant=instant)

    jitted = jax.jit(restore, compiler_options=QUICK)

    def run(params, spikes, instant):
        restored = jitted(params, BLUR, spikes, instant)
        assert len(traces) == 1  # however many instants
        return restored

    return run


def test_no_instant_changes_anything_before_training_or_without_spikes(run, shapes):
    closed, opened = (filled(shapes, opened=x) for x in (False, True))
    # Frames without spikes are left to VRT.
    expected = run(closed, 0 * SPIKES, at(0, 0))
    for instant in (at(0, 0), at(-0.7, 0.4)):
        np.testing.assert_array_equal(run(closed, SPIKES, instant), expected)
        np.testing.assert_array_equal(run(opened, 0 * SPIKES, instant), expected)
    assert np.abs(run(opened, SPIKES, at(0, 0)) - expected).max() > 1e-2


def test_instants_and_the_order_of_spikes_change_what_is_restored(run, shapes):
    params = filled(shapes, opened=True)
    frames = [run(params, SPIKES, at(x, x)) for x in (-0.6, 0.0, 0.6)]
    for first, second in zip(frames, frames[1:], strict=False):
        assert np.abs(first - second).max() > 1e-2
    permuted = run(params, SPIKES[:, :, ::-1], at(0.6, 0.6))
    assert np.abs(permuted - frames[2]).max() > 1e-3


def test_the_code_reaches_the_frames_where_light_never_changes(run, shapes):
    params = filled(shapes, opened=True)
    constant = jnp.full_like(SPIKES, 0.5)
    early, late = (run(params, constant, at(x, x)) for x in (-0.6, 0.6))
    assert np.abs(early - late).max() > 1e-3


def test_what_does_not_go_together_is_said():
    plain = create_model("tiny", fusion="cross_attn")
    with pytest.raises(ValueError, match="data.instants=random"):
        jax.eval_shape(
            lambda: plain.init(jax.random.key(0), BLUR, SPIKES, instant=at(0, 0))
        )
    coded = create_model("tiny", fusion="cross_attn", time_code=True)
    with pytest.raises(ValueError, match="takes_instant=True"):
        jax.eval_shape(lambda: coded.init(jax.random.key(0), BLUR, SPIKES))
