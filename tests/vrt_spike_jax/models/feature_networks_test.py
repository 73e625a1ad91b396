"""VGG and AlexNet against torchvision's networks with the same random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from random_features import random_torchvision_state_dict
from vrt_spike_jax.feature_weights import convert_features
from vrt_spike_jax.models.alexnet import AlexNetFeatures
from vrt_spike_jax.models.vgg import VGG16Features, VGG19Features

# The layers of PyTorch's `features` after which each of ours is read.
_VGG19 = {"conv1_2": 2, "relu2_2": 8, "conv3_4": 16, "relu4_1": 20, "conv5_4": 34}
_VGG16 = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29}
_ALEX = {"relu1": 1, "relu2": 4, "relu3": 7, "relu4": 9, "relu5": 11}
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def _images(size=(40, 36)) -> np.ndarray:
    return np.random.default_rng(3).random((2, *size, 3)).astype(np.float32)


def _torch_features(torch, sequence, images, indices) -> dict[int, np.ndarray]:
    x = torch.from_numpy((images - np.float32(_MEAN)) / np.float32(_STD))
    x = x.permute(0, 3, 1, 2)
    found = {}
    with torch.no_grad():
        for index, module in enumerate(sequence[: max(indices) + 1]):
            x = module(x)
            if index in indices:
                # A ReLU of torchvision works in place: what it overwrites is copied.
                found[index] = x.permute(0, 2, 3, 1).numpy().copy()
    return found


def _plain_sequence(torch, network):
    """The official sequence of layers, written out for PyTorch without torchvision."""
    nn = torch.nn
    if isinstance(network, AlexNetFeatures):
        return nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
        )
    modules, channels = [], 3
    for width, count in zip((64, 128, 256, 512, 512), network.blocks, strict=True):
        for _ in range(count):
            modules += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        modules.append(nn.MaxPool2d(2))
    return nn.Sequential(*modules)


@pytest.mark.parametrize(
    ("name", "network", "indices"),
    [
        ("vgg19", VGG19Features(layers=tuple(_VGG19)), _VGG19),
        ("vgg16", VGG16Features(layers=tuple(_VGG16)), _VGG16),
        ("alexnet", AlexNetFeatures(), _ALEX),
    ],
    ids=["vgg19", "vgg16", "alexnet"],
)
@pytest.mark.parametrize("source", ["torch", "torchvision"])
def test_features_equal_those_of_pytorch(name, network, indices, source):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    state_dict = random_torchvision_state_dict(network)
    if source == "torch":
        sequence = _plain_sequence(torch, network)
    else:
        models = pytest.importorskip(
            "torchvision.models",
            reason="torchvision is not installed",
            exc_type=ImportError,
        )
        sequence = getattr(models, name)().features
    sequence.load_state_dict(
        {
            name.removeprefix("features."): torch.from_numpy(value)
            for name, value in state_dict.items()
        }
    )
    images = _images()
    expected = _torch_features(torch, sequence, images, set(indices.values()))
    params = convert_features(state_dict, network)
    found = jax.jit(network.apply)({"params": params}, images)
    assert set(found) == set(indices)
    for layer, index in indices.items():
        scale = float(np.abs(expected[index]).max())
        assert scale > 0.1, "random weights that keep no signal prove nothing"
        np.testing.assert_allclose(found[layer], expected[index], atol=1e-4 * scale)


def test_only_what_the_layers_need_has_parameters():
    network = VGG19Features(layers=("relu2_1", "conv1_1"))
    params = convert_features(random_torchvision_state_dict(network), network)
    assert list(params) == ["conv1_1", "conv1_2", "conv2_1"]
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes["params"])
    found = network.apply({"params": params}, jnp.asarray(_images()))
    assert {name: x.shape for name, x in found.items()} == {
        "relu2_1": (2, 20, 18, 128),
        "conv1_1": (2, 40, 36, 64),
    }


def test_parameters_take_the_type_of_the_network():
    network = VGG16Features(layers=("relu1_1",), param_dtype=jnp.bfloat16)
    params = convert_features(random_torchvision_state_dict(network), network)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


def test_an_unknown_layer_names_the_nearest():
    network = VGG19Features(layers=("relu3_5",))
    with pytest.raises(ValueError, match=r"unknown layer of VGG 'relu3_5'.*mean 'relu"):
        network.convolutions()
    with pytest.raises(ValueError, match="at least one layer"):
        VGG19Features(layers=()).convolutions()


@pytest.mark.parametrize(
    ("network", "size", "message"),
    [
        (VGG16Features(layers=("relu5_3",)), (15, 40), "at least 16x16 .* got 15x40"),
        (AlexNetFeatures(), (40, 30), "at least 31x31 pixels; got 40x30"),
    ],
)
def test_images_too_small_are_refused(network, size, message):
    images = jnp.zeros((1, *size, 3))
    with pytest.raises(ValueError, match=message):
        network.init(jax.random.key(0), images)


@pytest.mark.parametrize(
    ("network", "size"),
    [(VGG16Features(layers=("relu5_3",)), 16), (AlexNetFeatures(), 31)],
)
def test_the_smallest_images_give_features(network, size):
    images = jnp.zeros((1, size, size, 3))
    shapes = jax.eval_shape(network.init_with_output, jax.random.key(0), images)[0]
    assert all(0 not in x.shape for x in shapes.values())
