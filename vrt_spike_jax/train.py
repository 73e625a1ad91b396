"""The training loop: from wherever a run stands to its last step, then evaluation."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from vrt_spike_jax import evaluation_run, report, sharding
from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax.checkpoint import Checkpoints
from vrt_spike_jax.discriminator_state import count_discriminator
from vrt_spike_jax.loss_networks import load_networks
from vrt_spike_jax.losses.table import network_names
from vrt_spike_jax.preemption import Preempted, notices
from vrt_spike_jax.restore import restore_video
from vrt_spike_jax.train_log import MetricWriter, TrainLog
from vrt_spike_jax.train_state import (
    SpikeShape,
    TrainState,
    abstract_params,
    create_state,
)
from vrt_spike_jax.train_step import TrainStep, compile_on, make_train_step

Batch = Mapping[str, np.ndarray]
Clip = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Run:
    """What one training run is made of; nothing in it changes while it trains."""

    model: nn.Module
    mesh: Mesh
    labels: dict[str, str]
    abstract: TrainState
    create: Callable[[], TrainState]
    train_step: TrainStep


def train_and_evaluate(
    config: Any,
    workdir: str | Path,
    *,
    model: nn.Module,
    spike_shape: SpikeShape,
    make_batches: Callable[[int], Iterator[Batch]],
    test_clips: Sequence[Clip],
    data_sets: Sequence[Mapping[str, str]] = (),
    writer: MetricWriter,
) -> TrainState:
    """Trains up to `config.train.steps` and evaluates; continues a run that was cut.

    A run that is cut at any moment and started again ends in bit-identical parameters,
    on the same machine: the state is restored whole, and the data position with it.

    Args:
      config: a run configuration, checked.
      workdir: gets checkpoints/, metrics.jsonl, pictures/, and the files of
        `evaluation_run`.
      model: VRT or VRTSpike.
      spike_shape: of the spikes in the batches.
      make_batches: called with the number of the first batch; yields this process's
        part of every batch from there on, without end.
      test_clips: held-out clips, for the pictures and the evaluation.
      data_sets: as for `evaluation_run.evaluate_run`.
      writer: gets the scalars and pictures of the run, such as for TensorBoard.

    Returns:
      The state after the last step.

    Raises:
      FloatingPointError: the loss or its gradient is no finite number any more; the
        last checkpoint from before that stays.
      Preempted: SIGTERM came; the step that ran then is saved.
      FileNotFoundError, ValueError: weights that a metric needs are not there, which is
        said before the training.
    """
    workdir = Path(workdir).resolve()
    evaluation_run.lpips_weights(config.eval)
    run = prepare_run(config, model, spike_shape)
    with Checkpoints(
        workdir / "checkpoints",
        config=config.to_dict(),
        keep=config.train.keep_checkpoints,
    ) as checkpoints:
        saved = checkpoints.latest_step()
        _announce(config, run, workdir, saved, clips=len(test_clips))
        if saved is None:
            state, position = run.create(), 0
        else:
            state, position = checkpoints.restore(run.abstract)
        if position < config.train.steps:
            state = _train(
                config,
                workdir,
                run,
                state,
                position,
                batches=make_batches(position),
                checkpoints=checkpoints,
                picture_clip=test_clips[0],
                writer=writer,
            )
    evaluation_run.evaluate_run(
        config,
        workdir,
        model=model,
        params=sharding.to_host(state.params),
        test_clips=test_clips,
        step=config.train.steps,
        data_sets=data_sets,
        writer=writer,
    )
    return state


def prepare_run(config: Any, model: nn.Module, spike_shape: SpikeShape) -> Run:
    """What a training needs before its first step; computes and compiles nothing yet.

    Args:
      config: a run configuration, checked.
      model: VRT or VRTSpike.
      spike_shape: of the spikes in the batches.
    """
    mesh = sharding.make_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)
    labels = optimizers.label_parameters(
        abstract_params(model, spike_shape), config.optimizer.groups
    )
    schedule = optimizers.make_schedule(config.optimizer, config.train.steps)
    optimizer = optimizers.make_optimizer(config.optimizer, labels, schedule)
    loss = config.loss.to_dict()
    abstract, create = create_state(
        model, optimizer, labels, mesh, spike_shape, seed=config.seed, loss=loss
    )
    train_step = make_train_step(
        model,
        optimizer,
        labels,
        schedule,
        seed=config.seed,
        loss=loss,
    )
    takes_networks = bool(network_names(config.loss))
    compiled = compile_on(train_step, abstract, mesh, takes_networks=takes_networks)
    return Run(model, mesh, labels, abstract, create, compiled)


def _train(
    config: Any,
    workdir: Path,
    run: Run,
    state: TrainState,
    position: int,
    *,
    batches: Iterator[Batch],
    checkpoints: Checkpoints,
    picture_clip: Clip,
    writer: MetricWriter,
) -> TrainState:
    """Runs the steps from `position` to the last; the batch of step n is batch n."""
    settings = config.train
    pending = None
    loaded = load_networks(config.loss)
    networks = [sharding.put_replicated(loaded, run.mesh)] if loaded else []
    if jax.process_index() == 0:
        print("compiling the training step, which takes a while ...", flush=True)
    with (
        notices() as is_stopping,
        TrainLog(
            workdir / "metrics.jsonl",
            writer,
            first_step=position,
            last_step=settings.steps,
            log_every=settings.log_every,
            clips_per_step=config.data.batch_size,
        ) as log,
    ):
        batch = sharding.put_batch(next(batches), run.mesh)
        for step in range(position + 1, settings.steps + 1):
            state, metrics = run.train_step(state, batch, *networks)
            # The step runs while the next batch gets ready on the devices.
            if step < settings.steps:
                batch = sharding.put_batch(next(batches), run.mesh)
            # Reading a step's metrics waits for it, and the step after it runs already.
            if pending is not None:
                log.record(*pending)
            pending = step, metrics
            stop = is_stopping(step)
            save = stop or _is_due(step, settings.checkpoint_every, settings.steps)
            draw = _is_due(step, settings.picture_every, settings.steps)
            if save or draw:
                # Only a state that is known to be finite reaches the disk.
                log.record(*pending)
                pending = None
            if save:
                checkpoints.save(state, step=step, position=step)
            if draw:
                _draw(config, workdir, run, state, picture_clip, step, writer)
            if stop and step < settings.steps:
                checkpoints.wait()
                raise Preempted(
                    f"told to stop by SIGTERM: step {step} of {settings.steps} is "
                    "saved, and the same command goes on from there."
                )
    checkpoints.wait()
    return state


def _is_due(step: int, every: int, last: int) -> bool:
    """Whether something done every so many steps, and at the end, is done now."""
    return every > 0 and (step % every == 0 or step == last)


def _announce(
    config: Any, run: Run, workdir: Path, saved: int | None, *, clips: int
) -> None:
    """Prints what is about to happen, with the sizes that decide how long it takes."""
    if jax.process_index() != 0:
        return
    trained, frozen = optimizers.count_parameters(run.abstract.params, run.labels)
    data, steps = config.data, config.train.steps
    batch = f"{data.batch_size} clips of {data.num_frames}x{data.crop_size}x"
    print(f"mesh        {dict(run.mesh.shape)}")
    rival = count_discriminator(config.loss)
    beside = f", {rival:,} of the discriminator" if rival else ""
    print(f"parameters  {trained:,} trained, {frozen:,} frozen{beside}")
    print(f"batch       {batch}{data.crop_size}, {clips} clips to test on")
    print(f"work dir    {workdir}")
    if saved is None:
        print(f"training    {steps} steps from the beginning", flush=True)
    elif saved < steps:
        print(f"training    {steps} steps, continued after step {saved}", flush=True)
    else:
        print(f"training    is complete ({saved} steps); evaluating", flush=True)


def _draw(
    config: Any,
    workdir: Path,
    run: Run,
    state: TrainState,
    clip: Clip,
    step: int,
    writer: MetricWriter,
) -> None:
    """Restores one tile of a held-out clip and saves a labelled picture of it."""
    params = sharding.to_host(state.params)
    if jax.process_index() != 0:
        return
    # A tile of 0 is all there is.
    frames, height, width = (size or None for size in config.eval.tile)
    blur = clip["blur"][:frames, :height, :width]
    scale = clip["blur"].shape[1] // clip["spikes"].shape[2]
    rows, columns = (-(-size // scale) for size in blur.shape[1:3])
    spikes = clip["spikes"][:frames, :, :rows, :columns]
    restored = restore_video(
        run.model,
        params,
        blur,
        spikes if run.model.takes_spikes else None,
        tile=tuple(config.eval.tile),
        overlap=tuple(config.eval.overlap),
        tiling=config.eval.tiling,
    )
    middle = len(blur) // 2
    sharp = clip["sharp"][:frames, :height, :width]
    # Not what the model is given, which need not look like a picture.
    seen = clip["tfp_short"][:frames, :rows, :columns]
    sheet = report.picture_sheet(
        blur[middle],
        seen[middle][None] if run.model.takes_spikes else None,
        restored[middle],
        sharp[middle],
    )
    report.save_picture(workdir / "pictures" / f"step_{step:08d}.png", sheet)
    writer.write_images(step, {"restored": sheet[None]})
