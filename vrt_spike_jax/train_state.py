"""What a training step carries over: parameters, optimizer state, step number."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
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
    labels: dict[str, str],
    mesh: Mesh,
    shape: SpikeShape,
    *,
    seed: int,
    loss: Mapping[str, Any] | None = None,
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
            opt_state=optimizer.init(trained),
            discriminator=discriminator,
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
