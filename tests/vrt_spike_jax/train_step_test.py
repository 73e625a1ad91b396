import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from loss_inputs import LAYERS, random_vgg19
from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax import sharding, train_step
from vrt_spike_jax.losses.charbonnier import charbonnier, l1
from vrt_spike_jax.losses.edges import sobel
from vrt_spike_jax.losses.perceptual import perceptual
from vrt_spike_jax.losses.table import LOSSES
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


class Asked(Net):
    """As Net, brighter by the instant that it is asked for."""

    takes_instant = True

    @nn.compact
    def __call__(self, blur, spikes, *, train=False, instant=None):
        if instant is None:
            instant = jnp.zeros(blur.shape[:2])
        weight = self.param("weight", nn.initializers.ones, (1, 1, 1, 1, 1))
        return blur + weight * instant[..., None, None, None]


def losses(**changes):
    """A loss section of Charbonnier alone, with changes by the name of a loss."""
    off = {"weight": 0.0, "start_step": 0}
    charbonnier = {"weight": 1.0, "start_step": 0, "epsilon": 1e-3}
    section = {name: dict(off) for name in LOSSES} | {"charbonnier": charbonnier}
    return section | changes


def built(
    groups,
    model=None,
    *,
    loss=None,
    takes_networks=False,
    accumulate=1,
    ema_decay=0.0,
):
    """(state, compiled step, mesh) of a small model."""
    model = model or Net()
    mesh = sharding.make_mesh()
    labels = optimizers.label_parameters(abstract_params(model, SHAPE), groups)
    schedule = optimizers.make_schedule(SETTINGS, 10)
    optimizer = optimizers.make_optimizer(SETTINGS, labels, schedule)
    has_ema = ema_decay > 0
    abstract, create = create_state(
        model, optimizer, labels, mesh, SHAPE, seed=3, loss=loss, has_ema=has_ema
    )
    loss = losses() if loss is None else loss
    step = make_train_step(
        model,
        optimizer,
        labels,
        schedule,
        seed=3,
        loss=loss,
        accumulate=accumulate,
        ema_decay=ema_decay,
    )
    compiled = compile_on(step, abstract, mesh, takes_networks=takes_networks)
    return create(), compiled, mesh


def batch_of(mesh, seed=0, clips=2):
    rng = np.random.default_rng(seed)
    blur = rng.random((clips, 2, 8, 8, 3), dtype=np.float32)
    spikes = rng.random((clips, 2, 2, 8, 8), dtype=np.float32)
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


def test_a_model_is_asked_for_the_instants_of_the_batch():
    state, step, mesh = built([(".*", "main")], Asked())
    batch = batch_of(mesh)
    instant = np.array([[0.2, -0.1], [0.0, 0.3]], np.float32)
    sharp = np.asarray(batch["blur"]) + instant[..., None, None, None]
    asked = sharding.put_batch({"instant": instant, "sharp": sharp}, mesh)
    _, metrics = step(state, batch | asked)
    assert float(metrics["loss"]) == pytest.approx(1e-3, rel=1e-3)


def test_losses_are_weighted_from_their_start_and_told_unweighted():
    """One compiled step serves the steps before and after the start."""
    settings = losses(
        l1={"weight": 0.5, "start_step": 1}, sobel={"weight": 2.0, "start_step": 0}
    )
    state, step, mesh = built([(".*", "main")], loss=settings)
    for number in range(2):
        batch = batch_of(mesh, seed=number)
        restored = Net().apply({"params": state.params}, batch["blur"], batch["spikes"])
        state, metrics = step(state, batch)
        parts = [
            float(loss(restored, batch["sharp"])) for loss in (charbonnier, l1, sobel)
        ]
        names = ("charbonnier", "l1", "sobel")
        told = [float(metrics[f"loss/{name}"]) for name in names]
        np.testing.assert_allclose(told, parts, rtol=1e-5)
        total = parts[0] + 0.5 * number * parts[1] + 2 * parts[2]
        np.testing.assert_allclose(metrics["loss"], total, rtol=1e-5)
    assert step._cache_size() == 1
    assert sum(name.startswith("loss/") for name in metrics) == 3


