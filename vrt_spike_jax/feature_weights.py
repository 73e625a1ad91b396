"""Published PyTorch weights of the feature networks to Flax parameters: VGG, AlexNet.

And the linear layers of LPIPS, which weigh the channels of their features. By name and
strict: nothing missing, every shape checked, every value finite. Only the classifier of
a network of torchvision, which features do not need, may be there or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vrt_spike_jax.models.alexnet import AlexNetFeatures
from vrt_spike_jax.models.vgg import VGG16Features, VGG19Features, VGGFeatures
from vrt_spike_jax.official_weights import Params, as_array, root_of

FeatureNetwork = VGGFeatures | AlexNetFeatures
_CLASSIFIER = re.compile(r"classifier\.\d\.(weight|bias)")
_SHOWN = 5


class Published(NamedTuple):
    """A published file: what it holds, its name and the address that it is at."""

    what: str
    file: str
    url: str


_TORCHVISION = "https://download.pytorch.org/models"
_LPIPS = "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights"
PUBLISHED: dict[type, Published] = {
    network: Published(f"torchvision's {name}", file, f"{_TORCHVISION}/{file}")
    for network, name, file in (
        (VGG16Features, "VGG-16", "vgg16-397923af.pth"),
        (VGG19Features, "VGG-19", "vgg19-dcbb9e9d.pth"),
        (AlexNetFeatures, "AlexNet", "alexnet-owt-7be5be79.pth"),
    )
}
PUBLISHED_LPIPS = {
    net: Published(
        f"the linear layers of LPIPS v0.1, {net}",
        f"{net}.pth",
        f"{_LPIPS}/v0.1/{net}.pth",
    )
    for net in ("alex", "vgg")
}


def convert_features(state_dict: Any, network: FeatureNetwork) -> Params:
    """Turns a state_dict of torchvision into the parameters of `network`.

    Args:
      state_dict: official names to arrays or tensors in PyTorch layout, of the whole
        network or of its `features` alone.
      network: what the weights belong to; its parameters are those that its layers
        need.

    Returns:
      The parameter tree, in the network's param_dtype.

    Raises:
      ValueError: an entry is missing, left over, of another shape or not finite.
    """
    what = PUBLISHED[type(network)].what
    layout = network.official_layout()
    wanted = {}
    for official, shape in layout.values():
        wanted[f"{official}.weight"] = shape
        wanted[f"{official}.bias"] = shape[:1]
    arrays = _strict(
        {
            name: value
            for name, value in root_of(state_dict).items()
            if not _CLASSIFIER.fullmatch(str(name))
        },
        wanted,
        what,
    )
    dtype = jnp.dtype(network.param_dtype)
    params: Params = {}
    for name in network.convolutions():
        official = layout[name][0]
        kernel = np.transpose(arrays[f"{official}.weight"], (2, 3, 1, 0))
        params[name] = {
            "kernel": jnp.asarray(kernel, dtype),
            "bias": jnp.asarray(arrays[f"{official}.bias"], dtype),
        }
    return params


def convert_lpips_linear(
    state_dict: Any, channels: Mapping[str, int]
) -> dict[str, Any]:
    """Turns a state_dict of the linear layers of LPIPS into weights of channels.

    Args:
      state_dict: 'lin0.model.1.weight' and so on, (1, channels, 1, 1).
      channels: the layers of the network and the number of their channels, in order.

    Returns:
      For each layer the weights of its channels, (channels,) float32.

    Raises:
      ValueError: an entry is missing, left over, of another shape, not finite, or
        negative, which no published one is.
    """
    names = {layer: f"lin{i}.model.1.weight" for i, layer in enumerate(channels)}
    wanted = {names[layer]: (1, count, 1, 1) for layer, count in channels.items()}
    arrays = _strict(root_of(state_dict), wanted, "the linear layers of LPIPS")
    for name, array in arrays.items():
        if array.min() < 0:
            raise ValueError(
                f"{name} has negative weights, with which LPIPS is no distance; take "
                "the published file."
            )
    return {
        layer: jnp.asarray(arrays[name].reshape(-1), jnp.float32)
        for layer, name in names.items()
    }


def _strict(
    state_dict: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]], what: str
) -> dict[str, np.ndarray]:
    """The arrays of a state_dict, after a check of names, shapes and values."""
    arrays = {str(name): as_array(name, value) for name, value in state_dict.items()}
    problems = {
        "missing": [name for name in wanted if name not in arrays],
        "left over": [name for name in arrays if name not in wanted],
        "of another shape": [
            f"{name} has shape {arrays[name].shape}, expected {shape}"
            for name, shape in wanted.items()
            if name in arrays and arrays[name].shape != shape
        ],
    }
    found = [f"{label}: {_listed(names)}" for label, names in problems.items() if names]
    if found:
        raise ValueError(
            f"the state_dict is not that of {what}; {'; '.join(found)}. Give the "
            "published file."
        )
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} holds values that are not finite: the file is damaged; fetch "
                "it again."
            )
    return arrays


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
