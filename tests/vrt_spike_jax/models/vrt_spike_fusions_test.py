"""Each fusion in VRTSpike, at each place: step 0, what it learns, absent spikes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from vrt_spike_jax import create_model
from vrt_spike_jax.models.fusion import FUSIONS
from vrt_spike_jax.models.vrt_spike import DARK_RATE, PLACES

RNG = np.random.default_rng(19)
BLUR = jnp.asarray(RNG.random((1, 2, 32, 32, 3)), jnp.float32)
SHARP = jnp.asarray(RNG.random((1, 1, 32, 32, 3)), jnp.float32)
SPIKES = jnp.asarray(RNG.random((1, 2, 16, 32, 32)) < 0.4, jnp.float32)
# As few layers as VRT can have, and no alignment, so that they compile soon.
SHALLOW = {
    "depths": (1,) * 8,
    "embed_dims": (8,) * 8,
    "num_heads": (2,) * 8,
    "indep_reconsts": (),
    "pa_frames": 0,
    "img_size": (2, 32, 32),
    "max_chunk": 2**30,
}
SPIKE_SHALLOW = {"spike_features": (4, 4, 4, 4), "fusion_heads": 2, "fusion_window": 3}
EXTRAS = {"temporal_blocks": 1, "dark_confidence": True, "closed_form_input": True}
QUICK = {"xla_backend_optimization_level": 0}


@functools.cache
def shallow(fusion, **options):
    return create_model("tiny", fusion=fusion, **SHALLOW, **SPIKE_SHALLOW, **options)


# Each fusion takes a minute to train; the others are asked for with -m slow.
QUICK_FUSIONS = ("cross_attn", "film")


def plain(dtype=jnp.float32):
    return create_model("tiny", **SHALLOW, dtype=dtype)


def start(model, spikes=SPIKES):
    return jax.jit(model.init, compiler_options=QUICK)(jax.random.key(0), BLUR, spikes)[
        "params"
    ]


@functools.cache
def restored_by_vrt(dtype):
    """Parameters of VRT and what it makes of the frames with them."""
    vrt = plain(dtype)
    params = jax.jit(vrt.init, compiler_options=QUICK)(jax.random.key(1), BLUR)
    return params["params"], vrt.apply(params, BLUR)


@pytest.mark.parametrize(
    ("places", "dtype"),
    [
        ("both", jnp.float32),
        pytest.param("both", jnp.bfloat16, marks=pytest.mark.slow),
        *(
            pytest.param(places, dtype, marks=pytest.mark.slow)
            for places in sorted({*PLACES} - {"both"})
            for dtype in (jnp.float32, jnp.bfloat16)
        ),
    ],
)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_at_step_0_every_fusion_equals_vrt_bit_for_bit(fusion, places, dtype):
    model = shallow(fusion, fusion_places=places, dtype=dtype, **EXTRAS)
    own, expected = restored_by_vrt(dtype)
    shapes = jax.eval_shape(model.init, jax.random.key(0), BLUR, SPIKES)["params"]
    places_there = {name for name in shapes if name.startswith("fusion_")}
    assert places_there == {f"fusion_{place}" for place in PLACES[places]}
    flat = traverse_util.flatten_dict({**shapes, "vrt": own}, sep="/")
    rng = np.random.default_rng(2)
    for name, x in flat.items():
        if name.startswith(("fusion_", "closed_form/")) and "/proj/" in name:
            flat[name] = jnp.zeros(x.shape)
        elif not name.startswith("vrt/"):
            flat[name] = jnp.asarray(rng.normal(0, 0.5, x.shape), jnp.float32)
    params = traverse_util.unflatten_dict(flat, sep="/")
    # Operation by operation: the compiler of a whole may round VRT differently.
    found = model.apply({"params": params}, BLUR, SPIKES)
    np.testing.assert_array_equal(found, expected)


class Trained:
    """A model after 0, 1, 2 steps of Adam, and what its gradient is then."""

    def __init__(self, fusion):
        self.model = shallow(fusion, **EXTRAS)
        optimizer = optax.adam(1e-2)

        def loss(params, spikes):
            restored = self.model.apply({"params": params}, BLUR, spikes)
            return jnp.square(restored - SHARP).mean()

        @functools.partial(jax.jit, compiler_options=QUICK)
        def step(params, state, spikes):
            gradient = jax.grad(loss)(params, spikes)
            updates, state = optimizer.update(gradient, state)
            return optax.apply_updates(params, updates), state, gradient

        params = start(self.model)
        state = optimizer.init(params)
        self.params, self.gradients = [params], []
        for _ in range(3):
            params, state, gradient = step(params, state, SPIKES)
            self.params.append(params)
            self.gradients.append(gradient)
        self.without_spikes = step(params, state, 0 * SPIKES)[2]
        self.run = jax.jit(
            lambda params, spikes: self.model.apply({"params": params}, BLUR, spikes),
            compiler_options=QUICK,
        )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[] if name in QUICK_FUSIONS else pytest.mark.slow)
        for name in FUSIONS
    ],
)
def trained(request):
    return Trained(request.param)


def test_the_order_of_spikes_matters_after_one_step(trained):
    permuted = SPIKES[:, :, RNG.permutation(16)]
    assert np.array_equal(permuted.sum(2), SPIKES.sum(2))
    for step, (low, high) in enumerate([(0, 0), (1e-5, np.inf)]):
        params = trained.params[step]
        change = trained.run(params, SPIKES) - trained.run(params, permuted)
        assert low <= np.abs(change).max() <= high


def test_gradients_reach_every_parameter_after_two_steps(trained):
    gradient = traverse_util.flatten_dict(trained.gradients[2], sep="/")
    still = [name for name, x in gradient.items() if not np.abs(x).max() > 0]
    assert not still
    assert all(np.isfinite(x).all() for x in gradient.values())


def test_frames_without_a_spike_are_left_to_vrt(trained):
    params = trained.params[3]
    with_spikes = trained.run(params, SPIKES)
    vrt = jax.jit(
        lambda params: plain().apply({"params": params}, BLUR), compiler_options=QUICK
    )
    expected = vrt(params["vrt"])
    assert np.abs(with_spikes - expected).max() > 1e-4
    np.testing.assert_array_equal(trained.run(params, 0 * SPIKES), expected)
    gradient = jax.tree.leaves(trained.without_spikes)
    assert all(np.isfinite(x).all() for x in gradient)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_spikes_of_every_scale_give_frames_of_their_size(fusion, scale):
    model = shallow(fusion, **EXTRAS)
    size = 32 // scale
    spikes = jax.ShapeDtypeStruct((1, 2, 16, size, size), jnp.float32)
    out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), BLUR, spikes)
    assert out.shape == SHARP.shape


def test_the_confidence_is_that_of_the_rate_above_the_dark():
    """Given as a side channel, it changes nothing."""
    told = shallow("film", dark_confidence=True)
    given = shallow("film", side_channels=1)
    params = told_confidence("film")
    rate = SPIKES.mean(2, keepdims=True)
    trust = rate / (rate + DARK_RATE)
    expected = told.apply({"params": params}, BLUR, SPIKES)
    found = given.apply({"params": params}, BLUR, jnp.concatenate([SPIKES, trust], 2))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    without = given.apply(
        {"params": params}, BLUR, jnp.concatenate([SPIKES, 0 * trust], 2)
    )
    assert np.abs(without - expected).max() > 1e-4


def told_confidence(fusion):
    """Parameters of a model that is told the confidence, all away from their start."""
    shapes = jax.eval_shape(
        shallow(fusion, dark_confidence=True).init, jax.random.key(0), BLUR, SPIKES
    )["params"]
    rng = np.random.default_rng(3)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32), shapes
    )


def test_the_closed_form_alone_is_a_model_with_spikes():
    model = shallow("none", closed_form_input=True)
    shapes = jax.eval_shape(model.init, jax.random.key(0), BLUR, SPIKES)["params"]
    assert set(shapes) == {"vrt", "closed_form"}
    rng = np.random.default_rng(4)
    params = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32), shapes
    )
    rates = SPIKES / 4
    found = model.apply({"params": params}, BLUR, rates)
    other = model.apply({"params": params}, BLUR, jnp.roll(rates, 4, 2))
    assert np.abs(found - other).max() > 1e-4
    # Threshold and light cancel, as long as nothing saturates.
    bright = model.apply({"params": params}, BLUR, 2 * rates)
    np.testing.assert_allclose(bright, found, atol=1e-4)


def test_the_parameters_of_the_encoder_keep_their_names():
    model = create_model("tiny", fusion="cross_attn")
    spikes = jax.ShapeDtypeStruct((1, 2, 32, 32, 32), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), BLUR, spikes)["params"]
    layers = {
        "/".join(k[:-1]) for k in traverse_util.flatten_dict(shapes["spike_encoder"])
    }
    assert layers == {
        *(f"stem_{i}/conv" for i in range(2)),
        *(f"down_{i}/conv" for i in range(1, 4)),
        *(f"block_{i}_0/conv{n}/conv" for i in range(4) for n in (1, 2)),
        *(f"project_{i}" for i in range(4)),
    }
