"""What a model costs to run and to train, by the compiler's own analysis; runs nothing.

A program is traced first, which tells its arithmetic, and compiled then, which tells
its memory and can take minutes. XLA counts the body of a loop once, however often it
runs, and the chunked layers of a model are loops; the arithmetic is therefore that of
the same model without chunks, which computes the same.
"""

import contextlib
import dataclasses
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.monitoring
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util
from jax.sharding import Mesh
from jaxtyping import Array, PyTree

from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax import sharding
from vrt_spike_jax.collectives import Collective, collectives_of
from vrt_spike_jax.loss_networks import abstract_networks
from vrt_spike_jax.losses.table import field_shapes
from vrt_spike_jax.stages import Stage
from vrt_spike_jax.train import prepare_run
from vrt_spike_jax.train_state import SpikeShape, abstract_params

UNCHUNKED = 2**60  # numbers in the largest temporary: more than any layer has

_COMPILED = "/jax/core/compile/backend_compile_duration"
_FOUND = "/jax/compilation_cache/cache_hits"


@dataclasses.dataclass(frozen=True)
class ParameterGroup:
    """The parameters that train by one rule, or not at all."""

    name: str
    count: int
    bytes: int
    is_trained: bool


@dataclasses.dataclass(frozen=True)
class Cost:
    """The arithmetic of one call of a program, on all its devices together.

    `flops` counts a multiplication and an addition as two, and every operation on
    numbers; where blocks are rematerialised it includes what is computed again, but
    not the logits that chunks compute again in the backward pass. `unfused_bytes` is
    what moves if every operation reads its operands from memory and writes its result
    there: the most that can move, since a compiler fuses operations.
    """

    flops: float
    unfused_bytes: float
    trace_seconds: float


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes that a compiled program needs on each device, by what they hold."""

    arguments: int
    outputs: int
    aliased: int  # outputs that lie where arguments were given up for them
    temporaries: int
    code: int

    @property
    def peak(self) -> int:
        """What is held at once: arguments, outputs, temporaries and code.

        Outputs in the place of arguments count once. The temporaries are the one block
        that the compiler lays them out in; they overlap there where they do not live
        at the same time. jaxlib's own `peak_memory_in_bytes` is not used: on a CPU it
        leaves the temporaries out.
        """
        held = self.arguments + self.outputs + self.temporaries + self.code
        return held - self.aliased


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiled program tells.

    `fused_bytes` is what moves between the operations that are left after fusion, on
    each device, with the body of every loop counted once: the least that moves.
    """

    memory: Memory
    fused_bytes: float
    compile_seconds: float
    compilations: int
    from_cache: int  # compilations that an earlier run had done
    collectives: tuple[Collective, ...] = ()


@dataclasses.dataclass(frozen=True)
class Program:
    """A computation as configured, and the same without chunks."""

    name: str
    work: str  # what one call does, in words
    frames: int  # that one call restores, or trains on
    devices: int
    savers: str  # the configuration keys that bring its memory down
    lower: Callable[[], jax.stages.Lowered]
    lower_unchunked: Callable[[], jax.stages.Lowered]


def forward_program(
    config: Any, model: nn.Module, unchunked: nn.Module, *, spike_shape: SpikeShape
) -> Program:
    """The restoration of one tile of `config.eval.tile`, on one device.

    Args:
      config: a run configuration, checked.
      model: VRT or VRTSpike, as configured.
      unchunked: the same with a `max_chunk` of UNCHUNKED.
      spike_shape: of the spikes that the data pipeline serves.

    Raises:
      ValueError: the tile is as large as the video, which is not known.
    """
    frames, height, width = config.eval.tile
    network = _network(model)
    if getattr(network, "pa_frames", None) == 0:
        frames = network.img_size[0]  # interpolation sees one clip of this length
    if 0 in (frames, height, width):
        raise ValueError(
            f"eval.tile is {tuple(config.eval.tile)}, where 0 takes the whole video; "
            "name a size instead to be told its cost."
        )
    params = abstract_params(model, spike_shape)
    channels = 3 + int(getattr(network, "nonblind_denoising", False))
    clip = _abstract_clip((1, frames, height, width), channels, spike_shape)
    inputs, gain = [clip["blur"]], {}
    if model.takes_spikes:
        inputs.append(clip["spikes"])
        if getattr(model, "matches_gain", True):
            gain["gain"] = jax.ShapeDtypeStruct((1,), jnp.float32)

    def lower(model: nn.Module) -> jax.stages.Lowered:
        def restore(
            params: PyTree, blur: Array, *spikes: Array, gain: Array | None = None
        ) -> Any:
            options: dict[str, Any] = {} if gain is None else {"spike_gain": gain}
            return model.apply({"params": params}, blur, *spikes, **options)

        return jax.jit(restore).lower(params, *inputs, **gain)

    return Program(
        name="forward pass",
        work=f"one tile of {frames}x{height}x{width}",
        frames=frames,
        devices=1,
        savers="eval.tile or model.max_chunk",
        lower=lambda: lower(model),
        lower_unchunked=lambda: lower(unchunked),
    )


