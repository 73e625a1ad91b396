"""One training step: a pure function of the state and the batch."""

from collections.abc import Callable, Mapping
from typing import Any

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
    """
    adversarial = adversarial_settings(loss)

    def train_step(
        state: TrainState, batch: Batch, networks: Networks = _NONE
    ) -> tuple[TrainState, Metrics]:
        # All randomness of a step follows from its number, so a resumed run repeats it.
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        trained, frozen = optimizers.split_params(state.params, labels)
        inputs = [batch["blur"], *([batch["spikes"]] if model.takes_spikes else [])]
        asked: dict[str, Any] = {}
        if getattr(model, "takes_instant", False):
            asked["instant"] = batch["instant"]
        others = dict(networks)
        if adversarial is not None:
            others["discriminator"] = state.discriminator.params

        def loss_of(
            trained: optimizers.NamedParams,
        ) -> tuple[Float[Array, ""], tuple[Float[Array, "b t h w c"], Metrics]]:
            params = optimizers.merge_params(trained, frozen)
            restored: Any = model.apply(
                {"params": params}, *inputs, **asked, train=True, rngs={"dropout": key}
            )
            total, parts = total_loss(restored, {**batch, **others}, loss, state.step)
            return total, (restored, parts)

        (total, (restored, parts)), gradients = jax.value_and_grad(
            loss_of, has_aux=True
        )(trained)
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
        params = optimizers.merge_params(trained, frozen)
        return TrainState(state.step + 1, params, opt_state, discriminator), metrics

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


def _mean_psnr(
    restored: Float[Array, "b t h w c"], sharp: Float[Array, "b t h w c"]
) -> Float[Array, ""]:
    difference = jnp.clip(restored.astype(jnp.float32), 0.0, 1.0) - sharp
    error = jnp.mean(jnp.square(difference), axis=(1, 2, 3, 4))
    return jnp.mean(-10.0 * jnp.log10(jnp.maximum(error, 1e-10)))
