"""The spikes of a recorded video: each frame's own exposure out of a .dat."""

from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import spike_sidecar
from data_pipeline.exposure import exposure_windows
from data_pipeline.records import SPIKE_SCALES, check_exposure
from data_pipeline.representations import voxel_grid
from data_pipeline.spike_dat import SpikeDat
from data_pipeline.stream_check import require_size_as_said, require_spikes

# What has to be known of a .dat, and how launch.py is told.
_FLAGS = {
    "height": "--spike_height",
    "width": "--spike_width",
    "flip": "--spike_flip (true where rows are stored bottom-up, as cameras do)",
    "exposure": "--exposure=FIRST,LENGTH,PERIOD in spike frames",
}


class Recording:
    """The voxel grids of a video's exposures, made slice by slice from a .dat.

    Attributes:
        shape: (T, K, h, w): frames of the video, bins of an exposure, spike pixels.
    """

    def __init__(
        self,
        dat_path: str | Path,
        *,
        num_frames: int,
        height: int,
        width: int,
        num_bins: int,
        spike_height: int | None = None,
        spike_width: int | None = None,
        flip: bool | None = None,
        bit_order: str | None = None,
        layout: str | None = None,
        exposure: tuple[int, int, int] | None = None,
        trust_size: bool | None = None,
    ) -> None:
        """Opens a recording and checks that it fits the video.

        What is not given is taken from the .json beside the .dat.

        Args:
            dat_path: of the .dat.
            num_frames: T, frames of the RGB video.
            height: of the RGB video, in pixels.
            width: of the RGB video, in pixels.
            num_bins: K, bins of each exposure.
            spike_height: spike pixels.
            spike_width: spike pixels.
            flip: whether the file stores the rows bottom-up, as cameras do.
            bit_order: 'little' or 'big', see SpikeDat; without a .json, 'little'.
            layout: what cameras store beside the pixels, a name in LAYOUTS of
                spike_dat; without a .json, 'plain'.
            exposure: start of the first exposure, its length, and the period from one
                start to the next, in spike frames.
            trust_size: whether spike_height and spike_width are right though the
                pictures look as if they were swapped.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the geometry or the exposures are not known, do not fit the
                file, or do not fit the video; height and width look swapped, or
                there is no spike at all.
        """
        if not Path(dat_path).is_file():
            raise FileNotFoundError(f"There is no spike file {dat_path}.")
        if num_bins < 1:
            raise ValueError(f"num_bins must be at least 1, got {num_bins}.")
        given = {
            "height": spike_height,
            "width": spike_width,
            "flip": flip,
            "bit_order": bit_order,
            "layout": layout,
            "exposure": exposure,
        }
        facts = _facts(dat_path, given)
        size = (facts["height"], facts["width"])
        _check_scale(size, (height, width))
        self._windows = _windows(facts["exposure"], exposure, num_frames, dat_path)
        self._stream = SpikeDat(
            dat_path,
            *size,
            flip=facts["flip"],
            bit_order=facts["bit_order"],
            layout=facts["layout"],
        )
        _check_windows(self._windows, len(self._stream), dat_path)
        require_spikes(self._stream, dat_path)
        if not trust_size and (spike_height, spike_width) != (None, None):
            require_size_as_said(
                dat_path,
                *size,
                insist="add --spike_trust_size=true",
                bit_order=facts["bit_order"],
                layout=facts["layout"],
            )
        self.shape = (num_frames, num_bins, *size)

    def __getitem__(self, key: slice) -> np.ndarray:
        """Returns the voxel grids (t, K, h, w) of frames, float32 rates."""
        windows = self._windows[key].tolist()
        grids = np.empty((len(windows), *self.shape[1:]), np.float32)
        for grid, (start, end) in zip(grids, windows, strict=True):
            first = int(np.floor(start))
            spikes = self._stream[first : int(np.ceil(end))]
            grid[:] = voxel_grid(
                spikes, self.shape[1], start=start - first, end=end - first
            )
        return grids


def load_spikes(dat_path: str | Path, **options: Any) -> np.ndarray:
    """Returns all voxel grids (T, K, h, w) of a video, float32 rates.

    Args and errors are those of Recording.
    """
    return Recording(dat_path, **options)[:]


def _facts(dat_path: str | Path, given: dict[str, Any]) -> dict[str, Any]:
    """Merges what was given with the .json beside the .dat."""
    facts = spike_sidecar.merge_facts(dat_path, given, needed=_FLAGS)
    flags = [flag for name, flag in _FLAGS.items() if name not in facts]
    if flags:
        raise ValueError(
            f"{dat_path} does not say how it is to be read and there is no "
            f"{spike_sidecar.sidecar_path(dat_path).name} beside it; pass "
            f"{', '.join(flags)}."
        )
    return facts


def _check_scale(spike_size: tuple[int, int], size: tuple[int, int]) -> None:
    def fits(height: int, width: int) -> bool:
        return any((height * s, width * s) == size for s in SPIKE_SCALES)

    height, width = spike_size
    if not fits(height, width):
        swapped = " Were height and width swapped?" if fits(width, height) else ""
        raise ValueError(
            f"The spikes are {height}x{width} (height x width) and the video is "
            f"{size[0]}x{size[1]}; the video must be 1, 2 or 4 times as high and as "
            f"wide as the spikes.{swapped}"
        )


def _check_windows(windows: np.ndarray, total: int, dat_path: str | Path) -> None:
    if windows[-1, 1] > total:
        raise ValueError(
            f"{dat_path} holds {total} spike frames, but the exposure of the last of "
            f"{len(windows)} video frames ends at {windows[-1, 1]:g}; check the "
            "exposures, and that this video was recorded with these spikes."
        )
    check_exposure(windows, total)


def _windows(
    listed: Any,
    exposure: tuple[int, int, int] | None,
    num_frames: int,
    dat_path: str | Path,
) -> np.ndarray:
    """Returns the exposure windows (T, 2) of the frames, in spike frames."""
    if exposure is not None:
        first, length, period = exposure
        return exposure_windows(
            num_frames, first_start=first, exposure=length, period=period
        )
    if len(listed) != num_frames:
        raise ValueError(
            f"{spike_sidecar.sidecar_path(dat_path)} lists {len(listed)} exposures, "
            f"but the video has {num_frames} frames; give the video that was recorded "
            "with these spikes, or pass --exposure=FIRST,LENGTH,PERIOD."
        )
    return np.asarray(listed, np.float32)
