"""A build by Apache Beam's local runner gives the bytes of a local build."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.prepare import main
from data_pipeline.spike_deblur import manifest_checksum, verify

ROOT = Path(__file__).resolve().parents[3]
beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed: pip install 'vrt-spike-jax[beam]'",
)
PROCESSES = "--direct_num_workers=2 --direct_running_mode=multi_processing"
THREADS = "--direct_num_workers=2 --direct_running_mode=multi_threading"


def prepare(output: Path, settings: dict[str, Any], *more: str) -> Any:
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    start = [sys.executable, "-m", "data_pipeline.prepare", "--source=embedded"]
    return subprocess.run(
        [*start, f"--output={output}", *arguments, *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def files(directory: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


@beam
@pytest.mark.parametrize("options", [PROCESSES, THREADS])
def test_beam_gives_the_bytes_of_a_local_build(
    settings: dict[str, Any], tmp_path: Path, options: str
) -> None:
    local = prepare(tmp_path / "local", settings).stdout.strip()
    done = prepare(tmp_path / "beam", settings, "--beam", f"--beam_options={options}")
    assert done.returncode == 0, done.stderr
    directory = done.stdout.strip().splitlines()[-1]
    assert verify(directory) == manifest_checksum(local)
    assert files(directory) == files(local)
    assert not list(tmp_path.rglob("incomplete"))


@beam
def test_an_error_on_beam_is_the_sentence_of_its_cause(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    code = (
        "from data_pipeline.spike_deblur import build, Source\n"
        "from failing_clips import FailingClips\n"
        f"made = FailingClips({settings!r}, 'fails')\n"
        "source = Source('failing', '1', {}, {'train': 4, 'test': 1}, made)\n"
        f"build({str(tmp_path)!r}, source, beam_options='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "tests" / "helpers",
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "\nValueError: clip 1 of train is broken\n" in done.stderr


@beam
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--runner=Flnk", "Flnk"),
        ("--direct_num_workers=two", "cannot be read: .*invalid int value: 'two'"),
        ("--runner='Flink", "cannot be read: No closing quotation"),
    ],
)
def test_wrong_options_of_beam_are_one_sentence(
    settings: dict[str, Any], tmp_path: Path, options: str, message: str
) -> None:
    done = prepare(tmp_path, settings, "--beam", f"--beam_options={options}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "usage:" not in done.stderr
    assert re.search(message, done.stderr.splitlines()[-1])
    assert not any(tmp_path.iterdir())


def test_without_beam_the_sentence_says_what_to_install(
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    start = ["--source=embedded", f"--output={tmp_path}", *arguments]
    assert main([*start, "--beam"]) == 2
    assert "pip install 'vrt-spike-jax[beam]'" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    assert main([*start, "--beam_options=--runner=DirectRunner"]) == 2
    assert "no meaning without --beam" in capsys.readouterr().err
    assert main([*start, "--beam", "--workers=2"]) == 2
    assert "--direct_num_workers" in capsys.readouterr().err
