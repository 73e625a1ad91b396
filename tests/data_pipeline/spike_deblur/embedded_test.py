"""The embedded data set is built once for each choice of settings."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.spike_deblur import open_split, prepare_embedded

ROOT = Path(__file__).resolve().parents[3]


def test_other_settings_are_another_directory_and_the_same_are_not_built_again(
    settings: dict[str, Any], tmp_path: Path, capfd: Any
) -> None:
    small = settings | {"train_clips": 1, "test_clips": 1, "num_frames": 1}
    first = prepare_embedded(str(tmp_path), small)
    shown = capfd.readouterr()
    assert "2/2" in shown.err and shown.out == ""
    assert prepare_embedded(str(tmp_path), dict(small)) == first
    assert capfd.readouterr() == ("", "")
    second = prepare_embedded(str(tmp_path), small | {"seed": 4})
    assert second != first
    one, other = (open_split(path, "test")[0]["sharp"] for path in (first, second))
    assert (one != other).any()


def test_wrong_settings_build_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exposure must be an odd number"):
        prepare_embedded(str(tmp_path), settings | {"exposure": 8})
    assert not any(tmp_path.iterdir())


def test_building_does_not_wait_for_tensorflow() -> None:
    code = "import sys, data_pipeline.prepare; print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
