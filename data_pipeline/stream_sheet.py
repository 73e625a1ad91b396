"""The picture sheet of a recording: what its spikes say, panel by panel."""

import dataclasses
import math
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_pipeline.bayer import CFA_PATTERNS, demosaic
from data_pipeline.scene import Scene
from data_pipeline.spike_camera import grey
from data_pipeline.stream_statistics import (
    interval_histogram,
    mean_rate,
    row_over_time,
    sample_windows,
)
from data_pipeline.transfer import to_gamma, to_spike_space

_PANEL = 4.6  # inches
_LOWEST = 0.65  # height of a panel to its width, at least
_TITLE = 0.4  # inches above the panels
_LONGEST_INTERVAL = 64  # spike frames that the histogram shows
_SLICES = 400  # rows of the x-t slice, at most
# What is read of a long stream, so that a sheet of one takes seconds.
_LONGEST_MEAN = 2**30  # spike pixels of the long TFP, where no window was asked for
_COUNTED = 2**27  # spike pixels whose intervals are counted
_COUNTED_FRAMES = 4 * _LONGEST_INTERVAL  # in a row, for long intervals to be seen
_SLICED = 64  # spike frames of a slice's window


@dataclasses.dataclass(frozen=True)
class View:
    """Where in the stream the sheet looks; all times in spike frames."""

    center: int
    short: int  # window of the short TFP
    long: tuple[int, int]  # window of the long TFP: an exposure where there is one
    row: int
    frame: int | None  # of the frames beside the spikes, whose exposure `long` is


