"""The model that a run configuration describes."""

from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp

from vrt_spike_jax.models.variants import create_model
from vrt_spike_jax.models.vrt import VRT
from vrt_spike_jax.models.vrt_spike import VRTSpike

# Settings of config.model that are arguments of VRTSpike by the same name.
_OF_THE_SPIKES = (
    "fusion_places",
    "time_strides",
    "temporal_blocks",
    "dark_confidence",
    "closed_form_input",
    "alignment",
    "aligned_spikes",
    "fill_saturated",
    "time_code",
)


@runtime_checkable
class Spikes(Protocol):
    """What of the representation of the spikes decides what the model makes of them."""

    @property
    def is_unmatched(self) -> bool:
        """Whether they are rates whose gain is not known."""

    @property
    def side_channels(self) -> int:
        """How many of the last channels are no rates."""


def configured_model(
    config: Any, spikes: Spikes | None, *, max_chunk: int | None = None
) -> VRT | VRTSpike:
    """Builds the model of a run configuration, which has been checked.

    Args:
      config: a run configuration.
      spikes: what the model is given of them; None for one that takes no spikes.
      max_chunk: in place of that of the configuration.
    """
    settings = config.model
    told: dict[str, Any] = {}
    if spikes is not None:
        told = {name: settings[name] for name in _OF_THE_SPIKES}
        told["matches_gain"] = spikes.is_unmatched and settings.matches_gain
        told["side_channels"] = spikes.side_channels
        told["takes_instant"] = config.data.instants == "random"
    return create_model(
        settings.variant,
        fusion=settings.fusion,
        dtype=jnp.dtype(settings.dtype),
        remat=settings.remat,
        max_chunk=settings.max_chunk if max_chunk is None else max_chunk,
        **told,
    )
