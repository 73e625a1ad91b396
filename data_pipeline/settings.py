"""Settings of a data set: checked against their table, and hashed into its name."""

import hashlib
import json
import math
import numbers
from collections.abc import Mapping
from typing import Any

from data_pipeline.choices import unknown_name


def check_settings(
    settings: Mapping[str, Any],
    types: Mapping[str, type],
    *,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the settings as plain Python values of the types of the table.

    Args:
        settings: name -> value.
        types: name -> type, of every setting there is.
        defaults: of those that may be left out.

    Raises:
        ValueError: a setting is missing, unknown or of another type.
    """
    for name in settings:
        if name not in types:
            raise ValueError(unknown_name("data setting", name, types))
    settings = {**(defaults or {}), **settings}
    missing = [name for name in types if name not in settings]
    if missing:
        raise ValueError(f"The data settings lack {', '.join(missing)}.")
    checked = {}
    for name, kind in types.items():
        value = settings[name]
        if kind in (int, float):
            wrong = (
                isinstance(value, bool)
                or not isinstance(value, numbers.Real)
                or not math.isfinite(value)
                or (kind is int and value != math.floor(value))
            )
        else:
            wrong = not isinstance(value, kind)
        if wrong:
            expected = kind.__name__ + " and finite" * (kind is float)
            raise ValueError(
                f"The data setting {name} must be {expected}, got {value!r}."
            )
        checked[name] = kind(value)
    return checked


def settings_hash(settings: Mapping[str, Any], *, version: str) -> str:
    """Returns 12 hexadecimal digits that differ when settings or version differ."""
    text = json.dumps([version, dict(settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