def choose_view(
    scene: Scene, *, center: int | None, short: int, long: int | None, row: int | None
) -> View:
    """Fills in what was not asked for: the middle exposure, or that of the stream.

    Without exposures the long window is the whole stream, or what of it around the
    centre is read in seconds.

    Raises:
        ValueError: a time or the row lies outside the stream, or a window is even.
    """
    count, height, _ = scene.spikes.shape
    if row is None:
        row = height // 2
    if not 0 <= row < height:
        raise ValueError(f"row must be from 0 to {height - 1}, got {row}.")
    if center is not None and not 0 <= center < count:
        raise ValueError(
            f"center must be a spike frame from 0 to {count - 1}, got {center}."
        )
    for name, window in (("short", short), ("long", long)):
        if window is not None and (window < 1 or window % 2 == 0):
            raise ValueError(
                f"{name} must be an odd number of spike frames, to have a middle; "
                f"got {window}."
            )
    frame = None
    if scene.exposure is not None:
        middles = scene.exposure.mean(1)
        wanted = middles[len(middles) // 2] if center is None else center
        frame = int(np.abs(middles - wanted).argmin())
        if center is None:
            center = int(middles[frame])
    if center is None:
        center = count // 2
    span = _around(center, long, count) if long else _affordable(scene, center)
    if frame is not None and scene.exposure is not None and not long:
        start, end = scene.exposure[frame].tolist()
        span = (math.floor(start), math.ceil(end))
    return View(center, short, span, row, frame)


def _around(center: int, window: int, count: int) -> tuple[int, int]:
    """The window around a spike frame, cut at the ends of the stream."""
    return max(0, center - window // 2), min(count, center + window // 2 + 1)


def _affordable(scene: Scene, center: int) -> tuple[int, int]:
    """The whole stream, or of a long one a window around a spike frame."""
    count, height, width = scene.spikes.shape
    length = _LONGEST_MEAN // (height * width)
    return (0, count) if count <= length else _around(center, length, count)


def save_sheet(path: str | Path, scene: Scene, view: View) -> None:
    """Draws the sheet into a new picture file.

    Panels: the frame (where there is one), TFP over the short and the long window, the
    raster of a row around the centre, the x-t slice of that row over the whole stream,
    the histogram of the intervals between spikes, and the overlay of frame and spikes.
    """
    stream = scene.spikes
    start, end = _around(view.center, view.short, len(stream))
    short = mean_rate(stream, start, end)
    long = mean_rate(stream, *view.long)
    white = white_of(long)
    columns = 3 if scene.frames is None else 4
    with matplotlib.rc_context({"font.size": 9, "savefig.dpi": 110}):
        tall = min(1.0, max(_LOWEST, stream.shape[1] / stream.shape[2]))
        size = (_PANEL * columns, _PANEL * 2 * tall + _TITLE)
        figure = Figure(size, layout="constrained")
        axes = iter(figure.subplots(2, columns).ravel().tolist())
        figure.suptitle(_title(scene), parse_math=False)
        if scene.frames is not None and view.frame is not None:
            _picture(
                next(axes), scene.frames[view.frame], f"frame {view.frame}, blurred"
            )
        _picture(next(axes), short / white, f"TFP of [{start}, {end})")
        axis = next(axes)
        title = f"TFP of [{view.long[0]}, {view.long[1]}), mean rate {long.mean():.3g}"
        _picture(axis, long / white, title)
        axis.axhline(view.row, color="tab:orange", linewidth=0.8)
        _raster(next(axes), scene, view)
        _slice(next(axes), scene, view, white)
        _intervals(next(axes), scene)
        if _is_registered(scene) and view.frame is not None:
            title = "overlay: frame red, spikes cyan"
            _picture(next(axes), overlay(scene, view.frame), title)
        for axis in axes:
            axis.remove()
        figure.savefig(path)


def overlay(scene: Scene, frame: int) -> np.ndarray:
    """Frame (H, W, 3) in [0, 1]: the grey of the frame in red, its spikes in cyan.

    Both are the mean light of the exposure, so what is aligned is grey and what is not
    has red and cyan edges. The rates are scaled to the brightness of the frame, in the
    light that they integrated, and their colours are interpolated behind filters.

    Raises:
        ValueError: the scene has no frames, or does not say where their pixels are.
    """
    if scene.frames is None or scene.exposure is None or scene.rgb_from_spike is None:
        raise ValueError(f"{scene.name} has no frames to lay over its spikes.")
    if not _is_registered(scene):
        raise ValueError(
            f"{scene.name} does not say how its spikes lie over its frames."
        )
    start, end = scene.exposure[frame].tolist()
    rate = _grey_rate(scene, math.floor(start), math.ceil(end))
    height, width = scene.frames.shape[1:3]
    warped = cv2.warpPerspective(
        rate,
        scene.rgb_from_spike.astype(np.float64),
        (width, height),
        borderMode=cv2.BORDER_REPLICATE,
    )
    light = grey(to_spike_space(scene.frames[frame], scene.transfer))
    gain = float((warped * light).sum()) / max(float((warped * warped).sum()), 1e-12)
    both = np.stack([light, gain * warped, gain * warped], axis=-1)
    return np.clip(to_gamma(both) if scene.transfer == "linear" else both, 0, 1)


def _grey_rate(scene: Scene, start: int, end: int) -> np.ndarray:
    """The grey (h, w) of the rates of some spike frames, up to a factor."""
    rate = mean_rate(scene.spikes, start, end)
    if scene.cfa not in CFA_PATTERNS or min(rate.shape) < 4:
        return rate
    return grey(demosaic(rate / max(float(rate.max()), 1e-12), scene.cfa))


def _is_registered(scene: Scene) -> bool:
    """Whether it is known where the spikes lie on the frames."""
    known = scene.rgb_from_spike
    return known is not None and bool(np.isfinite(known).all())


def _title(scene: Scene) -> str:
    count, height, width = scene.spikes.shape
    rate = scene.spike_rate
    seconds = "" if math.isnan(rate) else f", {count / rate:.4g} s at {rate:g} Hz"
    return f"{scene.name}: {count} spike frames of {height}x{width}{seconds}"


def white_of(rate: np.ndarray) -> float:
    """The rate that is drawn white; a dark stream is not divided by zero."""
    return max(float(np.percentile(rate, 99.5)), 1e-6)


def _picture(axis: Axes, picture: np.ndarray, title: str) -> None:
    bounded = picture if picture.dtype == np.uint8 else np.clip(picture, 0, 1)
    axis.imshow(bounded, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title)
    axis.set_axis_off()


def _raster(axis: Axes, scene: Scene, view: View) -> None:
    start, end = _around(view.center, _LONGEST_INTERVAL * 2 + 1, len(scene.spikes))
    spikes = scene.spikes[start:end]
    axis.imshow(
        1 - spikes[:, view.row],
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, spikes.shape[2] - 0.5, end - 0.5, start - 0.5),
    )
    axis.set_title(f"raster of row {view.row} (a spike is black)")
    _label_columns_and_time(axis)


def _slice(axis: Axes, scene: Scene, view: View, white: float) -> None:
    count = len(scene.spikes)
    window = max(view.short if view.short <= count else 1, -(-count // _SLICES))
    is_long = math.prod(scene.spikes.shape) > _LONGEST_MEAN and window > _SLICED
    most = _SLICED if is_long else None
    rates = row_over_time(scene.spikes, view.row, window, most=most)
    axis.imshow(
        np.clip(rates / white, 0, 1),
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, rates.shape[1] - 0.5, len(rates) * window, 0),
    )
    seen = f"{_SLICED} of every {window}" if is_long else f"{window}"
    axis.set_title(f"x-t slice of row {view.row}, mean of {seen}")
    _label_columns_and_time(axis)


def _label_columns_and_time(axis: Axes) -> None:
    axis.set_xlabel("column")
    axis.set_ylabel("spike frame")
    axis.ticklabel_format(axis="y", style="plain", useOffset=False)


def _intervals(axis: Axes, scene: Scene) -> None:
    windows = sample_windows(scene.spikes, _COUNTED, shortest=_COUNTED_FRAMES)
    counts = interval_histogram(scene.spikes, _LONGEST_INTERVAL, windows=windows)
    total = counts.sum()
    shares = 100 * counts / max(total, 1)
    axis.bar(np.arange(1, len(counts)), shares[1:], width=1.0, color="tab:blue")
    title = "intervals between spikes"
    if not total:
        title += ": there is none"
    elif counts[0]:
        title += f" ({shares[0]:.2g} % are longer)"
    if len(windows) > 1:
        length = windows[0][1] - windows[0][0]
        title += f"\nin {len(windows)} windows of {length} spike frames"
    axis.set_title(title)
    axis.set_xlabel("spike frames")
    axis.set_ylabel("share [%]")
