"""What a model must offer to restore videos, and what it makes of their shape."""

import dataclasses
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Restorer(Protocol):
    """What a model must offer to restore videos; VRT and VRTSpike do, hashable too.

    Super-resolution, interpolation and non-blind denoising are known by VRT's fields
    `upscale`, `pa_frames`, `img_size` and `nonblind_denoising`, of the model itself or
    of its `vrt`. A model without them keeps the shape and needs no noise level.
    `matches_gain` and `side_channels` are those of VRTSpike; a model without them is
    given the gain of the video, all its spikes being rates. Only one whose
    `takes_instant` is true is given instants.
    """

    takes_spikes: bool
    size_multiple: int
    min_size: int
    min_frames: int

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
        """Flax's `apply`: (1, T, H, W, 3) blur, and spikes, to restored frames."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model does to the shape of a video.

    Attributes:
      upscale: how many times as high and wide the restored video is.
      clip_frames: frames of the clip in whose middle interpolation makes one; 0 for a
        model that gives a frame for each of its clip.
      nonblind: whether the model is told the noise level.
      window: of its attention, in frames, rows and columns.
    """

    upscale: int
    clip_frames: int
    nonblind: bool
    window: tuple[int, int, int]

    def restored_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """(frames, height, width, 3) of what is made of a video."""
        frames, height, width = shape[:3]
        if self.clip_frames:
            frames = 2 * frames - 1
        return frames, height * self.upscale, width * self.upscale, 3


def task_of(model: Restorer) -> Task:
    """Reads a model's task from its fields."""
    network: Any = getattr(model, "vrt", model)
    side = model.size_multiple
    interpolates = getattr(network, "pa_frames", None) == 0
    return Task(
        upscale=getattr(network, "upscale", 1),
        clip_frames=network.img_size[0] if interpolates else 0,
        nonblind=getattr(network, "nonblind_denoising", False),
        window=getattr(network, "window_size", (1, side, side)),
    )
