"""One training step: a pure function of the state and the batch."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from vrt_spike_jax import optimizer as optimizers
from vrt_spike_jax import sharding
from vrt_spike_jax.discriminator_state import (
    adversarial_settings,
    update_discriminator,
)
from vrt_spike_jax.losses.total import total_loss
from vrt_spike_jax.train_state import TrainState

Batch = Mapping[str, Array]
Networks = Mapping[str, PyTree]
Metrics = dict[str, Array]
TrainStep = Callable[..., tuple[TrainState, Metrics]]
_NONE: Networks = {}


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    labels: Mapping[str, str],
    schedule: optax.Schedule,
    *,
    seed: int,
    loss: Mapping[str, Any],
    accumulate: int = 1,
    ema_decay: float = 0.0,
    mesh: Mesh | None = None,
) -> TrainStep:
    """Builds `train_step(state, batch[, networks]) -> (state, metrics)`, to be jitted.

    The batch holds `blur` and `sharp`, (B,T,H,W,3) in [0,1], for a model that takes
    them `spikes` (B,T,K,h,w) and `instant` (B,T) that `sharp` shows, and the
    `batch_fields` of the losses. Networks are the parameters that the losses take
    beside, `network_names`. Metrics are scalars: loss, loss/NAME for each one with a
    weight, unweighted, psnr (dB, mean over clips), grad_norm (before clipping) and
    learning_rate; of a discriminator, discriminator/NAME for each value of
    `update_discriminator`. Both players answer to the other one as it was before the
    step, on one forward pass of the model.

    Args:
      model: VRT or VRTSpike.
      optimizer: of the trained parameters.
      labels: group of each parameter.
      schedule: learning rate by step, for the metrics.
      seed: of the dropout.
      loss: the loss section of a configuration.
      accumulate: micro-batches that a batch is taken in, one after the other; the
        gradient is the mean of theirs, and so are the losses.
      ema_decay: of the averages of a state that has them.
      mesh: over which the clips are dealt out, on each device of which the model then
        sees its own alone; None where there is one device.
    """
    adversarial = adversarial_settings(loss)
    restore = sharding.over_clips(_restore_by(model), mesh)

    def loss_of(
        trained: optimizers.NamedParams,
        frozen: optimizers.NamedParams,
        batch: Batch,
        others: Networks,
        step: Int[Array, ""],
        key: Array,
    ) -> tuple[Float[Array, ""], tuple[Float[Array, "b t h w c"], Metrics]]:
        params = optimizers.merge_params(trained, frozen)
        names = ["blur", *(["spikes"] if model.takes_spikes else [])]
        if getattr(model, "takes_instant", False):
            names.append("instant")
        restored = restore((params, key), {name: batch[name] for name in names})
        total, parts = total_loss(restored, {**batch, **others}, loss, step)
        return total, (restored, parts)

    graded = jax.value_and_grad(loss_of, has_aux=True)

    def train_step(
        state: TrainState, batch: Batch, networks: Networks = _NONE
    ) -> tuple[TrainState, Metrics]:
        # All randomness of a step follows from its number, so a resumed run repeats it.
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        trained, frozen = optimizers.split_params(state.params, labels)
        others = dict(networks)
        if adversarial is not None:
            others["discriminator"] = state.discriminator.params

        def gradient_of(batch: Batch, key: Array) -> Any:
            return graded(trained, frozen, batch, others, state.step, key)

        if accumulate == 1:
            (total, (restored, parts)), gradients = gradient_of(batch, key)
        else:
            (total, (restored, parts)), gradients = _accumulated(
                gradient_of, batch, key, accumulate
            )
        updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
        trained = optax.apply_updates(trained, updates)
        metrics = {
            "loss": total,
            **{f"loss/{name}": value for name, value in parts.items()},
            "psnr": _mean_psnr(restored, batch["sharp"]),
            "grad_norm": optax.tree.norm(gradients),
            "learning_rate": jnp.asarray(schedule(state.step), jnp.float32),
        }
        discriminator = None
        if adversarial is not None:
            discriminator, told = update_discriminator(
                state.discriminator, restored, batch["sharp"], state.step, adversarial
            )
            metrics |= {f"discriminator/{name}": value for name, value in told.items()}
        ema = state.ema
        if ema is not None:
            ema = optax.incremental_update(
                trained, ema, _novelty(ema_decay, state.step)
            )
        params = optimizers.merge_params(trained, frozen)
        state = TrainState(state.step + 1, params, opt_state, discriminator, ema)
        return state, metrics

    return train_step


def compile_on(
    train_step: TrainStep, abstract: Any, mesh: Mesh, *, takes_networks: bool = False
) -> TrainStep:
    """Jits a step over the mesh; the state that goes in is given up to the one out.

    With `takes_networks` it takes these, whole on every device, behind the batch.
    """
    state = jax.tree.map(lambda x: x.sharding, abstract)
    inputs = (state, sharding.batch_sharding(mesh))
    return jax.jit(
        train_step,
        in_shardings=(*inputs, *[sharding.replicated(mesh)] * takes_networks),
        out_shardings=(state, sharding.replicated(mesh)),
        donate_argnums=0,
    )


def _restore_by(model: nn.Module) -> Callable[[PyTree, Batch], Any]:
    """`restore((params, key), clips)`, with stochastic depth drawn by the key."""

    def restore(drawn: PyTree, clips: Batch) -> Any:
        params, key = drawn
        inputs = [clips[name] for name in ("blur", "spikes") if name in clips]
        asked: dict[str, Any] = {"train": True, "rngs": {"dropout": key}}
        if "instant" in clips:
            asked["instant"] = clips["instant"]
        return model.apply({"params": params}, *inputs, **asked)

    return restore


def _accumulated(
    gradient_of: Callable[[Batch, Array], Any], batch: Batch, key: Array, count: int
) -> Any:
    """What `gradient_of` the batch gives, from micro-batches one after the other.

    Every micro-batch takes each `count`-th clip: so each device takes of its own.
    """
    micro = {
        name: jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0)
        for name, x in batch.items()
    }
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(count))

    def add(sums: Any, taken: Any) -> tuple[Any, Float[Array, "b t h w c"]]:
        (total, (restored, parts)), gradients = gradient_of(*taken)
        return jax.tree.map(jnp.add, sums, (total, parts, gradients)), restored

    first = jax.tree.map(lambda x: x[0], (micro, keys))
    (total, (_, parts)), gradients = jax.eval_shape(gradient_of, *first)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), (total, parts, gradients)
    )
    sums, restored = jax.lax.scan(add, zeros, (micro, keys))
    total, parts, gradients = jax.tree.map(lambda x: x / count, sums)
    whole = jnp.moveaxis(restored, 0, 1).reshape(-1, *restored.shape[2:])
    return (total, (whole, parts)), gradients


def _novelty(decay: float, step: Int[Array, ""]) -> Float[Array, ""]:
    """What the newest parameters count in their average."""
    # The first averages forget faster, or they would be those of the beginning.
    return jnp.maximum(1.0 - decay, 9.0 / (10.0 + step))


def _mean_psnr(
    restored: Float[Array, "b t h w c"], sharp: Float[Array, "b t h w c"]
) -> Float[Array, ""]:
    difference = jnp.clip(restored.astype(jnp.float32), 0.0, 1.0) - sharp
    error = jnp.mean(jnp.square(difference), axis=(1, 2, 3, 4))
    return jnp.mean(-10.0 * jnp.log10(jnp.maximum(error, 1e-10)))
