"""The second player of the adversarial loss: its parameters, optimizer and update."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from vrt_spike_jax.losses.adversarial import discriminator_objective
from vrt_spike_jax.losses.table import active
from vrt_spike_jax.models.discriminator import PATCH_STRIDE, ClipDiscriminator

Settings = Mapping[str, Any]


@flax.struct.dataclass
class DiscriminatorState:
    """All that training changes of the discriminator.

    The leaves are arrays, or in an abstract state their shapes, types and shardings.
    """

    params: Any  # nested dict by module and parameter name, float32
    opt_state: Any


def adversarial_settings(loss: Any) -> dict[str, Any] | None:
    """The settings of the adversarial loss; None where it has no weight.

    Args:
      loss: the loss section of a configuration, as it is or as a dictionary.
    """
    return dict(loss["adversarial"]) if "adversarial" in active(loss) else None


def create_discriminator(key: Array, settings: Settings) -> DiscriminatorState:
    """Random parameters, and the optimizer's state before the first update.

    Args:
      key: of the random numbers.
      settings: from `adversarial_settings`.
    """
    clip: Float[Array, "b t h w 3"]
    clip = jnp.zeros((1, 1, PATCH_STRIDE, PATCH_STRIDE, 3), jnp.float32)
    params = ClipDiscriminator(settings["width"]).init(key, clip)["params"]
    return DiscriminatorState(params, _optimizer(settings).init(params))


def count_discriminator(loss: Any) -> int:
    """Parameters of the discriminator that a loss section asks for; 0 without one."""
    settings = adversarial_settings(loss)
    if settings is None:
        return 0
    state = jax.eval_shape(lambda: create_discriminator(jax.random.key(0), settings))
    return sum(x.size for x in jax.tree.leaves(state.params))


def update_discriminator(
    state: DiscriminatorState,
    prediction: Float[Array, "b t h w 3"],
    sharp: Float[Array, "b t h w 3"],
    step: Int[Array, ""],
    settings: Settings,
) -> tuple[DiscriminatorState, dict[str, Float[Array, ""]]]:
    """One update by Adam, from `start_step - warmup_steps` on.

    Args:
      state: before the update.
      prediction: what the model made; no gradient flows to it.
      sharp: the frames it should have made.
      step: updates of the model done before this one.
      settings: from `adversarial_settings`.

    Returns:
      The state, unchanged before the first update is due, and by name: loss, grad_norm
      and the parts of `discriminator_objective`.
    """
    options = {key: settings[key] for key in ("form", "width", "dtype", "r1_weight")}

    def objective(params: PyTree) -> Any:
        return discriminator_objective(params, prediction, sharp, **options)

    (total, parts), gradients = jax.value_and_grad(objective, has_aux=True)(
        state.params
    )
    updates, opt_state = _optimizer(settings).update(gradients, state.opt_state)
    after = DiscriminatorState(optax.apply_updates(state.params, updates), opt_state)
    first = settings["start_step"] - settings["warmup_steps"]
    if first > 0:
        # One compiled program serves the steps before and after.
        after = jax.tree.map(lambda x, y: jnp.where(step >= first, y, x), state, after)
    return after, {"loss": total, "grad_norm": optax.tree.norm(gradients), **parts}


def _optimizer(settings: Settings) -> optax.GradientTransformation:
    return optax.adam(settings["learning_rate"], settings["b1"], settings["b2"])
