"""Checks the losses of a configuration, and what of the data they need."""

import math
from collections.abc import Sequence
from typing import Any

from configs.require import choice, require

# Losses that compare with the spikes, and what they make out of a shifted recording.
SPIKE_LOSSES = ("reblur", "spike_rate")
# Those of the adversarial loss, of which configurations import nothing.
FORMS = ("hinge", "relativistic")
_DTYPES = ("float32", "bfloat16")
# Smallest value of each option, by its name; some have to be above it.
_AT_LEAST = {
    "epsilon": 0,
    "boost": 0,
    "alpha": 0,
    "start_step": 0,
    "weight": 0,
    "warmup_steps": 0,
    "r1_weight": 0,
    "width": 1,
    "learning_rate": 0,
    "b1": 0,
    "b2": 0,
}
_ABOVE = ("epsilon", "learning_rate")


def loss_names(settings: Any) -> list[str]:
    """The losses of a loss section, as opposed to keys that several share."""
    return [name for name, own in settings.items() if hasattr(own, "items")]


def check_loss(config: Any) -> None:
    """Raises a ValueError of one sentence unless the losses go together with the data.

    Args:
      config: the ConfigDict of a run.
    """
    settings = config.loss
    names = loss_names(settings)
    for name in names:
        _check_numbers(name, settings[name])
        start = settings[name].start_step
        require(
            start < config.train.steps,
            f"loss.{name}.start_step is {start}; it must be less than "
            f"train.steps={config.train.steps}",
        )
    active = [name for name in names if settings[name].weight > 0]
    # The adversarial one asks for any sharp clip, not for that of the blurred one.
    begin = [name for name in active if settings[name].start_step == 0]
    require(
        any(name != "adversarial" for name in begin),
        "no loss that compares with the clip itself has a weight above 0 from step 0 "
        "on, so nothing would train; set loss.charbonnier.weight=1.0 and "
        "loss.charbonnier.start_step=0",
    )
    _check_adversarial(settings.adversarial)
    if "perceptual" in active:
        _check_layers(settings.perceptual.layers)
    if used := [name for name in SPIKE_LOSSES if name in active]:
        _check_spike_losses(config, used)


def _check_numbers(name: str, own: Any) -> None:
    for key, smallest in _AT_LEAST.items():
        if key not in own:
            continue
        value = own[key]
        is_fine = value > smallest if key in _ABOVE else value >= smallest
        bound = "above" if key in _ABOVE else "at least"
        require(
            is_fine and math.isfinite(value),
            f"loss.{name}.{key} is {value}; it must be {bound} {smallest}",
        )


def _check_adversarial(own: Any) -> None:
    choice("loss.adversarial.form", own.form, FORMS)
    choice("loss.adversarial.dtype", own.dtype, _DTYPES)
    for key in ("b1", "b2"):
        require(
            own[key] < 1,
            f"loss.adversarial.{key} is {own[key]}; it must be less than 1",
        )


def _check_layers(layers: Any) -> None:
    require(
        bool(layers)
        and all(
            isinstance(entry, tuple | list)
            and len(entry) == 2
            and isinstance(entry[0], str)
            and isinstance(entry[1], int | float)
            and entry[1] > 0
            for entry in layers
        ),
        f"loss.perceptual.layers is {layers}; it must hold layers of VGG-19 with their "
        "weights above 0, as in --config.loss.perceptual.layers=\"(('conv5_4',1.0),)\"",
    )


def _check_spike_losses(config: Any, used: Sequence[str]) -> None:
    window, data = config.loss.tfp_window, config.data
    require(
        window >= 1 and window % 2 == 1,
        f"loss.tfp_window is {window}; it must be odd, so that one spike frame is its "
        f"middle, for example {max(window, 0) + 1}",
    )
    for key in ("misaligned_pixels", "misaligned_frames"):
        require(
            data.jitter[key] == 0,
            f"loss.{used[0]} compares frames with the spikes of the same place and "
            f"time, but data.jitter.{key} is {data.jitter[key]}; leave one of them off",
        )
    if data.sets:
        return
    require(
        window <= data.embedded.exposure + 2 * data.spikes.margin,
        f"loss.tfp_window is {window}; it must be at most "
        f"data.embedded.exposure={data.embedded.exposure} and data.spikes.margin="
        f"{data.spikes.margin} on both sides, which is all that is cut",
    )
    require(
        data.embedded.cfa == "none",
        f"loss.{used[0]} compares with grey light, but data.embedded.cfa is "
        f"{data.embedded.cfa!r}, which has colour filters; leave one of them off",
    )
