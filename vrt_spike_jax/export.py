"""A trained model as files that need none of this code: parameters and StableHLO.

A folder of `write_export` holds the parameters as an orbax checkpoint, a program that
takes them and restores clips of one size, and `signature.json`, which says what goes in
and what comes out. docs/export.md loads it with JAX and orbax alone.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax import export
from jaxtyping import Array, Float, PyTree

from vrt_spike_jax.atomic_file import new_directory
from vrt_spike_jax.checkpoint import require_plain
from vrt_spike_jax.models.spike_encoder import match_gain
from vrt_spike_jax.restorer import Restorer, task_of
from vrt_spike_jax.train_state import SpikeShape

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM_FILE = "model.jax_export"
SIGNATURE_FILE = "signature.json"

Inputs = dict[str, Any]


def write_export(
    folder: str | Path,
    model: Restorer,
    params: PyTree,
    *,
    config: Any,
    spike_shape: SpikeShape,
    step: int,
    files: Iterable[Path] = (),
) -> None:
    """Writes parameters, program, signature and configuration of a model; says so.

    The batch of the program is symbolic: one program takes any number of clips, which
    go through the model one after another. Frames, height and width are those of the
    tile: the masks of shifted windows and the number of chunks follow from them.

    Args:
      folder: a new or empty one; it appears whole or not at all. It is a work directory
        too, from which launch.py restores and evaluates.
      model: `create_model(...)`; the program computes with its dtype and `max_chunk`.
      params: its parameters.
      config: the run configuration of the model, checked; `eval.tile` are the frames,
        height and width of a clip.
      spike_shape: of the spikes that the model takes.
      step: that the parameters have been trained for; names their checkpoint.
      files: of the work directory, to be copied beside.

    Raises:
      ValueError: the tile takes all of a video, whose size is not known; or checkpoints
        cannot be saved under such a name.
      FileExistsError, NotADirectoryError, PermissionError: it cannot be made there.
    """
    require_plain(folder)
    tile = config.eval.tile
    with new_directory(folder) as directory:
        exported, inputs = export_program(
            model, params, tile=tile, spike_shape=spike_shape
        )
        program: bytes = bytes(exported.serialize())
        (directory / PROGRAM_FILE).write_bytes(program)
        checkpoint = f"checkpoints/{step}/params"
        with ocp.StandardCheckpointer() as writer:
            # On the host: a device's arrays would be restored to that device only.
            writer.save(directory / checkpoint, jax.device_get(params))
        (restored,) = exported.out_avals
        signature = {
            "program": PROGRAM_FILE,
            "params": checkpoint,
            "platforms": list(exported.platforms),
            "inputs": {name: _described(x) for name, x in inputs.items()},
            "output": _described(restored),
            "versions": {name: metadata.version(name) for name in ("jax", "flax")},
        }
        _write_json(directory / SIGNATURE_FILE, signature)
        _write_json(directory / "config.json", config.to_dict())
        for file in files:
            shutil.copy(file, directory)
    shown = "".join(
        f"\n  {name:<12}{x.dtype}[{', '.join(map(str, x.shape))}]"
        for name, x in [*inputs.items(), ("restored", restored)]
    )
    size = f"{len(program) / 2**20:.1f} MiB"
    print(f"{folder}: parameters of step {step} and a program of {size}{shown}")


def export_program(
    model: Restorer, params: PyTree, *, tile: Sequence[int], spike_shape: SpikeShape
) -> tuple[export.Exported, Inputs]:
    """`restore(params, inputs)` in StableHLO for PLATFORMS, and the shapes of inputs.

    The inputs, float32, with a symbolic batch b: `blur` (b,T,H,W,3), or with a fourth
    channel, the noise level, for non-blind denoising; of a model with spikes `spikes`
    (b,T,K,h,w); of one that matches the gain `spike_gain` (b,), which turns rates into
    light, where 0 matches it with the clip; of one that takes an instant `instant`
    (b,T). `tile` is the `eval.tile` of a configuration; the other arguments, and
    errors, are those of `write_export`.
    """
    inputs = abstract_inputs(model, tile=tile, spike_shape=spike_shape)

    def restore(params: PyTree, inputs: Inputs) -> Float[Array, "b t h w 3"]:
        # A symbolic batch cannot be cut into chunks; a clip of fixed shape can.
        return jax.lax.map(lambda clip: _restore_clip(model, params, clip), inputs)

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    exported = export.export(jax.jit(restore), platforms=PLATFORMS)(shapes, inputs)
    return exported, inputs


def abstract_inputs(
    model: Restorer, *, tile: Sequence[int], spike_shape: SpikeShape
) -> Inputs:
    """Names, shapes and types of what the exported program takes beside parameters.

    Args and errors are those of `export_program`.
    """
    frames, height, width = tile
    task = task_of(model)
    frames = task.clip_frames or frames
    if 0 in (frames, height, width):
        raise ValueError(
            f"eval.tile is {tuple(tile)}, where 0 takes the whole video, and a program "
            "is exported for one size; pass it, as in --config.eval.tile='(6, 256, "
            "256)'."
        )
    (batch,) = export.symbolic_shape("b")

    def array(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((batch, *shape), jnp.float32)

    inputs: Inputs = {"blur": array(frames, height, width, 3 + int(task.nonblind))}
    if model.takes_spikes:
        scale, bins = spike_shape.spike_scale, spike_shape.num_channels
        inputs["spikes"] = array(frames, bins, height // scale, width // scale)
        if getattr(model, "matches_gain", True):
            inputs["spike_gain"] = array()
    if getattr(model, "takes_instant", False):
        inputs["instant"] = array(frames)
    return inputs


def _restore_clip(
    model: Restorer, params: PyTree, clip: Mapping[str, Array]
) -> Float[Array, "t h w 3"]:
    one = {name: x[None] for name, x in clip.items()}
    arguments = [one[name] for name in ("blur", "spikes") if name in one]
    options = {name: one[name] for name in ("spike_gain", "instant") if name in one}
    if "spike_gain" in options:
        blur, spikes = arguments
        side = getattr(model, "side_channels", 0)
        rates = spikes[:, :, : spikes.shape[2] - side]
        given = options["spike_gain"]
        own = match_gain(rates, blur[..., :3])
        options["spike_gain"] = jnp.where(given == 0, own, given)
    restored: Array = model.apply({"params": params}, *arguments, **options)[0]
    return restored


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _described(x: Any) -> dict[str, Any]:
    """Shape and type as JSON; a symbolic size by its name."""
    shape = [n if isinstance(n, int) else str(n) for n in x.shape]
    return {"shape": shape, "dtype": str(x.dtype)}
