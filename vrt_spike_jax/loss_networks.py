"""The frozen networks that losses compare features of: read from their files."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from vrt_spike_jax.feature_files import load_features
from vrt_spike_jax.feature_weights import PUBLISHED
from vrt_spike_jax.losses.perceptual import network
from vrt_spike_jax.losses.table import network_names
from vrt_spike_jax.models.vgg import VGG19Features


def require_files(settings: Any) -> None:
    """Raises unless the files are there that the active losses need.

    Args:
      settings: the loss section of a configuration.

    Raises:
      FileNotFoundError: a file is not there, or not named; says where it is published.
      ValueError: a layer is none of VGG's.
    """
    if not network_names(settings):
        return
    own = settings["perceptual"]
    network(own["layers"]).convolutions()
    if not own["path"] or not _path(settings).is_file():
        published = PUBLISHED[VGG19Features]
        named = f"is no file: {own['path']}" if own["path"] else "names no file"
        raise FileNotFoundError(
            f"loss.perceptual.weight is {own['weight']}, but loss.perceptual.path "
            f"{named}; {published.what} is needed, which nothing can stand in for: "
            f"fetch {published.url} and pass --config.loss.perceptual.path=FILE."
        )


def load_networks(settings: Any) -> dict[str, PyTree]:
    """The parameters of every network that the active losses need, by its name.

    Args:
      settings: the loss section of a configuration.

    Raises:
      FileNotFoundError, ModuleNotFoundError, ValueError: as `load_features`.
    """
    layers = settings["perceptual"]["layers"]
    return {
        name: load_features(_path(settings), network(layers))
        for name in network_names(settings)
    }


def abstract_networks(settings: Any) -> dict[str, PyTree]:
    """Shapes and types of `load_networks`, without reading any file."""
    found = {}
    for name in network_names(settings):
        features = network(settings["perceptual"]["layers"])
        frame = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
        found[name] = jax.eval_shape(features.init, jax.random.key(0), frame)["params"]
    return found


def _path(settings: Any) -> Path:
    return Path(settings["perceptual"]["path"]).expanduser()
