"""Reads the published files of VGG, AlexNet and LPIPS; never random weights instead."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vrt_spike_jax.feature_weights import (
    PUBLISHED,
    PUBLISHED_LPIPS,
    FeatureNetwork,
    Published,
    convert_features,
    convert_lpips_linear,
)
from vrt_spike_jax.metrics.lpips import CHANNELS, LPIPSWeights, feature_network, net_of
from vrt_spike_jax.official_files import read_pth
from vrt_spike_jax.official_weights import Params

# torchvision puts the beginning of the SHA-256 of a file into its name.
_DIGEST = re.compile(r".*-([0-9a-f]{8})\.pth")


def load_features(path: str | Path, network: FeatureNetwork) -> Params:
    """The parameters of a feature network from torchvision's file. Needs PyTorch.

    Args:
      path: the .pth file that torchvision publishes for this network.
      network: VGG16Features, VGG19Features or AlexNetFeatures.

    Returns:
      The parameter tree, in the network's param_dtype.

    Raises:
      FileNotFoundError: there is no such file; says where it is published.
      ModuleNotFoundError: PyTorch is not installed.
      ValueError: the file is damaged, or holds other weights.
    """
    published = PUBLISHED[type(network)]
    state_dict = _read(Path(path), published)
    try:
        return convert_features(state_dict, network)
    except ValueError as error:
        raise ValueError(f"{path}: {error} It is at {published.url}.") from error


def load_lpips(
    net: str, backbone_path: str | Path, linear_path: str | Path
) -> LPIPSWeights:
    """The weights of LPIPS v0.1 from its two published files. Needs PyTorch.

    Args:
      net: 'alex' or 'vgg'.
      backbone_path: torchvision's AlexNet or VGG-16.
      linear_path: the linear layers, weights/v0.1/alex.pth or vgg.pth of the package
        lpips.

    Raises:
      FileNotFoundError: there is no such file; says where it is published.
      ModuleNotFoundError: PyTorch is not installed.
      ValueError: an unknown net, or a file is damaged or holds other weights.
    """
    net = net_of(net)
    published = PUBLISHED_LPIPS[net]
    params = load_features(backbone_path, feature_network(net))
    state_dict = _read(Path(linear_path), published)
    try:
        linear = convert_lpips_linear(state_dict, CHANNELS[net])
    except ValueError as error:
        raise ValueError(f"{linear_path}: {error} It is at {published.url}.") from error
    return LPIPSWeights(net, params, linear)


def _read(path: Path, published: Published) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path}; {published.what} are needed, which nothing can "
            f"stand in for: fetch {published.url} and name it."
        )
    named = _DIGEST.fullmatch(path.name)
    if named and path.name == published.file:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if not digest.startswith(named[1]):
            raise ValueError(
                f"{path} is damaged: its SHA-256 begins with {digest[:8]} and not with "
                f"{named[1]}, as its name says; fetch {published.url} again."
            )
    return read_pth(path)
