"""LPIPS against the package lpips and against values that it gave once."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from random_features import random_linear_state_dict, random_torchvision_state_dict
from vrt_spike_jax.feature_weights import convert_features, convert_lpips_linear
from vrt_spike_jax.metrics.lpips import (
    CHANNELS,
    LPIPSWeights,
    feature_network,
    frame_lpips,
    lpips_distance,
)

# Of lpips 0.1.4 with PyTorch 2.14 on the weights and frames below.
_RECORDED = {"alex": (0.0673489, 0.1938510), "vgg": (0.0994263, 0.1526458)}


@functools.cache
def _weights(net: str) -> LPIPSWeights:
    network = feature_network(net)
    params = convert_features(random_torchvision_state_dict(network), network)
    linear = convert_lpips_linear(
        random_linear_state_dict(CHANNELS[net]), CHANNELS[net]
    )
    return LPIPSWeights(net, params, linear)


def _frames() -> tuple[np.ndarray, np.ndarray]:
    target = skimage.data.astronaut()
    target = np.stack([target[80:144, 180:250], target[200:264, 100:170]])
    noise = np.random.default_rng(0).normal(0, 20, target.shape)
    prediction = np.clip(target + noise, 0, 255).astype(np.uint8)
    prediction[1] = np.roll(target[1], 1, axis=1)
    return prediction, target


def _package(net: str, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip(
        "torchvision", reason="torchvision is not installed", exc_type=ImportError
    )
    lpips = pytest.importorskip("lpips", reason="lpips is not installed")
    with warnings.catch_warnings():
        # Of torchvision, about the way that lpips names its weights.
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    network = feature_network(net)
    slices = {
        name.rpartition(".")[2]: module
        for name, module in model.net.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    }
    for name, value in random_torchvision_state_dict(network).items():
        _, index, kind = name.split(".")
        getattr(slices[index], kind).data = torch.from_numpy(value)
    for name, value in random_linear_state_dict(CHANNELS[net]).items():
        layer = getattr(model, name.split(".")[0]).model[-1]
        layer.weight.data = torch.from_numpy(value)
    tensors = (
        torch.from_numpy(frames.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
        for frames in (prediction, target)
    )
    with torch.no_grad():
        return model(*tensors).numpy().ravel()


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_equals_the_package(net):
    frames = _frames()
    expected = _package(net, *frames)
    found = frame_lpips(*frames, _weights(net))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(expected, _RECORDED[net], rtol=0, atol=1e-4)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_equals_what_the_package_gave(net):
    found = frame_lpips(*_frames(), _weights(net))
    np.testing.assert_allclose(found, _RECORDED[net], rtol=0, atol=1e-4)


def test_identical_frames_have_no_distance():
    _, target = _frames()
    # The convolutions of two equal images may differ in their last bit.
    assert np.max(frame_lpips(target, target, _weights("alex"))) < 1e-12


def test_floats_are_rounded_to_8_bits():
    prediction, target = _frames()
    floats = (prediction / 255 + 0.3 / 255).astype(np.float32)
    weights = _weights("alex")
    np.testing.assert_array_equal(
        frame_lpips(floats, target, weights), frame_lpips(prediction, target, weights)
    )


def test_gradient_is_finite_where_nothing_differs_and_nothing_responds():
    weights = _weights("alex")
    black = jnp.zeros((1, 32, 32, 3))
    # Weights of 0 and no bias: no channel responds anywhere.
    silent = jax.tree.map(jnp.zeros_like, weights.params)
    gradient = jax.jit(
        jax.grad(
            lambda x, params: lpips_distance(
                x, black, weights._replace(params=params)
            ).sum()
        )
    )
    for params in (weights.params, silent):
        assert np.isfinite(gradient(black, params)).all()
