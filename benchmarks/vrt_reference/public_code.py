"""The public PyTorch VRT of a checkout, made ready to be the other side.

Runs in the environment of that code (torch, torchvision, einops, NumPy), not in ours.
Nothing of the checkout is changed or copied; what newer versions of Python and PyTorch
lack or warn of is provided here, at run time.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import seeded
import torch

_BUFFERS = ("relative_position_index", "position_bias", "spynet.mean", "spynet.std")


def load_network(checkout: Path) -> types.ModuleType:
    """The module `models/network_vrt.py` of a checkout of the public code.

    Raises:
      FileNotFoundError: the folder holds no such file.
    """
    path = checkout / "models" / "network_vrt.py"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: --vrt must be a checkout of the public VRT."
        )
    # Asserted in the code only to reject PyTorch before 1.8; gone from Python 3.12.
    version = types.ModuleType("distutils.version")
    version.LooseVersion = (
        lambda text: tuple(  # type: ignore[attr-defined]
            int(part) for part in text.split("+")[0].split(".")[:2]
        )
    )
    sys.modules["distutils.version"] = version
    sys.modules.setdefault("distutils", types.ModuleType("distutils"))
    warnings.filterwarnings("ignore", message=".*torch.meshgrid.*")
    spec = importlib.util.spec_from_file_location("network_vrt", path)
    assert spec is not None and spec.loader is not None
    network = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(network)
    # Recomputation in the backward pass changes no value, and costs time and a warning.
    network.checkpoint = types.SimpleNamespace(  # type: ignore[attr-defined]
        checkpoint=lambda function, *args: function(*args)
    )
    return network


def task_arguments(checkout: Path) -> dict[str, dict[str, Any]]:
    """Arguments of the constructor by task number, as the test program gives them."""
    source = (checkout / "main_test_vrt.py").read_text(encoding="utf-8")
    found = {}
    for branch in ast.walk(ast.parse(source)):
        if not isinstance(branch, ast.If):
            continue
        names = [
            node.value[:3]
            for node in ast.walk(branch.test)
            if isinstance(node, ast.Constant) and "_VRT_" in str(node.value)
        ]
        first = branch.body[0]
        if not names or not isinstance(first, ast.Assign):
            continue
        call = first.value
        if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "net"):
            continue
        arguments = {key.arg: ast.literal_eval(key.value) for key in call.keywords}
        found.update(dict.fromkeys(names, arguments))
    return found


def parameters_of(model: torch.nn.Module) -> dict[str, list[int]]:
    """Shape of every parameter by its official name; no buffers."""
    return {
        name: list(value.shape)
        for name, value in model.state_dict().items()
        if not name.endswith(_BUFFERS)
    }


def build(
    network: types.ModuleType,
    arguments: Mapping[str, Any],
    seed: int,
    dtype: torch.dtype,
) -> torch.nn.Module:
    """A public VRT with the seeded weights, in evaluation mode."""
    # First the dtype, then the weights: they are not to be rounded to float32.
    model = network.VRT(**arguments).to(dtype)
    weights = {
        name: torch.from_numpy(seeded.weight(name, shape, seed))
        for name, shape in parameters_of(model).items()
    }
    found = model.load_state_dict(weights, strict=False)
    assert not found.unexpected_keys
    assert all(name.endswith(_BUFFERS) for name in found.missing_keys)
    return model.eval()


def as_input(frames: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """A clip (n, d, c, h, w) as the public code takes it."""
    return torch.from_numpy(np.ascontiguousarray(frames)).to(dtype)
