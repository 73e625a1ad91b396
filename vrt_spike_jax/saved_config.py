"""The configuration inside a checkpoint, and how it differs from one to train with."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

# Below the folder of a checkpoint.
ITEM = "config"
# The same training on other devices, from another place, told and measured otherwise.
_MAY_DIFFER = (
    "mesh.",
    "eval.",
    "data.dir",  # where the embedded clips are built, which follow from all else
    "train.log_every",
    "train.picture_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.eval_every",
)


def require_same_config(directory: str | Path, config: Mapping[str, Any]) -> None:
    """Refuses to continue a training with other settings than it was begun with.

    Those that its parameters do not depend on may be others: the mesh, where embedded
    clips are built, what is logged, saved and measured.

    Args:
      directory: the `checkpoints` folder of a work directory; nothing may be there.
      config: of the training that is to continue.

    Raises:
      ValueError: settings differ, all of which are named, or the newest checkpoint
        holds none.
    """
    path = Path(directory).resolve()
    steps = ocp.utils.checkpoint_steps(path) if path.is_dir() else []
    if not steps:
        return
    folder = path / str(max(steps)) / ITEM
    if not folder.is_dir():
        raise ValueError(
            f"{folder.parent} holds parameters to restore with, but no configuration "
            "to continue a training with; train in another --workdir."
        )
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        found = reader.restore(folder)
    differing = differences(found, config)
    if differing:
        raise ValueError(
            f"{path.parent} was begun with other settings: {'; '.join(differing)}. "
            "Take the old settings to continue it, or another --workdir to train "
            "with the new ones (also for more train.steps, since the learning rate "
            "follows from them)."
        )


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What two configurations differ in, as 'train.steps (there 10, here 20)'.

    Args:
      there: of a checkpoint.
      here: of the training that is to continue.
    """
    # JSON knows lists alone; the sequences of a configuration are tuples.
    old, new = (dict(_flat(json.loads(json.dumps(c)))) for c in (there, here))
    found = []
    for key in sorted(old.keys() | new.keys()):
        values = [repr(c[key]) if key in c else "no such key" for c in (old, new)]
        if values[0] != values[1] and not key.startswith(_MAY_DIFFER):
            found.append(f"{key} (there {values[0]}, here {values[1]})")
    return found


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            for name, leaf in _flat(value):
                yield f"{key}.{name}", leaf
        else:
            yield key, value
