"""Tells what programs cost, line by line as it becomes known, and whether they fit."""

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from flax import linen as nn
from tqdm import tqdm

from vrt_spike_jax import compile_check
from vrt_spike_jax.collectives import Collective
from vrt_spike_jax.compile_check import (
    Compiled,
    Cost,
    Memory,
    ParameterGroup,
    Program,
    compile_program,
    cost_of,
    is_trainable,
    parameter_groups,
)
from vrt_spike_jax.discriminator_state import count_discriminator
from vrt_spike_jax.optimizer import label_parameters
from vrt_spike_jax.stages import Stage, describe_stage, plan_stages
from vrt_spike_jax.topology import Chip, Slice, describe_slice, step_time
from vrt_spike_jax.train_state import SpikeShape, abstract_params
from vrt_spike_jax.units import format_bytes, format_flops


def report_costs(
    config: Any,
    model: nn.Module,
    unchunked: nn.Module,
    *,
    spike_shape: SpikeShape,
    forward: bool,
    train: bool,
    memory_limit: float | None = None,
    topology: str | None = None,
) -> list[str]:
    """Prints what a configuration costs, each number as soon as it is known.

    Args:
      config: a run configuration, checked; for training too, where that is asked for.
      model: of the configuration.
      unchunked: the same with `compile_check.UNCHUNKED` as its max_chunk.
      spike_shape: of the spikes in the batches.
      forward: whether the restoration of a tile is told.
      train: whether the training step is told.
      memory_limit: bytes of each device; of a topology, by default what its chips have.
      topology: of TPU chips to compile for, as of `topology.describe_slice`, in the
        place of the devices that there are; for training alone.

    Returns:
      One sentence for each program that needs more than the limit.
    """
    piece = None if topology is None else describe_slice(topology)
    if piece is not None and memory_limit is None:
        memory_limit = piece.chip.memory
    devices = None if piece is None else piece.devices
    models = (config, model, unchunked)
    params = abstract_params(model, spike_shape)
    labels = None
    stages: tuple[Stage, ...] = ()
    if train:
        labels = label_parameters(params, config.optimizer.groups)
        stages = plan_stages(params, config.optimizer, config.train.steps)
    programs = []
    if forward:
        programs.append(compile_check.forward_program(*models, spike_shape=spike_shape))
    for stage in stages:
        programs.append(
            compile_check.train_program(
                *models, spike_shape=spike_shape, stage=stage, devices=devices
            )
        )
    trained = is_trainable(model) or not forward
    note = "" if trained else " (not trained here: no training step)"
    print(f"config        {config.name}, recipe {config.recipe}{note}")
    print("model         " + ", ".join(f"{k}={v}" for k, v in config.model.items()))
    kind = jax.devices()[0].device_kind if piece is None else describe_chip(piece)
    print(f"device        {kind}")
    groups = parameter_groups(params, labels)
    print(format_parameters(groups), flush=True)
    for stage in stages:
        if not stage.is_only:
            print(describe_stage(stage, params), flush=True)
    rival = count_discriminator(config.loss) if train else 0
    if rival:
        print(format_discriminator(rival), flush=True)
    say = functools.partial(print, flush=True)
    chip = None if piece is None else piece.chip
    return check_programs(programs, memory_limit=memory_limit, chip=chip, say=say)


def check_programs(
    programs: Sequence[Program],
    *,
    memory_limit: float | None = None,
    chip: Chip | None = None,
    say: Callable[[str], None],
) -> list[str]:
    """Tells what programs cost, each number as soon as it is known.

    Args:
      programs: traced and compiled one after the other; what is under way shows on
        stderr.
      memory_limit: bytes of each device.
      chip: whose published peaks tell the time of a step; None tells none.
      say: takes the lines of the report.

    Returns:
      One sentence for each program that needs more than the limit.
    """
    shortages = []
    for program in programs:
        with show_elapsed(f"tracing the {program.name}"):
            cost = cost_of(program)
        say(format_cost(program, cost))
        with show_elapsed(f"compiling the {program.name}"):
            compiled = compile_program(program)
        say(format_compiled(compiled))
        for collective in compiled.collectives:
            say(format_collective(collective))
        if chip is not None:
            say(format_step_time(program, cost, compiled, chip))
        if memory_limit is None:
            continue
        sentence = shortage(program, compiled.memory, memory_limit)
        if sentence is None:
            say(f"  fits in       {format_bytes(memory_limit)}")
        else:
            say(f"  exceeds       {format_bytes(memory_limit)}")
            shortages.append(sentence)
    return shortages


