"""Small training batches of a data set that a test built."""

import itertools
from typing import Any

from data_pipeline import pipeline
from data_pipeline.spike_input import SpikeInput

OPTIONS: dict[str, Any] = {
    "num_frames": 2,
    "crop_size": 24,
    "spike_input": SpikeInput("voxel", {"num_bins": 4}),
    "batch_size": 2,
    "seed": 7,
    "start_step": 0,
}


def take(directory: str, count: int, **options: Any) -> list[pipeline.Batch]:
    batches = pipeline.train_batches(directory, **(OPTIONS | options))
    return list(itertools.islice(batches, count))