def test_losses_without_weight_change_no_bit():
    """Charbonnier alone is the step that knows no other loss."""

    def plain_loss(prediction, inputs, settings, step):
        return charbonnier(prediction, inputs["sharp"], epsilon=1e-3), {}

    states = []
    for patched in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if patched:
                patch.setattr(train_step, "total_loss", plain_loss)
            state, step, mesh = built([(".*", "main")])
            states.append(jax.device_get(step(state, batch_of(mesh))[0]))
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_networks_are_given_behind_the_batch():
    settings = losses(perceptual={"weight": 0.1, "start_step": 0, "layers": LAYERS})
    state, step, mesh = built([(".*", "main")], loss=settings, takes_networks=True)
    networks = sharding.put_replicated({"vgg19": random_vgg19()}, mesh)
    batch = batch_of(mesh)
    restored = Net().apply({"params": state.params}, batch["blur"], batch["spikes"])
    expected = perceptual(restored, batch["sharp"], networks["vgg19"], layers=LAYERS)
    _, metrics = step(state, batch, networks)
    np.testing.assert_allclose(metrics["loss/perceptual"], expected, rtol=1e-4)


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


def close(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        jax.device_get(found),
        jax.device_get(expected),
    )


def test_micro_batches_train_as_the_whole_batch():
    """Losses, gradient, and what Adam makes of it, to float32's sums."""
    section = losses(sobel={"weight": 2.0, "start_step": 0})
    whole, whole_step, mesh = built([(".*", "main")], loss=section)
    parts, parts_step, _ = built([(".*", "main")], loss=section, accumulate=3)
    for number in range(2):
        batch = batch_of(mesh, seed=number, clips=6)
        whole, expected = whole_step(whole, batch)
        parts, found = parts_step(parts, batch)
        close(found, expected)
    close(parts, whole)
    assert parts_step._cache_size() == 1


def test_micro_batches_draw_their_own_dropout():
    model = Net(dropout=0.5)
    state, step, mesh = built([(".*", "main")], model, accumulate=2)
    batch = batch_of(mesh)
    key = jax.random.fold_in(jax.random.key(3), 0)
    expected = []
    for number in range(2):
        drawn = {"dropout": jax.random.fold_in(key, number)}
        clip = {name: x[number : number + 1] for name, x in batch.items()}
        inputs = clip["blur"], clip["spikes"]
        restored = model.apply(
            {"params": state.params}, *inputs, train=True, rngs=drawn
        )
        expected.append(float(charbonnier(restored, clip["sharp"], epsilon=1e-3)))
    assert expected[0] != expected[1]
    _, metrics = step(state, batch)
    np.testing.assert_allclose(metrics["loss"], np.mean(expected), rtol=1e-5)


def test_averages_follow_what_trains():
    groups = [("first/.*", "frozen"), (".*", "main")]
    state, step, mesh = built(groups, ema_decay=0.8)
    expected = {f"last/{name}": np.array(x) for name, x in state.params["last"].items()}
    assert sorted(state.ema) == sorted(expected)
    for number in range(60):
        state, _ = step(state, batch_of(mesh, seed=number))
        # The first averages forget faster: 9/10, 9/11, ...
        share = max(0.2, 9 / (10 + number))
        for name, old in expected.items():
            new = np.asarray(state.params["last"][name.rpartition("/")[2]])
            expected[name] = old + share * (new - old)
    for name, value in expected.items():
        np.testing.assert_allclose(state.ema[name], value, rtol=1e-5, atol=1e-6)


def test_averages_change_nothing_of_the_training():
    plain, plain_step, mesh = built([(".*", "main")])
    other, other_step, _ = built([(".*", "main")], ema_decay=0.9)
    for number in range(3):
        plain, _ = plain_step(plain, batch_of(mesh, seed=number))
        other, _ = other_step(other, batch_of(mesh, seed=number))
    jax.tree.map(np.testing.assert_array_equal, other.params, plain.params)
