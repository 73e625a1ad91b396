"""The losses there are: from the name in the configuration to the function."""

import dataclasses
from collections.abc import Callable
from typing import Any

from vrt_spike_jax.losses.adversarial import adversarial
from vrt_spike_jax.losses.charbonnier import charbonnier, l1
from vrt_spike_jax.losses.edges import laplacian, sobel
from vrt_spike_jax.losses.frequency import focal_frequency, frequency
from vrt_spike_jax.losses.ms_ssim import ms_ssim
from vrt_spike_jax.losses.perceptual import perceptual
from vrt_spike_jax.losses.spike_consistency import reblur, spike_rate
from vrt_spike_jax.losses.temporal import flow_difference, temporal_consistency


@dataclasses.dataclass(frozen=True)
class Loss:
    """A function `(prediction, *inputs, **options)` of one value, and what it takes."""

    function: Callable[..., Any]
    # Fields of the batch, and parameters of networks, in the order of its arguments.
    inputs: tuple[str, ...] = ("sharp",)
    options: tuple[str, ...] = ()  # keys beside weight and start_step in its settings
    shared: tuple[str, ...] = ()  # keys of the loss section itself


_FLOW = ("flow_forward", "flow_backward")
_SPIKES = ("blur", "rate_short", "rate_long", "is_linear")

LOSSES: dict[str, Loss] = {
    "charbonnier": Loss(charbonnier, options=("epsilon",)),
    "l1": Loss(l1),
    "perceptual": Loss(perceptual, ("sharp", "vgg19"), ("layers",)),
    "ms_ssim": Loss(ms_ssim),
    "temporal": Loss(temporal_consistency, ("sharp", *_FLOW), ("relative",)),
    "tof": Loss(flow_difference, ("sharp", *_FLOW)),
    "frequency": Loss(frequency, options=("boost",)),
    "focal_frequency": Loss(focal_frequency, options=("alpha", "boost")),
    "reblur": Loss(reblur, _SPIKES),
    "spike_rate": Loss(spike_rate, _SPIKES, shared=("tfp_window",)),
    "sobel": Loss(sobel),
    "laplacian": Loss(laplacian),
    "adversarial": Loss(
        adversarial, ("sharp", "discriminator"), ("form", "width", "dtype")
    ),
}

_NETWORKS = ("vgg19",)
# What batches hold only where a loss asks for it, by the shape of the frames of a clip
# and the RGB pixels per spike pixel.
_FIELDS: dict[str, Callable[[int, int, int, int], tuple[int, ...]]] = {
    "flow_forward": lambda t, h, w, _: (t - 1, h, w, 2),
    "flow_backward": lambda t, h, w, _: (t - 1, h, w, 2),
    "rate_short": lambda t, h, w, scale: (t, h // scale, w // scale),
    "rate_long": lambda t, h, w, scale: (t, h // scale, w // scale),
    "is_linear": lambda t, h, w, scale: (),
}


def active(settings: Any) -> dict[str, Loss]:
    """The losses with a weight above zero, in the order of the table.

    Args:
      settings: the loss section of a configuration, as it is or as a dictionary.
    """
    return {name: x for name, x in LOSSES.items() if settings[name]["weight"] > 0}


def network_names(settings: Any) -> tuple[str, ...]:
    """The frozen networks whose parameters the active losses take."""
    needed = {name for loss in active(settings).values() for name in loss.inputs}
    return tuple(name for name in _NETWORKS if name in needed)


def batch_fields(settings: Any) -> tuple[str, ...]:
    """What batches have to hold beside frames and spikes for the active losses."""
    needed = {name for loss in active(settings).values() for name in loss.inputs}
    return tuple(name for name in _FIELDS if name in needed)


def field_shapes(
    settings: Any, clip: tuple[int, int, int], spike_scale: int
) -> dict[str, tuple[int, ...]]:
    """The shape of each of `batch_fields`, for one clip.

    Args:
      settings: the loss section of a configuration.
      clip: frames, height and width.
      spike_scale: RGB pixels per spike pixel.
    """
    return {name: _FIELDS[name](*clip, spike_scale) for name in batch_fields(settings)}
