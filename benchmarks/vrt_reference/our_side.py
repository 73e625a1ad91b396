"""This repository's VRT as one side of the timing; see `side.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from benchmarks.vrt_reference import seeded, side


def main() -> None:
    """Arguments: a key of VARIANTS, and overrides of its arguments as JSON."""
    answers = side.claim_stdout()
    import jax
    import numpy as np

    from vrt_spike_jax import convert_vrt_state_dict, create_model

    model = create_model(sys.argv[1], **json.loads(sys.argv[2]))

    def prepare(
        shape: list[int], parameters: dict[str, list[int]]
    ) -> Callable[[], np.ndarray]:
        state_dict = {
            name: seeded.weight(name, size, side.SEED)
            for name, size in parameters.items()
        }
        params = convert_vrt_state_dict(state_dict, model)
        clip = seeded.frames(shape, side.SEED).transpose(0, 1, 3, 4, 2)
        frames = jax.device_put(np.asarray(clip, np.float32))
        run = jax.jit(lambda params, x: model.apply({"params": params}, x))
        compiled = run.lower(params, frames).compile()

        def forward() -> np.ndarray:
            return np.asarray(compiled(params, frames)).transpose(0, 1, 4, 2, 3)

        return forward

    side.serve(answers, {"jax": jax.__version__, **side.about_process()}, prepare)


if __name__ == "__main__":
    main()
