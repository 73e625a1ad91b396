"""Settings are checked against their table and hashed by value."""

from typing import Any

import pytest

from data_pipeline.settings import check_settings, settings_hash

TABLE = {"frames": int, "gain": float, "name": str}
GOOD: dict[str, Any] = {"frames": 3, "gain": 1, "name": "x"}


def test_values_become_plain_python_values() -> None:
    checked = check_settings({**GOOD, "frames": 3.0}, TABLE)
    assert checked == GOOD
    assert type(checked["frames"]) is int
    assert type(checked["gain"]) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": 3}, "Unknown data setting 'frame'. Did you mean 'frames'"),
        ({"frames": 2.5}, "frames must be int, got 2.5"),
        ({"frames": "3"}, "frames must be int"),
        ({"frames": True}, "frames must be int"),
        ({"gain": None}, "gain must be float"),
        ({"gain": float("nan")}, "gain must be float and finite, got nan"),
        ({"name": 4}, "name must be str"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_settings(GOOD | change, TABLE)


def test_defaults_fill_in_what_was_left_out_and_nothing_else() -> None:
    defaults = {"gain": 2.0, "name": "y"}
    checked = check_settings({"frames": 1, "name": "x"}, TABLE, defaults=defaults)
    assert checked == {"frames": 1, "gain": 2.0, "name": "x"}
    with pytest.raises(ValueError, match="lack frames"):
        check_settings({}, TABLE, defaults=defaults)


def test_missing_settings_are_named() -> None:
    with pytest.raises(ValueError, match="lack gain, name"):
        check_settings({"frames": 1}, TABLE)


def test_the_hash_depends_on_values_and_version_and_not_on_order() -> None:
    first = settings_hash(GOOD, version="1")
    assert settings_hash(dict(reversed(GOOD.items())), version="1") == first
    assert settings_hash(GOOD | {"frames": 4}, version="1") != first
    assert settings_hash(GOOD, version="2") != first
