"""Your own footage as clip records: its frames are samples of a high-speed camera."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.camera_settings import (
    CAMERA_DEFAULTS,
    CAMERA_SETTINGS,
    cameras,
    check_cameras,
)
from data_pipeline.capture import Captured, capture_clip
from data_pipeline.exposure import (
    MARGIN,
    count_windows,
    exposure_windows,
    sharp_times,
)
from data_pipeline.inbetween import InBetween, check_flow_size, check_in_between
from data_pipeline.records import UNKNOWN, Record
from data_pipeline.settings import check_settings
from data_pipeline.video_files import VIDEOS, FrameReader, list_pictures

VERSION = "3"  # raised whenever the same settings would give other clips
# All times in spike frames; `spikes_per_frame` of them pass from one frame of the
# footage to the next.
SETTINGS: dict[str, type] = {
    "spikes_per_frame": int,
    "in_between": str,
    "exposure": int,
    "period": int,
    "spike_scale": int,
    "threshold": float,
    "gain": float,
    "seed": int,
    **CAMERA_SETTINGS,
}


def check_video_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_settings(settings, SETTINGS, defaults=CAMERA_DEFAULTS)
    rate = checked["spikes_per_frame"]
    if rate < 1:
        raise ValueError(f"spikes_per_frame must be above 0, got {rate}.")
    check_cameras(checked, instants_every=rate)
    check_in_between(checked["in_between"])
    if checked["period"] % rate:
        raise ValueError(
            f"period must be a multiple of spikes_per_frame, so that every sharp frame "
            f"is a frame of the footage; got {checked['period']} and {rate}."
        )
    if checked["seed"] < 0:
        raise ValueError(f"seed must not be negative, got {checked['seed']}.")
    return checked


def find_videos(path: str | Path) -> list[Path]:
    """Lists the videos of an input in the order of their names.

    It may be a video file, a folder of pictures (one video), or a folder whose video
    files and sub-folders of pictures are one video each.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: the folder holds neither videos nor pictures, or both, or two
            videos of one name.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"There is no video or folder {source}.")
    if source.is_file():
        return [source]
    videos = sorted(
        entry
        for entry in source.iterdir()
        if entry.suffix.lower() in VIDEOS or (entry.is_dir() and list_pictures(entry))
    )
    named: dict[str, Path] = {}
    for video in videos:
        other = named.setdefault(video_name(video), video)
        if other != video:
            raise ValueError(
                f"{other} and {video} are both called {video_name(video)}, so that "
                "their clips could not be told apart; rename one of them."
            )
    pictures = bool(list_pictures(source))
    if pictures and videos:
        raise ValueError(
            f"{source} holds pictures and videos; put them into folders of their own."
        )
    if not pictures and not videos:
        raise ValueError(
            f"{source} holds no video file ({', '.join(VIDEOS)}), no pictures and no "
            "folder of pictures."
        )
    return videos or [source]


def video_name(path: Path) -> str:
    """Returns what a video file or a folder of pictures is called."""
    return path.name if path.is_dir() else path.stem


def interpolate_light(
    frames: np.ndarray | FrameReader,
    spikes_per_frame: int,
    first: int,
    last: int,
    *,
    in_between: str,
) -> Iterator[np.ndarray]:
    """Yields the light (H, W, 3), float32 in [0, 1], of spike frames first .. last - 1.

    Frame f of the footage is the light of spike frame f * `spikes_per_frame`.

    Args:
        frames: uint8 (F, H, W, 3), or what is indexed like it.
        spikes_per_frame: spike frames from one frame of the footage to the next.
        first: spike frame.
        last: spike frame, not included.
        in_between: what is between two frames, a name in inbetween.IN_BETWEEN.
    """
    pair: InBetween | None = None
    known = -1
    for sample in range(first, last):
        before, step = divmod(sample, spikes_per_frame)
        if not step:
            light = frames[before].astype(np.float32)
        else:
            if pair is None or known != before:
                pair = InBetween(frames[before], frames[before + 1], in_between)
                known = before
            light = pair.light(step / spikes_per_frame)
        yield light / np.float32(255)


def check_footage(
    name: str, height: int, width: int, settings: Mapping[str, Any]
) -> None:
    """Raises a ValueError unless footage of this size can be recorded.

    Args:
        name: of the footage, for the error.
        height: of its frames, in pixels.
        width: likewise.
        settings: as check_video_settings returns them.
    """
    scale = settings["spike_scale"]
    if height % scale or width % scale:
        raise ValueError(
            f"{name} is {height}x{width}, which spike_scale={scale} does not divide; "
            "take spike_scale=1 or crop the footage."
        )
    if settings["in_between"] == "flow" and settings["spikes_per_frame"] > 1:
        check_flow_size(name, height, width)


def count_clips(num_footage_frames: int, num_frames: int, settings: Any) -> int:
    """Returns how many clips of `num_frames` frames the footage gives, one by one."""
    windows = count_windows(
        (num_footage_frames - 1) * settings["spikes_per_frame"] + 1,
        exposure=settings["exposure"],
        period=settings["period"],
        first_start=_first_start(settings),
        margin=MARGIN,
    )
    return windows // num_frames


