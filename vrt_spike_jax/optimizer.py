"""Which parameters train, how fast, and with which rule."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import optax
from flax import traverse_util
from jaxtyping import PyTree

FROZEN = "frozen"
SCHEDULES = ("cosine", "one_cycle", "constant")

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


def overlaid(params: PyTree, others: NamedParams) -> PyTree:
    """The parameters with others, by '/'-joined name, in the place of some."""
    flat = traverse_util.flatten_dict(params, sep="/")
    return traverse_util.unflatten_dict({**flat, **others}, sep="/")


def make_schedule(settings: Any, steps: int) -> optax.Schedule:
    """Learning rate by step: a rise, then a cosine or a constant.

    `cosine` and `constant` rise linearly in `warmup_steps`; the first update already
    has a learning rate above zero. `one_cycle` (Smith and Topin 2019,
    https://arxiv.org/abs/1708.07120, with cosines for both its slopes) rises in these
    from `start_factor` times the peak. The last update has `end_factor` times the peak,
    but for `constant`.

    Args:
      settings: `config.optimizer`.
      steps: of the whole training.

    Raises:
      ValueError: there is no such schedule.
    """
    peak, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule not in SCHEDULES:
        raise ValueError(
            f"optimizer.schedule is {settings.schedule!r}; the choices are "
            f"{', '.join(SCHEDULES)}."
        )
    if settings.schedule == "constant":
        main = optax.constant_schedule(peak)
    else:
        main = optax.cosine_decay_schedule(
            peak, max(1, steps - warmup - 1), alpha=settings.end_factor
        )
    if settings.schedule == "one_cycle":
        rise = _cosine_rise(settings.start_factor * peak, peak, max(1, warmup))
    else:
        rise = optax.linear_schedule(peak / (warmup + 1), peak, max(1, warmup))
    return optax.join_schedules([rise, main], [warmup])


def _cosine_rise(first: float, peak: float, steps: int) -> optax.Schedule:
    fall = optax.cosine_decay_schedule(peak - first, steps)
    return lambda step: peak - fall(step)


def make_optimizer(
    settings: Any,
    labels: Mapping[str, str],
    schedule: optax.Schedule,
    births: Mapping[str, int] | None = None,
) -> optax.GradientTransformation:
    """AdamW over the trained parameters, as `split_params` returns them.

    Frozen parameters never enter: they cost no gradient and no state, and do not count
    in the norm that is clipped. Parameters that begin to train later have moments and a
    count of updates of their own, and rise to their learning rate in `warmup_steps`.

    Args:
      settings: `config.optimizer`.
      labels: from `label_parameters`, or of a stage.
      schedule: learning rate by step.
      births: updates done before the first one of a parameter; without, 0 for all.
    """
    trained = [name for name, group in labels.items() if group != FROZEN]
    factors = {name: settings.factors[labels[name]] for name in trained}
    cohorts: dict[int, set[str]] = {}
    for name in trained:
        cohorts.setdefault(births[name] if births else 0, set()).add(name)
    return optax.chain(
        optax.clip_by_global_norm(settings.grad_clip_norm),
        _by_cohort(
            {
                str(birth): (frozenset(names), _adam(settings, rises=birth > 0))
                for birth, names in sorted(cohorts.items())
            }
        ),
        optax.stateless(
            lambda updates, _: {name: factors[name] * u for name, u in updates.items()}
        ),
        optax.scale_by_learning_rate(schedule),
    )


def _adam(settings: Any, *, rises: bool) -> optax.GradientTransformation:
    """AdamW without its learning rate; where asked for, with a warm-up of its own."""
    warmup = settings.warmup_steps
    rise = [
        optax.scale_by_schedule(
            optax.linear_schedule(1 / (warmup + 1), 1.0, max(1, warmup))
        )
    ]
    return optax.chain(
        optax.scale_by_adam(b1=settings.b1, b2=settings.b2),
        optax.add_decayed_weights(settings.weight_decay, mask=_is_decayed),
        *(rise if rises and warmup else []),
    )


def _by_cohort(
    cohorts: Mapping[str, tuple[frozenset[str], optax.GradientTransformation]],
) -> optax.GradientTransformation:
    """Parts the named parameters; the state is a dict of those of the parts.

    So the state of a part is the same, name by name, whatever other parts there are.
    """

    def part(tree: NamedParams, names: frozenset[str]) -> NamedParams:
        return {name: x for name, x in tree.items() if name in names}

    def init(params: Any) -> Any:
        return {
            birth: rule.init(part(params, names))
            for birth, (names, rule) in cohorts.items()
        }

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        merged: NamedParams = {}
        after = {}
        for birth, (names, rule) in cohorts.items():
            own, after[birth] = rule.update(
                part(updates, names), state[birth], part(params, names)
            )
            merged |= own
        return merged, after

    return optax.GradientTransformation(init, update)


def _is_decayed(params: NamedParams) -> dict[str, bool]:
    # A relative position bias is a table of two dimensions, and still a bias.
    return {
        name: x.ndim >= 2 and "bias" not in name.rpartition("/")[2]
        for name, x in params.items()
    }


@dataclasses.dataclass(frozen=True)
class Size:
    """Of some parameters."""

    count: int
    bytes: int


def size_of(tree: PyTree) -> Size:
    """The numbers in the arrays of a tree, or in their shapes, and their bytes."""
    leaves = jax.tree.leaves(tree)
    return Size(
        count=sum(x.size for x in leaves),
        bytes=sum(x.size * x.dtype.itemsize for x in leaves),
    )


def parameter_sizes(params: PyTree, labels: Mapping[str, str]) -> tuple[Size, Size]:
    """Sizes of the (trained, frozen) parameters."""
    trained, frozen = split_params(params, labels)
    return size_of(trained), size_of(frozen)
