"""Official weights on disk: .pth files, and work directories made from them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from vrt_spike_jax.atomic_file import new_directory, replacing, require_new
from vrt_spike_jax.models.variants import VARIANTS, variant_of
from vrt_spike_jax.models.vrt import VRT
from vrt_spike_jax.official_layout import vrt_layout
from vrt_spike_jax.official_tasks import TASKS, numbers_in, task_names
from vrt_spike_jax.official_weights import (
    Params,
    convert_vrt_state_dict,
    fitting_tasks,
    flax_path,
    flax_shape,
    is_spynet,
    root_of,
    to_vrt_state_dict,
)

# Pixels of the input restored at once, and shared by tiles: what a laptop holds. The
# tiles of the official README want a large GPU.
_TILE_SIZE = 128
_TILE_OVERLAP = 32


def load_pretrained(path: str | Path, model: Any) -> Params:
    """The parameters of `model` from a file or a directory.

    Args:
      path: an official .pth file (this needs PyTorch), or a directory written by
        `python -m vrt_spike_jax.pretrained` or by a training of the same VRT.
      model: the VRT that the weights belong to; of a VRTSpike, its vrt.

    Returns:
      The parameter tree, in the model's param_dtype; {'spynet': ..} for the published
      file of SpyNet alone.

    Raises:
      FileNotFoundError: there is nothing at `path`, or no checkpoint in it.
      ModuleNotFoundError: a .pth file is to be read and PyTorch is not installed.
      ValueError: the file cannot be read, or holds other weights than the model's.
    """
    path = Path(path)
    if not path.is_dir():
        state_dict = read_pth(path)
        with _named(path):
            return convert_vrt_state_dict(state_dict, model)
    if not isinstance(model, VRT):
        raise ValueError(
            f"load_pretrained takes a VRT; got {type(model).__name__}: of a VRTSpike "
            "pass model.vrt, whose parameters stand under 'vrt'."
        )
    from vrt_spike_jax import checkpoint

    abstract = traverse_util.unflatten_dict(
        {
            flax_path(name, entry): jax.ShapeDtypeStruct(
                flax_shape(name, entry), jnp.dtype(model.param_dtype)
            )
            for name, entry in vrt_layout(model).items()
            if entry.buffer is None
        }
    )
    params: Params = checkpoint.restore_params(_checkpoints_of(path), abstract)
    return params


def read_pth(path: str | Path) -> Mapping[str, Any]:
    """The state_dict of a .pth file: names to tensors of PyTorch on the CPU.

    Nothing but tensors and plain values is read: a file cannot run code.

    Raises:
      FileNotFoundError: there is no such file.
      ModuleNotFoundError: PyTorch is not installed.
      ValueError: it is no such file, or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; name a .pth file.")
    torch = _torch(f"reading {path}")
    try:
        with warnings.catch_warnings():
            # Of the format of a file that is then read, or refused below.
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it is no file of torch.save, or holds more than "
            "tensors, which could run code when it is read; save the state_dict alone, "
            "with torch.save(model.state_dict(), FILE)."
        ) from error
    # What else a file of other bytes makes the reader raise is not documented.
    except Exception as error:
        reason = str(error).strip().splitlines()[:1]
        raise ValueError(
            f"{path} cannot be read as a file of torch.save; it may be incomplete, so "
            f"fetch it again ({type(error).__name__}: {''.join(reason)[:200]})."
        ) from error
    with _named(path):
        return root_of(loaded)


def write_pth(path: str | Path, state_dict: Mapping[str, np.ndarray]) -> None:
    """Writes {'params': state_dict} for PyTorch, whole or not at all.

    Raises:
      FileExistsError: there is something at `path`.
      ModuleNotFoundError: PyTorch is not installed.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists; name a new file.")
    torch = _torch(f"writing {path}")
    tensors = {name: torch.from_numpy(value) for name, value in state_dict.items()}
    with replacing(path) as temporary:
        torch.save({"params": tensors}, temporary)


def _torch(what: str) -> Any:
    """PyTorch, an optional extra that only .pth files need."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(
            f"{what} needs PyTorch; install it with: pip install 'torch>=2.6' (or pip "
            "install -e '.[torch]' in the clone of this repository)."
        ) from error
    return torch


def convert_file(source: str | Path, target: str | Path, *, task: str) -> int:
    """Makes a work directory from an official .pth file.

    Args:
      source: the .pth file.
      target: a directory that does not exist, or is empty.
      task: a key of VARIANTS or an official name.

    Returns:
      The number of parameters.

    Raises:
      FileExistsError, FileNotFoundError, NotADirectoryError: a path does not fit.
      ModuleNotFoundError: PyTorch is not installed.
      ValueError: the file holds other weights than those of the task.
    """
    variant = variant_of(task)
    source, target = Path(source), Path(target)
    require_new(target)
    state_dict = read_pth(source)
    if is_spynet(state_dict):
        raise ValueError(
            f"{source} holds SpyNet alone, which restores nothing; in Python, "
            "convert_vrt_state_dict gives its part of the parameters of a VRT."
        )
    _require_task(source, state_dict, variant)
    with _named(source):
        params = convert_vrt_state_dict(state_dict, VRT(**VARIANTS[variant]))
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    weights = {
        "file": source.name,
        "sha256": digest,
        "task": TASKS[variant].name if variant in TASKS else variant,
    }
    write_workdir(target, params, variant=variant, weights=weights)
    return sum(x.size for x in jax.tree.leaves(params))


