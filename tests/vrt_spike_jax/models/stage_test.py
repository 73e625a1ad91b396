"""Stages: trading pixels for channels, where fusion comes, the residual groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.alignment import FlowPair
from vrt_spike_jax.models.stage import RTMSA, Stage, reshape_scale

RNG = np.random.default_rng(31)
OPTIONS = {
    "mlp_ratio": 2.0,
    "qkv_bias": True,
    "remat": False,
    "max_chunk": 2**20,
    "dtype": jnp.float32,
    "param_dtype": jnp.float32,
}


def stage(reshape, *, pa_frames=2):
    return Stage(
        channels=6,
        depth=2,
        num_heads=2,
        window=(2, 4, 4),
        reshape=reshape,
        mul_attn_ratio=0.75,
        pa_frames=pa_frames,
        deformable_groups=1,
        max_residue=10.0,
        drop_path=(0.0, 0.0),
        options=OPTIONS,
    )


def flows(height, width):
    shape = (2, 1, 2, height, width, 2)
    return [FlowPair(*jnp.asarray(RNG.normal(size=shape), jnp.float32))]


def filled(shapes):
    rng = np.random.default_rng(3)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, 0.2, x.shape), jnp.float32), shapes
    )


def test_down_lays_the_four_pixels_side_by_side():
    x = np.arange(2 * 4 * 2).reshape(1, 1, 2, 4, 2).astype(np.float32)
    down = reshape_scale(jnp.asarray(x), "down")
    assert down.shape == (1, 1, 1, 2, 8)
    # Column by column, as published: (0, 0), (1, 0), (0, 1), (1, 1).
    pixels = [x[0, 0, 0, 2], x[0, 0, 1, 2], x[0, 0, 0, 3], x[0, 0, 1, 3]]
    np.testing.assert_array_equal(down[0, 0, 0, 1], np.concatenate(pixels))


def test_up_undoes_down_and_none_keeps():
    x = jnp.asarray(RNG.random((1, 2, 4, 6, 8)), jnp.float32)
    np.testing.assert_array_equal(reshape_scale(reshape_scale(x, "down"), "up"), x)
    np.testing.assert_array_equal(reshape_scale(x, "none"), x)


@pytest.mark.parametrize(
    ("reshape", "size"), [("down", (4, 6, 8)), ("up", (16, 24, 8)), ("none", (8, 12))]
)
def test_a_stage_changes_scale_and_width(reshape, size):
    channels = size[2] if len(size) > 2 else 6
    x = jax.ShapeDtypeStruct((1, 3, 8, 12, channels), jnp.float32)
    layer = stage(reshape)
    found, _ = jax.eval_shape(
        lambda x: layer.init_with_output(jax.random.key(0), x, flows(*size[:2])), x
    )
    assert found.shape == (1, 3, *size[:2], 6)


def test_fusion_comes_after_the_rescaling_and_before_the_attention():
    x = jnp.asarray(RNG.normal(size=(1, 3, 8, 8, 6)), jnp.float32)
    layer = stage("down", pa_frames=0)
    params = filled(jax.eval_shape(layer.init, jax.random.key(0), x, [])["params"])
    # Groups whose linear layers are zero pass their input on.
    silent = {
        name: jax.tree.map(jnp.zeros_like, value)
        if name.startswith("linear")
        else value
        for name, value in params.items()
    }
    bias = jnp.asarray(RNG.normal(size=(1, 3, 4, 4, 6)), jnp.float32)
    seen = []

    def fuse(features):
        seen.append(features)
        return features + bias

    plain = layer.apply({"params": silent}, x, [])
    fused = layer.apply({"params": silent}, x, [], fuse=fuse)
    np.testing.assert_array_equal(seen[0], plain)
    np.testing.assert_array_equal(fused, plain + bias)
    # What is fused is attended to: another pixel of the window changes with it.
    dot = jnp.zeros_like(bias).at[0, 0, 0, 0].set(1)
    out = layer.apply({"params": params}, x, [], fuse=lambda features: features + dot)
    change = np.abs(out - layer.apply({"params": params}, x, []))
    assert change[0, 0, 3, 3].max() > 1e-4


def test_a_reconstruction_group_adds_to_its_input():
    x = jnp.asarray(RNG.normal(size=(1, 2, 8, 8, 6)), jnp.float32)
    layer = RTMSA(6, 1, 2, (2, 4, 4), (0.0,), OPTIONS)
    params = filled(jax.eval_shape(layer.init, jax.random.key(0), x)["params"])
    silent = {**params, "linear": jax.tree.map(jnp.zeros_like, params["linear"])}
    np.testing.assert_array_equal(layer.apply({"params": silent}, x), x)
    assert np.all(np.abs(layer.apply({"params": params}, x) - x).max(-1) > 1e-4)
