"""From a video to restored frames, clip by clip, each frame as soon as it is final."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from vrt_spike_jax.clip_restorer import ClipRestorer
from vrt_spike_jax.frame_source import FrameSource, Shape, read_frames, read_spikes
from vrt_spike_jax.tiles import AxisTiles

Frames = Iterator[Float[np.ndarray, "h w 3"]]


def blended_clips(
    restorer: ClipRestorer,
    blur: FrameSource,
    spikes: FrameSource | None,
    *,
    time: AxisTiles,
    instants: Float[np.ndarray, "n t"] | None,
    restored_shape: Shape,
) -> Frames:
    """Yields the frames of a video whose overlapping clips are blended.

    Held at once are one clip, and as many restored frames of each instant.

    Args:
      restorer: of one clip.
      blur: the video.
      spikes: of its frames.
      time: the clips.
      instants: that are restored of each frame, which follow each other; None for a
        model that takes none.
      restored_shape: of what comes out.
    """
    # Where the weights of the clips at a frame overlap, it is final when they all came.
    asked = [None] if instants is None else list(instants)
    pending = np.zeros((time.tile, len(asked), *restored_shape[1:]), np.float32)
    for index, start in enumerate(time.starts):
        stop = min(start + time.tile, time.size)
        clip = _mirrored(read_frames(blur, start, stop), time.tile)
        spike_clip = None
        if spikes is not None:
            spike_clip = _mirrored(read_spikes(spikes, start, stop), time.tile)
        for number, instant in enumerate(asked):
            restorer.add(
                clip,
                spike_clip,
                None if instant is None else _mirrored(instant[start:stop], time.tile),
                into=pending[:, number],
                weights=time.weights[index],
                first_frame=start,
            )
        following = (*time.starts[1:], time.size)[index]
        final = following - start
        for frame in pending[:final].reshape(-1, *restored_shape[1:]):
            yield np.clip(frame, 0.0, 1.0)
        pending[: time.tile - final] = pending[final:]
        pending[time.tile - final :] = 0.0


def interpolated_clips(
    restorer: ClipRestorer,
    blur: FrameSource,
    spikes: FrameSource | None,
    *,
    clip_frames: int,
    restored_shape: Shape,
) -> Frames:
    """Yields the frames of a video with a new one between each two.

    Args:
      restorer: of one clip, to the frame in its middle.
      blur: the video.
      spikes: of its frames.
      clip_frames: frames of a clip; what it lacks at the ends of the video is the first
        or last frame again.
      restored_shape: of what comes out.
    """
    total = blur.shape[0]
    before = clip_frames // 2 - 1
    for index in range(total - 1):
        first, stop = index - before, index - before + clip_frames
        start, end = max(first, 0), min(stop, total)
        missing = (start - first, stop - end)
        clip = _repeated(read_frames(blur, start, end), missing)
        spike_clip = None
        if spikes is not None:
            spike_clip = _repeated(read_spikes(spikes, start, end), missing)
        yield np.clip(clip[before], 0.0, 1.0)
        middle = np.zeros((1, *restored_shape[1:]), np.float32)
        restorer.add(
            clip,
            spike_clip,
            into=middle,
            weights=np.ones(1, np.float32),
            first_frame=index,
        )
        yield np.clip(middle[0], 0.0, 1.0)
    yield np.clip(read_frames(blur, total - 1, total)[0], 0.0, 1.0)


def _mirrored(
    clip: Float[np.ndarray, "t ..."], length: int
) -> Float[np.ndarray, "t2 ..."]:
    return _padded(clip, (0, length - len(clip)), "symmetric")


def _repeated(
    clip: Float[np.ndarray, "t ..."], missing: tuple[int, int]
) -> Float[np.ndarray, "t2 ..."]:
    return _padded(clip, missing, "edge")


def _padded(clip: np.ndarray, missing: tuple[int, int], mode: str) -> np.ndarray:
    # mypy cannot tell that a name of a mode is one that np.pad takes.
    pad: np.ndarray = np.pad(clip, [missing, *[(0, 0)] * (clip.ndim - 1)], mode=mode)  # type: ignore[call-overload]
    return pad
