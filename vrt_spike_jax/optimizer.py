"""Which parameters train, how fast, and with which rule."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import optax
from flax import traverse_util
from jaxtyping import PyTree

FROZEN = "frozen"

NamedParams = dict[str, Any]  # 'vrt/stage1/...' -> array, or its shape


def label_parameters(
    params: PyTree, groups: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """Names the group of every parameter.

    Args:
      params: nested dict of arrays or of their shapes.
      groups: (regular expression, group); the first that matches a parameter's whole
        '/'-joined name decides.

    Returns:
      group by '/'-joined name.

    Raises:
      ValueError: a parameter is covered by no expression, or one matches nothing.
    """
    used: Counter[str] = Counter()

    def label(name: str) -> str:
        for pattern, group in groups:
            if re.fullmatch(pattern, name):
                used[pattern] += 1
                return group
        raise ValueError(
            f"no pattern of optimizer.groups covers the parameter {name!r}; add one "
            f"(the group {FROZEN!r} freezes it)."
        )

    labels = {name: label(name) for name in traverse_util.flatten_dict(params, sep="/")}
    unused = [pattern for pattern, _ in groups if not used[pattern]]
    if unused:
        raise ValueError(
            "these patterns of optimizer.groups decide over no parameter: "
            f"{', '.join(map(repr, unused))}; correct or remove them."
        )
    return labels


def split_params(
    params: PyTree, labels: Mapping[str, str]
) -> tuple[NamedParams, NamedParams]:
    """Parts parameters into (trained, frozen), each flat, by '/'-joined name."""
    flat = traverse_util.flatten_dict(params, sep="/")
    trained = {name: x for name, x in flat.items() if labels[name] != FROZEN}
    frozen = {name: x for name, x in flat.items() if labels[name] == FROZEN}
    return trained, frozen


def merge_params(trained: NamedParams, frozen: NamedParams) -> PyTree:
    """Undoes `split_params`."""
    return traverse_util.unflatten_dict({**trained, **frozen}, sep="/")


def make_schedule(settings: Any, steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then a cosine or a constant.

    The first update already has a learning rate above zero, and the last one has
    `end_factor` times the peak.
    """
    peak, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "cosine":
        main = optax.cosine_decay_schedule(
            peak, max(1, steps - warmup - 1), alpha=settings.end_factor
        )
    elif settings.schedule == "constant":
        main = optax.constant_schedule(peak)
    else:
        raise ValueError(
            f"optimizer.schedule is {settings.schedule!r}; the choices are cosine, "
            "constant."
        )
    rise = optax.linear_schedule(peak / (warmup + 1), peak, max(1, warmup))
    return optax.join_schedules([rise, main], [warmup])


def make_optimizer(
    settings: Any, labels: Mapping[str, str], schedule: optax.Schedule
) -> optax.GradientTransformation:
    """AdamW over the trained parameters, as `split_params` returns them.

    Frozen parameters never enter: they cost no gradient and no state, and do not count
    in the norm that is clipped.

    Args:
      settings: `config.optimizer`.
      labels: from `label_parameters`.
      schedule: learning rate by step.
    """
    factors = {
        name: settings.factors[group]
        for name, group in labels.items()
        if group != FROZEN
    }
    return optax.chain(
        optax.clip_by_global_norm(settings.grad_clip_norm),
        optax.scale_by_adam(b1=settings.b1, b2=settings.b2),
        optax.add_decayed_weights(settings.weight_decay, mask=_is_decayed),
        optax.stateless(
            lambda updates, _: {name: factors[name] * u for name, u in updates.items()}
        ),
        optax.scale_by_learning_rate(schedule),
    )


def _is_decayed(params: NamedParams) -> dict[str, bool]:
    # A relative position bias is a table of two dimensions, and still a bias.
    return {
        name: x.ndim >= 2 and "bias" not in name.rpartition("/")[2]
        for name, x in params.items()
    }


def count_parameters(params: PyTree, labels: Mapping[str, str]) -> tuple[int, int]:
    """Numbers of (trained, frozen) parameters."""
    trained, frozen = split_params(params, labels)

    def count(part: NamedParams) -> int:
        return sum(x.size for x in jax.tree.leaves(part))

    return count(trained), count(frozen)
