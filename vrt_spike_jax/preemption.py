"""The notice that a run is to end soon: SIGTERM, on which all processes agree."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils

# BSD's EX_TEMPFAIL, try again later: by it a scheduler tells what to start again.
EXIT_CODE = 75


class Preempted(Exception):
    """A run ended before its evaluation since it was told to; all of it is saved."""


@contextlib.contextmanager
def notices() -> Iterator[Callable[[int], bool]]:
    """While the block runs, SIGTERM does not end the process but is only noted.

    Gives a function that is to be called with the number of every step, one after the
    other; it tells whether to stop after that step. In a run of several processes all
    are told so at the same step, whichever of them got the signal. That takes a step or
    two more: `jax.distributed` agrees on one that none of them has passed.

    After the block, SIGTERM is what it was before `jax.distributed` took it over.
    Outside of the main thread, to which signals go, a single process is told nothing.
    """
    if jax.distributed.is_initialized():
        # It took SIGTERM over when it was initialised.
        yield multihost_utils.reached_preemption_sync_point
        take_back_sigterm()
    elif not _is_main_thread():
        yield lambda step: False
    else:
        noted = threading.Event()

        def note(number: int, frame: FrameType | None) -> None:
            noted.set()

        before = signal.signal(signal.SIGTERM, note)
        try:
            yield lambda step: noted.is_set()
        finally:
            signal.signal(signal.SIGTERM, before)


def take_back_sigterm() -> None:
    """Makes SIGTERM what it was before `jax.distributed` took it over, if that did.

    Where nothing is trained, nobody asks `jax.distributed`: the signal would be lost.
    """
    if jax.distributed.is_initialized() and _is_main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
