"""Mean and spread of the spikes of the training data, which are kept with a run."""

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_pipeline.atomic import new_file
from data_pipeline.normalisation import ChannelStatistics, measure
from data_pipeline.spike_input import SpikeInput

FILE_NAME = "spike_statistics.json"  # in the work directory of a run
NUM_SAMPLES = 64  # training samples that are measured


def measure_batches(
    batches: Iterator[Mapping[str, np.ndarray]], *, batch_size: int, side_channels: int
) -> ChannelStatistics:
    """Measures the first NUM_SAMPLES samples of training, with a progress bar.

    Args:
        batches: as `pipeline.train_batches` gives them, not standardised.
        batch_size: samples of a batch.
        side_channels: how many of the channels of 'spikes', the last ones, are left
            out.
    """
    count = -(-NUM_SAMPLES // batch_size)
    some = itertools.islice(batches, count)
    with tqdm(some, total=count, desc="measuring the spikes", unit="batch") as bar:
        return measure(
            batch["spikes"][:, :, : batch["spikes"].shape[2] - side_channels]
            for batch in bar
        )


def with_saved(spike_input: SpikeInput, workdir: str | Path) -> SpikeInput:
    """Returns it with the statistics of a work directory, where it needs any.

    Args and errors are those of `read_statistics`.
    """
    if not spike_input.standardises:
        return spike_input
    statistics = read_statistics(
        Path(workdir, FILE_NAME),
        num_channels=spike_input.num_channels - spike_input.side_channels,
    )
    return dataclasses.replace(spike_input, statistics=statistics)


def write_statistics(path: str | Path, statistics: ChannelStatistics) -> None:
    """Writes statistics as JSON, exactly, whole or not at all."""
    values = {
        "count": statistics.count,
        "mean": statistics.mean.tolist(),
        "squares": statistics.squares.tolist(),
    }
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n")


def read_statistics(path: str | Path, *, num_channels: int) -> ChannelStatistics:
    """Reads what `write_statistics` wrote.

    Args:
        path: of the file.
        num_channels: that the statistics have to be of.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no statistics of so many channels.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}, which holds what the spikes of the training were "
            "standardised with; copy it there from where the run was trained."
        )
    try:
        values = json.loads(path.read_text())
        mean, squares = (
            np.array(values[name], np.float64) for name in ("mean", "squares")
        )
        count = int(values["count"])
        fits = mean.shape == squares.shape == (num_channels,) and count > 0
        fits = fits and bool(np.isfinite(mean).all() and (squares >= 0).all())
    except (ValueError, TypeError, KeyError):
        fits = False
    if not fits:
        raise ValueError(
            f"{path} does not hold the mean and spread of {num_channels} channels; "
            "take the file that the training wrote."
        )
    return ChannelStatistics(count, mean, squares)
