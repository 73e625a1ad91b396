"""The instants of each exposure that a video is restored at."""

from typing import Any

import numpy as np
from jaxtyping import Float

from vrt_spike_jax.restorer import Restorer, task_of


def even_instants(count: int) -> tuple[float, ...]:
    """The middles of `count` even parts of the exposure, in [-1, 1] relative to it."""
    return tuple((2 * index + 1) / count - 1 for index in range(count))


def takes_instant(model: Restorer) -> bool:
    """Whether a model can be asked for any instant of the exposures."""
    return getattr(model, "takes_instant", False)


def require_takes_instant(model: Restorer) -> None:
    """Raises a ValueError unless a model can be asked for any instant."""
    if not takes_instant(model):
        raise ValueError(
            "instants were asked for, but this model restores the middle of each "
            "exposure alone; leave them out, or train one with data.instants=random "
            "(docs/latent_instants.md)."
        )
    if task_of(model).clip_frames:
        raise ValueError(
            "instants were asked for, but this model makes the frames between exposures"
            ", which have none; leave them out."
        )


def planned_instants(
    model: Restorer, instants: Any, num_frames: int
) -> Float[np.ndarray, "n t"] | None:
    """Checks the instants that are asked for, and tells them of every frame.

    Args:
      model: that is asked.
      instants: (N,), the same of all frames, or (N, T); in [-1, 1] relative to each
        exposure, rising along N. None asks for the middle.
      num_frames: T.

    Returns:
      (N, T) float32; None of a model that takes no instant.

    Raises:
      ValueError: instants other than these, or a model that takes none.
    """
    if instants is None:
        if not takes_instant(model):
            return None
        return np.zeros((1, num_frames), np.float32)
    require_takes_instant(model)
    found = np.asarray(instants, np.float32)
    shape = found.shape
    if len(shape) == 1:
        found = np.repeat(found[:, None], num_frames, 1)
    if found.ndim != 2 or found.shape[0] == 0 or found.shape[1] != num_frames:
        raise ValueError(
            f"instants must be (N,), or (N, {num_frames}) for the {num_frames} frames, "
            f"at least one; got {shape}."
        )
    if not (np.abs(found) <= 1).all() or not (np.diff(found, axis=0) > 0).all():
        raise ValueError(
            "instants must rise from -1, the start of an exposure, to 1, its end; got "
            f"{np.asarray(instants).tolist()}."
        )
    return found
