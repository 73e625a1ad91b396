"""SIGTERM where jax.distributed has taken it over; a real process gets real signals."""

import subprocess
import sys
from pathlib import Path

from configs.distributed import TRY_AGAIN
from vrt_spike_jax.preemption import EXIT_CODE

ROOT = Path(__file__).resolve().parents[2]
_PROCESS = """
import os, signal, socket
import jax
from vrt_spike_jax import preemption

noted = []
signal.signal(signal.SIGTERM, lambda *_: noted.append(1))
with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
jax.config.update("jax_platforms", "cpu")
jax.distributed.initialize(f"localhost:{port}", 1, 0)
preemption.take_back_sigterm()
os.kill(os.getpid(), signal.SIGTERM)
print(noted)
"""


def test_sigterm_is_heard_again_where_nothing_is_trained():
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "[1]\n", done.stderr


def test_the_code_to_try_again_is_one():
    assert EXIT_CODE == TRY_AGAIN
