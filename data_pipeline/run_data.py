"""The data of a run, as its configuration asks for it: batches, clips, a recording."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import pipeline, spike_statistics
from data_pipeline.evaluated_clips import EvaluatedClips
from data_pipeline.exposure import MARGIN, exposure_windows, sharp_times
from data_pipeline.latent_clips import LatentClips
from data_pipeline.latent_instants import count_instants
from data_pipeline.loss_fields import LossFields
from data_pipeline.mixing import (
    Data,
    JoinedRecords,
    check_spike_scale,
    find_set,
    weighted_sets,
)
from data_pipeline.perturbation import (
    PERTURBATIONS,
    Perturbation,
    PerturbedRecords,
)
from data_pipeline.recording import Frames, Recording
from data_pipeline.spike_deblur import manifest_checksum
from data_pipeline.spike_deblur.source import SPLITS
from data_pipeline.spike_input import SpikeInput


def measured_spike_input(
    config: Any, spike_input: SpikeInput, data: Data, workdir: Path, *, write: bool
) -> SpikeInput:
    """Returns what becomes of the spikes in training, measured where it has to be.

    A run that continues takes what it began with. Otherwise every process measures the
    same samples and finds the same.

    Args:
        config: a run configuration, checked.
        spike_input: what becomes of the spikes, without statistics.
        data: of the run.
        workdir: of the run.
        write: whether this process keeps the statistics in `workdir`.
    """
    if not spike_input.standardises:
        return spike_input
    if any((workdir / "checkpoints").glob("[0-9]*")):
        return spike_statistics.with_saved(spike_input, workdir)
    before = spike_input.before_statistics()
    statistics = spike_statistics.measure_batches(
        train_batches(config, before, data, start_step=0),
        batch_size=config.data.batch_size,
        side_channels=spike_input.side_channels,
    )
    if write:
        path = workdir / spike_statistics.FILE_NAME
        spike_statistics.write_statistics(path, statistics)
    return dataclasses.replace(spike_input, statistics=statistics)


def check_exposures(
    config: Any, spike_input: SpikeInput, loss_fields: Sequence[str] = ()
) -> None:
    """Checks whether spikes of the embedded clips can become what a training needs.

    That is what the model is given, and the `loss_fields`, names in
    `loss_fields.FIELDS`. Of prepared data sets `train_batches` looks at the first clip
    of each, which is quick.

    Raises:
        ValueError: they cannot.
    """
    if config.data.sets:
        return
    embedded = config.data.embedded
    exposure = exposure_windows(
        1, first_start=MARGIN, exposure=embedded.exposure, period=embedded.period
    )
    spike_input.check_exposures(
        exposure,
        embedded.exposure + 2 * MARGIN,
        source="with the present settings of data.spikes, a clip of data.embedded",
        for_training=True,
    )
    times = sharp_times(exposure, embedded.sharp_instants)
    _loss_fields(config, loss_fields).check_record(
        {
            "name": "embedded",
            "cfa": embedded.cfa,
            "blur": np.empty((1, 0, 0, 3), np.uint8),
            "sharp": np.empty((len(times), 0, 0, 3), np.uint8),
            "spikes": np.empty((embedded.exposure + 2 * MARGIN, 0, 0), np.uint8),
            "exposure": exposure,
            "sharp_time": times,
        },
        num_frames=1,
        margin=spike_input.margin,
        instants=config.data.instants,
    )


def _loss_fields(config: Any, names: Sequence[str]) -> LossFields:
    return LossFields(tuple(names), config.loss.tfp_window)


def embedded_set(config: Any) -> str:
    """Builds the embedded data set unless it is there, and returns its directory."""
    directory = str(Path(config.data.dir).expanduser().resolve())
    settings = config.data.embedded.to_dict()
    settings["spike_scale"] = config.data.spike_scale
    return pipeline.prepare_embedded(directory, settings)


def chosen_sets(config: Any) -> list[tuple[str, float]]:
    """Returns the built data sets that a run takes, checked, and their weights.

    Raises:
        FileNotFoundError: a directory holds no built data set.
        ValueError: a data set is of another version, of another spike scale, or of
            linear light where the model cannot take it.
    """
    chosen = [(find_set(name), float(weight)) for name, weight in config.data.sets]
    for split in SPLITS:
        sets = JoinedRecords(chosen, split).sets
        check_spike_scale(sets, expected=config.data.spike_scale)
        for directory, records in sets:
            _check_transfer(config.model, str(records[0]["transfer"]), directory)
    return chosen


def _check_transfer(model: Any, transfer: str, source: str | Path) -> None:
    if model.fill_saturated and transfer == "linear":
        raise ValueError(
            f"The spikes of {source} integrated linear light, but the model takes the "
            "light of the frames for theirs (model.fill_saturated); take a model "
            "without it, trained with data.spikes.normalisation=gain_match."
        )


def train_batches(
    config: Any,
    spike_input: SpikeInput,
    data: Data,
    *,
    start_step: int,
    loss_fields: Sequence[str] = (),
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[pipeline.Batch]:
    """Yields a process's part of every training batch from `start_step` on.

    They hold also the `loss_fields`, names in `loss_fields.FIELDS`.
    """
    settings = config.data
    return pipeline.train_batches(
        data,
        num_frames=settings.num_frames,
        crop_size=settings.crop_size,
        spike_input=spike_input,
        batch_size=settings.batch_size // process_count,
        seed=config.seed,
        start_step=start_step,
        jitter=pipeline.Jitter(**settings.jitter),
        instants=settings.instants,
        loss_fields=_loss_fields(config, loss_fields),
        process_index=process_index,
        process_count=process_count,
    )


def held_out_clips(
    config: Any, spike_input: SpikeInput, data: Data
) -> pipeline.TestClips:
    """Opens the clips that a run is evaluated on.

    Where it draws instants, and they hold several, they come with the first and last.
    """
    options = {
        "spike_input": spike_input,
        "tfp_window": config.eval.tfp_window,
    }
    records = JoinedRecords(data, "test")
    draws = config.data.instants == "random" and len(records) > 0
    if draws and count_instants(records[0]) > 1:
        return LatentClips(records, **options)
    return pipeline.test_clips(data, **options)


def evaluated_clips(config: Any, spike_input: SpikeInput, data: Data) -> EvaluatedClips:
    """Opens the clips of an evaluation; some may have no sharp frames."""
    return EvaluatedClips(held_out_clips(config, spike_input, data))


def describe_sets(data: Data) -> list[dict[str, str]]:
    """Returns 'directory' and 'manifest_checksum' of each data set of a run."""
    return [
        {"directory": directory, "manifest_checksum": manifest_checksum(directory)}
        for directory, _ in weighted_sets(data)
    ]


def perturbed_clips(
    config: Any, spike_input: SpikeInput, perturbation: Perturbation
) -> pipeline.TestClips:
    """Opens the test clips of the embedded data set with spikes that are off."""
    settings = config.data.embedded.to_dict()
    settings["spike_scale"] = config.data.spike_scale
    return pipeline.TestClips(
        PerturbedRecords(settings, perturbation),
        spike_input=spike_input,
        tfp_window=config.eval.tfp_window,
    )


def perturbations(
    config: Any, spike_input: SpikeInput
) -> list[tuple[str, float, pipeline.TestClips]]:
    """Returns kind and amount of every way that spikes are off, and the clips so."""
    return [
        (case.kind, case.amount, perturbed_clips(config, spike_input, case))
        for case in PERTURBATIONS
    ]


def open_recording(
    path: str | Path,
    video: Frames,
    shape: tuple[int, ...],
    *,
    config: Any,
    spike_input: SpikeInput,
    facts: Mapping[str, Any],
) -> Recording:
    """Opens the recording beside a video that is to be restored.

    Args:
        path: of the .dat.
        video: read by slices.
        shape: of the video, (T, H, W, 3).
        config: of the run that trained the model.
        spike_input: what the model was trained on.
        facts: what is known of the .dat, as Recording takes it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the spikes do not fit the video, or not the model.
    """
    frames, height, width = shape[:3]
    recording = Recording(
        path,
        num_frames=frames,
        height=height,
        width=width,
        spike_input=spike_input,
        blur=video,
        spike_scale=config.data.spike_scale,
        **facts,
    )
    _check_transfer(config.model, recording.transfer, path)
    return recording
