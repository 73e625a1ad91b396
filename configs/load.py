"""From --config=FILE[:RECIPE] and --config.key=value to a locked configuration."""

import difflib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from configs import base
from configs.check import flat_items, unknown_key


def load_config(argument: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """Returns the locked configuration that a command line asks for.

    Args:
      argument: the value of --config: the path of a file of configs/, alone or followed
        by ':' and a recipe.
      overrides: arguments such as '--config.train.steps=10'.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: unknown recipe or key, or a value of another type.
    """
    path, _, recipe = argument.partition(":")
    config = _module(path).get_config(recipe)
    known = [key for key, _ in flat_items(base.get_config("tiny"))]
    for key, _ in flat_items(config):
        if not _is_known(key, known):
            raise ValueError(f"--config={path}: {unknown_key(key, known)}")
    return override(config, overrides)


_OPEN = ("optimizer.factors.", "optimizer.frozen_steps.", "ablation.")


def _is_known(key: str, known: Sequence[str]) -> bool:
    # A group of parameters may be new, and an ablation says what it compares; any other
    # new key would be read by nothing.
    return key in known or key.startswith(_OPEN)


def _module(path: str) -> Any:
    file = Path(path)
    if not file.is_file():
        known = sorted(str(f) for f in Path(__file__).parent.glob("*.py"))
        known = [name for name in map(_from_here, known) if _is_run(name)]
        nearest = difflib.get_close_matches(path, known, n=1, cutoff=0.0)[0]
        raise FileNotFoundError(
            f"--config={path} is not a file; did you mean {nearest}? "
            f"There are {', '.join(known)}."
        )
    spec = importlib.util.spec_from_file_location(f"run_config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ValueError(f"--config={path} must be a Python file, such as {_EXAMPLE}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ValueError(
            f"--config={path} defines no get_config(recipe); take one such as "
            f"{_EXAMPLE}."
        )
    return module


_EXAMPLE = "configs/cross_attn.py"
_NO_RUNS = (
    "__init__.py",
    "ablation_runs.py",
    "base.py",
    "check.py",
    "check_data.py",
    "check_loss.py",
    "check_train.py",
    "command_line.py",
    "distributed.py",
    "eval_options.py",
    "load.py",
    "process.py",
    "require.py",
)


def _is_run(name: str) -> bool:
    return Path(name).name not in _NO_RUNS


def _from_here(name: str) -> str:
    relative = os.path.relpath(name)
    return relative if not relative.startswith("..") else name


def override(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    """Returns the locked configuration with values set anew.

    Args:
      config: a configuration of base.py.
      overrides: arguments such as '--config.train.steps=10'.

    Raises:
      ValueError: unknown key, or a value of another type.
    """
    values = dict(flat_items(config))
    config.lock()
    for argument in overrides:
        key, equals, _ = argument.removeprefix("--config.").partition("=")
        if key not in values:
            raise ValueError(unknown_key(key, list(values)))
        if not equals:
            raise ValueError(f"{argument} needs a value: --config.{key}=VALUE.")
        flag_values = flags.FlagValues()
        try:
            config_flags.DEFINE_config_dict(
                "config", config, flag_values=flag_values, sys_argv=["", argument]
            )
            flag_values(["", argument])
        except (flags.Error, TypeError, ValueError, SyntaxError) as error:
            kind = type(values[key]).__name__
            raise ValueError(
                f"{argument} is not of the type {kind} that {key} takes; its value is "
                f"{values[key]!r} without this option."
            ) from error
        config = flag_values["config"].value
    return config


def write_config(path: Path, config: ConfigDict) -> None:
    """Writes config.json, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    os.replace(temporary, path)


def read_config(path: Path) -> ConfigDict:
    """The locked configuration that a work directory was trained with.

    A directory that vrt_spike_jax.pretrained made from a file of weights states what
    those decide; the rest of its configuration are the defaults of the full recipe, but
    for `model.max_chunk`, which is that of the recipe for the hardware here.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not a configuration.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.parent} holds no config.json, so nothing was trained there; train "
            "first, or name the work directory of a training by --workdir."
        )
    try:
        values = _with_tuples(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}.") from error
    if isinstance(values, Mapping) and "weights" in values:
        values = _with_defaults(values, path)
    found = dict(flat_items(values)) if isinstance(values, Mapping) else {}
    known = [key for key, _ in flat_items(base.get_config("tiny"))]
    missing = [key for key in known if key not in found]
    if missing:
        old = [key for key in found if not _is_known(key, known)]
        instead = f", and has others, such as {old[0]}" if old else ""
        raise ValueError(
            f"{path} lacks {len(missing)} settings, such as {missing[0]}{instead}; use "
            "the version of the code that wrote it, or train in another --workdir."
        )
    return ConfigDict(values).lock()


def _with_defaults(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    config = base.get_config("deblur")
    # What is fast, and fits, is a matter of the hardware here.
    config.model.max_chunk = base.get_config().model.max_chunk
    known = [key for key, _ in flat_items(config)]
    for key, _ in flat_items(values):
        if key not in known and not key.startswith("weights."):
            raise ValueError(f"{path}: {unknown_key(key, known)}")
    try:
        config.update(values)
    except TypeError as error:
        raise ValueError(f"{path} holds a value of a wrong type: {error}.") from error
    return config.to_dict()


def _with_tuples(value: Any) -> Any:
    """JSON knows lists alone; the sequences of a configuration are tuples."""
    if isinstance(value, Mapping):
        return {key: _with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    return value
