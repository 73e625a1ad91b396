"""How good a model is while it trains: one number, by which the best is kept."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from vrt_spike_jax.agreement import together, totals
from vrt_spike_jax.evaluate import score_clip
from vrt_spike_jax.restorer import Restorer
from vrt_spike_jax.shared_clips import EVALUATION, own_clips


def mean_psnr(
    model: Restorer, params: Any, clips: Sequence[Any], settings: Any
) -> float:
    """PSNR [dB], the mean over the frames of all clips; that of an evaluation.

    Several processes call it together and share the clips.

    Args:
      model: as for `restore_video`.
      params: its parameters, the same in each process.
      clips: each as for `score_clip`, read by index when its turn comes.
      settings: `eval` of a configuration.

    Raises:
      ValueError: as `score_clip`, or another process failed.
    """
    tiles = {
        "tile": tuple(settings.tile),
        "overlap": tuple(settings.overlap),
        "tiling": settings.tiling,
    }
    own = own_clips(
        len(clips),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    values: list[float] = []
    with together(EVALUATION):
        for index in own:
            scores = score_clip(
                model, params, clips[index], metrics=("psnr",), tiles=tiles
            )
            if scores.values:  # a clip without sharp frames has none
                values += scores.values["model"]["psnr"]
    total, count = totals(np.array([sum(values), len(values)], np.float32))
    return float(total / count)
