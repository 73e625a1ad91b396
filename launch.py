"""Trains, evaluates and restores: one command, a mode each.

  python launch.py --config=configs/cross_attn.py[:RECIPE] [--config.KEY=VALUE ...]
  python launch.py --config=configs/cross_attn.py --mode=restore \\
      --input=VIDEO_OR_FOLDER --spikes=FILE.dat --output=PATH [--instants=COUNT]
  python launch.py --workdir=DIR --mode=restore [--then=DIR ...] [--sigma=NOISE] \\
      --input=VIDEO_OR_FOLDER --output=PATH
  python launch.py --config=configs/cross_attn.py --mode=eval|robustness|compile
  python launch.py --workdir=DIR --mode=eval [--data=DIR ...] [--step=N]
  python launch.py --mode=eval --prediction=FOLDER_OR_VIDEO --sharp=FOLDER_OR_VIDEO
  python launch.py --config=configs/ablation.py[:RECIPE] --mode=ablate
  python launch.py --workdir=DIR --mode=export --output=FOLDER

The first builds the data, trains, evaluates and prints the table; again, it continues a
run that was cut. The next ones read the model from the work directory, --workdir or
runs/NAME_RECIPE; --prediction needs none. `compile` prints arithmetic and memory alone.
`robustness` evaluates on spikes that are off: threshold, light, place, time, dropped.
`ablate` trains all variants, continuing what was cut, and writes the table of them all.
`export` writes parameters and StableHLO, which need none of this code: docs/export.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs import command_line, distributed, eval_options, process
from configs.require import takes_spikes

ROOT = Path(__file__).resolve().parent


def main(argv: Sequence[str]) -> int:
    """Runs one command line; returns the exit code."""
    return process.exit_code_of(lambda: _run(argv))


def _run(argv: Sequence[str]) -> int:
    options = command_line.parse(argv, __doc__ or "")
    if options.distributed:
        distributed.join(options)  # before anything asks for a device
    modes = {
        "train": _train,
        "eval": _evaluate,
        "restore": _restore,
        "ablate": _ablate,
        "robustness": _robustness,
        "compile": _compile,
        "export": _export,
    }
    return modes[options.mode](options) or 0


def _train(options: argparse.Namespace) -> int:
    """Trains and evaluates; another code than 0 where it was told to stop before."""
    from configs.load import load_config
    from data_pipeline.atomic import require_writable
    from vrt_spike_jax import checkpoint, initial_weights, saved_config, workdir_lock

    config = load_config(options.config, options.overrides)
    if "ablation" in config:
        raise ValueError(
            f"--config={options.config} is several trainings; pass --mode=ablate."
        )
    workdir = command_line.workdir_of(options, config)
    _check(config, for_training=True)
    require_writable(workdir)
    checkpoint.require_plain(workdir)
    saved_config.require_same_config(workdir / "checkpoints", config.to_dict())
    initial = None
    if not checkpoint.saved_steps(workdir / "checkpoints"):
        abstract = _abstract_params(config)
        initial = initial_weights.load_initial(config, _model(config), abstract)
    process.print_recipe(options.config, config.recipe)
    process.print_versions()
    with workdir_lock.locked(workdir):
        return _train_in(workdir, config, initial)


def _train_in(workdir: Path, config: Any, initial: Any) -> int:
    import jax
    from clu import metric_writers

    from configs.load import write_config
    from data_pipeline import run_data
    from vrt_spike_jax import preemption, train
    from vrt_spike_jax.losses.table import batch_fields

    data, is_first = _data(config), jax.process_index() == 0
    if is_first:
        write_config(workdir / "config.json", config)
    spike_input = run_data.measured_spike_input(
        config, _spike_input(config), data, workdir, write=is_first
    )

    def make_batches(start_step: int) -> Any:
        return run_data.train_batches(
            config,
            spike_input,
            data,
            start_step=start_step,
            loss_fields=batch_fields(config.loss),
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    make_batches(0)  # what the clips are too small for is said before all compiling
    events = metric_writers.create_default_writer(
        str(workdir), just_logging=not is_first, asynchronous=True
    )
    try:
        train.train_and_evaluate(
            config,
            workdir,
            model=_model(config),
            spike_shape=_spike_shape(config),
            make_batches=make_batches,
            test_clips=run_data.held_out_clips(config, spike_input, data),
            data_sets=run_data.describe_sets(data),
            initial=initial,
            writer=events,
        )
    except preemption.Preempted as notice:
        print(f"launch.py: {notice}", file=sys.stderr)
        return preemption.EXIT_CODE
    finally:
        events.close()
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    """Evaluates a trained model, or compares pictures without one."""
    if options.prediction is not None:
        _compare(options)
        return
    config, workdir = _trained(options)

    from data_pipeline import run_data
    from data_pipeline.atomic import require_writable
    from vrt_spike_jax import checkpoint, evaluate, evaluation_run

    evaluate.require_evaluable(_model(config))  # before the data set is built
    evaluation_run.lpips_weights(config.eval)
    step = checkpoint.chosen_step(workdir / "checkpoints", options.step)
    newest = checkpoint.newest_step(workdir / "checkpoints")
    folder = eval_options.results_folder(options, workdir, newest=newest)
    require_writable(folder)
    model, params = _model_and_params(config, workdir, step=step)
    spike_input, data = _spike_input(config, workdir), _data(config)
    evaluation_run.evaluate_run(
        config,
        folder,
        model=model,
        params=params,
        test_clips=run_data.evaluated_clips(config, spike_input, data),
        data_sets=run_data.describe_sets(data),
        step=step,
    )


def _compare(options: argparse.Namespace) -> None:
    from configs import base
    from configs.load import override
    from data_pipeline.atomic import require_writable
    from data_pipeline.frame_pairs import FramePairs
    from vrt_spike_jax import evaluation_run

    config = override(base.get_config("deblur"), options.overrides)
    _check(config, for_training=False)
    folder = eval_options.results_folder(options)
    require_writable(folder)
    pairs = FramePairs(options.prediction, options.sharp)
    evaluation_run.compare_run(config.eval, folder, pairs=pairs, data=pairs.describe())


def _restore(options: argparse.Namespace) -> None:
    runs = [_trained(options)]
    runs += [_run_of(Path(then), options.overrides) for then in options.then or ()]
    models = [_model(config) for config, _ in runs]
    command_line.check_spikes(options, runs[0][1], models[0].takes_spikes)
    import numpy as np
    from tqdm import tqdm

    from data_pipeline import run_data, video_files
    from vrt_spike_jax import checkpoint, restore_chain

    asked = {"sigma": options.sigma, "instant_count": options.instants}
    restore_chain.check_chain(models, **asked)
    folders = [workdir / "checkpoints" for _, workdir in runs]
    steps = [checkpoint.chosen_step(folders[0], options.step)]
    steps += [checkpoint.newest_step(folder) for folder in folders[1:]]
    video = video_files.VideoReader(options.input)
    spikes = None
    if models[0].takes_spikes:
        config, workdir = runs[0]
        spikes = run_data.open_recording(
            options.spikes,
            video,
            video.shape,
            config=config,
            spike_input=_spike_input(config, workdir),
            facts=command_line.spike_facts(options),
        )
    links = [
        restore_chain.Link.of(*_model_and_params(*run, step=step), run[0].eval)
        for run, step in zip(runs, steps, strict=True)
    ]
    rate = video.fps * restore_chain.rate_factor(models, options.instants)
    with tqdm(desc="restoring", unit="tile") as bar:
        show = restore_chain.progress_on(bar)
        frames = restore_chain.restore_chain(
            links, video, spikes, **asked, progress=show
        )
        with video_files.new_video(options.output, fps=rate) as write:
            for frame in frames:
                write(np.round(frame * 255).astype(np.uint8))
    print(video_files.describe_new(options.output, frames.shape, fps=rate))


def _ablate(options: argparse.Namespace) -> int:
    """Trains all variants of an ablation; 1 where one of them failed."""
    from configs.ablation_runs import load_ablation
    from data_pipeline.atomic import require_writable
    from vrt_spike_jax import ablation, ablation_report, checkpoint, saved_config

    plan = load_ablation(options.config, options.overrides)
    process.leave_accelerators()
    workdir = command_line.workdir_of(options, plan.config)
    require_writable(workdir)
    checkpoint.require_plain(workdir)
    trainings = []
    for run in plan.runs:  # all of them are checked before the first begins
        _check(run.config, for_training=False)
        _check_training(run.config)
        own = workdir / f"{run.variant}-{run.seed}"
        saved_config.require_same_config(own / "checkpoints", run.config.to_dict())
        params = _abstract_params(run.config)
        trainings.append(
            ablation.training_of(run, own, launcher=ROOT / "launch.py", params=params)
        )
    outcomes = ablation.run_trainings(trainings)
    report = workdir / "report"
    print(ablation_report.write_ablation(report, outcomes, config=plan.config))
    print(f"{report}/ablation.csv, .md and .png are written")
    return int(any(outcome.failure for outcome in outcomes))


def _robustness(options: argparse.Namespace) -> None:
    """Evaluates a trained model on spikes that are off in every way and amount."""
    config, workdir = _trained(options)

    from data_pipeline import run_data
    from data_pipeline.atomic import require_writable
    from vrt_spike_jax import checkpoint, evaluate, robustness

    evaluate.require_evaluable(_model(config))
    if not _model(config).takes_spikes:
        raise ValueError(
            f"the model in {workdir} takes no spikes, so nothing about them changes "
            "what it restores; take one such as that of configs/cross_attn.py."
        )
    step = checkpoint.chosen_step(workdir / "checkpoints", options.step)
    report = workdir / "report"
    if step != checkpoint.newest_step(workdir / "checkpoints"):
        report = report / f"step_{step}"
    require_writable(report)
    model, params = _model_and_params(config, workdir, step=step)
    spike_input = _spike_input(config, workdir)
    table = robustness.measure_robustness(
        report,
        [robustness.Case(*c) for c in run_data.perturbations(config, spike_input)],
        model=model,
        params=params,
        config=config,
        step=step,
    )
    print(f"{table}\n{report}/robustness.csv, .md and .png are written")


def _compile(options: argparse.Namespace) -> int:
    """Prints what a configuration costs; 1 where it needs more than --memory_limit."""
    if options.topology:
        process.expect_no_tpu()
    from configs.load import load_config
    from vrt_spike_jax import compile_check, compile_report, topology

    if options.workdir:
        config, _ = _trained(options)
    else:
        config = load_config(options.config, options.overrides)
        _check(config, for_training=False)
    model = _model(config)
    unchunked = _model(config, max_chunk=compile_check.UNCHUNKED)
    part = "train" if options.topology else options.part
    trains = part == "train" or (part is None and compile_check.is_trainable(model))
    if trains:
        chips = options.topology and topology.count_chips(options.topology)
        _check(config, for_training=True, chips=chips)
    shortages = compile_report.report_costs(
        config,
        model,
        unchunked,
        spike_shape=_spike_shape(config),
        forward=part != "train",
        train=trains,
        memory_limit=options.memory_limit and options.memory_limit * 2**30,
        topology=options.topology,
    )
    for shortage in shortages:
        print(f"launch.py: {shortage}", file=sys.stderr)
    return 1 if shortages else 0


def _export(options: argparse.Namespace) -> None:
    """Writes a trained model as files that need none of this code."""
    config, workdir = _trained(options)
    from vrt_spike_jax import checkpoint, export

    step = checkpoint.chosen_step(workdir / "checkpoints", options.step)
    model, params = _model_and_params(config, workdir, step=step)
    export.write_export(
        options.output,
        model,
        params,
        config=config,
        spike_shape=_spike_shape(config),
        step=step,
        files=workdir.glob("spike_statistics.json"),
    )


def _trained(options: argparse.Namespace) -> tuple[Any, Path]:
    """The configuration and the directory of an earlier training."""
    from configs.load import load_config

    chosen = load_config(options.config) if options.config else None
    config, workdir = _run_of(
        command_line.workdir_of(options, chosen), options.overrides
    )
    if chosen is not None and chosen.name != config.name:
        raise ValueError(
            f"{workdir} was trained as {config.name!r}, which is not "
            f"--config={options.config}; leave one of --config and --workdir out."
        )
    return config, workdir


def _run_of(workdir: Path, overrides: Sequence[str]) -> tuple[Any, Path]:
    """The checked configuration of a work directory, and its full path."""
    from configs.load import override, read_config

    workdir = workdir.expanduser().resolve()
    config = override(read_config(workdir / "config.json"), overrides)
    _check(config, for_training=False)
    return config, workdir


def _check(config: Any, *, for_training: bool, chips: int | None = None) -> None:
    import jax

    from configs.check import check
    from vrt_spike_jax import VARIANTS, create_model
    from vrt_spike_jax.models.fusion import FUSIONS
    from vrt_spike_jax.models.vrt import STAGES

    check(
        config,
        variants={name: create_model(name).min_size for name in VARIANTS},
        fusions=("none", *FUSIONS),
        stages=STAGES,
        device_count=chips or (jax.device_count() if for_training else None),
        process_count=jax.process_count(),
    )
    if for_training:
        _check_training(config)


def _check_training(config: Any) -> None:
    """What a training needs, before the data set is built for it."""
    from data_pipeline import run_data
    from vrt_spike_jax import compile_check, loss_networks, optimizer
    from vrt_spike_jax.losses.table import batch_fields

    compile_check.require_trainable(_model(config), config.model.variant)
    optimizer.label_parameters(_abstract_params(config), config.optimizer.groups)
    run_data.check_exposures(config, _spike_input(config), batch_fields(config.loss))
    loss_networks.require_files(config.loss)


def _abstract_params(config: Any) -> Any:
    from vrt_spike_jax import train_state

    return train_state.abstract_params(_model(config), _spike_shape(config))


def _spike_shape(config: Any) -> Any:
    from vrt_spike_jax.train_state import SpikeShape

    channels = _spike_input(config).num_channels
    return SpikeShape(channels, config.data.spike_scale)


def _spike_input(config: Any, workdir: Path | None = None) -> Any:
    """What becomes of the spikes; with what `workdir` measured of them, if anything."""
    from data_pipeline import spike_statistics
    from data_pipeline.spike_input import SpikeInput

    spikes = SpikeInput.from_settings(config.data.spikes.to_dict())
    return spikes if workdir is None else spike_statistics.with_saved(spikes, workdir)


def _model(config: Any, *, max_chunk: int | None = None) -> Any:
    from vrt_spike_jax.configured_model import configured_model

    spikes = _spike_input(config) if takes_spikes(config.model) else None
    return configured_model(config, spikes, max_chunk=max_chunk)


def _model_and_params(
    config: Any, workdir: Path, *, step: int | None = None
) -> tuple[Any, Any]:
    from vrt_spike_jax import checkpoint

    abstract = _abstract_params(config)
    folder = workdir / "checkpoints"
    params = checkpoint.restore_params(folder, abstract, step=step, ema=config.eval.ema)
    return _model(config), params


def _data(config: Any) -> Any:
    """The data sets of a run, of which the embedded one is built where it is taken."""
    import jax
    from jax.experimental import multihost_utils

    from data_pipeline import run_data

    if config.data.sets:
        return run_data.chosen_sets(config)
    if jax.process_index() == 0:
        run_data.embedded_set(config)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("data set is prepared")
    # Finds what the first process made, unless this machine has a disk of its own.
    return run_data.embedded_set(config)


if __name__ == "__main__":
    process.keep_memory()
    distributed.supervise(sys.argv[1:])
    process.end(main(sys.argv[1:]))
