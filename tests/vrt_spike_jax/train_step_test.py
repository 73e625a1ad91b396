import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax import sharding
from vrt_spike_jax.train_state import SpikeShape, abstract_params, create_state
from vrt_spike_jax.train_step import compile_on, make_train_step

SHAPE = SpikeShape(num_channels=2, spike_scale=1)
SETTINGS = ConfigDict(
    {
        "learning_rate": 1e-2,
        "warmup_steps": 1,
        "schedule": "constant",
        "end_factor": 1.0,
        "weight_decay": 0.1,
        "b1": 0.9,
        "b2": 0.99,
        "grad_clip_norm": 1.0,
        "factors": {"main": 1.0},
    }
)


class Net(nn.Module):
    """Two layers with the interface of VRTSpike, and dropout on the way."""

    takes_spikes, min_size, min_frames = True, 8, 2
    dropout: float = 0.0

    @nn.compact
    def __call__(self, blur, spikes, *, train=False):
        light = jnp.mean(spikes, axis=2)[..., None]
        x = nn.Dense(4, name="first")(jnp.concatenate([blur, light], axis=-1))
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.gelu(x))
        return blur + nn.Dense(3, name="last")(x)


def built(groups, model=None):
    """(state, compiled step, mesh) of a small model."""
    model = model or Net()
    mesh = sharding.make_mesh()
    labels = optimizers.label_parameters(abstract_params(model, SHAPE), groups)
    schedule = optimizers.make_schedule(SETTINGS, 10)
    optimizer = optimizers.make_optimizer(SETTINGS, labels, schedule)
    abstract, create = create_state(model, optimizer, labels, mesh, SHAPE, seed=3)
    step = make_train_step(model, optimizer, labels, schedule, seed=3, epsilon=1e-3)
    return create(), compile_on(step, abstract, mesh), mesh


def batch_of(mesh, seed=0):
    rng = np.random.default_rng(seed)
    blur = rng.random((2, 2, 8, 8, 3), dtype=np.float32)
    spikes = rng.random((2, 2, 2, 8, 8), dtype=np.float32)
    return sharding.put_batch({"blur": blur, "sharp": blur**2, "spikes": spikes}, mesh)


def test_state_matches_what_was_announced():
    model, mesh = Net(), sharding.make_mesh()
    labels = optimizers.label_parameters(
        abstract_params(model, SHAPE), [(".*", "main")]
    )
    optimizer = optimizers.make_optimizer(SETTINGS, labels, lambda step: 0.1)
    abstract, create = create_state(model, optimizer, labels, mesh, SHAPE, seed=0)
    state = create()
    assert jax.tree.structure(state) == jax.tree.structure(abstract)
    for array, announced in zip(
        jax.tree.leaves(state), jax.tree.leaves(abstract), strict=True
    ):
        assert (array.shape, array.dtype) == (announced.shape, announced.dtype)
        assert array.sharding == announced.sharding


def test_frozen_parameters_stay_and_the_others_move_at_the_first_step():
    state, step, mesh = built([("first/.*", "frozen"), (".*", "main")])
    before = jax.device_get(state.params)
    state, metrics = step(state, batch_of(mesh))
    after = jax.device_get(state.params)
    jax.tree.map(np.testing.assert_array_equal, after["first"], before["first"])
    for name in ("kernel", "bias"):
        assert np.all(after["last"][name] != before["last"][name])
    assert int(state.step) == 1
    assert np.isfinite([float(x) for x in metrics.values()]).all()


def test_metrics_are_those_of_the_batch():
    state, step, mesh = built([(".*", "main")])
    batch = batch_of(mesh)
    restored = Net().apply({"params": state.params}, batch["blur"], batch["spikes"])
    difference = np.asarray(restored, np.float64) - np.asarray(batch["sharp"])
    loss = np.mean(np.sqrt(difference**2 + 1e-6))
    clipped = np.clip(restored, 0, 1).astype(np.float64) - np.asarray(batch["sharp"])
    psnr = -10 * np.log10(np.mean(clipped**2, axis=(1, 2, 3, 4)))
    _, metrics = step(state, batch)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["psnr"], psnr.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["learning_rate"], 0.5e-2, rtol=1e-6)


def test_loss_falls():
    state, step, mesh = built([(".*", "main")])
    batch = batch_of(mesh)
    losses = []
    for _ in range(30):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.7 * losses[0]


def test_state_is_given_up_to_the_next_one():
    state, step, mesh = built([(".*", "main")])
    step(state, batch_of(mesh))
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(state.params["last"]["kernel"])


def test_randomness_follows_from_the_step_number():
    def loss_at(number):
        state, step, mesh = built([(".*", "main")], Net(dropout=0.5))
        state = state.replace(step=jnp.asarray(number, jnp.int32))
        return float(step(state, batch_of(mesh))[1]["loss"])

    assert loss_at(0) == loss_at(0)
    assert loss_at(0) != loss_at(1)