def _require_task(source: Path, state_dict: Mapping[str, Any], variant: str) -> None:
    """Refuses a file whose shapes or whose name say that it is of another task."""
    fitting = fitting_tasks(state_dict)
    named = numbers_in(source.name)
    # A variant that is no task ('deblur') may share its shapes with some.
    alike = [n for n in fitting if VARIANTS[n] == VARIANTS[variant]]
    if fitting and not alike:
        # Several tasks share their shapes; then the name of the file knows better.
        right = next((n for n in fitting if n in named), fitting[0])
        raise ValueError(
            f"{source} fits task {task_names(fitting)} and not --task={variant}; pass "
            f"--task={right}."
        )
    if variant in TASKS and named and variant not in named:
        raise ValueError(
            f"{source} carries the number of {task_names(sorted(named))} in its name, "
            f"whose weights have the same shapes as those of --task={variant}; pass "
            f"--task={min(named)}, or rename the file if its name is wrong."
        )


def write_workdir(
    target: str | Path, params: Params, *, variant: str, weights: Mapping[str, str]
) -> None:
    """Writes a work directory for launch.py: checkpoints/0/params and config.json.

    Args:
      target: a directory that does not exist, or is empty; it appears whole or not at
        all.
      params: the parameters of the VRT of `variant`.
      variant: a key of VARIANTS.
      weights: where they are from: `file`, `sha256`, `task`.

    Raises:
      FileExistsError, NotADirectoryError, PermissionError: it cannot be made there.
      ValueError: checkpoints cannot be saved under such a name.
    """
    import orbax.checkpoint as ocp  # takes a second, which other uses need not wait

    from vrt_spike_jax import checkpoint

    target = Path(target)
    checkpoint.require_plain(target)
    with new_directory(target) as directory:
        with ocp.CheckpointManager(directory / "checkpoints") as manager:
            saved = ocp.args.Composite(params=ocp.args.StandardSave(params))
            manager.save(0, args=saved)
            manager.wait_until_finished()
        text = json.dumps(_config_of(variant, weights), indent=2)
        (directory / "config.json").write_text(text + "\n", encoding="utf-8")


def _config_of(variant: str, weights: Mapping[str, str]) -> dict[str, Any]:
    """What the weights decide of a configuration; configs/load.py adds the rest."""
    window = VARIANTS[variant]["window_size"]
    interpolates = VARIANTS[variant]["pa_frames"] == 0
    return {
        "name": "vrt",
        "recipe": variant,
        "model": {"variant": variant, "fusion": "none", "dtype": "float32"},
        "eval": {
            "tile": (window[0], _TILE_SIZE, _TILE_SIZE),
            # Interpolation takes every clip by itself.
            "overlap": (0 if interpolates else 2, _TILE_OVERLAP, _TILE_OVERLAP),
        },
        "weights": dict(weights),
    }


def export_workdir(source: str | Path, target: str | Path) -> tuple[int, bool]:
    """Writes the VRT of a work directory as an official .pth file.

    Args:
      source: a directory written by this module, or by a training.
      target: the .pth file, which must not exist.

    Returns:
      The number of parameters, and whether the model of the directory also has a spike
      encoder and fusions, which the official VRT has no place for.

    Raises:
      FileExistsError, FileNotFoundError: a path does not fit.
      ModuleNotFoundError: PyTorch is not installed.
      ValueError: the directory holds no VRT.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise FileExistsError(f"{target} exists; name a new file.")
    model = VRT(**VARIANTS[_variant_in(source / "config.json")])
    params, fused = stored_params(source), False
    if "vrt" in params:
        params, fused = params["vrt"], True
    with _named(source):
        state_dict = to_vrt_state_dict(params, model)
    write_pth(target, state_dict)
    return sum(x.size for x in jax.tree.leaves(params)), fused


def _variant_in(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.parent} holds no config.json; name the work directory of a "
            "training, or one that this command wrote."
        )
    try:
        variant = json.loads(path.read_text(encoding="utf-8"))["model"]["variant"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} names no model.variant; is it a config.json of ours?"
        ) from error
    return variant_of(str(variant))


def stored_params(directory: Path) -> Params:
    """The parameters of the newest checkpoint, whatever model they belong to.

    Args:
      directory: a work directory.

    Raises:
      FileNotFoundError: there is no checkpoint in it.
      ValueError: its parameters cannot be read.
    """
    import orbax.checkpoint as ocp

    from vrt_spike_jax import checkpoint

    checkpoints = _checkpoints_of(directory)
    path = checkpoints / str(checkpoint.newest_step(checkpoints)) / "params"
    with ocp.StandardCheckpointer() as reader:
        metadata = reader.metadata(path).item_metadata
    if metadata is None:
        raise ValueError(f"{path} holds no parameters that can be read.")
    flat = traverse_util.flatten_dict(dict(metadata.tree))
    abstract = {k: jax.ShapeDtypeStruct(x.shape, x.dtype) for k, x in flat.items()}
    params: Params = checkpoint.restore_params(
        checkpoints, traverse_util.unflatten_dict(abstract)
    )
    return params


def _checkpoints_of(directory: Path) -> Path:
    # orbax takes no relative path.
    checkpoints = (directory / "checkpoints").resolve()
    if not checkpoints.is_dir():
        raise FileNotFoundError(
            f"{directory} holds no folder 'checkpoints'; name a work directory, or a "
            ".pth file."
        )
    return checkpoints


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the path before what is wrong with its contents."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
