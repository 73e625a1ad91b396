"""The spikes of a recorded video: each frame's own exposure out of a .dat."""

from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import spike_dat
from data_pipeline.exposure import exposure_windows
from data_pipeline.records import SPIKE_SCALES, check_exposure
from data_pipeline.representations import voxel_grid


def load_spikes(
    dat_path: str | Path,
    *,
    num_frames: int,
    height: int,
    width: int,
    num_bins: int,
    spike_height: int | None = None,
    spike_width: int | None = None,
    flip: bool | None = None,
    exposure: tuple[int, int, int] | None = None,
) -> np.ndarray:
    """Returns the voxel grids (T, K, h, w) of a video's exposures, float32 rates.

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
        exposure: start of the first exposure, its length, and the period from one
            start to the next, in spike frames.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the geometry or the exposures are not known, do not fit the file,
            or do not fit the video.
    """
    if not Path(dat_path).is_file():
        raise FileNotFoundError(f"There is no spike file {dat_path}.")
    facts = _facts(dat_path, spike_height, spike_width, flip, exposure)
    size = (facts["height"], facts["width"])
    _check_scale(size, (height, width))
    windows = _windows(facts["exposure"], exposure, num_frames, dat_path)
    _check_windows(windows, spike_dat.count_frames(dat_path, *size), dat_path)
    grids = np.empty((num_frames, num_bins, *size), np.float32)
    for frame, (start, end) in enumerate(windows.tolist()):
        first = int(np.floor(start))
        spikes = spike_dat.read_dat(
            dat_path,
            *size,
            start=first,
            count=int(np.ceil(end)) - first,
            flip=facts["flip"],
        )
        grids[frame] = voxel_grid(
            spikes, num_bins, start=start - first, end=end - first
        )
    return grids


def _facts(
    dat_path: str | Path,
    spike_height: int | None,
    spike_width: int | None,
    flip: bool | None,
    exposure: tuple[int, int, int] | None,
) -> dict[str, Any]:
    """Merges what was given with the .json beside the .dat."""
    given = {
        "height": spike_height,
        "width": spike_width,
        "flip": flip,
        "exposure": exposure,
    }
    missing = [name for name, value in given.items() if value is None]
    if missing:
        path = spike_dat.sidecar_path(dat_path)
        if not path.is_file():
            flags = {
                "height": "--spike_height",
                "width": "--spike_width",
                "flip": "--spike_flip (true where rows are stored bottom-up, as cameras"
                " do)",
                "exposure": "--exposure=FIRST,LENGTH,PERIOD in spike frames",
            }
            raise ValueError(
                f"{dat_path} does not say how it is to be read and there is no "
                f"{path.name} beside it; pass "
                f"{', '.join(flags[name] for name in missing)}."
            )
        sidecar = spike_dat.read_sidecar(dat_path)
        given |= {name: sidecar[name] for name in missing}
    return given


def _check_scale(spike_size: tuple[int, int], size: tuple[int, int]) -> None:
    fits = [
        scale
        for scale in SPIKE_SCALES
        if (spike_size[0] * scale, spike_size[1] * scale) == size
    ]
    if not fits:
        raise ValueError(
            f"The spikes are {spike_size[0]}x{spike_size[1]} and the video is "
            f"{size[0]}x{size[1]}; the video must be 1, 2 or 4 times as high and as "
            "wide as the spikes."
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
            f"{spike_dat.sidecar_path(dat_path)} lists {len(listed)} exposures, but "
            f"the video has {num_frames} frames; give the video that was recorded with "
            "these spikes, or pass --exposure=FIRST,LENGTH,PERIOD."
        )
    return np.asarray(listed, np.float32)
