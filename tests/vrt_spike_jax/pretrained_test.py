"""Official weights: names, layouts, and every way in which a file does not fit."""

import jax
import numpy as np
import pytest
from flax import traverse_util

from vrt_spike_jax import VRT, convert_vrt_state_dict
from vrt_spike_jax.models.spynet import MEAN
from vrt_spike_jax.models.window_attention import (
    relative_position_index,
    sine_position_bias,
)
from vrt_spike_jax.pretrained import official_name

MODEL = VRT(
    upscale=1,
    img_size=(2, 64, 64),
    window_size=(2, 8, 8),
    depths=(2,) * 7 + (1,) * 2,
    indep_reconsts=(8,),
    embed_dims=(12,) * 9,
    num_heads=(2,) * 9,
    deformable_groups=1,
)
BIAS = "stage1.residual_group1.blocks.0.attn.position_bias"
INDEX = "stage8.2.residual_group.blocks.0.attn.relative_position_index"


def flat_params():
    frames = jax.ShapeDtypeStruct((1, 2, 64, 64, 3), np.float32)
    params = jax.eval_shape(MODEL.init, jax.random.key(0), frames)["params"]
    return traverse_util.flatten_dict(params)


@pytest.fixture(scope="module")
def state_dict():
    """PyTorch layout: (out, in, ...) and, for VRT's own convolutions, a depth of 1."""
    rng = np.random.default_rng(0)
    entries = {}
    for path, leaf in flat_params().items():
        shape = leaf.shape
        name = official_name(path)
        if path[-1] == "kernel":
            shape = (shape[-1], shape[-2], *shape[:-2])
            if name.startswith(("conv_first", "conv_last")):
                shape = (*shape[:2], 1, *shape[2:])
        entries[name] = rng.normal(size=shape).astype(np.float32)
    return entries


def buffers():
    return {
        BIAS: sine_position_bias(8, 8, 12)[None],
        INDEX: relative_position_index((1, 8, 8)),
        "spynet.mean": MEAN.reshape(1, 3, 1, 1),
    }


def test_names_are_the_official_ones(state_dict):
    for name in (
        "conv_first.weight",
        "spynet.basic_module.5.basic_module.8.bias",
        "stage1.reshape.1.weight",
        "stage4.reshape.2.weight",
        "stage7.residual_group2.blocks.0.attn.relative_position_bias_table",
        "stage2.pa_deform.conv_offset.6.weight",
        "stage8.0.1.bias",
        "stage8.0.2.weight",
        "stage8.1.residual_group.blocks.0.mlp.fc11.weight",
        "stage8.1.linear.weight",
    ):
        assert name in state_dict


@pytest.mark.parametrize("root", [False, True])
def test_values_move_to_the_flax_layout(state_dict, root):
    entries = {**state_dict, **buffers()}
    params = convert_vrt_state_dict({"params": entries} if root else entries, MODEL)
    linear = state_dict["stage2.linear1.weight"]
    np.testing.assert_array_equal(params["stage2"]["linear1"]["kernel"], linear.T)
    conv = state_dict["conv_first.weight"]
    kernel = params["conv_first"]["kernel"]
    np.testing.assert_array_equal(kernel[1, 2, 5, 7], conv[7, 5, 0, 1, 2])
    assert len(jax.tree.leaves(params)) == len(state_dict)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"norm.weight": None}, "missing: norm.weight"),
        ({"norm.gamma": np.ones(3)}, "left over: norm.gamma"),
        ({"norm.weight": np.ones(3, np.float32)}, "norm.weight has shape"),
        ({"conv_last.weight": np.ones(3, np.float32)}, "conv_last.weight has shape"),
        ({BIAS: np.zeros((1, 64, 12))}, f"buffer {BIAS} differs"),
        ({INDEX: np.zeros((128, 128))}, f"buffer {INDEX} differs"),
    ],
)
def test_what_does_not_fit_is_named(state_dict, change, sentence):
    entries = {**state_dict, **buffers(), **change}
    entries = {name: value for name, value in entries.items() if value is not None}
    with pytest.raises(ValueError, match=sentence):
        convert_vrt_state_dict(entries, MODEL)
