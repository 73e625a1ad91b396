"""Gradients of the public code in float64, as fixtures of our gradient test.

  TORCH_PYTHON benchmarks/vrt_reference/write_gradients.py --vrt CHECKOUT \\
      --out tests/vrt_spike_jax/models/parity [--case NAME ...] [--full FOLDER]

The loss is the sum of output * normal("loss"). NAME.json holds the arguments and the
official names and shapes; NAME.npz the loss and, per parameter in that order, the L2
norm of its gradient and its projections on the seeded probes, all float64. --full also
writes the whole gradients, too large to keep.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import public_code
import seeded
import torch

_PROBES = 3
_SEED = 11
# Small, with unlike numbers wherever two could be confused: shifts along every axis,
# padded windows (5 frames, 72 wide), both groups shifted in the first two stages.
_DEBLUR: dict[str, Any] = {
    "upscale": 1,
    "img_size": [4, 64, 64],
    "window_size": [4, 8, 8],
    "depths": [4, 4, 2, 2, 2, 2, 2, 2, 1],
    "indep_reconsts": [8],
    "embed_dims": [8, 12, 12, 16, 12, 12, 8, 12, 12],
    "num_heads": [2, 3, 2, 4, 2, 2, 1, 2, 3],
    "mul_attn_ratio": 0.5,
    "pa_frames": 2,
    "deformable_groups": 4,
}
CASES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "gradient_deblur": (_DEBLUR, [1, 5, 3, 64, 72]),
    "gradient_nonblind": ({**_DEBLUR, "nonblind_denoising": True}, [2, 3, 4, 64, 64]),
    "gradient_sr_x4_pa4": (
        {**_DEBLUR, "upscale": 4, "pa_frames": 4},
        [1, 5, 3, 64, 64],
    ),
    "gradient_pa6": (
        {
            **_DEBLUR,
            "pa_frames": 6,
            "embed_dims": [12, 12, 12, 24, 12, 12, 12, 12, 12],
            "deformable_groups": 6,
        },
        [1, 5, 3, 64, 64],
    ),
    "gradient_interp": (
        {**_DEBLUR, "out_chans": 3, "pa_frames": 0, "indep_reconsts": []},
        [1, 4, 3, 64, 64],
    ),
}


def gradients(
    model: torch.nn.Module, frames: torch.Tensor, seed: int
) -> tuple[float, dict[str, np.ndarray]]:
    """The loss and its gradient by official name."""
    output = model(frames)
    cotangent = seeded.normal("loss", output.shape, seed)
    loss = (output * torch.from_numpy(cotangent)).sum()
    loss.backward()
    found = {}
    for name, value in model.named_parameters():
        assert value.grad is not None, f"{name} takes no part in the output"
        found[name] = value.grad.numpy()
    return loss.item(), found


def write_case(
    network: Any, name: str, out: Path, full: Path | None, seed: int = _SEED
) -> None:
    """Runs one case and writes its two files."""
    arguments, shape = CASES[name]
    start = time.perf_counter()
    model = public_code.build(network, arguments, seed, torch.float64)
    frames = public_code.as_input(seeded.frames(shape, seed), torch.float64)
    loss, found = gradients(model, frames, seed)
    listed = [(key, list(value.shape)) for key, value in found.items()]
    projections = np.stack(
        [
            [np.vdot(found[key], probe) for key, probe in probes.items()]
            for probes in (seeded.probes(listed, i, seed) for i in range(_PROBES))
        ]
    )
    norms = np.array([np.linalg.norm(value) for value in found.values()])
    case = {
        "args": arguments,
        "seed": seed,
        "input_shape": shape,
        "state_dict": listed,
    }
    (out / f"{name}.json").write_text(json.dumps(case) + "\n", encoding="utf-8")
    np.savez_compressed(
        out / f"{name}.npz", loss=loss, norms=norms, projections=projections
    )
    if full is not None:
        np.savez(full / f"{name}.npz", **found)  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    print(
        f"{name}: {len(norms)} parameters, loss {loss:.6g}, norms from "
        f"{norms.min():.2e} to {norms.max():.2e}, {seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    """Writes the cases asked for, all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vrt", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--case", choices=list(CASES), nargs="*", default=list(CASES))
    parser.add_argument("--full", type=Path)
    options = parser.parse_args()
    network = public_code.load_network(options.vrt)
    for name in options.case:
        write_case(network, name, options.out, options.full)


if __name__ == "__main__":
    main()
