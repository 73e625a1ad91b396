"""The layout of official files against the model itself and the public code's names."""

import json

import jax
import numpy as np
import pytest
from flax import traverse_util

from official_models import MODELS
from vrt_spike_jax import VRT
from vrt_spike_jax.models.spynet import SpyNet
from vrt_spike_jax.official_layout import spynet_layout, vrt_layout
from vrt_spike_jax.official_weights import flax_path, flax_shape

CASES = (
    "deblur_small",
    "deblur_odd_size",
    "denoise_nonblind",
    "interp_4frames",
    "sr_x4_pa4",
    "sr_x4_pa6",
)


def as_flax(layout):
    return {
        flax_path(name, entry): flax_shape(name, entry)
        for name, entry in layout.items()
        if entry.buffer is None
    }


def shapes_of(tree):
    return {path: x.shape for path, x in traverse_util.flatten_dict(tree).items()}


@pytest.mark.parametrize("name", MODELS)
def test_layout_is_the_tree_of_the_model(name):
    model = MODELS[name]
    channels = 3 + int(model.nonblind_denoising)
    frames = jax.ShapeDtypeStruct((1, 4, 32, 32, channels), np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), frames)["params"]
    assert as_flax(vrt_layout(model)) == shapes_of(params)


def test_layout_is_the_tree_of_spynet():
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    params = jax.eval_shape(SpyNet().init, jax.random.key(0), image, image)["params"]
    layout = spynet_layout((32, 64, 32, 16), buffers=False)
    assert as_flax(layout) == shapes_of(params)
    assert not any(entry.buffer is not None for entry in layout.values())
    with_buffers = spynet_layout((32, 64, 32, 16), buffers=True)
    assert list(with_buffers)[:2] == ["mean", "std"]
    assert list(with_buffers)[2:] == list(layout)


@pytest.mark.parametrize("case", CASES)
def test_names_and_shapes_are_those_of_the_public_code(case, shared):
    facts = json.loads((shared / "vrt_parity" / f"{case}.json").read_text())
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in facts["args"].items()
    }
    layout = vrt_layout(VRT(**arguments))
    parameters = [
        [name, list(entry.shape)]
        for name, entry in layout.items()
        if entry.buffer is None
    ]
    assert parameters == facts["state_dict"]


def test_deblurring_has_the_published_number_of_entries_and_buffers():
    model = VRT(
        upscale=1,
        depths=(8,) * 7 + (4,) * 4,
        indep_reconsts=(9, 10),
        embed_dims=(96,) * 7 + (120,) * 4,
        num_heads=(6,) * 11,
    )
    layout = vrt_layout(model)
    buffers = {
        name: entry for name, entry in layout.items() if entry.buffer is not None
    }
    assert (len(layout), len(buffers)) == (1526, 116)
    assert layout["stage8.4.residual_group.blocks.0.attn.relative_position_index"]
    # Shapes and types of vrt_spec.md section 2.
    prefix = "stage1.residual_group"
    for name, shape, dtype in (
        ("spynet.mean", (1, 3, 1, 1), np.float32),
        (f"{prefix}1.blocks.5.attn.position_bias", (1, 64, 96), np.float32),
        (f"{prefix}1.blocks.5.attn.relative_position_index", (128, 128), np.int64),
        (f"{prefix}2.blocks.0.attn.relative_position_index", (384, 384), np.int64),
        (
            "stage8.3.residual_group.blocks.3.attn.relative_position_index",
            (64, 64),
            np.int64,
        ),
    ):
        assert buffers[name].shape == shape
        assert buffers[name].buffer.shape == shape
        assert buffers[name].buffer.dtype == dtype
