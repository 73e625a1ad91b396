"""Weights, inputs and probes that follow from names, alike on both sides.

Only NumPy: the side that runs the public PyTorch code and the one that runs this
repository each compute them, so no file holds a weight. The rule is that of
`../shared/vrt_parity/README.md`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np


def normal(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """Standard normal numbers that depend on the name and the seed alone."""
    rng = np.random.default_rng(zlib.crc32(f"{seed}:{name}".encode()))
    return rng.standard_normal(tuple(shape))


def weight(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """The parameter of an official name, PyTorch layout, float64."""
    n = normal(name, shape, seed)
    if name.endswith("relative_position_bias_table"):
        return 0.5 * n
    if len(shape) > 1:
        return n / np.sqrt(np.prod(shape[1:]))
    return 1 + 0.1 * n if name.endswith("weight") else 0.05 * n


def frames(shape: Sequence[int], seed: int) -> np.ndarray:
    """A clip (n, d, c, h, w) of independent values in [0, 1), float64."""
    rng = np.random.default_rng(zlib.crc32(f"{seed}:input".encode()))
    return rng.random(tuple(shape))


def probes(
    names_and_shapes: Iterable[tuple[str, Sequence[int]]], number: int, seed: int
) -> dict[str, np.ndarray]:
    """One array per parameter, onto which a gradient is projected."""
    return {
        name: normal(f"probe{number}:{name}", shape, seed)
        for name, shape in names_and_shapes
    }
