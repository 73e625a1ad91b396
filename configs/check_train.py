"""Checks how a configuration trains: schedule, groups, stages, micro-batches."""

import re
from typing import Any

from configs.require import choice, require

SCHEDULES = ("cosine", "one_cycle", "constant")
FROZEN = "frozen"


def check_train(config: Any) -> None:
    """Raises a ValueError of one sentence unless a training can go so.

    Args:
      config: the ConfigDict of a run.
    """
    optimizer, train = config.optimizer, config.train
    _check_schedule(optimizer, train.steps)
    _check_groups(optimizer)
    _check_stages(optimizer, train.steps)
    batch = config.data.batch_size
    require(
        batch % train.accumulate == 0,
        f"train.accumulate is {train.accumulate}, into which data.batch_size={batch} "
        f"cannot be parted equally; a batch_size of "
        f"{-(-batch // train.accumulate) * train.accumulate} can",
    )
    require(
        train.ema_decay < 1,
        f"train.ema_decay is {train.ema_decay}; it must be less than 1, such as 0.999, "
        "or 0 for no averages",
    )


def _check_schedule(optimizer: Any, steps: int) -> None:
    choice("optimizer.schedule", optimizer.schedule, SCHEDULES)
    require(
        optimizer.warmup_steps < steps,
        f"optimizer.warmup_steps is {optimizer.warmup_steps}; it must be less than "
        f"train.steps={steps}",
    )
    for key in ("start_factor", "end_factor"):
        require(
            optimizer[key] <= 1,
            f"optimizer.{key} is {optimizer[key]}; it must be at most 1",
        )
    for key in ("b1", "b2"):
        require(
            optimizer[key] < 1,
            f"optimizer.{key} is {optimizer[key]}; it must be less than 1",
        )


def _check_groups(optimizer: Any) -> None:
    trained = 0
    for entry in optimizer.groups:
        require(
            isinstance(entry, tuple | list)
            and len(entry) == 2
            and all(isinstance(part, str) for part in entry),
            f"optimizer.groups holds {entry!r}; each entry must be (regular "
            "expression, group)",
        )
        pattern, group = entry
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"optimizer.groups holds {pattern!r}, which is no regular expression: "
                f"{error}."
            ) from error
        if group != FROZEN:
            trained += 1
            choice("the group in optimizer.groups", group, [*optimizer.factors, FROZEN])
    require(
        trained > 0, "optimizer.groups freezes every parameter; nothing would train"
    )
    for group, factor in optimizer.factors.items():
        require(
            factor > 0,
            f"optimizer.factors.{group} is {factor}; it must be above 0 (the group "
            f"{FROZEN!r} is for parameters that are not trained)",
        )


def _check_stages(optimizer: Any, steps: int) -> None:
    groups = {group for _, group in optimizer.groups if group != FROZEN}
    for group, frozen in optimizer.frozen_steps.items():
        choice("a group of optimizer.frozen_steps", group, list(optimizer.factors))
        key = f"optimizer.frozen_steps.{group}"
        require(
            isinstance(frozen, int) and 0 <= frozen,
            f"{key} is {frozen}; it must be a whole number of steps, at least 0",
        )
        require(
            frozen < steps,
            f"{key} is {frozen}; it must be less than train.steps={steps} (the group "
            f"{FROZEN!r} is for parameters that are never trained)",
        )
        require(
            frozen == 0 or group in groups,
            f"{key} is {frozen}, but no pattern of optimizer.groups names the group "
            f"{group!r}; the groups there are {', '.join(sorted(groups))}",
        )
    first = min(optimizer.frozen_steps.get(group, 0) for group in groups)
    require(
        first == 0,
        f"optimizer.frozen_steps freezes every group for the first {first} steps, in "
        "which nothing would train; let one train from the first step on",
    )
