"""A reference run of the public VRT: its model, its seeded weights, its arrays."""

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vrt_spike_jax import VRT


class ParityCase(NamedTuple):
    """What `../shared/vrt_parity/README.md` describes, for one case."""

    model: VRT
    state_dict: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    output_stride: int


def _weight(name: str, shape: list[int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(f"{seed}:{name}".encode()))
    n = rng.standard_normal(shape)
    if name.endswith("relative_position_bias_table"):
        return 0.5 * n
    if len(shape) > 1:
        return n / np.sqrt(np.prod(shape[1:]))
    return 1 + 0.1 * n if name.endswith("weight") else 0.05 * n


def load(folder: Path, name: str) -> ParityCase:
    """Reads NAME.json and NAME.npz; the model runs in float64."""
    case: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in case["args"].items()
    }
    model = VRT(**arguments, dtype=jnp.float64, param_dtype=jnp.float64)
    state_dict = {n: _weight(n, s, case["seed"]) for n, s in case["state_dict"]}
    with np.load(folder / f"{name}.npz") as arrays:
        return ParityCase(model, state_dict, dict(arrays), case["output_stride"])