def shortage(program: Program, memory: Memory, limit: int | float) -> str | None:
    """One sentence where a program needs more than a limit of memory, else None.

    Args:
      program: what was compiled.
      memory: its need on each device.
      limit: bytes of each device.
    """
    if memory.peak <= limit:
        return None
    return (
        f"the {program.name} needs {format_bytes(memory.peak)} on each device, which "
        f"is more than the limit of {format_bytes(limit)}; lower {program.savers}."
    )


def format_parameters(groups: Sequence[ParameterGroup]) -> str:
    """A line for all parameters, and one for each group."""

    def line(name: str, count: int, size: int, note: str = "") -> str:
        return f"{name:<14}{count:>14,}  {format_bytes(size):>10}{note}"

    lines = [
        line("parameters", sum(g.count for g in groups), sum(g.bytes for g in groups))
    ]
    if len(groups) > 1 or groups[0].is_trained:
        lines += [
            line(f"  {g.name}", g.count, g.bytes, "  trained" if g.is_trained else "")
            for g in groups
        ]
    return "\n".join(lines)


def format_discriminator(count: int) -> str:
    """A line for the float32 parameters that train beside those of the model."""
    return f"{'discriminator':<14}{count:>14,}  {format_bytes(4 * count):>10}  trained"


def format_cost(program: Program, cost: Cost) -> str:
    """What is known before the compilation, as lines."""
    total, frame = format_flops(cost.flops), format_flops(cost.flops / program.frames)
    return "\n".join(
        [
            f"{program.name}: {program.work}, {program.devices} device(s)",
            f"  arithmetic    {total}, {frame} a frame",
            f"  bytes moved   at most {format_bytes(cost.unfused_bytes)} "
            "(nothing fused)",
        ]
    )


def format_compiled(compiled: Compiled) -> str:
    """What the compilation told, as lines."""
    memory = compiled.memory
    sizes = {
        "arguments": memory.arguments,
        "outputs": memory.outputs,
        "aliased": memory.aliased,
        "temporaries": memory.temporaries,
        "code": memory.code,
        "peak": memory.peak,
    }
    cached = f", {compiled.from_cache} from the cache" if compiled.from_cache else ""
    return "\n".join(
        [
            f"                at least {format_bytes(compiled.fused_bytes)} a device "
            "(fused, the body of a loop counted once)",
            *(f"  {name:<14}{format_bytes(size)}" for name, size in sizes.items()),
            f"  compile time  {compiled.compile_seconds:.1f} s, "
            f"{compiled.compilations} compilation(s){cached}",
        ]
    )


def format_collective(collective: Collective) -> str:
    """What passes between devices, of one kind, as a line."""
    return (
        f"  {collective.kind:<20}{collective.count:>6} times among "
        f"{collective.devices} devices, {format_bytes(collective.bytes)} in all"
    )


def format_step_time(
    program: Program, cost: Cost, compiled: Compiled, chip: Chip
) -> str:
    """The time that the peaks of a chip allow, as lines."""
    times = step_time(
        chip,
        flops=cost.flops / program.devices,
        moved=compiled.fused_bytes,
        collectives=compiled.collectives,
    )
    clock = {
        "arithmetic": (times.arithmetic, f"at {chip.flops / 1e12:g} TFLOP/s, bfloat16"),
        "memory": (times.memory, f"at {chip.memory_rate / 1e9:g} GB/s"),
        "collectives": (
            times.collectives,
            f"at {chip.link_rate / 2e9 / chip.axes:g} GB/s, around one axis",
        ),
    }
    lines = [
        f"  {name:<14}{1e3 * seconds:.4g} ms {note}"
        for name, (seconds, note) in clock.items()
    ]
    lines.append(f"  step          at least {1e3 * times.total:.4g} ms")
    return "\n".join(lines)


def describe_chip(piece: Slice) -> str:
    """A slice and the published peaks of its chips, as a line."""
    chip = piece.chip
    return (
        f"{piece.chips} x TPU {chip.name}, compiled for and not there; each "
        f"{format_bytes(chip.memory)} at {chip.memory_rate / 1e9:g} GB/s, "
        f"{chip.flops / 1e12:g} TFLOP/s in bfloat16, links of "
        f"{chip.link_rate / 1e9:g} GB/s"
    )


@contextlib.contextmanager
def show_elapsed(text: str) -> Iterator[None]:
    """Shows on stderr what is under way, and since when, until it is done."""
    done = threading.Event()
    with tqdm(desc=text, bar_format="{desc} {elapsed}") as line:

        def tick() -> None:
            # In a log file, where every line stays, rarely.
            while not done.wait(1 if sys.stderr.isatty() else 60):
                line.refresh()

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
