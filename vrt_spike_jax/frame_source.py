"""Videos that are read a few frames at a time, and the frames that come of them."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

Shape = tuple[int, int, int, int]


@runtime_checkable
class FrameSource(Protocol):
    """Anything with a shape, sliced along time; a NumPy array is one.

    It is read by slices `[start:stop]` of a bounded length whose starts never go back,
    except to 0 for another pass.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames first."""
        ...

    def __getitem__(self, key: slice, /) -> Any:
        """The frames start to stop."""
        ...


class FrameStream:
    """Frames as they are finished: iterate over them, or slice forward.

    A stream is a FrameSource for one pass, so that one model can restore what another
    is still restoring. It keeps the frames from the start of the last slice on.

    Attributes:
      shape: (frames, height, width, 3) of all that come.
    """

    def __init__(
        self, frames: Iterator[Float[np.ndarray, "h w 3"]], shape: Shape
    ) -> None:
        self.shape = shape
        self._frames = frames
        self._kept: deque[Float[np.ndarray, "h w 3"]] = deque()
        self._first = 0  # index of the first frame that is kept

    def __getitem__(self, key: slice) -> Float[np.ndarray, "t h w 3"]:
        """The frames start to stop.

        Raises:
          ValueError: they begin before those of an earlier slice.
        """
        start, stop, _ = key.indices(self.shape[0])
        if start < self._first:
            raise ValueError(
                f"frame {start} was asked for after frame {self._first}, but a stream "
                "gives each frame once, in order; collect it into an array first."
            )
        while self._first < start:
            if not self._kept:
                self._kept.append(next(self._frames))
            self._kept.popleft()
            self._first += 1
        while self._first + len(self._kept) < stop:
            self._kept.append(next(self._frames))
        return np.stack([self._kept[i] for i in range(stop - start)])

    def __iter__(self) -> Iterator[Float[np.ndarray, "h w 3"]]:
        for index in range(self._first, self.shape[0]):
            yield self[index : index + 1][0]


def read_frames(
    source: FrameSource, start: int, stop: int
) -> Float[np.ndarray, "t h w 3"]:
    """The frames start to stop of a video, float32 RGB.

    Raises:
      ValueError: they are not (frames, height, width, 3) float in [0, 1].
    """
    frames = np.asarray(source[start:stop])
    if frames.shape != (stop - start, *source.shape[1:]):
        raise ValueError(
            f"a source of shape {tuple(source.shape)} gave {frames.shape} for its "
            f"frames {start} to {stop}."
        )
    if not jnp.issubdtype(frames.dtype, jnp.floating):
        raise ValueError(
            f"blur must be float in [0, 1]; got {frames.dtype}. Divide 8-bit frames by "
            "255."
        )
    frames = frames.astype(np.float32, copy=False)
    low, high = float(frames.min()), float(frames.max())
    # Resampling leaves rounding errors around 0 and 1; NaN fails the comparison too.
    if not -1e-3 <= low <= high <= 1 + 1e-3:
        raise ValueError(
            f"blur must lie in [0, 1]; got values from {low:g} to {high:g}. Divide "
            "8-bit frames by 255, and remove NaN."
        )
    return frames


def read_spikes(
    source: FrameSource, start: int, stop: int
) -> Float[np.ndarray, "t k h w"]:
    """The spikes of frames start to stop, float32, as they are represented.

    Raises:
      ValueError: they are not finite, or not in the shape of the source.
    """
    spikes = np.asarray(source[start:stop])
    if spikes.shape != (stop - start, *source.shape[1:]):
        raise ValueError(
            f"a source of shape {tuple(source.shape)} gave {spikes.shape} for the "
            f"spikes of frames {start} to {stop}."
        )
    spikes = spikes.astype(np.float32, copy=False)
    # Two passes without a temporary; NaN is neither above nor below.
    low, high = float(spikes.min()), float(spikes.max())
    if not -np.inf < low <= high < np.inf:
        raise ValueError(
            f"spikes must be finite; got values from {low:g} to {high:g}. Remove NaN "
            "and infinite values."
        )
    return spikes
