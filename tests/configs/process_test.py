"""What the process of launch.py makes of signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from configs import process

ROOT = Path(__file__).resolve().parents[2]
_DYING = """
import os, signal, sys, time
from configs import process

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)

def command():
    Dying()
    time.sleep(60)
    return 0

sys.exit(process.exit_code_of(command))
"""


def test_sigterm_is_a_code_and_a_sentence(capsys):
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook

    def command():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        return 0

    assert process.exit_code_of(command) == 75
    assert capsys.readouterr().err.startswith("launch.py: told to stop by SIGTERM;")
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


def test_sigterm_in_a_destructor_is_not_lost():
    # A process of its own: pytest watches what destructors raise.
    done = subprocess.run(
        [sys.executable, "-c", _DYING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 75, done.stderr
    assert done.stderr.splitlines()[-1].startswith("launch.py: told to stop")
