"""A reference run of the public VRT: its model, its seeded weights, its arrays."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from benchmarks.vrt_reference import seeded
from vrt_spike_jax import VRT


class ParityCase(NamedTuple):
    """What `../shared/vrt_parity/README.md` describes, for one case."""

    model: VRT
    state_dict: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    output_stride: int


class GradientCase(NamedTuple):
    """What `benchmarks/vrt_reference/write_gradients.py` writes, for one case."""

    model: VRT
    state_dict: dict[str, np.ndarray]
    frames: np.ndarray  # (n, d, h, w, c)
    seed: int
    norms: dict[str, float]
    # One array per probe: the inner product of each parameter's gradient with it.
    projections: list[dict[str, float]]
    loss: float

    def probe(self, number: int) -> dict[str, np.ndarray]:
        """The arrays of `projections[number]`, official names and layout."""
        shapes = [(name, value.shape) for name, value in self.state_dict.items()]
        return seeded.probes(shapes, number, self.seed)

    def cotangent(self, shape: tuple[int, ...]) -> np.ndarray:
        """The loss is the sum of this times the output, both (n, d, c, h, w)."""
        return seeded.normal("loss", shape, self.seed)


def _model(case: dict[str, Any], **options: Any) -> VRT:
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in case["args"].items()
    }
    precision = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    return VRT(**arguments, **precision, **options)


def _state_dict(case: dict[str, Any]) -> dict[str, np.ndarray]:
    seed = case["seed"]
    return {
        name: seeded.weight(name, shape, seed) for name, shape in case["state_dict"]
    }


def load(folder: Path, name: str) -> ParityCase:
    """Reads NAME.json and NAME.npz; the model runs in float64."""
    case: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    with np.load(folder / f"{name}.npz") as arrays:
        return ParityCase(
            _model(case), _state_dict(case), dict(arrays), case["output_stride"]
        )


def load_gradients(folder: Path, name: str, **options: Any) -> GradientCase:
    """Reads NAME.json and NAME.npz; `options` are further arguments of VRT."""
    case: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    names = [parameter for parameter, _ in case["state_dict"]]
    frames = seeded.frames(case["input_shape"], case["seed"])
    with np.load(folder / f"{name}.npz") as arrays:
        return GradientCase(
            model=_model(case, **options),
            state_dict=_state_dict(case),
            frames=frames.transpose(0, 1, 3, 4, 2),
            seed=case["seed"],
            norms=dict(zip(names, arrays["norms"].tolist(), strict=True)),
            projections=[
                dict(zip(names, row.tolist(), strict=True))
                for row in arrays["projections"]
            ],
            loss=float(arrays["loss"]),
        )
