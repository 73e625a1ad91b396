"""Guided alignment: nothing at the start, then the motion that the spikes show."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from vrt_spike_jax import create_model
from vrt_spike_jax.models.alignment import FlowPair, zero_flows
from vrt_spike_jax.models.guided_alignment import GuidedAlignment
from vrt_spike_jax.models.spike_matching import (
    DISPLACEMENTS,
    Level,
    compare,
    likeliest_displacement,
)
from vrt_spike_jax.models.spynet import SCALES
from vrt_spike_jax.models.vrt import flows_of
from vrt_spike_jax.models.vrt_spike import aligned_flows

# Compiles in half the time; the sums are the same.
QUICK = {"xla_backend_optimization_level": 0}
SHALLOW = {
    "depths": (1,) * 8,
    "embed_dims": (8,) * 8,
    "num_heads": (2,) * 8,
    "indep_reconsts": (),
}
OFFSETS = {"stage1": (0, 18), "stage4": (3, 36)}


def smooth_light(shape, rng):
    """Random light with detail of a few pixels."""
    light = rng.random(shape)
    for axis in (-2, -1):
        for _ in range(3):
            light = (np.roll(light, 1, axis) + light + np.roll(light, -1, axis)) / 3
    low, high = light.min(), light.max()
    return ((light - low) / (high - low)).astype(np.float32)


def shifted_clip(shift, *, frames=2, size=48, bins=8, seed=0):
    """Constant light in each exposure, displaced by `shift` (x, y) a frame."""
    picture = smooth_light((size, size), np.random.default_rng(seed))
    x, y = shift
    clip = [np.roll(picture, (t * y, t * x), (0, 1)) for t in range(frames)]
    return jnp.asarray(np.stack(clip)[None, :, None].repeat(bins, 2))


def start(light, *, spike_scale=1, features=4, seed=0):
    """The module, its first parameters, and no flow."""
    b, t, _, h, w = light.shape
    flows = zero_flows(jnp.zeros((b, t, h * spike_scale, w * spike_scale, 3)), SCALES)
    module = GuidedAlignment(features, OFFSETS)
    silent = jnp.zeros((b, t), bool)
    params = jax.jit(module.init, compiler_options=QUICK)(
        jax.random.key(seed), light, flows, silent=silent
    )["params"]
    return module, params, flows


def guided(module, params, light, flows, silent=None):
    if silent is None:
        silent = jnp.zeros(light.shape[:2], bool)

    def run(params, light, flows, silent):
        return module.apply({"params": params}, light, flows, silent=silent)

    return jax.jit(run, compiler_options=QUICK)(params, light, flows, silent)


def opened(params, seed=1):
    """The same with every parameter away from its start."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: x + jnp.asarray(rng.normal(0, 0.1, x.shape), x.dtype), params
    )


def following_light(params):
    """The flow follows what the light says, and nothing that is learnt."""
    flat = traverse_util.flatten_dict(params, sep="/")
    name = "matching/flow_proj/kernel"
    flat[name] = jnp.zeros_like(flat[name]).at[-2:].set(jnp.eye(2))
    return traverse_util.unflatten_dict(flat, sep="/")


