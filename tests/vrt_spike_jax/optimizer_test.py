import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from vrt_spike_jax import optimizer as optimizers

PARAMS = {
    "vrt": {
        "spynet": {"kernel": jnp.full((4, 4), 0.5)},
        "norm": {"scale": jnp.ones((4,))},
        "attend": {"relative_position_bias_table": jnp.ones((4, 2))},
    },
    "fusion": {"kernel": jnp.full((4, 4), 0.5)},
}


def settings(**changes):
    values = {
        "learning_rate": 1e-2,
        "warmup_steps": 0,
        "schedule": "constant",
        "end_factor": 0.1,
        "weight_decay": 0.0,
        "b1": 0.9,
        "b2": 0.99,
        "grad_clip_norm": 1.0,
        "factors": {"main": 1.0, "flow": 0.125},
    }
    return ConfigDict(values | changes)


def one_update(groups, gradients, **changes):
    """The change that the first update makes to each trained parameter."""
    labels = optimizers.label_parameters(PARAMS, groups)
    options = settings(**changes)
    schedule = optimizers.make_schedule(options, steps=10)
    optimizer = optimizers.make_optimizer(options, labels, schedule)
    trained, _ = optimizers.split_params(PARAMS, labels)
    gradients = {name: jnp.full_like(x, gradients) for name, x in trained.items()}
    updates, state = optimizer.update(gradients, optimizer.init(trained), trained)
    return updates, state


def test_first_full_match_names_the_group():
    labels = optimizers.label_parameters(
        PARAMS, [("vrt/spynet/.*", "flow"), ("vrt/.*", "frozen"), (".*", "main")]
    )
    assert labels == {
        "vrt/spynet/kernel": "flow",
        "vrt/norm/scale": "frozen",
        "vrt/attend/relative_position_bias_table": "frozen",
        "fusion/kernel": "main",
    }


def test_uncovered_parameter_is_named():
    # 'fusion' alone matches the beginning of the name, which is not enough.
    with pytest.raises(ValueError, match="'fusion/kernel'"):
        optimizers.label_parameters(PARAMS, [("vrt/.*", "main"), ("fusion", "main")])


def test_pattern_that_decides_nothing_is_named():
    with pytest.raises(ValueError, match="'spynt/"):
        optimizers.label_parameters(PARAMS, [("spynt/.*", "flow"), (".*", "main")])


def test_split_and_merge_return_the_same_tree():
    labels = optimizers.label_parameters(
        PARAMS, [("fusion/.*", "main"), (".*", "frozen")]
    )
    trained, frozen = optimizers.split_params(PARAMS, labels)
    assert set(trained) == {"fusion/kernel"}
    assert len(frozen) == 3
    merged = optimizers.merge_params(trained, frozen)
    assert jax.tree.structure(merged) == jax.tree.structure(PARAMS)
    jax.tree.map(np.testing.assert_array_equal, merged, PARAMS)
    trained, frozen = optimizers.parameter_sizes(PARAMS, labels)
    assert (trained.count, frozen.count) == (16, 16 + 4 + 8)
    assert (trained.bytes, frozen.bytes) == (4 * 16, 4 * (16 + 4 + 8))


def test_frozen_parameters_have_no_optimizer_state():
    _, state = one_update([("fusion/.*", "main"), (".*", "frozen")], 1.0)
    arrays = [x for x in jax.tree.leaves(state) if getattr(x, "ndim", 0) > 0]
    assert [x.shape for x in arrays] == [(4, 4), (4, 4)]


def test_group_factor_scales_the_update():
    groups = [(".*/spynet/.*", "flow"), (".*", "main")]
    updates, _ = one_update(groups, 1.0)
    # Adam's first update has the size of the learning rate, whatever the gradient.
    np.testing.assert_allclose(updates["fusion/kernel"], -1e-2, rtol=1e-4)
    np.testing.assert_allclose(updates["vrt/spynet/kernel"], -1e-2 / 8, rtol=1e-4)


def test_decay_reaches_kernels_alone():
    updates, _ = one_update([(".*", "main")], 0.0, weight_decay=0.1)
    np.testing.assert_allclose(updates["fusion/kernel"], -1e-2 * 0.1 * 0.5, rtol=1e-5)
    np.testing.assert_array_equal(updates["vrt/norm/scale"], 0.0)
    table = updates["vrt/attend/relative_position_bias_table"]
    np.testing.assert_array_equal(table, 0.0)


def test_norm_is_clipped_over_the_trained_parameters():
    # With b1 = b2 = 0 and a large eps-free ratio Adam hides the size of a gradient, so
    # the clipping shows in the second moment that it keeps.
    _, state = one_update([("fusion/.*", "main"), (".*", "frozen")], 3.0)
    moments = [x for x in jax.tree.leaves(state) if getattr(x, "ndim", 0) > 0]
    # 16 equal entries of norm 1 are 1/4 each; Adam keeps (1 - b1) of it at first.
    np.testing.assert_allclose(moments[0], 0.1 * 0.25, rtol=1e-5)


def test_warm_up_begins_above_zero_and_cosine_ends_at_its_factor():
    options = settings(schedule="cosine", warmup_steps=4)
    schedule = optimizers.make_schedule(options, steps=20)
    rates = np.array([schedule(step) for step in range(20)])
    np.testing.assert_allclose(rates[:5], 1e-2 * np.arange(1, 6) / 5, rtol=1e-5)
    assert np.all(np.diff(rates[4:]) < 0)
    np.testing.assert_allclose(rates[-1], 1e-3, rtol=1e-4)
    # Half way down the cosine stands in the middle of its two ends.
    np.testing.assert_allclose(schedule(4 + 7.5), (1e-2 + 1e-3) / 2, rtol=1e-4)


def test_schedule_without_warm_up_begins_at_the_peak():
    options = settings(schedule="cosine")
    np.testing.assert_allclose(
        optimizers.make_schedule(options, steps=5)(0), 1e-2, rtol=1e-6
    )


@pytest.mark.parametrize(("steps", "rise"), [(21, 5), (11, 9), (9, 0)])
def test_one_cycle_is_that_of_optax(steps, rise):
    """Which ends its slopes as ours does, where it is given the steps between them."""
    options = settings(
        schedule="one_cycle", warmup_steps=rise, start_factor=0.04, end_factor=0.01
    )
    schedule = optimizers.make_schedule(options, steps)
    rates = [float(schedule(step)) for step in range(steps)]
    share = (rise + 1e-6) / (steps - 1)
    reference = optax.cosine_onecycle_schedule(
        steps - 1, 1e-2, pct_start=share, div_factor=25, final_div_factor=4
    )
    first = 1e-2 if rise == 0 else 4e-4
    np.testing.assert_allclose(rates[0], first, rtol=1e-5)
    expected = [float(reference(step)) for step in range(1, steps)]
    np.testing.assert_allclose(rates[1:], expected, rtol=1e-4)
    np.testing.assert_allclose(rates[-1], 1e-4, rtol=1e-4)


def test_unknown_schedule_lists_the_choices():
    with pytest.raises(ValueError, match="cosine, one_cycle, constant"):
        optimizers.make_schedule(settings(schedule="cosin"), steps=5)
