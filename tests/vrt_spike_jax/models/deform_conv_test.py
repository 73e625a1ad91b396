"""Deformable convolution against an ordinary one and a direct sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.deform_conv import DCNv2PackFlowGuided, deform_conv2d
from vrt_spike_jax.models.warping import flow_warp

RNG = np.random.default_rng(5)
# Compiles in half the time; the sums are the same.
QUICK = {"xla_backend_optimization_level": 0}


def arrays(*, channels: int, inputs: int, offset_groups: int) -> list[jax.Array]:
    """Input, offsets, mask, kernel and bias of a deformable convolution."""
    x = RNG.normal(size=(2, 7, 8, channels))
    offset = RNG.normal(0, 2, (2, 7, 8, 9, offset_groups, 2))
    mask = RNG.random((2, 7, 8, 9, offset_groups))
    kernel = RNG.normal(size=(3, 3, inputs, 6))
    bias = RNG.normal(size=6)
    return [
        jnp.asarray(array, jnp.float32) for array in (x, offset, mask, kernel, bias)
    ]


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_without_offsets_it_is_a_grouped_convolution(groups):
    x, offset, mask, kernel, bias = arrays(
        channels=4 * groups, inputs=4, offset_groups=2 * groups
    )
    found = deform_conv2d(x, 0 * offset, jnp.ones_like(mask), kernel, bias)
    expected = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(1, 1), (1, 1)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    np.testing.assert_allclose(found, expected + bias[None, None, None], atol=1e-4)


def test_it_equals_the_sum_of_displaced_taps():
    x, offset, mask, kernel, bias = arrays(channels=4, inputs=4, offset_groups=2)
    expected = np.broadcast_to(bias, (2, 7, 8, 6)).astype(np.float32)
    for tap in range(9):
        dy, dx = tap // 3 - 1, tap % 3 - 1
        for group in range(2):
            # A tap is a warp by its displacement (y, x), which a flow gives as (x, y).
            shift = jnp.array([dx, dy], jnp.float32)[None, None, None]
            flow = offset[..., tap, group, ::-1] + shift
            part = slice(2 * group, 2 * group + 2)
            sampled = flow_warp(x[..., part], flow)
            sampled = sampled * mask[..., tap, group, None]
            expected = expected + np.asarray(sampled @ kernel[dy + 1, dx + 1, part])
    # All pixels at once, and in chunks that do not divide their 112.
    for max_chunk in (10**9, 9 * 4 * 15):
        found = deform_conv2d(x, offset, mask, kernel, bias, max_chunk=max_chunk)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_every_source_is_sampled_along_its_own_flow():
    layer = DCNv2PackFlowGuided(4, 4, 2, 10.0)
    target = jnp.asarray(RNG.normal(size=(1, 8, 8, 4)), jnp.float32)
    flows = [jnp.full((1, 8, 8, 2), shift, jnp.float32) for shift in (1.0, -2.0)]
    sources = [target, target + 1]
    inputs = (sources, target, flows)
    params = jax.jit(layer.init, compiler_options=QUICK)(jax.random.key(0), *inputs)
    params = params["params"]
    # Keep the centre tap alone: the output is each source, warped, through its kernel.
    centre = jnp.zeros_like(params["kernel"]).at[1, 1].set(params["kernel"][1, 1])
    params = {"params": {**params, "kernel": centre}}
    found = jax.jit(layer.apply, compiler_options=QUICK)(params, *inputs)
    for i, (source, flow) in enumerate(zip(sources, flows, strict=True)):
        part = slice(2 * i, 2 * i + 2)
        # Untrained, the mask is sigmoid(0).
        expected = 0.5 * flow_warp(source, flow) @ centre[1, 1][:, part]
        np.testing.assert_allclose(found[..., part], expected, atol=1e-5)
