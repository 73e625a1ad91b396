"""What the README tells to run is what is run here, and what it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


def test_ci_runs_the_very_test_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip()
    command = script.splitlines()[-1]
    assert command.endswith("pytest")
    assert [line for line in _commands() if line.endswith(f" && {command}")]


def test_the_first_screen_holds_two_commands_complete_on_a_fresh_machine():
    first, second = _commands()[:2]
    assert README.index(second) < 1500
    for command in (first, second):
        assert command.startswith(
            "python3 -m venv .venv && . .venv/bin/activate && pip"
        )
    assert first.endswith(" && python launch.py --config=configs/cross_attn.py")


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(target):
    assert (ROOT / target).is_file()


def test_the_layout_names_files_that_exist():
    block = README.split("## Layout")[1].split("##")[0]
    folder, missing = ROOT, []
    for indent, name in re.findall(r"(?m)^    ( *)([\w./]+)  ", block):
        path = (folder if indent else ROOT) / name
        if not path.exists():
            missing.append(str(path))
        if not indent and path.is_dir():
            folder = path
    assert not missing, f"the README's layout names {missing}"


def test_python_in_the_readme_names_what_the_package_has():
    package = (ROOT / "vrt_spike_jax" / "__init__.py").read_text(encoding="utf-8")
    names = set(re.findall(r"vsj\.(\w+)", README))
    assert names
    assert all(f'"{name}"' in package for name in names)
