"""Checkpoints: the training state and the data position, whole or not at all."""

import glob
from pathlib import Path
from types import TracebackType

import jax
import orbax.checkpoint as ocp
from flax import traverse_util
from jaxtyping import PyTree

from vrt_spike_jax.train_state import TrainState


class Checkpoints:
    """The checkpoints of one run; writes in the background, keeps the newest few.

    A checkpoint is written beside its final name and renamed when it is complete, so a
    run killed at any moment finds whole ones only.
    """

    def __init__(self, directory: str | Path, *, keep: int = 3) -> None:
        require_plain(directory)
        self._directory = Path(directory).resolve()  # orbax takes no relative path
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def latest_step(self) -> int | None:
        """Steps that the newest checkpoint has been trained for; None without one."""
        return self._manager.latest_step()

    def save(self, state: TrainState, *, step: int, position: int) -> None:
        """Copies the state to the host and writes it in the background.

        Args:
          state: after `step` updates; may be donated as soon as this returns.
          step: its number.
          position: number of the next batch.
        """
        rival = {}
        if state.discriminator is not None:
            rival["discriminator"] = ocp.args.StandardSave(state.discriminator)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(state.params),
                optimizer=ocp.args.StandardSave(
                    {"step": state.step, "opt_state": state.opt_state}
                ),
                data=ocp.args.JsonSave({"position": position}),
                **rival,
            ),
        )

    def restore(self, abstract: TrainState) -> tuple[TrainState, int]:
        """The newest state and the position of its next batch.

        Args:
          abstract: shapes, types and shardings to restore to; the devices may be others
            than those that saved it.

        Raises:
          FileNotFoundError: there is no checkpoint.
          ValueError: the checkpoint holds other parameters, or a discriminator where
            none is trained, or none where one is.
        """
        step = self._newest()
        folder = self._directory / str(step)
        _require_same_params(folder / "params", abstract.params)
        _require_same_players(folder / "discriminator", abstract)
        rival = {}
        if abstract.discriminator is not None:
            rival["discriminator"] = ocp.args.StandardRestore(abstract.discriminator)
        rest = {"step": abstract.step, "opt_state": abstract.opt_state}
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardRestore(abstract.params),
                optimizer=ocp.args.StandardRestore(rest),
                data=ocp.args.JsonRestore(),
                **rival,
            ),
        )
        players = {name: restored[name] for name in ("params", *rival)}
        state = TrainState(**players, **restored.optimizer)
        return state, int(restored.data["position"])

    def wait(self) -> None:
        """Returns when everything saved so far is on the disk."""
        self._manager.wait_until_finished()

    def _newest(self) -> int:
        step = self._manager.latest_step()
        if step is None:
            raise _no_checkpoint(self._directory)
        return step

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._manager.close()


def require_plain(directory: str | Path) -> None:
    """Refuses a path that orbax would take for a pattern.

    It looks for the parts of a checkpoint by a pattern that begins with the path; where
    that holds a bracket it finds none, and saves a checkpoint without its arrays.

    Raises:
      ValueError: the path holds one of * ? [.
    """
    path = Path(directory).resolve()
    if glob.has_magic(str(path)):
        raise ValueError(
            f"{path} holds one of the signs * ? [, with which checkpoints cannot be "
            "saved; name another work directory."
        )


def newest_step(directory: str | Path) -> int:
    """Steps that the newest checkpoint of a directory has been trained for.

    Raises:
      FileNotFoundError: there is none; the directory is not created.
    """
    path = Path(directory).resolve()
    steps = ocp.utils.checkpoint_steps(path) if path.is_dir() else []
    if not steps:
        raise _no_checkpoint(path)
    return max(steps)


def chosen_step(directory: str | Path, step: int | None) -> int:
    """A step that there is a checkpoint of: the one asked for, else the newest.

    Raises:
      FileNotFoundError: there is none, or none of that step.
    """
    newest = newest_step(directory)
    found = sorted(ocp.utils.checkpoint_steps(Path(directory).resolve()))
    if step is not None and step not in found:
        raise FileNotFoundError(
            f"there is no checkpoint of step {step} in {directory}; there are those of "
            f"{', '.join(map(str, found))}."
        )
    return newest if step is None else step


def restore_params(
    directory: str | Path, abstract: PyTree, *, step: int | None = None
) -> PyTree:
    """The parameters of a checkpoint, whole on the first local device.

    Args:
      directory: the `checkpoints` folder of a work directory.
      abstract: shapes and types, as `train_state.abstract_params` gives them.
      step: of the checkpoint; None for the newest.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      ValueError: the checkpoint holds other parameters.
    """
    step = chosen_step(directory, step)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), abstract
    )
    path = Path(directory).resolve() / str(step) / "params"
    _require_same_params(path, abstract)
    with ocp.StandardCheckpointer() as reader:
        return reader.restore(path, target)


def _require_same_params(path: Path, abstract: PyTree) -> None:
    """Compares names and shapes first: orbax reports them late and at length."""
    with ocp.StandardCheckpointer() as reader:
        metadata = reader.metadata(path).item_metadata
    if metadata is None:
        raise ValueError(
            f"{path} holds no parameters that can be read; delete {path.parent} to go "
            "on from the checkpoint before it."
        )
    tree = metadata.tree
    found, wanted = (
        {name: x.shape for name, x in traverse_util.flatten_dict(t, sep="/").items()}
        for t in (tree, abstract)
    )
    differing = sorted(
        name
        for name in found.keys() | wanted.keys()
        if found.get(name) != wanted.get(name)
    )
    if differing:
        name = differing[0]
        raise ValueError(
            f"{path} holds other parameters than the model: {len(differing)} differ, "
            f"such as {name!r}, with the shape {found.get(name, 'absent')} in the "
            f"checkpoint and {wanted.get(name, 'absent')} in the model; take the "
            "configuration, and the version of the code, that trained it."
        )


def _require_same_players(path: Path, abstract: TrainState) -> None:
    if path.is_dir() == (abstract.discriminator is not None):
        return
    found, wanted = ("a", "none") if path.is_dir() else ("no", "one")
    raise ValueError(
        f"{path.parent} holds {found} discriminator, but {wanted} is to be trained; "
        "continue with the loss.adversarial.weight that it was trained with."
    )


def _no_checkpoint(directory: Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"there is no checkpoint in {directory}; train first with the same --workdir "
        "or --config (without --mode)."
    )
