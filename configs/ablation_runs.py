"""From an ablation to the trainings that it consists of, each with its command line."""

import dataclasses
import difflib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from configs.load import load_config
from configs.require import choice

_CONFIGS = Path(__file__).resolve().parent
# All else is the budget, the data or the evaluation, which are the same for all.
_MAY_DIFFER = ("model.", "data.spikes.", "data.jitter.", "optimizer.", "loss.")
_OF_THE_VARIANTS = ("--config.seed=", "--config.name=", "--config.model.fusion=")


@dataclasses.dataclass(frozen=True)
class AblationRun:
    """One training of an ablation."""

    variant: str
    seed: int
    config: ConfigDict  # locked
    arguments: tuple[str, ...]  # of launch.py, but for --workdir


@dataclasses.dataclass(frozen=True)
class Ablation:
    """What an ablation consists of."""

    config: ConfigDict  # of the ablation itself; locked
    runs: tuple[AblationRun, ...]


def load_ablation(argument: str, overrides: Sequence[str]) -> Ablation:
    """Returns an ablation with its trainings, the first seed of every variant first.

    So a table that is looked at early compares all variants already.

    Args:
      argument: the value of --config, such as 'configs/ablation.py:tiny'.
      overrides: arguments such as '--config.train.steps=10', for every training alike;
        those of '--config.ablation.' say what is compared.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it describes no ablation; or an unknown variant, recipe or key, or one
        that would make the trainings incomparable.
    """
    if ":" not in argument:
        argument = f"{argument}:{_recipe_for_the_hardware()}"
    config = load_config(argument, overrides)
    if "ablation" not in config:
        raise ValueError(
            f"--config={argument} is one training and compares nothing; pass "
            "--config=configs/ablation.py, or leave --mode=ablate out."
        )
    common = [text for text in overrides if not text.startswith("--config.ablation.")]
    for text in common:
        if text.startswith(_OF_THE_VARIANTS):
            raise ValueError(
                f"{text} is what the trainings of an ablation differ in; set "
                "--config.ablation.seeds or --config.ablation.variants instead."
            )
    seeds, names = config.ablation.seeds, []
    if not seeds or not all(isinstance(s, int) for s in seeds):
        raise ValueError(
            f"ablation.seeds is {seeds}; it must hold whole numbers, as in "
            "--config.ablation.seeds='(0,1,2)'."
        )
    variants, table = [], config.ablation.table.to_dict()
    for entry in config.ablation.variants:
        name, file, changes = _variant(entry, table)
        if name in names or len(set(seeds)) < len(seeds):
            raise ValueError(
                f"the ablation holds {name} twice with one seed; name each variant and "
                "each seed once."
            )
        names.append(name)
        variants.append((name, file, changes))
    if not variants:
        raise ValueError("ablation.variants is empty; name one such as ('baseline',).")
    # One that is known but not trained leaves the gains out.
    choice(
        "ablation.baseline",
        config.ablation.baseline,
        tuple({**table, **dict.fromkeys(names)}),
    )
    runs = [
        _run(name, seed, f"{file}:{config.recipe}", [*common, *changes])
        for seed in seeds
        for name, file, changes in variants
    ]
    return Ablation(config, tuple(runs))


def _run(name: str, seed: int, file: str, overrides: Sequence[str]) -> AblationRun:
    changes = (*overrides, f"--config.seed={seed}")
    config = load_config(file, changes)
    return AblationRun(name, seed, config, (f"--config={file}", *changes))


def _variant(entry: str, table: dict[str, str]) -> tuple[str, str, list[str]]:
    """Name, path of the configuration and overrides of a variant."""
    name, _, text = entry.partition(" ")
    if not text:
        if name not in table:
            near = difflib.get_close_matches(name, table, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"there is no variant {name!r}; did you mean {near!r}? There are "
                f"{', '.join(table)}; spell out another as 'NAME FILE KEY=VALUE'."
            )
        text = table[name]
    # The name becomes that of a folder.
    if not name.replace("_", "").isalnum():
        raise ValueError(
            f"the variant {entry!r} needs a name of letters, digits and _ in front."
        )
    file, *changes = text.split()
    for change in changes:
        if not change.startswith(_MAY_DIFFER):
            raise ValueError(
                f"the variant {name} sets {change}, but only what begins with "
                f"{', '.join(_MAY_DIFFER)} may differ: budget, data and evaluation are "
                "the same for all, set by --config.KEY=VALUE."
            )
    path = str(_CONFIGS / f"{file.removesuffix('.py')}.py")
    return name, path, [f"--config.{change}" for change in changes]


def _recipe_for_the_hardware() -> str:
    """What `base.automatic_recipe` says, in a process that does not keep the device."""
    code = "from configs.base import automatic_recipe; print(automatic_recipe())"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=_CONFIGS.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()[-1]
