"""Official PyTorch VRT weights to Flax parameters, and back.

Both ways go by name and are strict: nothing missing, nothing left over, every shape
checked, and the buffers that a state_dict carries compared with those of the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.typing import DTypeLike

from vrt_spike_jax.models.spynet import SpyNet
from vrt_spike_jax.models.variants import VARIANTS
from vrt_spike_jax.models.vrt import VRT
from vrt_spike_jax.official_layout import Entry, spynet_layout, vrt_layout
from vrt_spike_jax.official_tasks import TASKS, task_names

Params = dict[str, Any]
Layout = dict[str, Entry]
# What a model wrapped for several GPUs puts before each name.
_PARALLEL = "module."
_SPYNET = "spynet."
_SHOWN = 5
_SPYNET_NAME = re.compile(r"basic_module\.\d+\..*|mean|std")


def convert_vrt_state_dict(state_dict: Any, model: Any) -> Params:
    """Turns an official state_dict into the parameters of `model`.

    Args:
      state_dict: official names to arrays or tensors in PyTorch layout, or {'params':
        such a mapping}, the other form of the published files. Buffers may be left out;
        those present are compared with what the model computes. The names may also be
        those of the published SpyNet alone.
      model: the VRT, or the SpyNet, that the weights belong to. For a VRT without a
        SpyNet (has_spynet=False) the entries under 'spynet.' are checked like all
        others, and then left out.

    Returns:
      The parameter tree, in the model's param_dtype. Of a state_dict of SpyNet alone:
      {'spynet': its tree} for a VRT, whose other parameters it does not hold, and its
      tree for a SpyNet.

    Raises:
      ValueError: an entry is missing, left over, of another shape or not finite; it is
        named, and so are the official tasks that the state_dict fits.
    """
    _require_model(model)
    state_dict = root_of(state_dict)
    if isinstance(model, SpyNet):
        layout = spynet_layout(model.features, buffers=True)
        return _convert(state_dict, layout, model.param_dtype)
    if not is_spynet(state_dict):
        return _convert_vrt(state_dict, model)
    if not model.pa_frames:
        raise ValueError(
            "the state_dict is of SpyNet alone, which a model without alignment "
            "(pa_frames 0, task 009) does not have; take the file of the task."
        )
    if not model.has_spynet:
        raise ValueError(
            "the state_dict is of SpyNet alone, which a model with has_spynet=False "
            "does not have; take a model with another alignment than 'spikes'."
        )
    layout = spynet_layout(model.spynet_features, buffers=True)
    return {"spynet": _convert(state_dict, layout, model.param_dtype)}


def to_vrt_state_dict(
    params: Mapping[str, Any], model: Any, *, buffers: bool = True
) -> dict[str, np.ndarray]:
    """Turns the parameters of `model` into the state_dict of the official one.

    Args:
      params: the parameter tree of `model`; of a VRTSpike, params['vrt'] with its vrt.
      model: the VRT, or the SpyNet, that the parameters belong to.
      buffers: whether the buffers are added, which a strict load in PyTorch asks for.

    Returns:
      Official names, in the official order, to new arrays in PyTorch layout: float32,
      or float64 where the parameters are; indices int64.

    Raises:
      ValueError: a parameter is missing, left over or of another shape; it is named.
    """
    _require_model(model)
    if isinstance(model, SpyNet):
        layout = spynet_layout(model.features, buffers=buffers)
    else:
        layout = vrt_layout(model)
    flat = traverse_util.flatten_dict(dict(params), sep="/")
    given = {name: tuple(np.shape(value)) for name, value in flat.items()}
    wanted = {
        "/".join(flax_path(name, entry)): flax_shape(name, entry)
        for name, entry in layout.items()
        if entry.buffer is None
    }
    differing = _differences(given, wanted)
    if differing:
        raise ValueError(
            f"the parameters are not those of the model; {differing}. Give the tree of "
            "this model, and of a VRTSpike params['vrt'] with its vrt."
        )
    found: dict[str, np.ndarray] = {}
    for name, entry in layout.items():
        if entry.buffer is None:
            value = flat["/".join(flax_path(name, entry))]
            found[name] = _to_official(name, value, entry)
        elif buffers:
            found[name] = entry.buffer.copy()
    return found


def flax_path(name: str, entry: Entry) -> tuple[str, ...]:
    """Where the parameter of an official name stands in the Flax tree."""
    *modules, leaf = re.sub(r"\.(\d+)(?=\.)", r"_\1", name).split(".")
    if leaf == "weight":
        leaf = "scale" if len(entry.shape) == 1 else "kernel"
    return (*modules, leaf)


def flax_shape(name: str, entry: Entry) -> tuple[int, ...]:
    """Shape in Flax of the parameter of an official name."""
    if not _is_kernel(name, entry):
        return entry.shape
    out, in_, *size = entry.shape
    return (*size[-2:], in_, out)


def root_of(state_dict: Any) -> Mapping[str, Any]:
    """The mapping of names to values in either form of the published files.

    Raises:
      ValueError: it is neither.
    """
    if not isinstance(state_dict, Mapping):
        raise ValueError(
            f"a state_dict maps names to arrays; got {type(state_dict).__name__}."
        )
    if set(state_dict) == {"params"} and isinstance(state_dict["params"], Mapping):
        state_dict = state_dict["params"]
    nested = [str(name) for name, x in state_dict.items() if isinstance(x, Mapping)]
    if nested:
        raise ValueError(
            f"the state_dict holds further mappings ({_listed(nested)}); give the one "
            "of them that maps the names of the model to arrays."
        )
    return state_dict


def is_spynet(state_dict: Mapping[str, Any]) -> bool:
    """Whether the names are those of SpyNet alone."""
    names = [str(name) for name in state_dict]
    return bool(names) and all(_SPYNET_NAME.fullmatch(name) for name in names)


def fitting_tasks(state_dict: Mapping[str, Any]) -> list[str]:
    """Numbers of the official tasks whose parameters have these names and shapes.

    Args:
      state_dict: official names to arrays, with or without buffers.
    """
    shapes = {str(name): np.shape(value) for name, value in state_dict.items()}
    found = []
    for number in TASKS:
        layout = vrt_layout(VRT(**VARIANTS[number]))
        needed = {name for name, entry in layout.items() if entry.buffer is None}
        if needed <= shapes.keys() <= layout.keys() and all(
            layout[name].shape == shape for name, shape in shapes.items()
        ):
            found.append(number)
    return found


def _require_model(model: Any) -> None:
    if not isinstance(model, VRT | SpyNet):
        raise ValueError(
            f"official weights belong to a VRT; got {type(model).__name__}: of a "
            "VRTSpike take model.vrt, whose parameters stand under 'vrt'."
        )


def _convert_vrt(state_dict: Mapping[str, Any], model: VRT) -> Params:
    if model.has_spynet or not model.pa_frames:
        return _convert(state_dict, vrt_layout(model), model.param_dtype)
    if not any(str(name).startswith(_SPYNET) for name in state_dict):
        return _convert(state_dict, vrt_layout(model), model.param_dtype)
    complete = vrt_layout(model.clone(has_spynet=True))
    params = _convert(state_dict, complete, model.param_dtype)
    del params["spynet"]
    return params


def _convert(state_dict: Mapping[str, Any], layout: Layout, dtype: DTypeLike) -> Params:
    entries = {str(name): as_array(name, x) for name, x in state_dict.items()}
    shapes = {name: value.shape for name, value in entries.items()}
    wanted = {
        name: entry.shape
        for name, entry in layout.items()
        if entry.buffer is None or name in entries
    }
    differing = _differences(shapes, wanted)
    if differing:
        raise ValueError(_misfit(shapes, wanted, differing, fitting_tasks(entries)))
    flat = {}
    for name in wanted:
        entry, value = layout[name], entries[name]
        if entry.buffer is None:
            with np.errstate(over="ignore"):  # refused below
                moved = _to_flax(name, value, entry).astype(jnp.dtype(dtype))
            if not np.isfinite(moved).all():
                raise ValueError(
                    f"{name} holds values that are not finite in {moved.dtype}: the "
                    "weights are damaged, or their training diverged; take others."
                )
            flat[flax_path(name, entry)] = jnp.asarray(moved)
        else:
            _compare_buffer(name, value, entry.buffer)
    params: Params = traverse_util.unflatten_dict(flat)
    return params


def as_array(name: object, value: Any) -> np.ndarray:
    """A tensor or an array as a NumPy array; types that NumPy lacks are widened.

    Raises:
      ValueError: it does not consist of real numbers.
    """
    if hasattr(value, "detach"):  # a tensor of PyTorch, which need not be installed
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.float()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be read as an array: {error}.") from error
    if not (jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.kind in "iu"):
        raise ValueError(
            f"{name} has values of the type {array.dtype}; weights are real numbers."
        )
    return array


def _is_kernel(name: str, entry: Entry) -> bool:
    return name.endswith(".weight") and len(entry.shape) > 1


def _to_flax(name: str, value: np.ndarray, entry: Entry) -> np.ndarray:
    """PyTorch layout to Flax layout: the output axis goes last."""
    if not _is_kernel(name, entry):
        return value
    if value.ndim == 5:
        # Convolutions over (1, n, n): one image at a time.
        value = value[:, :, 0]
    return np.moveaxis(value, (0, 1), (-1, -2))


def _to_official(name: str, value: Any, entry: Entry) -> np.ndarray:
    array = np.asarray(value)
    dtype = np.float64 if array.dtype == np.float64 else np.float32
    if _is_kernel(name, entry):
        array = np.moveaxis(array, (-1, -2), (0, 1))
    return np.array(array, dtype, order="C").reshape(entry.shape)


def _compare_buffer(name: str, value: np.ndarray, expected: np.ndarray) -> None:
    # A file stored in half precision has rounded its buffers as well.
    kind = jnp.issubdtype(value.dtype, jnp.floating)
    tolerance = max(1e-5, float(jnp.finfo(value.dtype).eps)) if kind else 0.0
    if not np.allclose(value.astype(np.float64), expected, rtol=0, atol=tolerance):
        raise ValueError(
            f"buffer {name} differs from the one of this model: the state_dict "
            "belongs to another window_size or to altered code."
        )


def _differences(
    shapes: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]
) -> str:
    """What does not agree, for a sentence; '' where everything does."""
    groups = {
        "missing": [name for name in wanted if name not in shapes],
        "left over": [name for name in shapes if name not in wanted],
        "of another shape": [
            f"{name} has shape {shapes[name]}, expected {wanted[name]}"
            for name in wanted
            if name in shapes and shapes[name] != wanted[name]
        ],
    }
    return "; ".join(
        f"{label}: {_listed(names)}" for label, names in groups.items() if names
    )


def _misfit(
    shapes: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    differing: str,
    tasks: list[str],
) -> str:
    """One sentence for a state_dict of another model."""
    if shapes and all(name.startswith(_PARALLEL) for name in shapes):
        return (
            f"all names begin with {_PARALLEL!r}, which PyTorch's DataParallel put "
            "there; save the state_dict of model.module instead of the model's."
        )
    name = "conv_first.weight"
    only_input = {n for n in wanted if shapes.get(n) != wanted[n]} == {name}
    if only_input and shapes.keys() == wanted.keys() and len(shapes[name]) == 5:
        found, needed = shapes[name][1], wanted[name][1]
        if abs(found - needed) == 1:
            return (
                f"{name} takes {found} channels, the model {needed}: one of the two "
                "has the noise level among them, as task 008 does; create the model "
                f"with nonblind_denoising={found > needed}"
                f"{f' (task {task_names(tasks)})' if tasks else ''}."
            )
    if tasks:
        return (
            f"the state_dict fits task {task_names(tasks)} and not this model; "
            f"{differing}. Take the model of that task: create_model({tasks[0]!r})."
        )
    return f"the state_dict does not fit the model, nor any official task; {differing}."


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