def train_program(
    config: Any,
    model: nn.Module,
    unchunked: nn.Module,
    *,
    spike_shape: SpikeShape,
    stage: Stage | None = None,
    devices: Sequence[Any] | None = None,
) -> Program:
    """One training step on a whole batch, over the mesh of all devices.

    Args:
      config: a run configuration, checked.
      model: VRT or VRTSpike, as configured.
      unchunked: the same with a `max_chunk` of UNCHUNKED.
      spike_shape: of the spikes that the data pipeline serves.
      stage: of which the step is; without, the first one.
      devices: to compile for, in the place of all there are.
    """
    data = config.data
    size = data.crop_size
    shape = (data.batch_size, data.num_frames, size, size)
    batch = _abstract_clip(shape, 3, spike_shape)
    if getattr(model, "takes_instant", False):
        batch["instant"] = jax.ShapeDtypeStruct(shape[:2], jnp.float32)
    fields = field_shapes(config.loss, shape[1:], spike_shape.spike_scale)
    for name, own in fields.items():
        batch[name] = jax.ShapeDtypeStruct((shape[0], *own), jnp.float32)
    networks = abstract_networks(config.loss)
    suffix = "" if stage is None or stage.is_only else f" of stage {stage.number}"

    mesh = sharding.make_mesh(
        data=config.mesh.data, fsdp=config.mesh.fsdp, devices=devices
    )

    def lower(
        model: nn.Module, mesh: Mesh, accumulate: int | None = None
    ) -> jax.stages.Lowered:
        done = 0 if stage is None else stage.last_step
        run = prepare_run(
            config, model, spike_shape, step=done, accumulate=accumulate, mesh=mesh
        )
        step: Any = run.train_step  # jitted
        return step.lower(run.abstract, batch, *([networks] if networks else []))

    return Program(
        name="training step" + suffix,
        work=f"{data.batch_size} clips of {data.num_frames}x{size}x{size}",
        frames=data.batch_size * data.num_frames,
        devices=mesh.size,
        savers="data.batch_size, data.crop_size, data.num_frames or model.max_chunk, "
        "or name more stages in model.remat, or raise train.accumulate",
        lower=lambda: lower(model, mesh),
        # Micro-batches are a loop too; and what each device does on its own clips would
        # count once for all of them.
        lower_unchunked=lambda: lower(unchunked, _one_device(), accumulate=1),
    )


def is_trainable(model: nn.Module) -> bool:
    """Whether the batches there are train a model: RGB in, as many and as large out."""
    network = _network(model)
    return (
        getattr(network, "upscale", 1) == 1
        and getattr(network, "pa_frames", 1) > 0
        and not getattr(network, "nonblind_denoising", False)
    )


def require_trainable(model: nn.Module, variant: str) -> None:
    """Raises a ValueError unless the batches there are train the model of a variant."""
    if not is_trainable(model):
        raise ValueError(
            f"model.variant={variant} cannot be trained: the data set is for "
            "deblurring alone; take deblur or tiny."
        )


