"""The files of VGG, AlexNet and LPIPS: read exactly, or refused in a sentence."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest

from random_features import random_linear_state_dict, random_torchvision_state_dict
from vrt_spike_jax.feature_files import load_features, load_lpips
from vrt_spike_jax.feature_weights import (
    PUBLISHED,
    convert_features,
    convert_lpips_linear,
)
from vrt_spike_jax.metrics.lpips import CHANNELS, feature_network
from vrt_spike_jax.models.alexnet import AlexNetFeatures
from vrt_spike_jax.models.vgg import VGG16Features, VGG19Features

_NETWORK = AlexNetFeatures()


@pytest.fixture(scope="module")
def state_dict():
    return random_torchvision_state_dict(_NETWORK)


@pytest.fixture
def save():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def save_to(path, state_dict):
        tensors = {name: torch.from_numpy(x) for name, x in state_dict.items()}
        torch.save(tensors, path)
        return path

    return save_to


def test_a_file_gives_the_parameters_of_its_state_dict(tmp_path, save, state_dict):
    whole = state_dict | {
        f"classifier.{i}.{kind}": np.zeros((2, 2)[: 1 + (kind == "weight")], np.float32)
        for i in (1, 4, 6)
        for kind in ("weight", "bias")
    }
    params = load_features(save(tmp_path / "alexnet.pth", whole), _NETWORK)
    expected = convert_features(state_dict, _NETWORK)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    kernel = np.asarray(params["conv2"]["kernel"])
    np.testing.assert_array_equal(
        kernel[1, 3, 5, 7], state_dict["features.3.weight"][7, 5, 1, 3]
    )


def test_both_files_of_lpips_are_read(tmp_path, save, state_dict):
    linear = random_linear_state_dict(CHANNELS["alex"])
    weights = load_lpips(
        "alex",
        save(tmp_path / "backbone.pth", state_dict),
        save(tmp_path / "linear.pth", linear),
    )
    assert weights.net == "alex"
    np.testing.assert_array_equal(
        weights.linear["relu4"], linear["lin3.model.1.weight"].ravel()
    )
    assert {k: v.shape for k, v in weights.linear.items()} == {
        layer: (count,) for layer, count in CHANNELS["alex"].items()
    }


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_published_linear_layers_are_read(tmp_path, save, net):
    spec = importlib.util.find_spec("lpips")
    if spec is None:
        pytest.skip("lpips, which has the published file, is not installed")
    linear = Path(spec.origin).parent / "weights" / "v0.1" / f"{net}.pth"
    network = feature_network(net)
    backbone = save(tmp_path / "random.pth", random_torchvision_state_dict(network))
    weights = load_lpips(net, backbone, linear)
    assert {k: v.size for k, v in weights.linear.items()} == CHANNELS[net]
    assert all(
        0 < float(v.max()) and float(v.std()) > 0 for v in weights.linear.values()
    )


@pytest.mark.parametrize(
    ("network", "file"),
    [
        (AlexNetFeatures(), "alexnet-owt-7be5be79.pth"),
        (VGG16Features(layers=("relu1_1",)), "vgg16-397923af.pth"),
        (VGG19Features(layers=("relu1_1",)), "vgg19-dcbb9e9d.pth"),
    ],
)
def test_a_missing_file_says_where_it_is_published(tmp_path, network, file):
    url = f"https://download.pytorch.org/models/{file}"
    with pytest.raises(FileNotFoundError, match=f"no file .*nothing can.*fetch {url}"):
        load_features(tmp_path / file, network)
    assert PUBLISHED[type(network)].url == url


def test_missing_linear_layers_say_where_they_are_published(tmp_path, save, state_dict):
    backbone = save(tmp_path / "backbone.pth", state_dict)
    with pytest.raises(FileNotFoundError, match=r"LPIPS v0.1, alex.*/v0.1/alex.pth"):
        load_lpips("alex", backbone, tmp_path / "none.pth")


def test_a_damaged_file_is_known_by_the_digest_in_its_name(tmp_path, save, state_dict):
    path = save(tmp_path / "alexnet-owt-7be5be79.pth", state_dict)
    with pytest.raises(ValueError, match="damaged: its SHA-256 .* not with 7be5be79"):
        load_features(path, _NETWORK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("features.6.bias"), "AlexNet; missing: features.6.bias"),
        (lambda d: d.update(extra=np.zeros(2)), "left over: extra"),
        (
            lambda d: d.update({"features.0.bias": np.zeros(3, np.float32)}),
            r"features.0.bias has shape \(3,\), expected \(64,\)",
        ),
        (
            lambda d: d.update({"features.8.bias": np.full(256, np.nan, np.float32)}),
            "features.8.bias holds values that are not finite",
        ),
    ],
)
def test_other_weights_are_refused_by_name(tmp_path, save, state_dict, change, message):
    altered = dict(state_dict)
    change(altered)
    path = save(tmp_path / "altered.pth", altered)
    with pytest.raises(ValueError, match=f"altered.pth: .*{message}.*It is at https"):
        load_features(path, _NETWORK)


def test_weights_of_another_network_are_refused():
    state_dict = random_torchvision_state_dict(VGG16Features(layers=("relu1_1",)))
    network = VGG19Features(layers=("relu1_1",))
    with pytest.raises(ValueError, match="not that of torchvision's VGG-19; missing"):
        convert_features(state_dict, network)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("lin2.model.1.weight"), "missing: lin2.model.1.weight"),
        (lambda d: d.update({"lin0.model.1.weight": -np.ones((1, 64, 1, 1))}), "negat"),
    ],
)
def test_other_linear_layers_are_refused(change, message):
    state_dict = random_linear_state_dict(CHANNELS["alex"])
    change(state_dict)
    with pytest.raises(ValueError, match=message):
        convert_lpips_linear(state_dict, CHANNELS["alex"])


def test_an_unknown_network_of_lpips_names_the_nearest():
    with pytest.raises(ValueError, match="network of LPIPS 'alexnet'.*mean 'alex'"):
        feature_network("alexnet")
    with pytest.raises(ValueError, match="network of LPIPS 'vgg16'.*mean 'vgg'"):
        load_lpips("vgg16", "backbone.pth", "linear.pth")
