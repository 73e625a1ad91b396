"""Weights of losses by a rule: how hard each one pulls at what a trained model made.

  python -m benchmarks.loss_gradients.measure --workdir=DIR [--batches=N]

Prints for each loss of configs/loss_study.py the norm of its gradient to the prediction
beside that of Charbonnier, over training batches, and the weight that makes the first
SHARE of the second, rounded to one digit. The adversarial one is that of a
discriminator that has learnt alone, against this model, for `warmup_steps`.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

import launch
from configs import base, loss_study
from configs.check import flat_items
from configs.require import at
from data_pipeline import run_data
from vrt_spike_jax.discriminator_state import (
    create_discriminator,
    update_discriminator,
)
from vrt_spike_jax.losses.table import LOSSES, batch_fields

SHARE = 0.3  # of Charbonnier's gradient, that of a weighted term


def weight_of(charbonnier: float, other: float) -> float:
    """The weight with which a gradient of norm `other` is SHARE of Charbonnier's."""
    return float(f"{SHARE * charbonnier / other:.0e}")


def gradient_norm(
    name: str, settings: Mapping[str, Any]
) -> Callable[[Any, Mapping[str, Any]], float]:
    """Returns the Euclidean norm of the gradient of one loss, as a function.

    It takes the prediction, (B, T, H, W, 3), to which the gradient is, and what it is
    compared with: the batch, and the parameters of the networks by their names.

    Args:
      name: in LOSSES.
      settings: the loss section of a configuration; the weight does not count.
    """
    loss = LOSSES[name]
    options = {key: settings[name][key] for key in loss.options}
    options |= {key: settings[key] for key in loss.shared}

    @jax.jit
    def norm(prediction: Any, arguments: Any) -> Any:
        slope = jax.grad(lambda x: loss.function(x, *arguments, **options))(prediction)
        return jnp.sqrt(jnp.sum(jnp.square(slope)))

    return lambda prediction, inputs: float(
        norm(prediction, [inputs[field] for field in loss.inputs])
    )


def trained_config(workdir: Path, losses: Any) -> ConfigDict:
    """The configuration of a training, with the losses that are measured.

    Keys that it did not have yet have their defaults.

    Args:
      workdir: of a training with spikes, perhaps by an older version.
      losses: the names of those that get a weight.
    """
    found = json.loads((workdir / "config.json").read_text())
    config = base.get_config(found["recipe"])
    known = [key for key, _ in flat_items(config) if not key.startswith("loss.")]
    for key, value in flat_items(found):
        if key in known:
            group, _, leaf = key.rpartition(".")
            own = at(config, group) if group else config
            own[leaf] = tuple(value) if isinstance(value, list) else value
    for name in losses:
        config.loss[name].weight = 1.0
    return config.lock()


def predictions(
    config: Any, workdir: Path
) -> Iterator[tuple[Mapping[str, Any], jax.Array]]:
    """Yields training batches and what the newest checkpoint makes of each."""
    model, params = launch._model_and_params(config, workdir)
    restore = jax.jit(
        lambda blur, spikes: model.apply({"params": params}, blur, spikes)
    )
    batches = run_data.train_batches(
        config,
        launch._spike_input(config, workdir),
        launch._data(config),
        start_step=config.train.steps,  # what training has not seen in this order
        loss_fields=batch_fields(config.loss),
    )
    for batch in batches:
        batch = {key: jnp.asarray(value) for key, value in batch.items()}
        yield batch, restore(batch["blur"], batch["spikes"])


def learnt_discriminator(
    pairs: Iterator[tuple[Mapping[str, Any], jax.Array]], settings: Mapping[str, Any]
) -> tuple[Any, Mapping[str, float]]:
    """Parameters after `warmup_steps` against the model, and what it then told.

    Args:
      pairs: of `predictions`, of which it takes as many.
      settings: of the adversarial loss.
    """
    state = create_discriminator(jax.random.key(0), settings)
    at = jnp.asarray(settings["start_step"])  # where it learns already
    step = jax.jit(
        lambda state, made, sharp: update_discriminator(
            state, made, sharp, at, settings
        )
    )
    told: Mapping[str, Any] = {}
    count = settings["warmup_steps"]
    own = itertools.islice(pairs, count)
    for batch, made in tqdm(own, total=count, desc="discriminator", unit="step"):
        state, told = step(state, made, batch["sharp"])
    return state.params, {key: float(value) for key, value in told.items()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=16)
    options = parser.parse_args()
    names = ["charbonnier", *loss_study.ADDED]
    config = trained_config(options.workdir, names)
    settings = config.loss.to_dict()
    settings["adversarial"] |= {
        "warmup_steps": loss_study.ADVERSARIAL_WARMUP,
        "learning_rate": loss_study.ADVERSARIAL_RATE,
    }
    pairs = predictions(config, options.workdir)
    discriminator, told = learnt_discriminator(pairs, settings["adversarial"])
    pairs = itertools.islice(pairs, options.batches)
    slopes = {name: gradient_norm(name, settings) for name in names}
    norms: dict[str, list[float]] = {name: [] for name in names}
    for batch, made in tqdm(pairs, total=options.batches, unit="batch"):
        inputs = {**batch, "discriminator": discriminator}
        for name in names:
            norms[name].append(slopes[name](made, inputs))
    _print(norms, told)


def _print(norms: Mapping[str, list[float]], told: Mapping[str, float]) -> None:
    print("discriminator: " + ", ".join(f"{k} {v:.3g}" for k, v in told.items()))
    # Batches differ in how much is left to do: the typical ratio is what counts.
    own = np.asarray(norms["charbonnier"])
    print("| loss | gradient / Charbonnier's (quartiles) | weight |")
    print("| --- | ---: | ---: |")
    for name, found in norms.items():
        low, ratio, high = np.percentile(np.asarray(found) / own, (25, 50, 75))
        weight = 1.0 if name == "charbonnier" else weight_of(1.0, ratio)
        print(f"| `{name}` | {ratio:.3g} ({low:.3g} to {high:.3g}) | {weight:g} |")


if __name__ == "__main__":
    main()
