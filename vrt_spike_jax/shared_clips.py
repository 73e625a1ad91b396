"""An evaluation clip by clip: shared among processes, continued where it was cut.

What is measured of a clip is kept in a file of its own until all clips are. The files
are how the processes hand it to each other, so their folder is one that all of them
see, as that of the checkpoints is.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from vrt_spike_jax.agreement import together
from vrt_spike_jax.atomic_file import replacing
from vrt_spike_jax.evaluate import Show, show_on
from vrt_spike_jax.scores import ClipScores

# Below the folder of the results, while there are none.
UNFINISHED = "unfinished_evaluation"
_STATE = "state.json"
# What failed, where one process has.
EVALUATION = "the evaluation"

Score = Callable[[Any, Show], ClipScores]


def own_clips(count: int, *, process_index: int, process_count: int) -> range:
    """The clips that a process measures: all processes' together are all, each once.

    Long and short clips often stand together, so each process takes every so many.

    Args:
      count: clips of the evaluation.
      process_index: of the process.
      process_count: processes that share the clips.
    """
    return range(process_index, count, process_count)


def score_clips(
    folder: Path, clips: Sequence[Any], score: Score, *, state: Mapping[str, Any]
) -> list[ClipScores]:
    """Measures all clips together with the other processes; continues what was cut.

    Args:
      folder: of the results; what is measured is kept below it until `forget`.
      clips: of which each process reads its own, one by one.
      score: measures one of them, and shows how far it is.
      state: what decides the numbers. What was kept of another is thrown away.

    Returns:
      The scores of all clips in the first process, none in the others.

    Raises:
      ValueError: a file of another process cannot be seen or read, or another process
        failed.
    """
    kept = folder / UNFINISHED
    with together(EVALUATION):
        if jax.process_index() == 0:
            _begin(kept, state)
    with together(EVALUATION):
        _score_own(kept, clips, score)
    with together(EVALUATION):
        if jax.process_index() > 0:
            return []
        return [_read(_file(kept, index)) for index in range(len(clips))]


def forget(folder: Path) -> None:
    """Removes what `score_clips` kept, when the results are written.

    Every process calls it; it returns when the first has removed everything.
    """
    with together(EVALUATION):
        if jax.process_index() == 0:
            shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


def _score_own(kept: Path, clips: Sequence[Any], score: Score) -> None:
    """Measures those of this process's clips that are left."""
    own = own_clips(
        len(clips),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    left = [index for index in own if not _file(kept, index).exists()]
    if jax.process_index() == 0 and len(left) < len(own):
        print(f"{len(own) - len(left)} of {len(own)} clips were measured before")
    with tqdm(
        total=len(own),
        initial=len(own) - len(left),
        desc="evaluating",
        unit="clip",
        disable=jax.process_index() > 0,
    ) as bar:
        for index in left:
            scores = score(clips[index], show_on(bar))
            _write_json(_file(kept, index), scores.to_json())
            bar.update()


def _begin(kept: Path, state: Mapping[str, Any]) -> None:
    """Makes the folder; an older one stays where it is of the same state."""
    plain = json.loads(json.dumps(state))
    path = kept / _STATE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = None
    except ValueError:  # damaged: what it is of is not known
        found = {}
    if found == plain:
        return
    if found is not None:
        differing = sorted(
            key for key in found.keys() | plain if found.get(key) != plain.get(key)
        )
        print(
            f"an unfinished evaluation in {kept} differs in {', '.join(differing)}: "
            "measuring all clips anew"
        )
    shutil.rmtree(kept, ignore_errors=True)
    _write_json(path, plain)


def _file(kept: Path, index: int) -> Path:
    return kept / f"clip_{index:06d}.json"


def _write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, allow_nan=False) + "\n", "utf-8")


def _read(path: Path) -> ClipScores:
    try:
        return ClipScores.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ValueError(
            f"{path}, which another process wrote, is not to be seen here; give a "
            "folder on a disk that all processes share."
        ) from error
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read; delete {path.parent} to measure all clips anew."
        ) from error
