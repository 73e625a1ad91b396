"""What the README tells to run is what is run here, and what it names is there."""

import re
import shlex
from pathlib import Path

import pytest

from configs import command_line
from configs.load import load_config
from data_pipeline.recording import load_spikes
from data_pipeline.spike_dat import frame_bytes
from data_pipeline.spike_input import SpikeInput

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


def test_the_command_that_trains_on_prepared_sets_is_taken():
    block = next(c for c in README.split("```bash\n") if "data.sets" in c)
    words = shlex.split(block.split("```")[0].replace("\\\n", " "))
    options = command_line.parse(words[2:], "")
    config = load_config(f"{ROOT}/{options.config}", options.overrides)
    assert [weight for _, weight in config.data.sets] == [3.0, 1.0]
    assert all(directory.startswith("~/") for directory, _ in config.data.sets)
    assert config.data.spike_scale == 2


def test_the_restore_command_says_all_that_a_recording_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = next(c for c in README.split("```bash\n") if "--mode=restore" in c)
    words = shlex.split(block.split("```")[0].replace("\\\n", " "))
    assert words[:2] == ["python", "launch.py"]
    options = command_line.parse(words[2:], "")
    # Of a .dat alone, with no .json beside it; sizes as the command gives them.
    length = frame_bytes(options.spike_height, options.spike_width)
    Path(options.spikes).write_bytes(b"\x01" * 200 * length)
    spikes = load_spikes(
        options.spikes,
        num_frames=2,
        height=options.spike_height,
        width=options.spike_width,
        spike_input=SpikeInput("voxel", {"num_bins": 8}),
        spike_height=options.spike_height,
        spike_width=options.spike_width,
        flip=options.spike_flip,
        exposure=options.exposure,
    )
    assert len(spikes) == 2


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
