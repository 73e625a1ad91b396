"""Processes of one run that go on together, or fail together."""

import contextlib
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils


@contextlib.contextmanager
def together(what: str) -> Iterator[None]:
    """Runs a block in every process; goes on when all have ended it well.

    Without it, the others would wait without end for a process that has failed. An
    interruption is not shared: it ends a process at once.

    Args:
      what: failed, where a block does, such as 'the evaluation'.

    Raises:
      ValueError: the block failed in another process. In one in which it failed
        itself, its own exception goes on.
    """
    try:
        yield
    except Exception:
        _all_outcomes(succeeded=False)
        raise
    outcomes = _all_outcomes(succeeded=True)
    if not all(outcomes):
        raise ValueError(failure_elsewhere(what, outcomes))


def failure_elsewhere(what: str, outcomes: Sequence[bool]) -> str:
    """The sentence for the processes that did not fail.

    Args:
      what: failed.
      outcomes: whether each process succeeded; one at least did not.
    """
    failed = [str(index) for index, succeeded in enumerate(outcomes) if not succeeded]
    return (
        f"{what} failed in process {', '.join(failed)} of {len(outcomes)} (counted "
        "from 0), which says why; mend that and run the same command again."
    )


def totals(values: np.ndarray) -> np.ndarray:
    """Sums over the processes, the same in each, of an array (n) of each of them."""
    if jax.process_count() == 1:
        return values
    return np.sum(multihost_utils.process_allgather(values), axis=0)


def _all_outcomes(*, succeeded: bool) -> list[bool]:
    """Of all processes, in their order, when every one has come so far."""
    if jax.process_count() == 1:
        return [succeeded]
    found = multihost_utils.process_allgather(np.array([succeeded]))
    return [bool(outcome) for outcome in np.ravel(found)]
