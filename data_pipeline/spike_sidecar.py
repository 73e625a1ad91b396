"""The .json beside a .dat: what the stream does not say of itself."""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from data_pipeline.atomic import new_file
from data_pipeline.choices import unknown_name
from data_pipeline.records import CFAS, SPIKE_SCALES, TRANSFERS, UNKNOWN
from data_pipeline.spike_dat import BIT_ORDERS, LAYOUTS

_SIDECAR = {
    "height": int,
    "width": int,
    "flip": bool,
    "spike_rate": float,
    "threshold": float,
    "gain": float,
    "spike_scale": int,
    "exposure": list,
}
# What may be left out, with what it then is.
DEFAULTS = {
    "bit_order": "little",
    "layout": "plain",
    "transfer": UNKNOWN,
    "cfa": "none",
}
_CHOICES: dict[str, Collection[str]] = {
    "bit_order": BIT_ORDERS,
    "layout": LAYOUTS,
    "transfer": TRANSFERS,
    "cfa": CFAS,
}


def sidecar_path(dat_path: str | Path) -> Path:
    """Returns the path of the .json beside a .dat."""
    return Path(dat_path).with_suffix(".json")


def write_sidecar(dat_path: str | Path, facts: dict[str, Any]) -> None:
    """Writes what a .dat does not say of itself into the .json beside it.

    Args:
        dat_path: of the .dat.
        facts: height, width, flip, spike_rate [Hz], threshold, gain, spike_scale and
            exposure, a list of [start, end] in spike frames; where they are not plain,
            also bit_order and layout (of SpikeDat), and where they are known, transfer
            and cfa (of a record). Unknown numbers are NaN, written as null.

    Raises:
        ValueError: a fact is missing, unknown or of the wrong type.
    """
    known = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in facts.items()
    }
    path = sidecar_path(dat_path)
    _check_facts(known, path)
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(known, indent=2, allow_nan=False) + "\n")


def read_sidecar(dat_path: str | Path) -> dict[str, Any]:
    """Reads the .json beside a .dat; unknown numbers are NaN.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not JSON, or a fact is missing, unknown or of the wrong type.
    """
    path = sidecar_path(dat_path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path} beside the spikes.")
    try:
        facts = json.loads(path.read_text())
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply to be facts.") from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}).") from None
    if not isinstance(facts, dict):
        raise ValueError(f"{path} must hold one JSON object.")
    _check_facts(facts, path)
    known = {name: math.nan if x is None else x for name, x in facts.items()}
    return DEFAULTS | known


def merge_facts(
    dat_path: str | Path, given: Mapping[str, Any], *, needed: Collection[str]
) -> dict[str, Any]:
    """What was said of a .dat, and what the .json beside it adds.

    Args:
        dat_path: of the .dat.
        given: what was said, None where nothing was.
        needed: names that together make the .json dispensable.

    Raises:
        ValueError: the .json is broken and needed, or says otherwise how the spikes are
            stored than what was said.
    """
    said = {name: value for name, value in given.items() if value is not None}
    path = sidecar_path(dat_path)
    if not path.is_file():
        return DEFAULTS | said
    try:
        known = read_sidecar(dat_path)
    except ValueError as error:
        if set(needed) <= said.keys():
            return DEFAULTS | said  # it may belong to another program
        raise ValueError(
            f"{error} Correct it, or say all of {', '.join(needed)}."
        ) from None
    for name in ("height", "width", "flip", "bit_order", "layout"):
        if said.get(name, known[name]) != known[name]:
            raise ValueError(
                f"{path} says {name} {known[name]}, but {said[name]} was given; "
                "correct one of them."
            )
    return known | said


def _check_facts(facts: dict[str, Any], path: Path) -> None:
    if not _SIDECAR.keys() <= facts.keys() <= _SIDECAR.keys() | DEFAULTS.keys():
        raise ValueError(
            f"{path} must hold {', '.join(_SIDECAR)}, and may hold "
            f"{', '.join(DEFAULTS)}; it holds "
            f"{', '.join(map(str, facts)) or 'nothing'}."
        )
    for name, choices in _CHOICES.items():
        value = facts.get(name, DEFAULTS[name])
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{path}: {unknown_name(name, value, choices)}")
    for name, kind in _SIDECAR.items():
        value = facts[name]
        if kind is float:
            valid = value is None or (_is_number(value) and value > 0)
        elif name == "exposure":
            valid = isinstance(value, list) and all(
                isinstance(window, list)
                and len(window) == 2
                and all(_is_number(edge) for edge in window)
                for window in value
            )
        elif name == "spike_scale":
            valid = value in SPIKE_SCALES and not isinstance(value, bool)
        elif kind is int:
            valid = isinstance(value, int) and not isinstance(value, bool) and value > 0
        else:
            valid = isinstance(value, kind)
        if not valid:
            raise ValueError(f"{path}: {name} cannot be {value!r}.")


def _is_number(value: Any) -> bool:
    """Whether it is a finite number that float32 holds."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < 3e38
    )
