"""Processes that share an evaluation and of which one fails, with threads for them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vrt_spike_jax import agreement
from vrt_spike_jax.scores import ClipScores
from vrt_spike_jax.shared_clips import forget, score_clips

PATIENCE = 60.0  # seconds until a process counts as waiting for one that has failed
ELSEWHERE = r"^the evaluation failed in process {} of 2 \(counted from 0\), which says"

Run = Callable[[Callable[[], Any]], list[Any]]


@pytest.fixture
def run_in_two(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a function in two threads as in two processes; what each gave or raised."""
    own = threading.local()
    barrier = threading.Barrier(2, timeout=PATIENCE)
    outcomes = [True, True]

    def all_outcomes(*, succeeded: bool) -> list[bool]:
        outcomes[own.index] = succeeded
        barrier.wait()
        found = list(outcomes)
        barrier.wait()  # until both have read what they may write next
        return found

    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("jax.process_index", lambda: own.index)
    monkeypatch.setattr("vrt_spike_jax.agreement._all_outcomes", all_outcomes)

    def run(function: Callable[[], Any]) -> list[Any]:
        def process(index: int) -> Any:
            own.index = index
            try:
                return function()
            except Exception as error:
                return error

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(process, range(2)))

    return run


def scored(clip: str, _: Any) -> ClipScores:
    if clip == "damaged":
        raise OSError("the clip is damaged")
    return ClipScores(clip, ["0"], {"blurred": {"psnr": [20.0]}})


@pytest.mark.parametrize("failing", [0, 1])
def test_a_clip_that_fails_in_one_process_ends_both(
    failing: int, run_in_two: Run, tmp_path: Path
) -> None:
    clips = ["a", "b", "c", "d"]
    broken = [*clips[:failing], "damaged", *clips[failing + 1 :]]
    found = run_in_two(lambda: score_clips(tmp_path, broken, scored, state={}))
    with pytest.raises(OSError, match="the clip is damaged"):
        raise found[failing]
    with pytest.raises(ValueError, match=ELSEWHERE.format(failing)):
        raise found[1 - failing]
    # What was measured is kept, and the same command continues.
    found = run_in_two(lambda: score_clips(tmp_path, clips, scored, state={}))
    assert [[clip.name for clip in scores] for scores in found] == [clips, []]
    assert run_in_two(lambda: forget(tmp_path)) == [None, None]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_the_first_process_cannot_write_to_ends_both(
    run_in_two: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "results"
    first, second = run_in_two(lambda: score_clips(folder, ["a"], scored, state={}))
    assert isinstance(first, OSError)
    with pytest.raises(ValueError, match=ELSEWHERE.format(0)):
        raise second


def test_both_fail_with_their_own_words_where_both_do(run_in_two: Run) -> None:
    def fail() -> None:
        with agreement.together("the evaluation"):
            raise OSError("no space")

    assert [str(error) for error in run_in_two(fail)] == ["no space"] * 2


def test_one_process_waits_for_no_other_and_fails_with_its_own_words() -> None:
    with agreement.together("the evaluation"):
        pass
    with pytest.raises(OSError, match="no space"), agreement.together("it"):
        raise OSError("no space")


def test_all_that_failed_are_named() -> None:
    sentence = agreement.failure_elsewhere("the data set", [True, False, True, False])
    assert "the data set failed in process 1, 3 of 4" in sentence