@pytest.mark.parametrize("spike_scale", [1, 2, 4])
def test_at_the_start_flows_stay_and_offsets_are_zero(spike_scale):
    rng = np.random.default_rng(0)
    # 40 is no multiple of the coarsest level.
    size = (32 // spike_scale, 40 // spike_scale)
    light = jnp.asarray(rng.random((2, 3, 16, *size)), jnp.float32)
    module, params, flows = start(light, spike_scale=spike_scale)
    flows = [
        FlowPair(*(jnp.asarray(rng.normal(size=x.shape), jnp.float32) for x in pair))
        for pair in flows
    ]
    found, guides = guided(module, params, light, flows)
    jax.tree.map(np.testing.assert_array_equal, found, flows)
    for stage, (scale, count) in OFFSETS.items():
        shape = (4, 2, 32 // SCALES[scale], 40 // SCALES[scale], 4)
        assert guides[stage].features.shape == shape
        assert np.abs(guides[stage].features).max() > 0
        np.testing.assert_array_equal(guides[stage].kernel, np.zeros((4, count)))
    moved, _ = guided(module, opened(params), light, flows)
    assert all(
        np.abs(a - b).max() > 1e-3
        for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(flows), strict=True)
    )


def test_a_silent_frame_leaves_its_pairs_alone():
    light = shifted_clip((1, 2), frames=3, size=32)
    module, params, flows = start(light)
    silent = jnp.asarray([[False, False, True]])
    found, guides = guided(module, opened(params), light, flows, silent)
    for pair in found:
        assert np.abs(pair.backward[:, 0]).max() > 0
        assert np.abs(pair.forward[:, 0]).max() > 0
        assert not pair.backward[:, 1].any() and not pair.forward[:, 1].any()
    features = guides["stage1"].features
    assert features[:, 0].any() and not features[:, 1].any()


@pytest.mark.parametrize("shift", [(4, 0), (-3, 5)])
def test_what_the_light_says_alone_is_the_shift(shift):
    """Before anything is learnt, both ways, away from the borders."""
    light = shifted_clip(shift)
    module, params, flows = start(light)
    found, _ = guided(module, following_light(params), light, flows)
    inner = slice(12, -12)
    for flow, sign in ((found[0].backward, 1), (found[0].forward, -1)):
        error = np.asarray(flow)[0, 0, inner, inner] - sign * np.array(shift)
        assert np.linalg.norm(error, axis=-1).mean() < 0.3 * np.linalg.norm(shift)


def test_a_shift_is_learnt_in_few_steps():
    shift = np.array([3, -2])
    light = shifted_clip(tuple(shift), size=32)
    module, params, flows = start(light)
    silent = jnp.zeros(light.shape[:2], bool)
    optimizer = optax.adam(3e-2)

    def error(params):
        found, _ = module.apply({"params": params}, light, flows, silent=silent)
        inner = slice(8, -8)
        target = jnp.asarray(shift).reshape(1, 1, 1, 1, 2)
        both = found[0].backward - target, found[0].forward + target
        return sum(jnp.square(x[:, :, inner, inner]).mean() for x in both)

    def step(params, state):
        value, gradients = jax.value_and_grad(error)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value, gradients

    step = jax.jit(step, compiler_options=QUICK)
    state = optimizer.init(params)
    values = []
    for _ in range(40):
        params, state, value, gradients = step(params, state)
        values.append(float(value))
    assert values[0] == pytest.approx(np.square(shift).sum(), rel=1e-3)
    assert values[-1] < 0.15 * values[0]
    names = traverse_util.flatten_dict(gradients, sep="/")
    # Offsets have no part in this error.
    still = {name for name, x in names.items() if not np.abs(x).max() > 0}
    assert still == {name for name in names if name.startswith("offset_proj_")}


def test_compare_is_what_it_says_pixel_by_pixel():
    rng = np.random.default_rng(3)
    a, b = (
        Level(*(jnp.asarray(rng.random((1, 6, 7, c)), jnp.float32) for c in (1, 3)))
        for _ in range(2)
    )
    products, differing = compare(a, b)
    light = np.pad(np.asarray(b.light)[0, ..., 0], 3, mode="edge")
    features = np.pad(np.asarray(b.features)[0], [(3, 3), (3, 3), (0, 0)], mode="edge")
    for index, (dy, dx) in enumerate(DISPLACEMENTS):
        rows, columns = slice(3 + dy, 9 + dy), slice(3 + dx, 10 + dx)
        expected = (np.asarray(a.features)[0] * features[rows, columns]).mean(-1)
        np.testing.assert_allclose(products[0, ..., index], expected, rtol=1e-5)
        square = (np.asarray(a.light)[0, ..., 0] - light[rows, columns]) ** 2
        wide = np.pad(square, 4, mode="edge")
        patches = np.lib.stride_tricks.sliding_window_view(wide, (9, 9))
        mean = patches.mean((-2, -1))
        np.testing.assert_allclose(differing[0, ..., index], mean, rtol=1e-4)


def test_the_likeliest_displacement_is_that_of_no_difference():
    differing = jnp.ones((1, 1, 1, len(DISPLACEMENTS))).at[..., 10].set(0)
    none = jnp.zeros(len(DISPLACEMENTS))
    found, share = likeliest_displacement(differing, jnp.float32(1), none)
    np.testing.assert_allclose(found[0, 0, 0], DISPLACEMENTS[10][::-1], atol=1e-5)
    np.testing.assert_allclose(share.sum(-1), 1, rtol=1e-6)


def test_too_few_channels_in_time_are_named():
    light = jnp.zeros((1, 2, 12, 32, 32))
    with pytest.raises(ValueError, match="12 channels in time.*multiple of 8"):
        start(light)


def test_chunks_change_nothing():
    light = shifted_clip((2, 1), frames=3, size=32)
    module, params, flows = start(light)
    params = opened(params)
    whole = guided(module, params, light, flows)
    small = GuidedAlignment(4, OFFSETS, max_chunk=2**12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        guided(small, params, light, flows),
        whole,
    )


BLUR = jnp.asarray(np.random.default_rng(5).random((1, 2, 32, 32, 3)), jnp.float32)
SPIKES = jnp.asarray(
    np.random.default_rng(6).random((1, 2, 8, 32, 32)) < 0.4, jnp.float32
)


def random_params(model, *, rest=True):
    """Away from the start but for the last projections; they too with `rest` False."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), BLUR, SPIKES)["params"]
    rng = np.random.default_rng(0)

    def fill(path, x):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        rests = "flow_proj" in name or "offset_proj" in name or "/proj/" in name
        if rest and rests and not name.startswith("vrt/"):
            return jnp.zeros(x.shape)
        return jnp.asarray(rng.normal(0, 0.1, x.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def run(model, params, *inputs):
    def apply(params, *inputs):
        return model.apply({"params": params}, *inputs)

    return jax.jit(apply, compiler_options=QUICK)(params, *inputs)


@pytest.mark.parametrize(
    "fusion", ["none", pytest.param("concat", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("alignment", ["spikes_on_spynet", "spikes"])
def test_at_step_0_the_model_equals_vrt_bit_for_bit(alignment, fusion):
    """Without SpyNet: the VRT whose SpyNet says zero."""
    options = {}
    if fusion != "none":
        options = {"time_strides": (2, 2), "aligned_spikes": True}
    model = create_model(
        "tiny", fusion=fusion, alignment=alignment, **SHALLOW, **options
    )
    params = random_params(model)
    vrt = create_model("tiny", **SHALLOW)
    official = random_params_of_vrt(vrt, params["vrt"])
    expected = run(vrt, official, BLUR)
    np.testing.assert_array_equal(run(model, params, BLUR, SPIKES), expected)
    if fusion == "none":
        params = random_params(model, rest=False)
        official = random_params_of_vrt(vrt, params["vrt"])
        changed = run(model, params, BLUR, SPIKES)
        assert np.abs(changed - run(vrt, official, BLUR)).max() > 1e-4
        # A sensor that reports nothing leaves everything to VRT.
        silent = run(model, params, BLUR, 0 * SPIKES)
        np.testing.assert_array_equal(silent, run(vrt, official, BLUR))


def random_params_of_vrt(vrt, given):
    """`given`, and for what it lacks, a SpyNet of zeros."""
    shapes = jax.eval_shape(vrt.init, jax.random.key(0), BLUR)["params"]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes["spynet"])
    assert set(shapes) - set(given) <= {"spynet"}
    return {"spynet": zeros, **given}


@pytest.mark.slow
def test_offsets_alone_reach_the_output_and_gradients_reach_all():
    model = create_model("tiny", alignment="spikes_on_spynet", **SHALLOW)
    params = random_params(model, rest=False)

    def loss(params):
        return jnp.square(model.apply({"params": params}, BLUR, SPIKES)).mean()

    gradients = jax.jit(jax.grad(loss), compiler_options=QUICK)(params)
    flat = traverse_util.flatten_dict(gradients["guided_alignment"], sep="/")
    assert not [name for name, x in flat.items() if not np.abs(x).max() > 0]
    assert sum(name.startswith("offset_proj_stage") for name in flat) == 7


def test_flows_are_told_before_and_after_the_spikes():
    model = create_model("tiny", alignment="spikes_on_spynet", **SHALLOW)
    params = random_params(model)
    before, after = aligned_flows(model, params, BLUR, SPIKES)
    jax.tree.map(np.testing.assert_array_equal, before, after)
    spynet = jax.jit(lambda params: flows_of(model.vrt, params, BLUR)[0])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3),
        before,
        spynet(params["vrt"]),
    )
    params["guided_alignment"] = opened(params["guided_alignment"])
    _, moved = aligned_flows(model, params, BLUR, SPIKES)
    assert np.abs(moved.backward - before.backward).max() > 1e-3


def test_every_source_of_wider_alignment_is_guided():
    wide = {"pa_frames": 4, "deformable_groups": 2}
    model = create_model("tiny", alignment="spikes", **SHALLOW, **wide)
    inputs = (
        jax.ShapeDtypeStruct((1, 3, *x.shape[2:]), x.dtype) for x in (BLUR, SPIKES)
    )
    out, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), *inputs)
    assert out.shape == (1, 3, 32, 32, 3)
    kernel = variables["params"]["guided_alignment"]["offset_proj_stage4"]
    assert kernel.shape == (12, 2 * 9 * 2)


def test_in_its_place_spynet_is_gone():
    model = create_model("tiny", alignment="spikes", **SHALLOW)
    shapes = jax.eval_shape(model.init, jax.random.key(0), BLUR, SPIKES)["params"]
    assert "spynet" not in shapes["vrt"]
    assert set(shapes) == {"vrt", "guided_alignment"}


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'spikes_on_spynet'"):
        create_model("tiny", alignment="spikes_on_spinet")
    model = create_model("tiny", alignment="spikes_on_spynet", aligned_spikes=True)
    with pytest.raises(ValueError, match="needs a fusion and pa_frames above 0"):
        model.init(jax.random.key(0), BLUR, SPIKES)
    model = create_model("009", alignment="spikes_on_spynet")
    blur, spikes = jnp.zeros((1, 4, 64, 64, 3)), jnp.zeros((1, 4, 8, 64, 64))
    with pytest.raises(ValueError, match="pa_frames=0 aligns no frames"):
        jax.eval_shape(model.init, jax.random.key(0), blur, spikes)
    model = create_model("tiny", alignment="spikes", has_spynet=True)
    with pytest.raises(ValueError, match="does without SpyNet"):
        jax.eval_shape(model.init, jax.random.key(0), BLUR, SPIKES)
