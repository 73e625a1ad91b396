"""Restores one clip after the other, tile by tile, through one compiled program."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vrt_spike_jax.restorer import Restorer, Task
from vrt_spike_jax.tiles import AxisTiles


class ClipRestorer:
    """A model with all that is the same for every tile of a video."""

    def __init__(
        self,
        model: Restorer,
        params: Any,
        *,
        task: Task,
        rows: AxisTiles,
        columns: AxisTiles,
        spike_scale: int,
        gain: Float[Array, " 1"] | None,
        noise_level: float | None,
        tile_done: Callable[[], None],
    ) -> None:
        """Takes `noise_level` = sigma / 255, and RGB pixels per spike pixel."""
        self._model = model
        self._params = jax.device_put(params)  # once, and not with every tile
        self._task = task
        self._rows = rows
        self._columns = columns
        self._spike_scale = spike_scale
        self._gain = gain
        self._noise = None if noise_level is None else jnp.float32(noise_level)
        self._tile_done = tile_done

    def frames_of(self, count: int) -> int:
        """Restored frames of a clip of `count` frames."""
        return 1 if self._task.clip_frames else count

    def add(
        self,
        clip: Float[np.ndarray, "t h w 3"],
        spikes: Float[np.ndarray, "t k h2 w2"] | None,
        instant: Float[np.ndarray, " t"] | None = None,
        *,
        into: Float[np.ndarray, "t2 h3 w3 3"],
        weights: Float[np.ndarray, " t2"],
        first_frame: int,
    ) -> None:
        """Restores a clip and adds it, times the weight of each frame, to `into`.

        Args:
          clip: RGB in [0, 1].
          spikes: of its frames.
          instant: that is restored of each frame; None for a model that takes none.
          into: the restored frames, changed in place.
          weights: of each restored frame.
          first_frame: index of the clip's first frame in the video, for messages.

        Raises:
          ValueError: the model gives another shape.
          FloatingPointError: the model gave a value that is not finite.
        """
        rows, columns = self._rows, self._columns
        for i, top in enumerate(rows.starts):
            for j, left in enumerate(columns.starts):
                restored = self._run(clip, spikes, instant, (first_frame, top, left))
                share = rows.weights[i][:, None] * columns.weights[j]
                restored *= (weights[:, None, None] * share)[..., None]
                place = into[:, rows.place(i), columns.place(j)]
                place += restored[:, : place.shape[1], : place.shape[2]]
                self._tile_done()

    def _run(
        self,
        clip: Float[np.ndarray, "t h w 3"],
        spikes: Float[np.ndarray, "t k h2 w2"] | None,
        instant: Float[np.ndarray, " t"] | None,
        starts: tuple[int, int, int],
    ) -> Float[np.ndarray, "t2 th tw 3"]:
        _, top, left = starts
        sizes = (self._rows.tile, self._columns.tile)
        blur = _cut(clip, (top, left), sizes)
        spike_tile = None
        if spikes is not None:
            scale = self._spike_scale
            spike_tile = _cut(
                spikes.transpose(0, 2, 3, 1),
                (top // scale, left // scale),
                (sizes[0] // scale, sizes[1] // scale),
            ).transpose(0, 3, 1, 2)
        output = _apply(
            self._model,
            self._params,
            blur,
            self._noise,
            spike_tile,
            self._gain,
            instant,
        )
        height, width = (self._task.upscale * size for size in sizes)
        expected = (1, self.frames_of(len(clip)), height, width, 3)
        if output.shape != expected:
            raise ValueError(
                f"the model gave {tuple(output.shape)} for a tile of "
                f"{(1, *blur.shape)}; its task makes {expected} of it."
            )
        frames = np.array(output[0], np.float32)
        if not np.isfinite(frames).all():
            raise FloatingPointError(
                "the model gave a value that is not finite in the tile at (frame, row, "
                f"column) {starts}; its parameters are damaged, or the training "
                "diverged."
            )
        return frames


@functools.partial(jax.jit, static_argnums=0)
def _apply(
    model: Restorer,
    params: Any,
    blur: Float[Array, "t h w 3"],
    noise: Float[Array, ""] | None,
    spikes: Float[Array, "t k h2 w2"] | None,
    gain: Float[Array, " 1"] | None,
    instant: Float[Array, " t"] | None,
) -> Float[Array, "..."]:
    # The model is static and compares by its fields, so an equal model meets the same
    # compiled program in every later call.
    frames = blur[None]
    if noise is not None:
        noise_map = jnp.broadcast_to(noise, (*frames.shape[:-1], 1))
        frames = jnp.concatenate([frames, noise_map], -1)
    if spikes is None:
        return model.apply({"params": params}, frames)
    options = {} if gain is None else {"spike_gain": gain}
    if instant is not None:
        options["instant"] = instant[None]
    return model.apply({"params": params}, frames, spikes[None], **options)


def _cut(
    video: Float[np.ndarray, "t h w c"], starts: Sequence[int], sizes: Sequence[int]
) -> Float[np.ndarray, "t th tw c"]:
    """One tile; what lies past the border of the frames is their mirror image."""
    (top, left), (height, width) = starts, sizes
    part = video[:, top : top + height, left : left + width]
    missing = [(0, height - part.shape[1]), (0, width - part.shape[2])]
    return np.pad(part, [(0, 0), *missing, (0, 0)], mode="symmetric")
