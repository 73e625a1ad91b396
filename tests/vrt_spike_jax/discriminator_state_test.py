import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from vrt_spike_jax import sharding
from vrt_spike_jax.compile_report import format_discriminator
from vrt_spike_jax.discriminator_state import (
    adversarial_settings,
    count_discriminator,
    create_discriminator,
    update_discriminator,
)
from vrt_spike_jax.losses.table import LOSSES

SETTINGS = {
    "weight": 0.1,
    "start_step": 3,
    "warmup_steps": 2,
    "form": "hinge",
    "r1_weight": 0.1,
    "width": 2,
    "dtype": "bfloat16",
    "learning_rate": 1e-2,
    "b1": 0.0,
    "b2": 0.99,
}


def loss_section(**changes):
    section = {name: {"weight": 0.0, "start_step": 0} for name in LOSSES}
    return section | {"adversarial": SETTINGS | changes}


def test_without_weight_there_is_no_discriminator():
    assert adversarial_settings(loss_section()) == SETTINGS
    assert adversarial_settings(loss_section(weight=0.0)) is None
    assert count_discriminator(loss_section(weight=0.0)) == 0


def test_parameters_are_counted_and_told():
    w = 2
    taps = [(3 * 16, 3, w), (3 * 16, w, 2 * w), (3 * 16, 2 * w, 4 * w)]
    taps += [(27, 4 * w, 8 * w), (9, 8 * w, 1)]
    count = sum(kernel * before * after + after for kernel, before, after in taps)
    assert count_discriminator(loss_section()) == count
    assert format_discriminator(2**18).split() == [
        "discriminator",
        "262,144",
        "1",
        "MiB",
        "trained",
    ]


def test_large_kernels_and_their_moments_are_shared_by_devices():
    abstract = jax.eval_shape(
        lambda: create_discriminator(jax.random.key(0), SETTINGS | {"width": 8})
    )
    specs = jax.tree.map(lambda x: sharding.parameter_spec(x.shape, 4), abstract)
    last = PartitionSpec(None, None, None, None, "fsdp")
    assert specs.params["conv4"]["kernel"] == last
    assert specs.opt_state[0].nu["conv4"]["kernel"] == last
    assert specs.params["value"]["bias"] == PartitionSpec()


def test_it_learns_to_tell_clips_apart_once_it_is_due():
    """Sharp clips are chequered, predicted ones flat."""
    rows = jnp.arange(16)
    chequer = jnp.broadcast_to(
        ((rows[:, None] + rows[None]) % 2)[None, None, :, :, None], (1, 2, 16, 16, 3)
    ).astype(jnp.float32)
    flat = jnp.full_like(chequer, 0.5)
    update = jax.jit(
        lambda s, step: update_discriminator(s, flat, chequer, step, SETTINGS),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    state = create_discriminator(jax.random.key(0), SETTINGS)
    told = []
    for step in range(25):
        before = state
        state, metrics = update(state, jnp.asarray(step, jnp.int32))
        told.append({name: float(value) for name, value in metrics.items()})
        if step == 0:
            jax.tree.map(np.testing.assert_array_equal, state, before)
    assert set(told[0]) == {"loss", "grad_norm", "real", "fake", "r1"}
    assert told[0] == told[1]
    assert told[-1]["loss"] < 0.5 * told[0]["loss"]
    assert told[-1]["real"] > told[-1]["fake"]
    assert update._cache_size() == 1
    assert int(state.opt_state[0].count) == 24
    assert told[0]["loss"] == pytest.approx(
        max(1 - told[0]["real"], 0) + max(1 + told[0]["fake"], 0) + 0.1 * told[0]["r1"],
        rel=0.2,
    )
