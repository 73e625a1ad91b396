"""Checkpoints: training state, data position and configuration, whole or not at all."""

import glob
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp
from flax import traverse_util
from jaxtyping import PyTree
from orbax.checkpoint import checkpoint_managers as policies

from vrt_spike_jax import saved_config
from vrt_spike_jax.optimizer import overlaid
from vrt_spike_jax.train_state import TrainState

# What ranks the checkpoints of which it was measured.
SCORE = "psnr"
_NO_CONFIG: Mapping[str, Any] = {}


class _Manager(ocp.CheckpointManager):
    """Asks nothing of its own about SIGTERM, of which the training loop decides.

    It would ask for the step of a checkpoint whenever that is on the disk, and so tell
    `jax.distributed` a step that is long past.
    """

    def reached_preemption(self, step: int) -> bool:
        """Never; the loop saves when it has to."""
        return False


class Checkpoints:
    """The checkpoints of one run; writes in the background, keeps the newest few.

    A checkpoint is written beside its final name and renamed when it is complete, so a
    run killed at any moment finds whole ones only. Beside the newest, the best of those
    that were saved with a score is kept.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        config: Mapping[str, Any] = _NO_CONFIG,
        keep: int = 3,
    ) -> None:
        """Opens a folder, which is made if need be.

        Args:
          directory: of all checkpoints of the run, which other processes see too.
          config: of the run, plain values; saved with each checkpoint.
          keep: of the newest, how many.

        Raises:
          ValueError: the path is one that `require_plain` refuses.
        """
        require_plain(directory)
        self._directory = Path(directory).resolve()  # orbax takes no relative path
        self._config = config
        kept = policies.AnyPreservationPolicy(
            [
                policies.LatestN(keep),
                policies.BestN(
                    get_metric_fn=lambda scores: scores[SCORE],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=kept,
            best_fn=lambda scores: scores[SCORE],
            cleanup_tmp_directories=True,
        )
        self._has_failed = False
        self._manager = _Manager(self._directory, options=options)

    def latest_step(self) -> int | None:
        """Steps that the newest checkpoint has been trained for; None without one."""
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        *,
        step: int,
        position: int,
        score: float | None = None,
    ) -> None:
        """Copies the state to the host and writes it in the background.

        Args:
          state: after `step` updates; may be donated as soon as this returns.
          step: its number.
          position: number of the next batch.
          score: PSNR [dB] of held-out clips; None where it was not measured.

        Raises:
          OSError: this checkpoint, or the one before it, cannot be written. Those
            before them stay.
        """
        rival = {}
        if state.discriminator is not None:
            rival["discriminator"] = ocp.args.StandardSave(state.discriminator)
        if state.ema is not None:
            rival["ema"] = ocp.args.StandardSave(state.ema)
        args = ocp.args.Composite(
            params=ocp.args.StandardSave(state.params),
            optimizer=ocp.args.StandardSave(
                {"step": state.step, "opt_state": state.opt_state}
            ),
            data=ocp.args.JsonSave({"position": position}),
            config=ocp.args.JsonSave(dict(self._config)),
            **rival,
        )
        metrics = None if score is None else {SCORE: score}
        self._writing(lambda: self._manager.save(step, args=args, metrics=metrics))

    def restore(self, abstract: TrainState) -> tuple[TrainState, int]:
        """The newest state and the position of its next batch.

        Args:
          abstract: shapes, types and shardings to restore to; the devices may be others
            than those that saved it.

        Raises:
          FileNotFoundError: there is no checkpoint.
          ValueError: the checkpoint is of another configuration, holds other
            parameters, or a discriminator where none is trained, or none where one is.
        """
        step = self._newest()
        saved_config.require_same_config(self._directory, self._config)
        folder = self._directory / str(step)
        _require_same_params(folder / "params", abstract.params)
        _require_same_players(folder / "discriminator", abstract)
        rival = {}
        if abstract.discriminator is not None:
            rival["discriminator"] = ocp.args.StandardRestore(abstract.discriminator)
        if abstract.ema is not None:
            rival["ema"] = ocp.args.StandardRestore(abstract.ema)
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

    def best_step(self) -> int | None:
        """The step with the highest score; None where none was saved with one."""
        scored = [
            step
            for step in self._manager.all_steps()
            if self._manager.metrics(step) is not None
        ]
        return self._manager.best_step() if scored else None

    def wait(self) -> None:
        """Returns when everything saved so far is on the disk.

        Raises:
          OSError: as `save`.
        """
        self._writing(self._manager.wait_until_finished)

    def _writing(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except Exception as error:
            reason = _reason_of_the_disk(error)
            if reason is None:
                raise  # such as another process that was lost
            self._has_failed = True
            steps = ocp.utils.checkpoint_steps(self._directory)
            kept = f"that of step {max(steps)} stays" if steps else "there is none yet"
            raise OSError(
                f"a checkpoint could not be written to {self._directory} ({reason}); "
                f"{kept}. Make room there, or mend what is in the way, and run the "
                "same command again."
            ) from error

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
        # What could not be written has been said.
        if not self._has_failed:
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


def saved_steps(directory: str | Path) -> list[int]:
    """Steps that there are whole checkpoints of, in a directory that need not exist."""
    path = Path(directory).resolve()
    return sorted(ocp.utils.checkpoint_steps(path)) if path.is_dir() else []


def newest_step(directory: str | Path) -> int:
    """Steps that the newest checkpoint of a directory has been trained for.

    Raises:
      FileNotFoundError: there is none; the directory is not created.
    """
    steps = saved_steps(directory)
    if not steps:
        raise _no_checkpoint(Path(directory).resolve())
    return max(steps)


def chosen_step(directory: str | Path, step: int | None) -> int:
    """A step that there is a checkpoint of: the one asked for, else the newest.

    Raises:
      FileNotFoundError: there is none, or none of that step.
    """
    newest = newest_step(directory)
    found = saved_steps(directory)
    if step is not None and step not in found:
        raise FileNotFoundError(
            f"there is no checkpoint of step {step} in {directory}; there are those of "
            f"{', '.join(map(str, found))}."
        )
    return newest if step is None else step


def restore_params(
    directory: str | Path,
    abstract: PyTree,
    *,
    step: int | None = None,
    ema: bool = True,
) -> PyTree:
    """The parameters of a checkpoint, whole on the first local device.

    Where their moving averages were kept, it is these.

    Args:
      directory: the `checkpoints` folder of a work directory.
      abstract: shapes and types, as `train_state.abstract_params` gives them.
      step: of the checkpoint; None for the newest.
      ema: False for the parameters themselves.

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
    averages = path.parent / "ema"
    with ocp.StandardCheckpointer() as reader:
        params = reader.restore(path, target)
        if not (ema and averages.is_dir()):
            return params
        flat = traverse_util.flatten_dict(target, sep="/")
        # Of the parameters that trained; those that were frozen are what they are.
        names = reader.metadata(averages).item_metadata.tree
        found = reader.restore(averages, {name: flat[name] for name in names})
    return overlaid(params, found)


