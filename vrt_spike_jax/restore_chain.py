"""Several models in turn, each restoring what the one before is still restoring."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from vrt_spike_jax.frame_source import FrameSource, FrameStream
from vrt_spike_jax.instants import even_instants, require_takes_instant
from vrt_spike_jax.restore import Progress, restore_frames
from vrt_spike_jax.restorer import Restorer, task_of


@dataclasses.dataclass(frozen=True)
class Link:
    """A model of a chain; the fields are the arguments of `restore_video`."""

    model: Restorer
    params: Any
    tile: Sequence[int]
    overlap: Sequence[int]
    tiling: str = "blended"

    @classmethod
    def of(cls, model: Restorer, params: Any, settings: Any) -> "Link":
        """With the tiles of the `eval` section of a configuration."""
        return cls(model, params, settings.tile, settings.overlap, settings.tiling)


def restore_chain(
    links: Sequence[Link],
    blur: FrameSource,
    spikes: FrameSource | None = None,
    *,
    sigma: int | float | None = None,
    instant_count: int | None = None,
    progress: Progress | None = None,
) -> FrameStream:
    """Restores a video by one model after the other, such as x4 and double rate.

    No model rounds what it hands on, and memory does not grow with the video's length.

    Args:
      links: the models in order, at least one.
      blur: as for `restore_frames`.
      spikes: of the first model.
      sigma: noise level of `blur`, for the one model that is told it.
      instant_count: frames that the first model restores of each exposure, evenly in
        it; None for the one in the middle.
      progress: called with (tiles done, tiles in all) of all models together.

    Returns:
      The frames of the last model.

    Raises:
      ValueError: as `restore_frames`, or `check_chain`.
    """
    models = [link.model for link in links]
    check_chain(models, sigma=sigma, instant_count=instant_count)
    counts: dict[int, tuple[int, int]] = {}

    def counted(index: int) -> Progress:
        def show(done: int, total: int) -> None:
            counts[index] = (done, total)
            if progress is not None:
                progress(*map(sum, zip(*counts.values(), strict=True)))

        return show

    asked = even_instants(instant_count) if instant_count else None
    source = blur
    for index, link in enumerate(links):
        stream = restore_frames(
            link.model,
            link.params,
            source,
            spikes if index == 0 else None,
            tile=link.tile,
            overlap=link.overlap,
            tiling=link.tiling,
            sigma=sigma if task_of(link.model).nonblind else None,
            instants=asked if index == 0 else None,
            progress=counted(index),
        )
        source = stream
    return stream


def progress_on(bar: tqdm) -> Progress:
    """What shows the tiles that are done of those there are on a progress bar."""

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if not done:
            bar.refresh()  # the total, before the first tile is compiled

    return show


def check_chain(
    models: Sequence[Restorer],
    *,
    sigma: int | float | None,
    instant_count: int | None = None,
) -> None:
    """Checks that models can follow each other, before anything is read.

    Raises:
      ValueError: a model after the first takes spikes, not exactly those models that
        are told the noise level get one, or the first is asked for instants and takes
        none.
    """
    if instant_count is not None:
        require_takes_instant(models[0])
    for index, model in enumerate(models[1:], start=2):
        if model.takes_spikes:
            raise ValueError(
                f"model {index} of the chain takes spikes, but only the first sees the "
                "frames that were recorded with them; put it first."
            )
    told = sum(task_of(model).nonblind for model in models)
    if told > 1:
        raise ValueError(
            f"{told} models of the chain are told the noise level, but the video has "
            "its noise only once; keep one of them."
        )
    if told and sigma is None:
        raise ValueError(
            "denoising is told the noise level: pass sigma, the standard deviation of "
            "the noise on the scale 0 to 255."
        )
    if sigma is not None and not told:
        raise ValueError(
            f"sigma={sigma:g} was given, but no model here is told the noise level; "
            "leave it out, or use one of non-blind denoising (task 008)."
        )


def rate_factor(models: Sequence[Restorer], instant_count: int | None = None) -> int:
    """How many times as many frames a second the chain gives."""
    doublings = sum(task_of(model).clip_frames > 0 for model in models)
    return (instant_count or 1) * 2**doublings
