"""Both players in one compiled step: what they are told, and that a resume is exact."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from configs import base
from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax import sharding
from vrt_spike_jax.checkpoint import Checkpoints, restore_params
from vrt_spike_jax.losses.charbonnier import charbonnier
from vrt_spike_jax.train_state import SpikeShape, abstract_params, create_state
from vrt_spike_jax.train_step import compile_on, make_train_step

SHAPE = SpikeShape(num_channels=2, spike_scale=1)
OWN = {"weight": 0.5, "start_step": 2, "warmup_steps": 1, "width": 2, "r1_weight": 0.1}


class Net(nn.Module):
    """One layer with the interface of VRT."""

    takes_spikes, min_size, min_frames = False, 8, 2

    @nn.compact
    def __call__(self, blur, *, train=False):
        return nn.Dense(3, name="mix")(blur)


def prepared(**changes):
    """(abstract state, its maker, the step, the mesh) of the small model."""
    config = base.get_config("smoke")
    config.loss.adversarial.update(changes)
    config.loss.focal_frequency.weight = 0.0  # beside Charbonnier's alone
    loss, mesh = config.loss.to_dict(), sharding.make_mesh()
    labels = optimizers.label_parameters(
        abstract_params(Net(), SHAPE), [(".*", "main")]
    )
    schedule = optimizers.make_schedule(config.optimizer, 10)
    optimizer = optimizers.make_optimizer(config.optimizer, labels, schedule)
    model = (Net(), optimizer, labels)
    abstract, create = create_state(*model, mesh, SHAPE, seed=3, loss=loss)
    step = make_train_step(*model, schedule, seed=3, loss=loss)
    return abstract, create, step, mesh


def batch_of(mesh, number):
    rng = np.random.default_rng(number)
    blur = rng.random((1, 2, 16, 16, 3), dtype=np.float32)
    return sharding.put_batch({"blur": blur, "sharp": blur**2}, mesh)


@pytest.fixture(scope="module")
def players():
    """(abstract state, its maker, the compiled step, the mesh)."""
    abstract, create, step, mesh = prepared(**OWN)
    return abstract, create, compile_on(step, abstract, mesh), mesh


def test_terms_are_told_and_count_from_their_start(players):
    _, create, step, mesh = players
    state = create()
    for number in range(4):
        batch = batch_of(mesh, number)
        before = jax.device_get(state)
        restored = Net().apply({"params": before.params}, batch["blur"])
        state, metrics = step(state, batch)
        plain = charbonnier(restored, batch["sharp"])
        rival = before.discriminator.params
        # By default hinge: the model is told what the discriminator says of its clip.
        term = float(metrics["loss/adversarial"])
        np.testing.assert_allclose(-metrics["discriminator/fake"], term, rtol=1e-5)
        weight = OWN["weight"] if number >= 2 else 0.0
        np.testing.assert_allclose(metrics["loss"], plain + weight * term, rtol=1e-4)
        moved = [
            np.any(x != np.asarray(y))
            for x, y in zip(
                jax.tree.leaves(rival),
                jax.tree.leaves(state.discriminator.params),
                strict=True,
            )
        ]
        assert any(moved) == (number >= 1)
    names = {name for name in metrics if name.startswith("discriminator/")}
    told = ("loss", "grad_norm", "real", "fake", "r1")
    assert names == {f"discriminator/{name}" for name in told}
    assert step._cache_size() == 1


def test_a_resumed_run_has_the_same_players_to_the_last_bit(players, tmp_path):
    abstract, create, step, mesh = players

    def train(state, start, stop):
        for number in range(start, stop):
            state, _ = step(state, batch_of(mesh, number))
        return state

    whole = jax.device_get(train(create(), 0, 6))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(train(create(), 0, 3), step=3, position=3)
        checkpoints.wait()
        state, position = checkpoints.restore(abstract)
    assert position == 3
    resumed = jax.device_get(train(state, position, 6))
    assert jax.tree.structure(resumed) == jax.tree.structure(whole)
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert int(resumed.discriminator.opt_state[0].count) == 5
    # What restores and evaluates knows nothing of the discriminator.
    params = restore_params(tmp_path, abstract_params(Net(), SHAPE), step=3)
    assert set(params) == {"mix"}


def test_without_weight_the_state_and_the_step_know_nothing_of_it():
    abstract, _, step, mesh = prepared()
    assert abstract.discriminator is None
    batch = batch_of(mesh, 0)
    text = str(jax.make_jaxpr(step)(abstract, batch))
    other = prepared(form="relativistic", width=64, start_step=3, r1_weight=5.0)
    assert jax.tree.structure(other[0]) == jax.tree.structure(abstract)
    assert str(jax.make_jaxpr(other[2])(abstract, batch)) == text
    assert "conv_general_dilated" not in text
