"""What a training step carries over: parameters, optimizer state, step number."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import traverse_util
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree

from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax import sharding
from vrt_spike_jax.discriminator_state import (
    adversarial_settings,
    create_discriminator,
)


@flax.struct.dataclass
class TrainState:
    """All that training changes; a checkpoint holds exactly this.

    The leaves are arrays, or in an abstract state their shapes, types and shardings.
    """

    step: Any  # int32 scalar: updates done
    params: Any  # nested dict by module and parameter name, float32
    opt_state: Any  # of the trained parameters alone
    # A DiscriminatorState where the adversarial loss has a weight; None has no leaves.
    discriminator: Any = None
    # Moving averages of the trained parameters, by '/'-joined name, float32, where they
    # are kept; None has no leaves.
    ema: Any = None

    def averaged_params(self) -> Any:
        """The parameters, with the averages in the place of those that have one."""
        return optimizers.overlaid(self.params, self.ema or {})


@dataclasses.dataclass(frozen=True)
class SpikeShape:
    """What of the shape of the spikes the parameters of a model depend on."""

    num_channels: int  # of one exposure, such as the bins of a voxel grid
    spike_scale: int  # RGB pixels per spike pixel


def init_params(model: nn.Module, key: Array, shape: SpikeShape) -> PyTree:
    """Random float32 parameters; traced on the smallest input that the model takes."""
    frames, size = model.min_frames, model.min_size
    # Denoising is told the noise level in a fourth channel.
    told = getattr(getattr(model, "vrt", model), "nonblind_denoising", False)
    channels = 3 + int(told)
    blur: Float[Array, "b t h w c"]
    blur = jnp.zeros((1, frames, size, size, channels), jnp.float32)
    if not model.takes_spikes:
        return model.init(key, blur)["params"]
    size //= shape.spike_scale
    spikes = jnp.zeros((1, frames, shape.num_channels, size, size), jnp.float32)
    return model.init(key, blur, spikes)["params"]


def abstract_params(model: nn.Module, shape: SpikeShape) -> PyTree:
    """Shapes and types of the parameters, without computing any."""
    return jax.eval_shape(lambda: init_params(model, jax.random.key(0), shape))


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    labels: Mapping[str, str],
    mesh: Mesh,
    shape: SpikeShape,
    *,
    seed: int,
    loss: Mapping[str, Any] | None = None,
    has_ema: bool = False,
) -> tuple[Any, Any]:
    """Returns (the abstract state with shardings, a function that computes the state).

    The computed state is born sharded: no device ever holds all of it. It has a
    discriminator where `loss`, the loss section of a configuration, asks for one.
    """
    adversarial = None if loss is None else adversarial_settings(loss)

    def create(key: Array) -> TrainState:
        params = init_params(model, key, shape)
        trained, _ = optimizers.split_params(params, labels)
        discriminator = None
        if adversarial is not None:
            own_key = jax.random.fold_in(key, 1)
            discriminator = create_discriminator(own_key, adversarial)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            discriminator=discriminator,
            **_born(trained, optimizer, has_ema=has_ema),
        )

    # Hundreds of initialisers make a program that runs once and compiles long: this
    # generator is cheaper to compile than the default one, and so is unoptimised code.
    key = jax.random.key(seed, impl="rbg")
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    options = {"xla_backend_optimization_level": 0} if on_cpu else None
    abstract = jax.eval_shape(create, key)
    shardings = sharding.state_sharding(abstract, mesh)
    abstract = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        abstract,
        shardings,
    )
    return abstract, lambda: jax.jit(
        create, out_shardings=shardings, compiler_options=options
    )(key)


def hand_over(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    labels: Mapping[str, str],
    abstract: TrainState,
) -> TrainState:
    """The state at the end of one stage, in the form of the next.

    What begins to train has an optimizer state as before any update, and an average
    that begins at its value; all else is kept, bit for bit.

    Args:
      state: after the last update of the stage; its arrays go on in the new one.
      optimizer: of the next stage.
      labels: of the next stage.
      abstract: of the next stage, with shardings.
    """
    names = ("opt_state", "ema")
    shardings = {
        name: jax.tree.map(lambda x: x.sharding, getattr(abstract, name))
        for name in names
    }

    def born(params: PyTree) -> dict[str, Any]:
        trained, _ = optimizers.split_params(params, labels)
        return _born(trained, optimizer, has_ema=abstract.ema is not None)

    new = jax.jit(born, out_shardings=shardings)(state.params)
    old = {name: getattr(state, name) for name in names}
    kept = dict(jax.tree_util.tree_leaves_with_path(old))
    merged = jax.tree_util.tree_map_with_path(lambda path, x: kept.get(path, x), new)
    return state.replace(**merged)  # type: ignore[attr-defined]


def with_params(state: TrainState, params: PyTree) -> TrainState:
    """The state before the first update, with other parameters in the place of its own.

    Args:
      state: as it was created.
      params: whole arrays in the memory of each process, of some of the parameters.
    """

    def put(name: str, old: Any) -> Any:
        if name not in flat:
            return old
        return sharding.put_whole(flat[name], old.dtype, old.sharding)

    flat = traverse_util.flatten_dict(params, sep="/")
    own = traverse_util.flatten_dict(state.params, sep="/")
    placed = {name: put(name, x) for name, x in own.items()}
    ema = state.ema
    if ema is not None:
        ema = {name: put(name, x) for name, x in ema.items()}
    return state.replace(  # type: ignore[attr-defined]
        params=traverse_util.unflatten_dict(placed, sep="/"), ema=ema
    )


def _born(
    trained: optimizers.NamedParams,
    optimizer: optax.GradientTransformation,
    *,
    has_ema: bool,
) -> dict[str, Any]:
    """What a state has of parameters that begin to train."""
    # Arrays of their own: those of the parameters are given up to the next state.
    ema = jax.tree.map(jnp.copy, trained) if has_ema else None
    return {"opt_state": optimizer.init(trained), "ema": ema}
