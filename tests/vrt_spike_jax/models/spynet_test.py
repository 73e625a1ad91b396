"""SpyNet: sizes that are no multiple of 32, units of the flow, what a level sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from vrt_spike_jax.models.spynet import SpyNet

RNG = np.random.default_rng(29)
NET = SpyNet((2, 3, 2, 2))
SIZE = (40, 72)
LAST = "basic_module_8"


@pytest.fixture(scope="module")
def params():
    """Random parameters; the last layer of every level is zero."""
    image = jax.ShapeDtypeStruct((1, *SIZE, 3), jnp.float32)
    shapes = jax.eval_shape(NET.init, jax.random.key(0), image, image)["params"]
    rng = np.random.default_rng(2)
    return jax.tree.map_with_path(
        lambda path, x: (
            jnp.zeros(x.shape)
            if path[-2].key == LAST
            else jnp.asarray(rng.normal(0, 0.2, x.shape), jnp.float32)
        ),
        shapes,
    )


@pytest.fixture(scope="module")
def run():
    return jax.jit(lambda params, *images: NET.apply({"params": params}, *images))


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(RNG.random((2, 2, *SIZE, 3)), jnp.float32)


def with_last(params, level, leaf, value):
    """The parameters with one leaf of one level's last layer replaced."""
    flat = traverse_util.flatten_dict(params)
    name = (f"basic_module_{level}", LAST, leaf)
    return traverse_util.unflatten_dict({**flat, name: value(flat[name])})


def test_there_are_six_levels_of_five_convolutions(params):
    assert set(params) == {f"basic_module_{level}" for level in range(6)}
    for level in params.values():
        assert set(level) == {f"basic_module_{2 * i}" for i in range(5)}
        assert level["basic_module_0"]["kernel"].shape == (7, 7, 8, 2)


def test_zeroed_last_layers_give_zero_flow_at_four_scales(run, params, images):
    flows = run(params, *images)
    height, width = SIZE
    shapes = [(2, height // s, width // s, 2) for s in (1, 2, 4, 8)]
    assert [flow.shape for flow in flows] == shapes
    assert not any(np.any(flow) for flow in flows)


def test_flow_is_in_pixels_of_each_scale(run, params, images):
    # A shift found at the finest level is one of the padded image, 64 x 96.
    shift = jnp.array([3.0, -2.0])
    flows = run(with_last(params, 5, "bias", lambda _: shift), *images)
    expected = np.array([3 * 72 / 96, -2 * 40 / 64])
    np.testing.assert_allclose(
        flows[0], np.broadcast_to(expected, flows[0].shape), rtol=1e-5
    )
    assert not any(np.any(flow) for flow in flows[1:])


def test_flow_doubles_from_level_to_level(run, params, images):
    # Found at 1/8, the coarsest scale returned, it goes on to the finer ones.
    shift = jnp.array([0.5, 0.25])
    flows = run(with_last(params, 2, "bias", lambda _: shift), *images)
    for flow, doubled in zip(flows, (8, 4, 2, 1), strict=True):
        expected = doubled * np.array([0.5 * 72 / 96, 0.25 * 40 / 64])
        np.testing.assert_allclose(
            flow, np.broadcast_to(expected, flow.shape), rtol=1e-5
        )


def test_flow_depends_on_both_images(run, params, images):
    params = with_last(params, 5, "kernel", lambda kernel: kernel + 0.1)
    flow = run(params, *images)[0]
    reference, neighbour = images
    for other in ((reference[::-1], neighbour), (reference, neighbour[::-1])):
        assert np.abs(run(params, *other)[0] - flow).max() > 1e-3
