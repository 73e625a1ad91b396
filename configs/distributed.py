"""One process of several: how it joins the others, and how it ends where one is lost.

JAX ends a process by SIGABRT, from one of its own threads, when another has not been
heard of. So each process of a run has a parent, which only waits for it, and says what
happened in one sentence.
"""

import argparse
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

# Seconds after which a process that is not heard of counts as lost.
HEARTBEAT_SECONDS = 30
# BSD's EX_TEMPFAIL, try again later: by it a scheduler tells what to start again.
TRY_AGAIN = 75
LOST = (
    "launch.py: another process of this run was lost, has failed, or did not come in "
    "five minutes, and this one ends with it; see what that one says. The same "
    "commands go on after the last checkpoint."
)
# What JAX, gloo and NCCL say of a process that does not answer.
_SIGNS_OF_A_LOST_ONE = ("gloo", "nccl", "heartbeat", "coordination service", "barrier")
# Seconds for the others to fail in the same way, and to say so themselves.
_GRACE = 3
_PR_SET_PDEATHSIG = 1
# The index of this process, once it is one of several.
_joined: list[int] = []


def join(options: argparse.Namespace) -> None:
    """Joins the other processes of a run, found by JAX or named by the options.

    Raises:
      ValueError: there are none to be found, or they did not come.
    """
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            options.coordinator,
            options.num_processes,
            options.process_id,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        if options.coordinator is None:
            raise ValueError(
                f"--distributed found no other processes to join ({reason}); start "
                "each on a cluster that JAX knows, such as Slurm or a TPU pod, name "
                "them by --coordinator, --num_processes and --process_id, or leave it "
                "out."
            ) from error
        raise ValueError(
            f"process {options.process_id} of {options.num_processes} could not join "
            f"the others at --coordinator={options.coordinator} ({reason}); start all "
            "of them, with the address of process 0."
        ) from error
    _joined.append(jax.process_index())


def is_joined() -> bool:
    """Whether this process is one of several."""
    return bool(_joined)


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error, or its cause, is that another process does not answer."""
    if not is_joined():
        return False
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(cause) for cause in causes).lower()
    return any(sign in text for sign in _SIGNS_OF_A_LOST_ONE)


def leave(code: int) -> None:
    """Ends a process that has failed at once, if it is one of several.

    Waiting for the others, as at a usual end, would be in vain: they wait for it.
    """
    if not is_joined():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if code != TRY_AGAIN:
        # They need process 0 to the end.
        time.sleep(_GRACE + 2 * (_joined[0] == 0))
    os._exit(code)


def supervise(argv: Sequence[str]) -> None:
    """Goes on in a child where the command is one of several; else does nothing.

    The parent passes signals on to the child, ends with its exit code, and with
    `TRY_AGAIN` where another process was lost. Killed, it takes the child with it.
    """
    names = {argument.partition("=")[0] for argument in argv}
    if names.isdisjoint(("--distributed", "--coordinator")) or not hasattr(os, "fork"):
        return
    parent = os.getpid()
    signals = (signal.SIGTERM, signal.SIGINT)
    # Until there is a child that they can be passed on to, they wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child == 0:
        _die_with(parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    _, status = os.waitpid(child, 0)
    sys.exit(_exit_code(status))


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGABRT:
        print(LOST, file=sys.stderr)
        return TRY_AGAIN
    if code < 0:
        name = signal.Signals(-code).name
        print(f"launch.py: this process was ended by {name}.", file=sys.stderr)
        return 128 - code
    return code


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before that
            os._exit(1)
