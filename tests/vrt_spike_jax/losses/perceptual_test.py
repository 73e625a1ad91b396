"""The perceptual loss against other frameworks' layers, with random weights given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loss_inputs import LAYERS, random_vgg19
from random_features import random_torchvision_state_dict
from vrt_spike_jax.losses.perceptual import network, perceptual

MEAN, STD = (
    np.float32([0.485, 0.456, 0.406]),
    np.float32([0.229, 0.224, 0.225]),
)


def _pair():
    rng = np.random.default_rng(0)
    return rng.random((2, 1, 2, 16, 16, 3)).astype(np.float32)


def _tensorflow_features(state_dict, x):
    import tensorflow as tf

    def layer(index, x):
        weight, bias = (
            state_dict[f"features.{index}.{kind}"] for kind in ("weight", "bias")
        )
        return tf.nn.conv2d(x, weight.transpose(2, 3, 1, 0), 1, "SAME") + bias

    first = layer(2, tf.nn.relu(layer(0, x)))
    second = layer(5, tf.nn.max_pool2d(tf.nn.relu(first), 2, 2, "VALID"))
    return [x.numpy() for x in (first, second)]


def _torch_features(state_dict, x):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def layer(index, x):
        weight, bias = (
            torch.from_numpy(state_dict[f"features.{index}.{kind}"])
            for kind in ("weight", "bias")
        )
        return torch.nn.functional.conv2d(x, weight, bias, padding=1)

    first = layer(2, torch.relu(layer(0, torch.from_numpy(x.transpose(0, 3, 1, 2)))))
    second = layer(5, torch.nn.functional.max_pool2d(torch.relu(first), 2))
    return [x.numpy() for x in (first, second)]


@pytest.mark.parametrize("features", [_tensorflow_features, _torch_features])
def test_equals_the_layers_of_other_frameworks(features):
    state_dict = random_torchvision_state_dict(network(LAYERS))
    prediction, target = _pair()
    inputs = ((x.reshape(-1, 16, 16, 3) - MEAN) / STD for x in (prediction, target))
    found, wanted = (features(state_dict, x) for x in inputs)
    expected = sum(
        weight * np.abs(a - b).mean(dtype=np.float64)
        for (_, weight), a, b in zip(LAYERS, found, wanted, strict=True)
    )
    value = jax.jit(lambda a, b, params: perceptual(a, b, params, layers=LAYERS))(
        prediction, target, random_vgg19()
    )
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_weights_of_layers_scale_and_add_their_distances():
    prediction, target = (jnp.asarray(x) for x in _pair())
    params = random_vgg19()

    def value(*layers):
        return float(perceptual(prediction, target, params, layers=layers))

    both = value(("conv1_2", 0.5), ("conv2_1", 2.0))
    parts = 0.5 * value(("conv1_2", 1.0)) + 2 * value(("conv2_1", 1.0))
    assert both == pytest.approx(parts, rel=1e-5)


def test_neither_target_nor_weights_get_a_gradient():
    prediction, target = (jnp.asarray(x) for x in _pair())
    gradients = jax.grad(
        lambda target, params: perceptual(prediction, target, params, layers=LAYERS),
        argnums=(0, 1),
    )(target, random_vgg19())
    assert not any(np.any(x) for x in jax.tree.leaves(gradients))


def test_crops_too_small_for_a_layer_are_refused():
    frames = jnp.zeros((1, 8, 8, 3))
    with pytest.raises(ValueError, match="at least 16x16 pixels; got 8x8"):
        perceptual(frames, frames, {}, layers=(("conv5_4", 1.0),))
