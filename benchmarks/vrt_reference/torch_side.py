"""The public PyTorch VRT as one side of the timing; see `side.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import public_code
import seeded
import side
import torch


def main() -> None:
    """Arguments: the checkout and the task's number."""
    answers = side.claim_stdout()
    checkout, task = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = public_code.load_network(checkout)
    arguments = public_code.task_arguments(checkout)[task]
    model = public_code.build(network, arguments, side.SEED, torch.float32)

    def prepare(
        shape: list[int], parameters: dict[str, list[int]]
    ) -> Callable[[], np.ndarray]:
        assert parameters == public_code.parameters_of(model)
        clip = seeded.frames(shape, side.SEED)
        frames = public_code.as_input(clip, torch.float32)

        def forward() -> np.ndarray:
            with torch.inference_mode():
                return model(frames).numpy()

        return forward

    about = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "parameters": public_code.parameters_of(model),
        **side.about_process(),
    }
    side.serve(answers, about, prepare)


if __name__ == "__main__":
    main()