def frames_of_clip(num_frames: int, settings: Mapping[str, Any]) -> int:
    """Returns how many frames of the footage its first clip takes."""
    span = _first_start(settings) + settings["exposure"] + MARGIN
    span += (num_frames - 1) * settings["period"]
    return 1 + -(-(span - 1) // settings["spikes_per_frame"])


def clip_frames(index: int, num_frames: int, settings: Mapping[str, Any]) -> range:
    """Returns the frames of the footage that clip `index` is made from."""
    step = num_frames * settings["period"] // settings["spikes_per_frame"]
    first = index * step
    return range(first, first + frames_of_clip(num_frames, settings))


def clips_between(num_frames: int, settings: Mapping[str, Any]) -> int:
    """Returns how many clips lie between two that share no frame of the footage."""
    step = clip_frames(1, num_frames, settings).start
    return -(-frames_of_clip(num_frames, settings) // step) - 1


def require_footage(
    name: str, num_footage_frames: int, num_frames: int | None, settings: Any
) -> None:
    """Raises a ValueError unless the footage gives a clip.

    Args:
        name: of the footage, for the error.
        num_footage_frames: that it has.
        num_frames: of a clip; None: as many as there are, at least one.
        settings: as check_video_settings returns them.
    """
    if not count_clips(num_footage_frames, num_frames or 1, settings):
        raise ValueError(_too_short(name, num_footage_frames, num_frames, settings))


def _too_short(
    name: str, num_footage_frames: int, num_frames: int | None, settings: Any
) -> str:
    needed = frames_of_clip(num_frames or 1, settings)
    fewer = "fewer num_frames, " if (num_frames or 1) > 1 else ""
    return (
        f"{name} has {num_footage_frames} frames, but one clip takes {needed} of them "
        f"(exposure={settings['exposure']}, period={settings['period']}, "
        f"spikes_per_frame={settings['spikes_per_frame']}, margin={MARGIN}); give "
        f"longer footage, {fewer}a shorter exposure and period, or more "
        "spikes_per_frame."
    )


def first_sharp_frame(settings: Mapping[str, Any]) -> int:
    """Returns the frame of the footage that is in the middle of the first exposure."""
    middle = _first_start(settings) + int(settings["exposure"]) // 2
    return middle // int(settings["spikes_per_frame"])


def _first_start(settings: Mapping[str, Any]) -> int:
    """Returns the first start that puts the middle of the exposure on a frame."""
    middle = MARGIN + settings["exposure"] // 2
    return MARGIN + -middle % settings["spikes_per_frame"]


def make_clip(
    frames: np.ndarray | FrameReader, settings: Mapping[str, Any], **options: Any
) -> Record:
    """Returns the record of `film_clip`, which says what the options are."""
    return film_clip(frames, settings, **options).record


def film_clip(
    frames: np.ndarray | FrameReader,
    settings: Mapping[str, Any],
    *,
    name: str,
    fps: float,
    index: int = 0,
    num_frames: int | None = None,
    progress: Any = None,
    draws: tuple[int, ...] = (),
) -> Captured:
    """Records clip `index` of some footage with both cameras.

    Args:
        frames: uint8 (F, H, W, 3), or what is indexed like it.
        settings: as in SETTINGS.
        name: of the clip.
        fps: frames per second of the footage, NaN where not known.
        index: which clip, counted in steps of `num_frames` periods.
        num_frames: of the clip; where None it is all that the footage has.
        progress: wraps the iterable of light, for a progress bar.
        draws: numbers that what is drawn depends on beside the seed and the index.

    Raises:
        ValueError: the footage is too short, or its size does not fit the spike scale.
    """
    settings = check_video_settings(settings)
    exposure, period = settings["exposure"], settings["period"]
    rate = settings["spikes_per_frame"]
    total, height, width = frames.shape[:3]
    check_footage(name, height, width, settings)
    first_start = _first_start(settings)
    available = count_clips(total, num_frames or 1, settings)
    if index >= available:
        raise ValueError(_too_short(name, total, num_frames, settings))
    count = num_frames or available
    offset = index * count * period
    windows = exposure_windows(
        count, first_start=first_start, exposure=exposure, period=period
    )
    # A clip that is all there is keeps its spikes to the end of the footage.
    last = (
        offset + int(windows[-1, 1]) + MARGIN if num_frames else (total - 1) * rate + 1
    )
    in_between = settings["in_between"]
    light: Iterable[np.ndarray] = interpolate_light(
        frames, rate, offset, last, in_between=in_between
    )
    if progress is not None:
        light = progress(light, total=last - offset)
    return capture_clip(
        light,
        windows,
        threshold=settings["threshold"],
        gain=settings["gain"],
        spike_scale=settings["spike_scale"],
        rng=np.random.default_rng([settings["seed"], *draws, index]),
        name=name,
        source=f"footage {name}, {rate} spike frames per frame, {in_between} between",
        licence=UNKNOWN,
        seed=settings["seed"],
        spike_rate=fps * rate,
        cameras=cameras(settings),
        sharp_time=sharp_times(windows, settings["sharp_instants"], every=rate),
    )
