"""The stages of a training: which parameters train from which step on."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxtyping import PyTree

from vrt_spike_jax.optimizer import FROZEN, label_parameters, parameter_sizes
from vrt_spike_jax.units import format_bytes


@dataclasses.dataclass(frozen=True)
class Stage:
    """The steps in which the same parameters train.

    Attributes:
      number: from 1 on.
      first_step: updates done before the first one of this stage.
      last_step: updates done after its last one.
      labels: group of every parameter; FROZEN where it does not train in this stage.
      births: updates done before a parameter's first one, of those that train.
      is_only: whether there is no other.
    """

    number: int
    first_step: int
    last_step: int
    labels: dict[str, str]
    births: dict[str, int]
    is_only: bool


def plan_stages(params: PyTree, settings: Any, steps: int) -> tuple[Stage, ...]:
    """The stages that follow from the steps that groups are frozen for.

    Args:
      params: nested dict of arrays or of their shapes.
      settings: `config.optimizer`.
      steps: of the whole training.

    Returns:
      One stage at least; each begins where the one before it ends.

    Raises:
      ValueError: as `label_parameters`, or nothing trains in the first steps.
    """
    groups = label_parameters(params, settings.groups)
    births = {
        name: settings.frozen_steps.get(group, 0)
        for name, group in groups.items()
        if group != FROZEN
    }
    starts = sorted(set(births.values()))
    if not starts or starts[0] > 0:
        raise ValueError(
            "optimizer.groups and optimizer.frozen_steps freeze every parameter in the "
            "first step; let one group train from there on."
        )
    return tuple(
        Stage(
            number,
            first_step=start,
            last_step=end,
            labels={
                name: group if births.get(name, end) <= start else FROZEN
                for name, group in groups.items()
            },
            births={name: birth for name, birth in births.items() if birth <= start},
            is_only=len(starts) == 1,
        )
        for number, (start, end) in enumerate(
            zip(starts, [*starts[1:], steps], strict=True), 1
        )
    )


def stage_after(stages: Sequence[Stage], step: int) -> Stage:
    """The stage whose form a state has after `step` updates.

    After the last update of a stage that is still its own form: the next stage begins
    with the hand-over.
    """
    return next(stage for stage in stages if step <= stage.last_step)


def describe_stage(stage: Stage, params: PyTree) -> str:
    """One line: what trains in a stage, what is frozen, and their sizes.

    Args:
      stage: of `plan_stages`.
      params: nested dict of arrays or of their shapes.
    """
    sizes = parameter_sizes(params, stage.labels)
    told = [f"{size.count:,} ({format_bytes(size.bytes)})" for size in sizes]
    what = f"{told[0]} trained, {told[1]} frozen"
    if stage.is_only:
        return f"parameters  {what}"
    steps = f"steps {stage.first_step + 1} to {stage.last_step}"
    return f"stage {stage.number}     {steps}: {what}"
