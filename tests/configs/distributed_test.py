"""The parent of one process of several: what it passes on, and makes of its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs.command_line import parse

ROOT = Path(__file__).resolve().parents[2]
_CHILD = """
import os, signal, sys, time
from configs import distributed
distributed.supervise(["--coordinator=localhost:1"])
print(os.getpid(), flush=True)
"""


def supervised(then: str) -> subprocess.Popen:
    """A process whose child does something; its first line is the child's number."""
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD + then],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("then", "code", "sentence"),
    [
        ("sys.exit(0)", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("os.abort()", 75, "The same commands go on after the last checkpoint."),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "was ended by SIGKILL."),
    ],
)
def test_the_end_of_a_process_is_a_code_and_a_sentence(then, code, sentence):
    process = supervised(then)
    output, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert error.rstrip().endswith(sentence)
    assert int(output) != process.pid


def test_sigterm_is_passed_on():
    process = supervised(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        "print('ready', flush=True)\ntime.sleep(60)"
    )
    assert process.stdout.readline() and process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 75


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children so")
def test_child_ends_with_a_parent_that_is_killed():
    process = supervised("time.sleep(60)")
    child = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=30)  # the child held the pipes open
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(child, signal.SIG_DFL)


def test_one_process_alone_has_no_parent():
    code = (
        "import os; from configs import distributed; before = os.getpid();"
        "distributed.supervise(['--config=x']); assert os.getpid() == before"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--coordinator=h:1"], "--coordinator needs --num_processes beside it"),
        (["--process_id=0"], "--process_id needs --coordinator beside it"),
        (
            ["--coordinator=h", "--num_processes=2", "--process_id=0"],
            "--coordinator=h is not HOST:PORT",
        ),
        (
            ["--coordinator=h:1", "--num_processes=two", "--process_id=0"],
            "--num_processes=two is not a number of processes",
        ),
        (
            ["--coordinator=h:1", "--num_processes=2", "--process_id=2"],
            "--process_id=2 is not one of 0 to 1, as of --num_processes=2",
        ),
        (
            ["--coordinator=h:1", "--num_processes=2", "--process_id=1"]
            + ["--mode=compile"],
            "--coordinator has no effect in --mode=compile",
        ),
        (["--coordinator="], "--coordinator is empty"),
    ],
)
def test_processes_are_named_whole(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse(["--config=configs/cross_attn.py", *arguments], "")


def test_process_that_is_named_is_one_of_several():
    options = parse(
        ["--config=c", "--coordinator=[::1]:80", "--num_processes=2"]
        + ["--process_id=0"],
        "",
    )
    assert options.distributed
    assert (options.num_processes, options.process_id) == (2, 0)
