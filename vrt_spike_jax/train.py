"""The training loop: from wherever a run stands to its last step, then evaluation."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import PyTree

from vrt_spike_jax import evaluation_run, report, sharding, validation
from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax.checkpoint import Checkpoints
from vrt_spike_jax.discriminator_state import count_discriminator
from vrt_spike_jax.initial_weights import InitialWeights
from vrt_spike_jax.loss_networks import load_networks
from vrt_spike_jax.losses.table import network_names
from vrt_spike_jax.preemption import Preempted, notices
from vrt_spike_jax.restore import restore_video
from vrt_spike_jax.stages import (
    Stage,
    describe_stage,
    plan_stages,
    stage_after,
)
from vrt_spike_jax.train_log import MetricWriter, TrainLog
from vrt_spike_jax.train_state import (
    SpikeShape,
    TrainState,
    abstract_params,
    create_state,
    hand_over,
    with_params,
)
from vrt_spike_jax.train_step import TrainStep, compile_on, make_train_step

Batch = Mapping[str, np.ndarray]
Clip = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Run:
    """What one stage of a training is made of; nothing in it changes meanwhile."""

    model: nn.Module
    mesh: Mesh
    stages: tuple[Stage, ...]
    stage: Stage  # of these; what follows is of this one
    optimizer: optax.GradientTransformation
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
    initial: InitialWeights | None = None,
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
      initial: weights to begin with, in the place of random ones; a run that continues
        takes them no more.
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
    with Checkpoints(
        workdir / "checkpoints",
        config=config.to_dict(),
        keep=config.train.keep_checkpoints,
    ) as checkpoints:
        saved = checkpoints.latest_step()
        run = prepare_run(config, model, spike_shape, step=saved or 0)
        _announce(config, run, workdir, saved, initial, clips=len(test_clips))
        if saved is None:
            state, position = _begin(run, initial), 0
        else:
            state, position = checkpoints.restore(run.abstract)
        if position < config.train.steps:
            state = _train(
                config,
                workdir,
                run,
                spike_shape,
                state,
                position,
                batches=make_batches(position),
                checkpoints=checkpoints,
                test_clips=test_clips,
                writer=writer,
            )
    evaluation_run.evaluate_run(
        config,
        workdir,
        model=model,
        params=sharding.to_host(_evaluated_params(config, state)),
        test_clips=test_clips,
        step=config.train.steps,
        data_sets=data_sets,
        writer=writer,
    )
    return state


def prepare_run(
    config: Any,
    model: nn.Module,
    spike_shape: SpikeShape,
    *,
    step: int = 0,
    accumulate: int | None = None,
    mesh: Mesh | None = None,
) -> Run:
    """What a stage needs before its first step; computes and compiles nothing yet.

    Args:
      config: a run configuration, checked.
      model: VRT or VRTSpike.
      spike_shape: of the spikes in the batches.
      step: updates done before; the last of a stage still belongs to that stage.
      accumulate: in the place of that of the configuration.
      mesh: in the place of that of the configuration, over all devices.
    """
    if mesh is None:
        mesh = sharding.make_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)
    settings, steps = config.optimizer, config.train.steps
    stages = plan_stages(abstract_params(model, spike_shape), settings, steps)
    stage = stage_after(stages, step)
    schedule = optimizers.make_schedule(settings, steps)
    optimizer = optimizers.make_optimizer(
        settings, stage.labels, schedule, stage.births
    )
    loss, ema_decay = config.loss.to_dict(), config.train.ema_decay
    abstract, create = create_state(
        model,
        optimizer,
        stage.labels,
        mesh,
        spike_shape,
        seed=config.seed,
        loss=loss,
        has_ema=ema_decay > 0,
    )
    train_step = make_train_step(
        model,
        optimizer,
        stage.labels,
        schedule,
        seed=config.seed,
        loss=loss,
        accumulate=accumulate or config.train.accumulate,
        ema_decay=ema_decay,
        mesh=mesh,
    )
    takes_networks = bool(network_names(config.loss))
    compiled = compile_on(train_step, abstract, mesh, takes_networks=takes_networks)
    return Run(model, mesh, stages, stage, optimizer, abstract, create, compiled)


def _begin(run: Run, initial: InitialWeights | None) -> TrainState:
    state = run.create()
    return state if initial is None else with_params(state, initial.params)


def _evaluated_params(config: Any, state: TrainState) -> PyTree:
    return state.averaged_params() if config.eval.ema else state.params


def _train(
    config: Any,
    workdir: Path,
    run: Run,
    spike_shape: SpikeShape,
    state: TrainState,
    position: int,
    *,
    batches: Iterator[Batch],
    checkpoints: Checkpoints,
    test_clips: Sequence[Clip],
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
            if step > run.stage.last_step:
                run = prepare_run(config, run.model, spike_shape, step=step)
                told = describe_stage(run.stage, run.abstract.params)
                log.begin_stage(f"{told}; compiling its step ...")
                state = hand_over(state, run.optimizer, run.stage.labels, run.abstract)
            state, metrics = run.train_step(state, batch, *networks)
            # The step runs while the next batch gets ready on the devices.
            if step < settings.steps:
                batch = sharding.put_batch(next(batches), run.mesh)
            # Reading a step's metrics waits for it, and the step after it runs already.
            if pending is not None:
                log.record(*pending)
            pending = step, metrics
            stop = is_stopping(step)
            every = settings.eval_every
            measure = every > 0 and step % every == 0 and not stop
            save = measure or _is_due(step, settings.checkpoint_every, settings.steps)
            save |= stop
            draw = _is_due(step, settings.picture_every, settings.steps)
            if save or draw:
                # Only a state that is known to be finite reaches the disk.
                log.record(*pending)
                pending = None
            score = None
            if measure:
                score = _measure(config, run, state, test_clips, step, writer)
                log.tell(f"step {step}: psnr {score:.3f} dB of the held-out clips")
            if save:
                checkpoints.save(state, step=step, position=step, score=score)
            if draw:
                _draw(config, workdir, run, state, test_clips[0], step, writer)
            if stop:
                checkpoints.wait()
                raise Preempted(
                    f"told to stop by SIGTERM: step {step} of {settings.steps} is "
                    "saved, and the same command goes on from there."
                )
    checkpoints.wait()
    best = checkpoints.best_step()
    if best is not None and jax.process_index() == 0:
        print(f"step {best} was the best of those measured: --mode=eval --step={best}")
    return state


def _is_due(step: int, every: int, last: int) -> bool:
    """Whether something done every so many steps, and at the end, is done now."""
    return every > 0 and (step % every == 0 or step == last)


def _announce(
    config: Any,
    run: Run,
    workdir: Path,
    saved: int | None,
    initial: InitialWeights | None,
    *,
    clips: int,
) -> None:
    """Prints what is about to happen, with the sizes that decide how long it takes."""
    if jax.process_index() != 0:
        return
    data, settings, steps = config.data, config.train, config.train.steps
    batch = f"{data.batch_size} clips of {data.num_frames}x{data.crop_size}x"
    parts = settings.accumulate
    in_parts = f" in {parts} micro-batches" if parts > 1 else ""
    print(f"mesh        {dict(run.mesh.shape)}")
    for stage in run.stages:
        print(describe_stage(stage, run.abstract.params))
    rival = count_discriminator(config.loss)
    if rival:
        print(f"beside      {rival:,} of the discriminator, trained")
    if settings.ema_decay:
        used = "evaluated" if config.eval.ema else "not evaluated, by eval.ema"
        print(f"averages    of what trains, with decay {settings.ema_decay}; {used}")
    print(f"batch       {batch}{data.crop_size}{in_parts}, {clips} clips to test on")
    print(f"work dir    {workdir}")
    if saved is None:
        whole = optimizers.size_of(run.abstract.params).count
        told = "random" if initial is None else initial.describe(whole)
        print(f"weights     {told}")
        print(f"training    {steps} steps from the beginning", flush=True)
    elif saved < steps:
        print(f"training    {steps} steps, continued after step {saved}", flush=True)
    else:
        print(f"training    is complete ({saved} steps); evaluating", flush=True)


def _measure(
    config: Any,
    run: Run,
    state: TrainState,
    clips: Sequence[Clip],
    step: int,
    writer: MetricWriter,
) -> float:
    """The PSNR [dB] of the held-out clips with the parameters of a step."""
    params = sharding.to_host(_evaluated_params(config, state))
    psnr = validation.mean_psnr(run.model, params, clips, config.eval)
    writer.write_scalars(step, {"eval/psnr": psnr})
    return psnr


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
    params = sharding.to_host(_evaluated_params(config, state))
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
