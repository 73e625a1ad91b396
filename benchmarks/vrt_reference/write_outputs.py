"""Outputs of the public code at full size, in float64, for `compare_outputs.py`.

  TORCH_PYTHON benchmarks/vrt_reference/write_outputs.py --vrt CHECKOUT --out FOLDER \\
      005:5x96x80 002:12x64x64 ...

A case is TASK:FRAMESxHEIGHTxWIDTH. The constructor's arguments are read from the
checkout's `main_test_vrt.py`, the weights are the seeded ones. Beside the output the
file holds how far it moves when every input value moves by one part in 1e15: what the
rounding of float64 alone may come to in so deep a network.
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

_SEED = 7
_NUDGE = 1e-15


def write_case(
    network: Any, arguments: dict[str, Any], shape: list[int], path: Path
) -> None:
    """Runs one case and writes PATH.json and PATH.npz."""
    start = time.perf_counter()
    model = public_code.build(network, arguments, _SEED, torch.float64)
    frames = public_code.as_input(seeded.frames(shape, _SEED), torch.float64)
    found: list[torch.Tensor] = []
    model.stage4.register_forward_hook(
        lambda module, inputs, output: found.append(output)
    )
    with torch.no_grad():
        output = model(frames)
        nudged = model(frames * (1 + _NUDGE))
    case = {
        "args": arguments,
        "seed": _SEED,
        "input_shape": shape,
        "state_dict": list(public_code.parameters_of(model).items()),
    }
    path.with_suffix(".json").write_text(json.dumps(case) + "\n", encoding="utf-8")
    rounding = (nudged - output).abs().max().item()
    np.savez(
        path.with_suffix(".npz"),
        output=output.numpy(),
        stage4=found[0].numpy(),
        rounding=rounding,
    )
    seconds = time.perf_counter() - start
    print(
        f"{path.name}: largest output {output.abs().max().item():.3g}, moved by "
        f"{rounding:.1e}, {seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    """Writes the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vrt", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("cases", nargs="+", metavar="TASK:DxHxW")
    options = parser.parse_args()
    network = public_code.load_network(options.vrt)
    tasks = public_code.task_arguments(options.vrt)
    options.out.mkdir(parents=True, exist_ok=True)
    for case in options.cases:
        task, _, size = case.partition(":")
        d, h, w = (int(length) for length in size.split("x"))
        arguments = tasks[task]
        channels = 4 if arguments.get("nonblind_denoising") else 3
        path = options.out / f"{task}_{size}"
        write_case(network, arguments, [1, d, channels, h, w], path)


if __name__ == "__main__":
    main()
