"""Official weights: layouts, the way back, and every way in which they do not fit."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from official_models import MODELS, random_state_dict
from vrt_spike_jax import (
    VARIANTS,
    VRT,
    VRTSpike,
    convert_vrt_state_dict,
    to_vrt_state_dict,
)
from vrt_spike_jax.models.spynet import SpyNet
from vrt_spike_jax.official_layout import spynet_layout, vrt_layout
from vrt_spike_jax.official_weights import fitting_tasks

MODEL = MODELS["deblur"]
BIAS = "stage1.residual_group1.blocks.0.attn.position_bias"
INDEX = "stage8.2.residual_group.blocks.0.attn.relative_position_index"


@pytest.fixture(scope="module")
def state_dict():
    return random_state_dict(MODEL)


def spynet_entries(seed=1):
    rng = np.random.default_rng(seed)
    layout = spynet_layout(MODEL.spynet_features, buffers=False)
    return {
        name: rng.normal(size=entry.shape).astype(np.float32)
        for name, entry in layout.items()
    }


@pytest.mark.parametrize("root", [False, True])
def test_values_move_to_the_flax_layout(state_dict, root):
    entries = {"params": state_dict} if root else state_dict
    params = convert_vrt_state_dict(entries, MODEL)
    linear = state_dict["stage2.linear1.weight"]
    np.testing.assert_array_equal(params["stage2"]["linear1"]["kernel"], linear.T)
    conv = state_dict["conv_first.weight"]
    kernel = params["conv_first"]["kernel"]
    np.testing.assert_array_equal(kernel[1, 2, 5, 7], conv[7, 5, 0, 1, 2])
    deform = state_dict["stage3.pa_deform.weight"]
    kernel = params["stage3"]["pa_deform"]["kernel"]
    np.testing.assert_array_equal(kernel[2, 0, 3, 4], deform[4, 3, 2, 0])
    scale = params["stage8_0_1"]["scale"]
    np.testing.assert_array_equal(scale, state_dict["stage8.0.1.weight"])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("buffers", [True, False])
def test_way_there_and_back_is_exact(name, buffers):
    model = MODELS[name]
    official = random_state_dict(model, buffers=buffers)
    params = convert_vrt_state_dict(official, model)
    back = to_vrt_state_dict(params, model, buffers=buffers)
    assert list(back) == list(official)
    for key, value in official.items():
        assert back[key].dtype == value.dtype
        assert back[key].flags.c_contiguous and back[key].flags.writeable
        np.testing.assert_array_equal(back[key], value, strict=True)


def test_converted_parameters_run():
    official = random_state_dict(MODELS["interpolate"])
    params = convert_vrt_state_dict(official, MODELS["interpolate"])
    frames = jax.ShapeDtypeStruct((1, 4, 32, 32, 3), np.float32)
    out = jax.eval_shape(MODELS["interpolate"].apply, {"params": params}, frames)
    assert out.shape == (1, 1, 32, 32, 3)


def test_buffers_may_be_left_out():
    with_buffers = convert_vrt_state_dict(random_state_dict(MODEL), MODEL)
    without = convert_vrt_state_dict(random_state_dict(MODEL, buffers=False), MODEL)
    shapes = jax.tree.map(jnp.shape, with_buffers)
    assert shapes == jax.tree.map(jnp.shape, without)


def test_values_take_the_type_of_the_model(state_dict):
    wide = {name: x.astype(np.float64) for name, x in state_dict.items()}
    narrow = {name: x.astype(ml_dtypes.bfloat16) for name, x in state_dict.items()}
    from_wide = convert_vrt_state_dict(wide, MODEL)["norm"]["scale"]
    assert from_wide.dtype == jnp.float32
    np.testing.assert_array_equal(from_wide, state_dict["norm.weight"])
    # The buffers of such a file are rounded too, indices above 256 among them.
    narrow = {name: x for name, x in narrow.items() if "index" not in name}
    from_narrow = convert_vrt_state_dict(narrow, MODEL)["norm"]["scale"]
    assert from_narrow.dtype == jnp.float32
    np.testing.assert_allclose(from_narrow, state_dict["norm.weight"], rtol=2**-8)
    model = MODEL.clone(param_dtype=jnp.bfloat16)
    params = convert_vrt_state_dict(state_dict, model)
    assert params["norm"]["scale"].dtype == jnp.bfloat16
    # The official dtype is float32, whatever the parameters are kept in.
    assert to_vrt_state_dict(params, model)["norm.weight"].dtype == np.float32


def test_double_precision_survives_both_ways(state_dict):
    model = MODEL.clone(param_dtype=jnp.float64)
    rng = np.random.default_rng(2)
    wide = {
        name: rng.normal(size=x.shape) if x.dtype == np.float32 else x
        for name, x in random_state_dict(MODEL, buffers=False).items()
    }
    with jax.enable_x64():
        params = convert_vrt_state_dict(wide, model)
        back = to_vrt_state_dict(params, model, buffers=False)
    for name, value in wide.items():
        np.testing.assert_array_equal(back[name], value, strict=True)


def test_spynet_alone_goes_where_it_belongs(state_dict):
    entries = spynet_entries()
    tree = convert_vrt_state_dict({"params": entries}, MODEL)
    assert list(tree) == ["spynet"]
    whole = convert_vrt_state_dict(state_dict, MODEL)
    assert jax.tree.structure(tree["spynet"]) == jax.tree.structure(whole["spynet"])
    module = SpyNet(MODEL.spynet_features)
    own = convert_vrt_state_dict(entries, module)
    jax.tree.map(np.testing.assert_array_equal, own, tree["spynet"])
    back = to_vrt_state_dict(own, module, buffers=False)
    assert list(back) == list(entries)
    for name, value in entries.items():
        np.testing.assert_array_equal(back[name], value, strict=True)
    assert list(to_vrt_state_dict(own, module))[:2] == ["mean", "std"]


def test_spynet_alone_is_strict(state_dict):
    entries = spynet_entries()
    lost = "basic_module.3.basic_module.4.bias"
    value = entries.pop(lost)
    for model in (MODEL, SpyNet(MODEL.spynet_features)):
        with pytest.raises(ValueError, match=f"missing: {lost}"):
            convert_vrt_state_dict(entries, model)
    entries[lost] = value
    with pytest.raises(ValueError, match="buffer mean differs"):
        convert_vrt_state_dict({**entries, "mean": np.zeros((1, 3, 1, 1))}, MODEL)
    with pytest.raises(ValueError, match="SpyNet alone, which a model without"):
        convert_vrt_state_dict(entries, MODELS["interpolate"])
    with pytest.raises(ValueError, match="left over: conv_first"):
        convert_vrt_state_dict(state_dict, SpyNet(MODEL.spynet_features))


def test_a_model_without_spynet_takes_the_rest_of_the_whole(state_dict):
    model = MODEL.clone(has_spynet=False)
    params = convert_vrt_state_dict(state_dict, model)
    whole = convert_vrt_state_dict(state_dict, MODEL)
    del whole["spynet"]
    jax.tree.map(np.testing.assert_array_equal, params, whole)
    # What it gives back has no SpyNet, and is taken again.
    back = to_vrt_state_dict(params, model)
    assert not [name for name in back if name.startswith("spynet.")]
    again = convert_vrt_state_dict(back, model)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    # Left out, but no less strict.
    lost = "spynet.basic_module.3.basic_module.4.bias"
    damaged = {name: value for name, value in state_dict.items() if name != lost}
    with pytest.raises(ValueError, match=f"missing: {lost}"):
        convert_vrt_state_dict(damaged, model)
    with pytest.raises(ValueError, match="SpyNet alone, which a model with has_spynet"):
        convert_vrt_state_dict(spynet_entries(), model)
    with pytest.raises(ValueError, match="missing: spynet."):
        convert_vrt_state_dict(back, MODEL)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"norm.weight": None}, "missing: norm.weight"),
        ({"norm.gamma": np.ones(3)}, "left over: norm.gamma"),
        # A buffer where the model has none.
        ({"norm.position_bias": np.ones(3)}, "left over: norm.position_bias"),
        ({"norm.weight": np.ones(3, np.float32)}, r"norm.weight has shape \(3,\)"),
        ({"conv_last.weight": np.ones(3, np.float32)}, "conv_last.weight has shape"),
        ({BIAS: np.zeros((1, 16, 12))}, f"buffer {BIAS} differs"),
        ({INDEX: np.zeros((16, 16), np.int64)}, f"buffer {INDEX} differs"),
        ({INDEX: np.zeros((8, 8), np.int64)}, f"{INDEX} has shape"),
        ({"norm.weight": np.array(["a"])}, "norm.weight has values of the type"),
        ({"norm.weight": np.full(8, np.nan)}, "norm.weight holds values that are not"),
        ({"norm.bias": np.full(8, 1e300)}, "not finite in float32"),
        ({"norm.weight": np.ones(8, complex)}, "weights are real numbers"),
    ],
)
def test_what_does_not_fit_is_named(state_dict, change, sentence):
    entries = {**state_dict, **change}
    entries = {name: value for name, value in entries.items() if value is not None}
    with pytest.raises(ValueError, match=sentence) as error:
        convert_vrt_state_dict(entries, MODEL)
    assert "\n" not in str(error.value)


def test_names_of_a_model_wrapped_for_several_gpus_are_explained(state_dict):
    wrapped = {f"module.{name}": value for name, value in state_dict.items()}
    with pytest.raises(ValueError, match="all names begin with 'module.'"):
        convert_vrt_state_dict(wrapped, MODEL)


@pytest.mark.parametrize("given", ["deblur", "denoise"])
def test_noise_level_among_the_channels_is_said(given):
    other = {"deblur": "denoise", "denoise": "deblur"}[given]
    entries = random_state_dict(MODELS[given])
    found, needed = {"deblur": (27, 28), "denoise": (28, 27)}[given]
    sentence = (
        f"takes {found} channels, the model {needed}: .* task 008 .*"
        f"nonblind_denoising={given == 'denoise'}"
    )
    with pytest.raises(ValueError, match=sentence):
        convert_vrt_state_dict(entries, MODELS[other])


def zeros_of(number):
    """Weights of a full-size task that take no memory."""
    layout = vrt_layout(VRT(**VARIANTS[number]))
    return {
        name: np.broadcast_to(np.float32(0), entry.shape)
        for name, entry in layout.items()
        if entry.buffer is None
    }


@pytest.mark.parametrize(
    ("number", "fits"),
    [
        ("001", ["001"]),
        ("002", ["002"]),
        ("003", ["003", "004"]),
        ("007", ["005", "006", "007"]),
        ("008", ["008"]),
        ("009", ["009"]),
    ],
)
def test_weights_name_the_tasks_they_fit(number, fits):
    assert fitting_tasks(zeros_of(number)) == fits
    other = "005" if number != "007" else "002"
    if number == "008":
        return  # its own sentence, above
    with pytest.raises(ValueError, match=f"fits task {fits[0]}_VRT_") as error:
        convert_vrt_state_dict(zeros_of(number), VRT(**VARIANTS[other]))
    assert f"create_model('{fits[0]}')" in str(error.value)


def test_weights_of_no_task_say_so(state_dict):
    with pytest.raises(ValueError, match="nor any official task; missing: "):
        convert_vrt_state_dict(state_dict, MODELS["sr_pa2"])


@pytest.mark.parametrize(
    ("root", "sentence"),
    [
        ([1], "a state_dict maps names to arrays; got list"),
        ({"params": {}, "params_ema": {}}, "further mappings .params, params_ema"),
        ({}, "missing: conv_first.weight, .* and [0-9]+ more"),
    ],
)
def test_root_of_another_form_is_refused(root, sentence):
    with pytest.raises(ValueError, match=sentence):
        convert_vrt_state_dict(root, MODEL)


def test_spike_model_is_told_where_its_vrt_stands(state_dict):
    with pytest.raises(ValueError, match="take model.vrt"):
        convert_vrt_state_dict(state_dict, VRTSpike(vrt=MODEL))
    with pytest.raises(ValueError, match="take model.vrt"):
        to_vrt_state_dict({}, VRTSpike(vrt=MODEL))


def test_parameters_of_another_model_are_named(state_dict):
    params = convert_vrt_state_dict(state_dict, MODEL)
    for tree, sentence in (
        ({**params, "more": {"bias": np.ones(2)}}, "left over: more/bias"),
        ({k: v for k, v in params.items() if k != "norm"}, "missing: norm/scale"),
        ({**params, "norm": {**params["norm"], "bias": np.ones(2)}}, "norm/bias has"),
        ({"vrt": params}, "missing: conv_first/kernel"),
    ):
        with pytest.raises(ValueError, match=sentence):
            to_vrt_state_dict(tree, MODEL)


def test_tensors_of_every_type_are_read(state_dict):
    torch = pytest.importorskip("torch", reason="tensors need the extra 'torch'")
    tensors = {name: torch.from_numpy(x) for name, x in state_dict.items()}
    plain = convert_vrt_state_dict(tensors, MODEL)
    assert plain["norm"]["scale"].dtype == jnp.float32
    name = "norm.weight"
    for tensor in (
        tensors[name].bfloat16(),
        tensors[name].half(),
        tensors[name].double(),
        torch.nn.Parameter(tensors[name]),
    ):
        params = convert_vrt_state_dict({**tensors, name: tensor}, MODEL)
        np.testing.assert_allclose(
            params["norm"]["scale"], state_dict[name], rtol=2**-7
        )
    half = {k: x.half() if x.is_floating_point() else x for k, x in tensors.items()}
    assert convert_vrt_state_dict(half, MODEL)["norm"]["scale"].dtype == jnp.float32
