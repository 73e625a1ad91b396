"""The training loss: the weighted sum of the losses that a configuration asks for."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vrt_spike_jax.losses.table import active


def total_loss(
    prediction: Float[Array, "b t h w 3"],
    inputs: Mapping[str, Any],
    settings: Any,
    step: Int[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Returns the sum, and each loss by its name, unweighted.

    A loss counts from its start step on; before, it is computed and told all the same,
    so that one compiled program serves all steps. One without weight costs nothing.

    Args:
      prediction: what the model made.
      inputs: the batch, and the parameters of the networks by their names.
      settings: the loss section of a configuration: for each loss of the table its
        weight, start step and options.
      step: updates done before this one.
    """
    values, parts = {}, []
    for name, loss in active(settings).items():
        own = settings[name]
        options = {key: own[key] for key in loss.options}
        options |= {key: settings[key] for key in loss.shared}
        arguments = [inputs[field] for field in loss.inputs]
        values[name] = loss.function(prediction, *arguments, **options)
        part = own["weight"] * values[name]
        if own["start_step"] > 0:
            part = jnp.where(step >= own["start_step"], part, 0)
        parts.append(part)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total, values
