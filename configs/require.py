"""How a configuration's values are looked up, required and refused, in one sentence."""

import difflib
from collections.abc import Sequence
from typing import Any


def at(config: Any, key: str) -> Any:
    """Returns the value of a key such as 'optimizer.learning_rate'."""
    for part in key.split("."):
        config = config[part]
    return config


def require(fulfilled: bool, sentence: str) -> None:
    """Raises a ValueError of one sentence, without its full stop, unless fulfilled."""
    if not fulfilled:
        raise ValueError(f"{sentence}.")


def choice(key: str, value: str, choices: Sequence[str]) -> None:
    """Raises a ValueError that names the nearest choice unless the value is one."""
    if value not in choices:
        folded = {choice.casefold(): choice for choice in choices}
        near = difflib.get_close_matches(value.casefold(), folded, n=1, cutoff=0.0)
        nearest = folded[near[0]]
        raise ValueError(
            f"{key} is {value!r}; did you mean {nearest!r}? "
            f"The choices are {', '.join(choices)}."
        )


def takes_spikes(model: Any) -> bool:
    """Whether a model of these settings, those of `model`, sees any spikes.

    As create_model of vrt_spike_jax has it, of which configurations import nothing.
    """
    return bool(
        model.fusion != "none" or model.closed_form_input or model.alignment != "spynet"
    )
