"""Official PyTorch VRT weights as a Flax parameter tree.

The conversion is by name and strict: nothing missing, nothing left over, every shape
checked, and the buffers a checkpoint carries compared with the ones computed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from vrt_spike_jax.models.spynet import MEAN, STD
from vrt_spike_jax.models.vrt import VRT
from vrt_spike_jax.models.window_attention import (
    relative_position_index,
    sine_position_bias,
)

Params = dict[str, Any]
_BUFFER = re.compile(
    r"(.*\.)?(relative_position_index|position_bias|spynet\.mean|spynet\.std)"
)
_SHOWN = 5


def official_name(path: tuple[str, ...]) -> str:
    """Official state_dict name of a Flax parameter."""
    *modules, leaf = path
    name = ".".join(re.sub(r"_(\d+)", r".\1", module) for module in modules)
    if leaf in ("kernel", "scale"):
        leaf = "weight"
    return f"{name}.{leaf}"


def _to_flax(value: np.ndarray, leaf: str) -> np.ndarray:
    """PyTorch layout to Flax layout: the output axis goes last."""
    if leaf != "kernel" or value.ndim < 2:
        return value
    if value.ndim == 5:
        # Convolutions over (1, n, n): one image at a time.
        value = value[:, :, 0]
    return np.moveaxis(value, (0, 1), (-1, -2))


def _abstract_params(model: VRT) -> dict[tuple[str, ...], jax.ShapeDtypeStruct]:
    channels = model.in_chans + int(model.nonblind_denoising)
    shape = (1, model.img_size[0], model.min_size, model.min_size, channels)
    frames = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), frames)
    flat: dict[tuple[str, ...], jax.ShapeDtypeStruct] = traverse_util.flatten_dict(
        variables["params"]
    )
    return flat


def _listed(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _check_buffer(name: str, value: np.ndarray, model: VRT) -> None:
    kind = name.rsplit(".", 1)[-1]
    if kind in ("mean", "std"):
        expected = np.reshape(MEAN if kind == "mean" else STD, (1, 3, 1, 1))
    elif kind == "position_bias":
        height, width = model.window_size[1:]
        expected = sine_position_bias(height, width, value.shape[-1])[None]
    else:
        expected = _index_of(name, model)
    if value.shape != expected.shape or not np.allclose(value, expected, atol=1e-5):
        raise ValueError(
            f"buffer {name} differs from the one of this model (shape {value.shape}, "
            f"expected {expected.shape}): the checkpoint belongs to another "
            "window_size or variant; create the model of the checkpoint's task."
        )


def _index_of(name: str, model: VRT) -> np.ndarray:
    frames, height, width = model.window_size
    if ".residual_group1." in name:
        frames = 2
    group = re.match(r"stage8\.(\d+)\.", name)
    if group and int(group.group(1)) + 6 in model.indep_reconsts:
        frames = 1
    return relative_position_index((frames, height, width))


def convert_vrt_state_dict(state_dict: Mapping[str, Any], model: VRT) -> Params:
    """Turns an official state_dict into the parameters of `model`.

    Args:
      state_dict: official names to arrays in PyTorch layout, or {'params': such a
        mapping}, the other form of the published files. Buffers may be left out; those
        present are compared with what the model computes.
      model: the VRT the weights belong to.

    Returns:
      The parameter tree, in the model's param_dtype.

    Raises:
      ValueError: an entry is missing, left over or of another shape; it is named.
    """
    if set(state_dict) == {"params"}:
        state_dict = state_dict["params"]
    entries = {name: np.asarray(value) for name, value in state_dict.items()}
    for name in [name for name in entries if _BUFFER.fullmatch(name)]:
        _check_buffer(name, entries.pop(name), model)
    flat, missing = {}, []
    for path, abstract in _abstract_params(model).items():
        name = official_name(path)
        if name not in entries:
            missing.append(name)
            continue
        value = _to_flax(entries.pop(name), path[-1])
        if value.shape != abstract.shape:
            raise ValueError(
                f"{name} has shape {value.shape} in Flax layout; the model expects "
                f"{abstract.shape}: create the model of the checkpoint's task."
            )
        flat[path] = jnp.asarray(value, model.param_dtype)
    if missing or entries:
        found = [
            f"{label}: {_listed(list(names))}"
            for label, names in (("missing", missing), ("left over", entries))
            if names
        ]
        raise ValueError(
            f"the state_dict does not fit the model; {'; '.join(found)}. "
            "Create the model of the checkpoint's task."
        )
    params: Params = traverse_util.unflatten_dict(flat)
    return params
