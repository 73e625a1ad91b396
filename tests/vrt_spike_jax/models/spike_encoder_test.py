"""The spike encoder: time inside the exposure, light, and the sizes it serves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline import gain_match
from vrt_spike_jax.models import spike_encoder
from vrt_spike_jax.models.spike_encoder import (
    Conv3D,
    SpikeEncoder3D,
    match_gain,
    spike_scale_of,
)

RNG = np.random.default_rng(11)
WIDTHS = (4, 6, 8, 8)


ENCODER = SpikeEncoder3D(WIDTHS, WIDTHS)


@functools.partial(
    jax.jit,
    static_argnames="spike_scale",
    # Compiles in half the time; the sums are the same.
    compiler_options={"xla_backend_optimization_level": 0},
)
def run(params, spikes, *, spike_scale):
    return ENCODER.apply({"params": params}, spikes, spike_scale=spike_scale)


def encode(spikes, *, spike_scale=1):
    """Features by an encoder whose parameters are random."""
    spikes = jnp.asarray(spikes, jnp.float32)
    init = functools.partial(ENCODER.init, spike_scale=spike_scale)
    shapes = jax.eval_shape(init, jax.random.key(0), spikes)["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: jnp.asarray(
            rng.normal(0, np.prod(x.shape[:-1]) ** -0.5, x.shape), jnp.float32
        ),
        shapes,
    )
    return run(params, spikes, spike_scale=spike_scale)


@pytest.mark.parametrize(
    ("kernel", "time_stride", "space_stride"),
    [((4, 3, 3), 4, 1), ((3, 3, 3), 1, 2), ((3, 3, 3), 1, 1), ((2, 3, 3), 2, 1)],
)
def test_conv3d_is_a_three_dimensional_convolution(kernel, time_stride, space_stride):
    x = jnp.asarray(RNG.normal(size=(2, 8, 6, 10, 3)), jnp.float32)
    layer = Conv3D(5, kernel, time_stride, space_stride)
    found, variables = layer.init_with_output(jax.random.key(1), x)
    # Its kernel lays the taps in time side by side on the input channels.
    flat = variables["params"]["conv"]["kernel"].reshape(3, 3, kernel[0], 3, 5)
    before = (kernel[0] - time_stride) // 2
    expected = jax.lax.conv_general_dilated(
        x,
        flat.transpose(2, 0, 1, 3, 4),
        (time_stride, space_stride, space_stride),
        [(before, kernel[0] - time_stride - before), (1, 1), (1, 1)],
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_order_of_spikes_inside_an_exposure_matters():
    spikes = (RNG.random((2, 2, 32, 32, 48)) < 0.4).astype(np.float32)
    permuted = spikes.copy()
    permuted[:, 0] = spikes[:, 0, RNG.permutation(32)]
    assert np.array_equal(permuted.sum(2), spikes.sum(2))
    for before, after in zip(encode(spikes), encode(permuted), strict=True):
        assert np.abs(before[:, 0] - after[:, 0]).max() > 1e-3
        # The other frame's exposure is untouched, and so are its features.
        np.testing.assert_array_equal(before[:, 1], after[:, 1])


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_features_come_at_the_scales_of_vrt(scale):
    spikes = RNG.random((2, 2, 32, 32 // scale, 48 // scale)).astype(np.float32)
    features = encode(spikes, spike_scale=scale)
    for i, (clip, width) in enumerate(zip(features, WIDTHS, strict=True)):
        assert clip.shape == (2, 2, 4, 32 >> i, 48 >> i, width)


def test_bins_must_fit_the_strides():
    with pytest.raises(ValueError, match="12 channels.*multiple of 8"):
        encode(np.zeros((1, 2, 12, 16, 16)))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_match_gain_finds_the_factor_between_rate_and_light(scale):
    grey = RNG.random((3, 2, 8, 12))
    blur = np.repeat(np.repeat(grey, scale, 2), scale, 3)[..., None] * np.ones(3)
    gains = np.array([0.5, 2.0, 3.0])
    spikes = (grey / gains[:, None, None, None])[:, :, None] * np.ones((32, 1, 1))
    found = match_gain(jnp.asarray(spikes), jnp.asarray(blur))
    np.testing.assert_allclose(found, gains, rtol=1e-5)


def test_match_gain_cancels_the_threshold():
    blur = jnp.asarray(RNG.random((1, 2, 8, 8, 3)), jnp.float32)
    spikes = jnp.asarray(0.2 * RNG.random((1, 2, 32, 8, 8)), jnp.float32)
    light = spikes * match_gain(spikes, blur)[:, None, None, None, None]
    for threshold in (0.25, 0.5, 2.0, 4.0):
        rates = spikes / threshold
        matched = rates * match_gain(rates, blur)[:, None, None, None, None]
        np.testing.assert_allclose(matched, light, rtol=1e-5)


def test_saturated_pixels_do_not_count_unless_the_others_say_nothing():
    light = RNG.random((2, 2, 8, 8))
    blur = jnp.asarray(light[..., None] * np.ones(3))
    rates = np.minimum(light / np.array([0.4, 0.01])[:, None, None, None], 1)
    rates[1] = 1  # of the second clip all pixels fire in every spike frame
    found = match_gain(jnp.asarray(rates[:, :, None] * np.ones((4, 1, 1))), blur)
    np.testing.assert_allclose(found, [0.4, light[1].mean()], rtol=1e-5)
    # Beside saturated pixels, ones so dark that what they fire is chance.
    rates[:, :, 4:], rates[:, :, :4] = 1, 0.004
    blur = blur.at[:, :, 4:].set(0.8).at[:, :, :4].set(0.3)
    found = match_gain(jnp.asarray(rates[:, :, None]), blur)
    np.testing.assert_allclose(found, 0.8, rtol=0.01)


def test_its_constants_are_those_of_the_data_pipeline():
    assert spike_encoder.SATURATED == gain_match.SATURATED
    assert spike_encoder.LEAST_ENERGY == gain_match.LEAST_ENERGY


def test_match_gain_of_darkness_is_one():
    blur = jnp.zeros((2, 2, 8, 8, 3))
    assert match_gain(jnp.zeros((2, 2, 32, 8, 8)), blur).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("spikes", "sentence"),
    [
        ((1, 2, 32, 5, 8), "5x8 for frames of 16x16"),
        ((1, 3, 32, 16, 16), "one voxel grid per frame"),
        ((1, 2, 32, 2, 2), "1, 2 or 4 times"),
    ],
)
def test_spikes_that_do_not_fit_the_frames_are_refused(spikes, sentence):
    with pytest.raises(ValueError, match=sentence):
        spike_scale_of(spikes, (1, 2, 16, 16, 3))


@pytest.mark.parametrize("spike_scale", [1, 2])
def test_the_change_of_light_stands_beside_the_learnt_features(spike_scale):
    light = jnp.asarray(RNG.random((1, 2, 16, 32, 48)), jnp.float32)
    init = functools.partial(ENCODER.init, spike_scale=spike_scale)
    shapes = jax.eval_shape(init, jax.random.key(0), light)["params"]
    params = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes)
    for scale in range(4):  # hands on the change alone, as it is
        kernel = params[f"project_{scale}"]["kernel"]
        params[f"project_{scale}"]["kernel"] = kernel.at[-1].set(1)
    found = run(params, light, spike_scale=spike_scale)
    means = light.reshape(1, 2, 2, 8, 32, 48).mean(3)
    change = 4 * (means - light.mean(2, keepdims=True))
    for scale in range(1 if spike_scale == 2 else 0, 4):
        n = 2**scale // spike_scale
        expected = change.reshape(1, 2, 2, 32 // n, n, 48 // n, n).mean((4, 6))
        for channel in range(WIDTHS[scale]):
            np.testing.assert_allclose(found[scale][..., channel], expected, atol=1e-5)


def test_sizes_that_the_coarsest_scale_does_not_divide_are_refused():
    with pytest.raises(ValueError, match="are 20x24; .* multiples of 8"):
        ENCODER.init(jax.random.key(0), jnp.ones((1, 2, 8, 20, 24)), spike_scale=1)


def test_small_changes_survive_a_computation_in_half_precision():
    light = jnp.full((1, 1, 32, 8, 8), 0.7) * jnp.linspace(0.98, 1.02, 32).reshape(
        1, 1, -1, 1, 1
    )
    half = ENCODER.clone(dtype=jnp.bfloat16)
    shapes = jax.eval_shape(
        functools.partial(half.init, spike_scale=1), jax.random.key(0), light
    )["params"]
    params = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes)
    kernel = params["project_0"]["kernel"]
    params["project_0"]["kernel"] = kernel.at[-1].set(1)
    found = half.apply({"params": params}, light, spike_scale=1)[0]
    means = light.reshape(1, 1, 4, 8, 8, 8).mean(3)
    change = 4 * (means - light.mean(2, keepdims=True))
    np.testing.assert_allclose(
        found[..., 0].astype(jnp.float32), change, rtol=0.01, atol=1e-6
    )