def cost_of(program: Program) -> Cost:
    """Counts the arithmetic of a program; traces it, and compiles nothing."""
    start = time.perf_counter()
    counted = _counted(program.lower_unchunked().cost_analysis())
    return Cost(
        flops=counted["flops"],
        unfused_bytes=counted["bytes accessed"],
        trace_seconds=time.perf_counter() - start,
    )


def compile_program(program: Program) -> Compiled:
    """Compiles a program as configured; takes minutes for a full model.

    Raises:
      ValueError: the compiler of this device tells nothing about memory, or found that
        the program does not fit into it.
    """
    with _compile_events() as events:
        lowered = program.lower()
        start = time.perf_counter()
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise ValueError(_too_large(program, str(error))) from error
        seconds = time.perf_counter() - start
    sizes = compiled.memory_analysis()
    if sizes is None:
        raise ValueError(
            f"the compiler for {jax.default_backend()} tells nothing about memory; "
            "take a CPU, by JAX_PLATFORMS=cpu, a GPU or a TPU."
        )
    memory = Memory(
        arguments=sizes.argument_size_in_bytes,
        outputs=sizes.output_size_in_bytes,
        aliased=sizes.alias_size_in_bytes,
        temporaries=sizes.temp_size_in_bytes,
        code=sizes.generated_code_size_in_bytes,
    )
    return Compiled(
        memory=memory,
        fused_bytes=_counted(compiled.cost_analysis())["bytes accessed"],
        collectives=tuple(collectives_of(compiled.as_text() or "")),
        compile_seconds=seconds,
        compilations=events[_COMPILED],
        from_cache=events[_FOUND],
    )


def parameter_groups(
    params: PyTree, labels: Mapping[str, str] | None = None
) -> list[ParameterGroup]:
    """Counts parameters by group.

    Args:
      params: nested dict of arrays or of their shapes.
      labels: from `label_parameters`; without them all are one group `all`.
    """
    groups: dict[str, list[Any]] = {}
    for name, x in traverse_util.flatten_dict(params, sep="/").items():
        groups.setdefault(labels[name] if labels else "all", []).append(x)
    return [
        ParameterGroup(
            name,
            count=sum(x.size for x in members),
            bytes=sum(x.size * x.dtype.itemsize for x in members),
            is_trained=labels is not None and name != optimizers.FROZEN,
        )
        for name, members in sorted(groups.items())
    ]


def _network(model: nn.Module) -> Any:
    """The VRT that a model is or has."""
    return getattr(model, "vrt", model)


def _too_large(program: Program, error: str) -> str:
    used = re.search(r"Used (\S+) of (\S+) hbm", error)
    told = f" ({used.group(1)} of {used.group(2)})" if used else ""
    return (
        f"the {program.name} does not fit into the memory of a device{told}; lower "
        f"{program.savers}."
    )


def _one_device() -> Mesh:
    return sharding.make_mesh(devices=jax.local_devices()[:1])


def _abstract_clip(
    shape: tuple[int, int, int, int], channels: int, spikes: SpikeShape
) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch, as data_pipeline makes it: float32, spikes (b,t,k,h,w) beside frames."""
    b, t, height, width = shape
    scale = spikes.spike_scale
    spikes_shape = (b, t, spikes.num_channels, height // scale, width // scale)
    return {
        "blur": jax.ShapeDtypeStruct((*shape, channels), jnp.float32),
        "sharp": jax.ShapeDtypeStruct((*shape, 3), jnp.float32),
        "spikes": jax.ShapeDtypeStruct(spikes_shape, jnp.float32),
    }


def _counted(analysis: Any) -> Mapping[str, float]:
    """The numbers of a cost analysis, which backends give as one or as a list."""
    return analysis[0] if isinstance(analysis, list) else analysis


@contextlib.contextmanager
def _compile_events() -> Iterator[Counter[str]]:
    """Counts what JAX compiles, and what of it an earlier run had compiled."""
    events: Counter[str] = Counter()

    def timed(event: str, duration_secs: float, **_: Any) -> None:
        events[event] += 1

    def happened(event: str, **_: Any) -> None:
        events[event] += 1

    jax.monitoring.register_event_duration_secs_listener(timed)
    jax.monitoring.register_event_listener(happened)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(timed)
        jax.monitoring.unregister_event_listener(happened)
