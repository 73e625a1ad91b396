"""The .json beside a .dat: round trips, and errors that name the fact."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline import spike_sidecar

ROOT = Path(__file__).resolve().parents[2]
FACTS: dict[str, Any] = {
    "height": 4,
    "width": 6,
    "flip": True,
    "spike_rate": float("nan"),
    "threshold": 2.0,
    "gain": 1.0,
    "spike_scale": 2,
    "exposure": [[0.0, 3.0], [4.0, 7.0]],
}


def test_the_sidecar_round_trips_with_unknown_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    spike_sidecar.write_sidecar(path, FACTS)
    assert '"spike_rate": null' in (tmp_path / "a.json").read_text()
    read = spike_sidecar.read_sidecar(path)
    assert np.isnan(read.pop("spike_rate"))
    plain = {"bit_order": "little", "layout": "plain"}
    plain |= {"transfer": "unknown", "cfa": "none"}
    assert read == {k: v for k, v in FACTS.items() if k != "spike_rate"} | plain


def test_how_a_camera_stores_its_rows_may_be_added(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    spike_sidecar.write_sidecar(path, FACTS | {"layout": "gen2", "bit_order": "big"})
    read = spike_sidecar.read_sidecar(path)
    assert (read["layout"], read["bit_order"]) == ("gen2", "big")
    light = {"transfer": "linear", "cfa": "bggr"}
    spike_sidecar.write_sidecar(path, FACTS | light)
    assert light.items() <= spike_sidecar.read_sidecar(path).items()
    for name, wrong, near in (("transfer", "Linear", "linear"), ("cfa", "bgr", "bggr")):
        with pytest.raises(ValueError, match=f"Unknown {name} '{wrong}'.*'{near}'"):
            spike_sidecar.write_sidecar(path, FACTS | {name: wrong})
    with pytest.raises(ValueError, match="Unknown layout 'gen_2'.*'gen2'"):
        spike_sidecar.write_sidecar(path, FACTS | {"layout": "gen_2"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "one JSON object"),
        ('{"height": 4}', "must hold height, width"),
    ],
)
def test_a_broken_sidecar_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        spike_sidecar.read_sidecar(tmp_path / "a.dat")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("height", "4"),
        ("width", True),
        ("flip", 1),
        ("gain", "big"),
        ("exposure", [[1]]),
        ("exposure", None),
    ],
)
def test_a_wrong_fact_is_named(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be"):
        spike_sidecar.write_sidecar(tmp_path / "a.dat", FACTS | {name: value})
    assert not any(tmp_path.iterdir())


def test_a_missing_sidecar_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a.json"):
        spike_sidecar.read_sidecar(tmp_path / "a.dat")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spike_rate", 0.0),
        ("threshold", -1.0),
        ("gain", float("inf")),
        ("spike_scale", 3),
        ("height", 0),
        ("exposure", [[0, float("inf")]]),
        ("exposure", [[0, 10**400]]),
    ],
)
def test_impossible_numbers_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be"):
        spike_sidecar.write_sidecar(tmp_path / "a.dat", FACTS | {name: value})


def test_a_layout_that_is_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unknown layout"):
        spike_sidecar.write_sidecar(tmp_path / "a.dat", FACTS | {"layout": ["x"]})


def test_what_is_said_must_not_contradict_the_sidecar(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    spike_sidecar.write_sidecar(path, FACTS)
    needed = ("height", "width")
    merged = spike_sidecar.merge_facts(path, {"height": 4, "flip": None}, needed=needed)
    assert (merged["height"], merged["flip"], merged["layout"]) == (4, True, "plain")
    # Height and width swapped.
    with pytest.raises(ValueError, match="says height 4, but 6 was given"):
        spike_sidecar.merge_facts(path, {"height": 6, "width": 4}, needed=needed)
    with pytest.raises(ValueError, match="says layout plain, but gen1 was given"):
        spike_sidecar.merge_facts(path, {"layout": "gen1"}, needed=needed)


def test_a_json_of_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"camera": "x"}')
    path, needed = tmp_path / "a.dat", ("height", "width")
    merged = spike_sidecar.merge_facts(path, {"height": 4, "width": 6}, needed=needed)
    assert merged == {"height": 4, "width": 6} | spike_sidecar.DEFAULTS
    with pytest.raises(ValueError, match="or say all of height, width"):
        spike_sidecar.merge_facts(path, {"height": 4}, needed=needed)


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "spike_files.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (tmp_path / "a.json").write_text(example)
    facts = spike_sidecar.read_sidecar(tmp_path / "a.dat")
    assert facts["exposure"][1] == [80.0, 145.0] and np.isnan(facts["threshold"])