def _require_same_params(path: Path, abstract: PyTree) -> None:
    """Compares names and shapes first: orbax reports them late and at length."""
    with ocp.StandardCheckpointer() as reader:
        metadata = reader.metadata(path).item_metadata
    if metadata is None:
        raise ValueError(
            f"{path} holds no parameters that can be read; delete {path.parent} to go "
            "on from the checkpoint before it."
        )
    if told := difference(parameter_shapes(metadata.tree), parameter_shapes(abstract)):
        raise ValueError(
            f"{path} holds other parameters than the model: {told}; take the "
            "configuration, and the version of the code, that trained it."
        )


def parameter_shapes(params: PyTree) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, by its '/'-joined name."""
    flat = traverse_util.flatten_dict(params, sep="/")
    return {name: tuple(x.shape) for name, x in flat.items()}


def difference(
    found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]
) -> str:
    """Says how many parameters are missing, extra or of another shape; '' if none."""
    names = found.keys() | wanted.keys()
    differing = sorted(name for name in names if found.get(name) != wanted.get(name))
    if not differing:
        return ""
    name = differing[0]
    return (
        f"{len(differing)} differ, such as {name!r}, with the shape "
        f"{found.get(name, 'absent')} there and {wanted.get(name, 'absent')} in the "
        "model"
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


def _reason_of_the_disk(error: BaseException) -> str | None:
    """Why a file cannot be written, in the words of the system; None of other errors.

    TensorStore, which writes the arrays, raises ValueErrors that quote the system.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    quoted = re.search(r": ([^:]*) \[os_error_code='\d+'\]", str(error))
    return quoted[1] if quoted else None
