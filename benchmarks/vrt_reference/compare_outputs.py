"""This repository's VRT against the outputs that `write_outputs.py` wrote, in float64.

  python -m benchmarks.vrt_reference.compare_outputs FOLDER [CASE ...]

The model of a case is create_model(TASK) of the number its name begins with, so that
the arguments of VARIANTS are compared with the public test program's as well.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.vrt_reference import seeded
from vrt_spike_jax import VARIANTS, convert_vrt_state_dict, create_model

# The sums are those of the default level; it compiles in half the time.
_QUICK = {"xla_backend_optimization_level": 0}


def compare(path: Path) -> bool:
    """Prints one case's largest differences; whether they keep to 1e-5."""
    case: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    task = path.name.split("_")[0]
    given = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in case["args"].items()
    }
    alike = given.items() <= VARIANTS[task].items()
    double = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    model = create_model(task, **double)
    seed = case["seed"]
    state_dict = {name: seeded.weight(name, s, seed) for name, s in case["state_dict"]}
    params = convert_vrt_state_dict(state_dict, model)
    frames = seeded.frames(case["input_shape"], seed).transpose(0, 1, 3, 4, 2)

    def run(params: Any, frames: Any) -> Any:
        out, state = model.apply({"params": params}, frames, mutable=["intermediates"])
        return out, state["intermediates"]["deepest_features"][0]

    start = time.perf_counter()
    compiled = jax.jit(run, compiler_options=_QUICK).lower(params, frames).compile()
    middle = time.perf_counter()
    output, deepest = compiled(params, frames)
    output = np.asarray(output).transpose(0, 1, 4, 2, 3)
    deepest = np.asarray(deepest).transpose(0, 4, 1, 2, 3)
    end = time.perf_counter()
    with np.load(path.with_suffix(".npz")) as arrays:
        assert output.shape == arrays["output"].shape, path
        error = np.abs(output - arrays["output"]).max()
        deep_error = np.abs(deepest - arrays["stage4"]).max()
        rounding = float(arrays["rounding"])
    print(
        f"{path.stem}: output {error:.1e}, stage4 {deep_error:.1e}; rounding "
        f"{rounding:.1e}; arguments {'alike' if alike else 'DIFFER'}; compiled in "
        f"{middle - start:.0f} s, run in {end - middle:.0f} s",
        flush=True,
    )
    return bool(alike and max(error, deep_error) <= 1e-5)


def main() -> None:
    """Compares every case of the folder, or those named; exits 1 if one is off."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    paths = [options.folder / f"{case}.json" for case in options.cases]
    results = [compare(path) for path in paths or sorted(options.folder.glob("*.json"))]
    raise SystemExit(not all(results))


if __name__ == "__main__":
    main()
