"""The files of the networks of losses: never random weights in their place."""

import jax
import pytest

from loss_inputs import LAYERS, random_vgg19
from random_features import random_torchvision_state_dict
from vrt_spike_jax import loss_networks
from vrt_spike_jax.losses.perceptual import network
from vrt_spike_jax.losses.table import LOSSES

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"


def _settings(weight, path="", layers=LAYERS):
    off = {"weight": 0.0, "start_step": 0}
    own = {"weight": weight, "start_step": 0, "path": str(path), "layers": layers}
    return {name: dict(off) for name in LOSSES} | {"perceptual": own}


def test_without_weight_no_file_is_needed(tmp_path):
    settings = _settings(0.0, tmp_path / "none.pth")
    loss_networks.require_files(settings)
    assert loss_networks.load_networks(settings) == {}
    assert loss_networks.abstract_networks(settings) == {}


@pytest.mark.parametrize("name", ["", "none.pth"])
def test_a_weight_without_its_file_says_where_that_is_published(tmp_path, name):
    settings = _settings(0.1, tmp_path / name if name else "")
    with pytest.raises(FileNotFoundError, match=URL) as error:
        loss_networks.require_files(settings)
    assert "perceptual.weight is 0.1" in str(error.value)
    if name:
        with pytest.raises(FileNotFoundError, match=URL):
            loss_networks.load_networks(settings)


def test_an_unknown_layer_names_the_nearest(tmp_path):
    settings = _settings(0.1, tmp_path, layers=(("conv5_5", 1.0),))
    with pytest.raises(ValueError, match="unknown layer of VGG 'conv5_5'"):
        loss_networks.require_files(settings)


def test_abstract_parameters_are_those_of_the_file():
    found = loss_networks.abstract_networks(_settings(0.1))
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), found)
    assert shapes == {
        "vgg19": jax.tree.map(lambda x: (x.shape, x.dtype), random_vgg19())
    }


def test_parameters_are_read_from_the_file(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    state_dict = random_torchvision_state_dict(network(LAYERS))
    tensors = {name: torch.from_numpy(value) for name, value in state_dict.items()}
    torch.save(tensors, tmp_path / "vgg19.pth")
    settings = _settings(0.1, tmp_path / "vgg19.pth")
    loss_networks.require_files(settings)
    found = loss_networks.load_networks(settings)["vgg19"]
    assert jax.tree.all(
        jax.tree.map(lambda a, b: (a == b).all(), found, random_vgg19())
    )
