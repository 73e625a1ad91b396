"""What trains when, and what becomes of a state where more begins to train."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax import sharding
from vrt_spike_jax.stages import describe_stage, plan_stages, stage_after
from vrt_spike_jax.train_state import SpikeShape, TrainState, create_state, hand_over

PARAMS = {
    "vrt": {"spynet": jnp.ones((4, 4)), "mix": jnp.full((4, 3), 0.5)},
    "encoder": {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(2)},
}
GROUPS = (("vrt/spynet", "flow"), ("vrt/.*", "vrt"), (".*", "main"))


def settings(frozen_steps, groups=GROUPS, **changes):
    values = {
        "groups": groups,
        "frozen_steps": frozen_steps,
        "factors": {"main": 1.0, "vrt": 0.5, "flow": 0.125},
        "learning_rate": 1e-2,
        "warmup_steps": 0,
        "schedule": "constant",
        "end_factor": 1.0,
        "weight_decay": 0.1,
        "b1": 0.9,
        "b2": 0.99,
        "grad_clip_norm": 1e9,
    }
    return ConfigDict(values | changes)


def trained_in(stage):
    return sorted(name for name, g in stage.labels.items() if g != optimizers.FROZEN)


def test_without_frozen_steps_there_is_one_stage():
    (stage,) = plan_stages(PARAMS, settings({"main": 0}), 10)
    assert stage.labels == optimizers.label_parameters(PARAMS, GROUPS)
    assert (stage.first_step, stage.last_step, stage.is_only) == (0, 10, True)
    assert set(stage.births.values()) == {0}
    assert describe_stage(stage, PARAMS) == (
        "parameters  34 (136 B) trained, 0 (0 B) frozen"
    )


def test_a_group_trains_from_its_step_on():
    stages = plan_stages(PARAMS, settings({"vrt": 4, "flow": 7}), 10)
    assert [(s.number, s.first_step, s.last_step) for s in stages] == [
        (1, 0, 4),
        (2, 4, 7),
        (3, 7, 10),
    ]
    encoder = ["encoder/bias", "encoder/kernel"]
    assert [trained_in(stage) for stage in stages] == [
        encoder,
        [*encoder, "vrt/mix"],
        [*encoder, "vrt/mix", "vrt/spynet"],
    ]
    assert stages[1].labels["vrt/spynet"] == optimizers.FROZEN
    assert stages[2].births == {
        "encoder/bias": 0,
        "encoder/kernel": 0,
        "vrt/mix": 4,
        "vrt/spynet": 7,
    }
    # After the last update of a stage the state still has its form.
    assert [stage_after(stages, step).number for step in (0, 4, 5, 7, 8, 10)] == [
        *(1, 1, 2),
        *(2, 3, 3),
    ]
    assert describe_stage(stages[1], PARAMS) == (
        "stage 2     steps 5 to 7: 18 (72 B) trained, 16 (64 B) frozen"
    )


def test_what_is_frozen_for_good_is_in_no_stage():
    groups = (("vrt/.*", "frozen"), (".*", "main"))
    (stage,) = plan_stages(PARAMS, settings({"main": 0}, groups), 10)
    assert trained_in(stage) == ["encoder/bias", "encoder/kernel"]


def test_something_has_to_train_from_the_first_step_on():
    with pytest.raises(ValueError, match="freeze every parameter in the first step"):
        plan_stages(PARAMS, settings({"main": 2, "vrt": 2, "flow": 2}), 10)


class Two(nn.Module):
    """Two layers with the interface of VRT."""

    takes_spikes, min_size, min_frames = False, 8, 2

    @nn.compact
    def __call__(self, blur, *, train=False):
        return nn.Dense(3, name="late")(nn.Dense(4, name="early")(blur))


def updated(state, optimizer, labels, number):
    """The state after an update whose gradients follow from its number alone."""
    trained, frozen = optimizers.split_params(state.params, labels)
    rng = np.random.default_rng(number)
    drawn = {n: rng.normal(size=64).astype(np.float32) for n in sorted(labels)}
    gradients = {n: drawn[n][: x.size].reshape(x.shape) for n, x in trained.items()}
    updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
    trained = optax.apply_updates(trained, updates)
    params = optimizers.merge_params(trained, frozen)
    return gradients, state.replace(params=params, opt_state=opt_state)


@pytest.mark.parametrize("warmup", [0, 2])
def test_what_is_born_later_learns_as_if_it_had_begun_then(warmup):
    """Against plain AdamW over all steps, and over those of the second stage."""
    options = settings(
        {"vrt": 3}, (("late/.*", "vrt"), (".*", "main")), warmup_steps=warmup
    )
    model, mesh = Two(), sharding.make_mesh()
    shape = SpikeShape(num_channels=1, spike_scale=1)
    params = model.init(jax.random.key(0), jnp.zeros((1, 2, 8, 8, 3)))["params"]
    stages = plan_stages(params, options, 6)
    schedule = optimizers.make_schedule(options, 6)
    built = []
    for stage in stages:
        own = optimizers.make_optimizer(options, stage.labels, schedule, stage.births)
        labels = stage.labels
        state = create_state(model, own, labels, mesh, shape, seed=0, has_ema=True)
        built.append((own, labels, *state))
    state = built[0][3]()
    before = jax.device_get(state.params)

    def reference(names, numbers, factor, rises):
        def rate(count):
            rise = jnp.minimum(1.0, (count + 1) / (warmup + 1)) if rises else 1.0
            return factor * rise * schedule(numbers[0] + count)

        rule = optax.adamw(
            rate, 0.9, 0.99, weight_decay=0.1, mask=optimizers._is_decayed
        )
        return rule, names, numbers

    flat = {f"{a}/{b}": before[a][b] for a in before for b in before[a]}
    early = {n: x for n, x in flat.items() if n.startswith("early")}
    late = {n: x for n, x in flat.items() if n.startswith("late")}
    references = [
        (reference(early, range(6), 1.0, rises=False), early),
        (reference(late, range(3, 6), 0.5, rises=True), late),
    ]
    drawn = []
    for number in range(6):
        if number == 3:
            kept = jax.device_get(state)
            jax.tree.map(
                np.testing.assert_array_equal, kept.params["late"], before["late"]
            )
            assert sorted(kept.ema) == ["early/bias", "early/kernel"]
            optimizer, labels, abstract, _ = built[1]
            state = hand_over(state, optimizer, labels, abstract)
            assert jax.tree.structure(state) == jax.tree.structure(abstract)
            jax.tree.map(np.testing.assert_array_equal, state.params, kept.params)
            old = kept.opt_state[1]["0"]
            jax.tree.map(np.testing.assert_array_equal, state.opt_state[1]["0"], old)
            # The average of what begins to train begins at its value.
            ema = {n: x for n, x in state.ema.items() if n in late}
            jax.tree.map(np.testing.assert_array_equal, ema, late)
            for array, announced in zip(
                jax.tree.leaves(state), jax.tree.leaves(abstract), strict=True
            ):
                assert array.sharding == announced.sharding
        optimizer, labels, _, _ = built[int(number >= 3)]
        gradients, state = updated(state, optimizer, labels, number)
        drawn.append(gradients)
    for (rule, names, numbers), params in references:
        opt_state = rule.init(params)
        for number in numbers:
            own = {n: drawn[number][n] for n in names}
            updates, opt_state = rule.update(own, opt_state, params)
            params = optax.apply_updates(params, updates)
        for name, expected in params.items():
            layer, kind = name.split("/")
            np.testing.assert_allclose(
                state.params[layer][kind], expected, rtol=1e-5, atol=1e-7
            )


def test_averages_stand_in_the_place_of_what_they_are_of():
    state = TrainState(0, PARAMS, (), ema={"vrt/mix": jnp.zeros((4, 3))})
    found = state.averaged_params()
    np.testing.assert_array_equal(found["vrt"]["mix"], 0.0)
    assert found["vrt"]["spynet"] is PARAMS["vrt"]["spynet"]
    assert TrainState(0, PARAMS, ()).averaged_params()["encoder"] == PARAMS["encoder"]
