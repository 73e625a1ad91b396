import subprocess
import sys

import pytest

from vrt_spike_jax.workdir_lock import locked

HOLD = """
import sys
from vrt_spike_jax.workdir_lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_folder_is_of_one_command_until_that_ends(tmp_path):
    workdir = tmp_path / "runs" / "one"
    with locked(workdir), pytest.raises(ValueError, match="another command is train"):
        with locked(workdir):
            pass
    with locked(workdir), locked(tmp_path / "other"):
        pass


def test_killed_command_keeps_nothing(tmp_path):
    command = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout.readline() == "held\n"
    with pytest.raises(ValueError) as error, locked(tmp_path):
        pass
    assert f"process {command.pid} on " in str(error.value)
    command.kill()
    command.communicate()
    with locked(tmp_path):
        pass
