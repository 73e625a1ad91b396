"""Reproduces the reference runs of a folder: a check of `public_code`.

  TORCH_PYTHON benchmarks/vrt_reference/check_public_code.py --vrt CHECKOUT \\
      --cases ../shared/vrt_parity
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import public_code
import torch


def main() -> None:
    """Prints the largest difference per case and array."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vrt", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True)
    options = parser.parse_args()
    network = public_code.load_network(options.vrt)
    for path in sorted(options.cases.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        model = public_code.build(network, case["args"], case["seed"], torch.float64)
        listed = {name: shape for name, shape in case["state_dict"]}
        assert public_code.parameters_of(model) == listed, path
        found: dict[str, torch.Tensor] = {}
        model.stage4.register_forward_hook(
            lambda module, inputs, output, found=found: found.update(stage4=output)
        )
        with np.load(path.with_suffix(".npz")) as arrays, torch.no_grad():
            frames = public_code.as_input(arrays["input"], torch.float64)
            stride = case["output_stride"]
            found["output"] = model(frames)[..., ::stride, ::stride]
            if "flow_backward0" in arrays:
                backward, forward = model.get_flows(frames[:, :, :3])
                found["flow_backward0"] = backward[0]
                found["flow_forward3"] = forward[3]
            for key, value in sorted(found.items()):
                # The files hold float32, to which both float64 runs are rounded.
                stored = arrays[key]
                error = np.abs(value.numpy().astype(stored.dtype) - stored).max()
                print(f"{path.stem} {key}: {error:.2e}", flush=True)


if __name__ == "__main__":
    main()
