"""The sharp light of an instant, reconstructed from spikes along their motion.

A short window is noisy and a long one is blurred. Here a long one is cut into segments
of time, and the light of each, by the charge that its pixels gathered, is moved along
the optical flow (OpenCV's DIS) to where it was at the instant. Their mean has the noise
of the whole window and the blur of one segment, or of one inter-spike interval where
that is longer. What blur is left is then taken out: the light that was found is moved
through the window, and its mean between the very firings of each pixel is compared
with what the pixel gathered between them (iterative back-projection, as in
super-resolution: Irani and Peleg, 1991). What even and odd segments agree on in that
difference is light and is added; the rest is noise (Wiener's filter, with the noise
measured).
"""

from typing import Any

import cv2
import numpy as np

from data_pipeline.bayer import colour_map, demosaic
from data_pipeline.charge import Charge, gather_charge
from data_pipeline.low_light import correct_flat_dark, fill_hot_pixels
from data_pipeline.noise_maps import NoiseMaps
from data_pipeline.spike_camera import grey

SEGMENTS = 11  # of the window, odd: one has the instant in its middle
LEAST_SIZE = 32  # spike pixels each way that an optical flow needs

_STEPS = 3  # samples of the motion in a segment
_REACH = 5  # segments beyond the window that firings are looked up in
_SMOOTHING = 0.8  # pixels: of the pictures that the flow is estimated between
_AGREEMENT = 1.5  # pixels: over which the agreement of segments is averaged
_WHITE = 99.5  # percentile of the light that counts as white for the flow
# Pixels that a round trip along both flows may miss, and its part of the way, before
# what is there counts as hidden in the segment (Sundaram et al., ECCV 2010).
_MISS = (0.25, 0.01)


def check_window(window: float) -> None:
    """Raises a ValueError unless a window can be cut into segments."""
    if not SEGMENTS <= window < np.inf:
        raise ValueError(
            f"The window of the reconstruction must be at least {SEGMENTS} spike "
            f"frames, one for each of its segments, got {window:g}."
        )


def stream_window(instant: float, window: float, count: int) -> tuple[int, int]:
    """Returns the spike frames, first and last + 1, that a reconstruction looks at.

    Args:
        instant: in spike frames.
        window: of the reconstruction in spike frames.
        count: spike frames of the stream.
    """
    reach = window * (0.5 + _REACH / SEGMENTS)
    return (
        max(0, int(np.floor(instant - reach))),
        min(count, int(np.ceil(instant + reach))),
    )


def reconstruct(
    spikes: np.ndarray,
    instant: float,
    *,
    window: float = 55.0,
    rounds: int = 2,
    cfa: str = "none",
    maps: NoiseMaps | None = None,
) -> np.ndarray:
    """Returns the light of an instant as rates, float32 spikes per spike frame.

    Args:
        spikes: (S, h, w) of 0 and 1. Segments that leave the stream are not used.
        instant: in spike frames; spike frame s covers [s, s + 1).
        window: spike frames around the instant: longer for little light, shorter
            where things turn or hide each other within it.
        rounds: how often the remaining blur is taken out.
        cfa: colour filters of the pixels, 'none' or one of bayer.CFA_PATTERNS.
        maps: noise of the sensor, which is taken out: the dark rate, the uneven
            response, and hot pixels, which are not used.

    Returns:
        (h, w), or (h, w, 3) with colour filters.

    Raises:
        ValueError: spikes is not (S, h, w) with at least 32x32 pixels, the window is
            too short, or the middle segment leaves the stream.
    """
    check_window(window)
    if spikes.ndim != 3 or min(spikes.shape[1:]) < LEAST_SIZE:
        raise ValueError(
            f"Reconstructing along the motion needs spikes (S, h, w) of at least "
            f"{LEAST_SIZE}x{LEAST_SIZE} pixels, got {spikes.shape}."
        )
    edges = _segment_edges(instant, window, len(spikes))
    segments = _Segments(gather_charge(spikes, edges), edges, cfa, maps)
    seen = segments.light()
    motion = _Motion(seen, edges, instant)
    light = motion.gather(seen)
    for _ in range(rounds):
        missing = motion.collect(segments.missing(light, motion))
        light += _agreed(missing, motion.seen)
    return np.maximum(light, 0)


def to_light(
    rate: np.ndarray, cfa: str = "none", maps: NoiseMaps | None = None
) -> np.ndarray:
    """Returns rates (h, w) without the noise of the sensor, in colour behind filters.

    Args:
        rate: (h, w), spikes per spike frame.
        cfa: 'none' or one of bayer.CFA_PATTERNS.
        maps: noise of the sensor.

    Returns:
        (h, w), or (h, w, 3) with colour filters; float32.
    """
    if maps is not None:
        rate = correct_flat_dark(rate, maps.dark_rate, maps.response)
        rate = _fill_hot(rate, maps.hot, step=1 if cfa == "none" else 2)
    return rate if cfa == "none" else demosaic(rate, cfa)


def _fill_hot(rate: np.ndarray, hot: np.ndarray, *, step: int) -> np.ndarray:
    """Fills hot pixels from those `step` beside them, which have the same colour."""
    filled = rate.copy()
    for row, column in np.ndindex(step, step):
        plane = np.s_[row::step, column::step]
        filled[plane] = fill_hot_pixels(rate[plane], hot[plane])
    return filled


def _segment_edges(instant: float, window: float, count: int) -> np.ndarray:
    """The edges (N + 1,) of the segments that lie in the stream."""
    half = window / SEGMENTS / 2
    if not half <= instant <= count - half:
        raise ValueError(
            f"The instant {instant:g} is too close to an end of the stream, which "
            f"covers [0, {count}]: half a segment, {half:g} spike frames, is needed on "
            "both sides."
        )
    sides = SEGMENTS // 2
    before = min(sides, int((instant - half) / (2 * half) + 1e-9))
    after = min(sides, int((count - instant - half) / (2 * half) + 1e-9))
    edges = instant + half * (2 * np.arange(-before, after + 2) - 1)
    return np.clip(edges, 0, count)


class _Segments:
    """The light that each segment saw, and what it lacks of a light that was found."""

    def __init__(
        self, charge: Charge, edges: np.ndarray, cfa: str, maps: NoiseMaps | None
    ) -> None:
        self._charge, self._edges, self._cfa, self._maps = charge, edges, cfa, maps
        self._lengths = np.diff(edges).astype(np.float32)[:, None, None]

    def light(self) -> np.ndarray:
        """The light of the segments as rates, (N, h, w) or (N, h, w, 3)."""
        rates = np.diff(self._charge.gathered, axis=0) / self._lengths
        return np.stack([to_light(rate, self._cfa, self._maps) for rate in rates])

    def missing(self, light: np.ndarray, motion: "_Motion") -> np.ndarray:
        """What the segments saw beyond the moving light, shaped as `light()`."""
        path = _PredictedCharge(motion, self._edges, light, self._cfa, self._maps)
        before, after = self._charge.before, self._charge.after
        excess = np.empty_like(self._charge.gathered)
        for edge, instant in enumerate(self._edges.tolist()):
            # What is known at the edge is a line between two firings; the moving light
            # is seen through the same line.
            first, last = path.at(before[edge]), path.at(after[edge])
            span = np.maximum(after[edge] - before[edge], np.float32(1e-6))
            share = (np.float32(instant) - before[edge]) / span
            line = first + share * (last - first)
            excess[edge] = self._charge.gathered[edge] - line
        known = self._charge.known[1:] & self._charge.known[:-1]
        if self._maps is not None:
            known = known & ~self._maps.hot
        missing = np.where(known, np.diff(excess, axis=0) / self._lengths, 0)
        if self._cfa == "none":
            return missing
        return np.stack([_spread(mosaic, self._cfa) for mosaic in missing])


class _Motion:
    """Where the light of the instant is in each segment, and back.

    Attributes:
        middles: (N,), of the segments, in spike frames from the instant.
        seen: float32 (N, h, w), 1 where the light of the instant is in view.
    """

    def __init__(self, light: np.ndarray, edges: np.ndarray, instant: float) -> None:
        self.middles = (edges[1:] + edges[:-1]) / 2 - instant
        centre = int(np.abs(self.middles).argmin())
        pictures = _pictures(light)
        here = pictures[centre]
        estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        nothing: Any = None  # that the flow begins with
        shape = (len(light), *light.shape[1:3], 2)
        there, back = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for segment, picture in enumerate(pictures):
            if segment != centre:
                there[segment] = estimator.calc(here, picture, nothing)
                back[segment] = estimator.calc(picture, here, nothing)
        self._there = _smooth_in_time(there, self.middles)
        self._back = _smooth_in_time(back, self.middles)
        self.seen = np.stack(
            [
                _is_seen(way, home)
                for way, home in zip(self._there, self._back, strict=True)
            ]
        )
        self.seen[centre] = 1

    def collect(self, images: np.ndarray) -> np.ndarray:
        """Moves images of the segments (N, h, w, ...) to where things are."""
        return np.stack(
            [
                _sample(image, flow)
                for image, flow in zip(images, self._there, strict=True)
            ]
        )

    def gather(self, images: np.ndarray) -> np.ndarray:
        """The mean of what the segments see of the light of the instant."""
        return _mean(self.collect(images), self.seen)

    def move(self, image: np.ndarray, time: float) -> np.ndarray:
        """The image (h, w, ...) of the instant as it is `time` spike frames later."""
        if len(self.middles) == 1:
            return image
        after = int(
            np.clip(np.searchsorted(self.middles, time), 1, len(self._back) - 1)
        )
        start, end = self.middles[after - 1], self.middles[after]
        share = np.float32((time - start) / (end - start))
        flow = (1 - share) * self._back[after - 1] + share * self._back[after]
        return _sample(image, flow)


class _PredictedCharge:
    """The charge that the moving light would have left, at any time of a pixel."""

    def __init__(
        self,
        motion: _Motion,
        edges: np.ndarray,
        light: np.ndarray,
        cfa: str,
        maps: NoiseMaps | None,
    ) -> None:
        centre = int(np.abs(motion.middles).argmin())
        instant = (edges[centre] + edges[centre + 1]) / 2
        self._step = (edges[centre + 1] - edges[centre]) / _STEPS
        self._start = edges[0] - _REACH * _STEPS * self._step
        count = round((edges[-1] - edges[0]) / self._step) + 2 * _REACH * _STEPS
        times = self._start + self._step * (np.arange(count) + 0.5) - instant
        colours = None if cfa == "none" else colour_map(cfa, *light.shape[:2])
        self._charge = np.zeros((count + 1, *light.shape[:2]), np.float32)
        for index, time in enumerate(times.tolist()):
            moved = motion.move(light, time)
            if colours is not None:
                moved = np.take_along_axis(moved, colours[..., None], 2)[..., 0]
            if maps is not None:
                moved = maps.dark_rate + maps.response * moved
            step = np.float32(self._step)
            self._charge[index + 1] = self._charge[index] + step * moved

    def at(self, times: np.ndarray) -> np.ndarray:
        """The charge (h, w) at times (h, w) in spike frames of the stream."""
        place = (times - np.float32(self._start)) / np.float32(self._step)
        index = np.clip(place.astype(np.int32), 0, len(self._charge) - 2)
        low = np.take_along_axis(self._charge, index[None], 0)[0]
        high = np.take_along_axis(self._charge, index[None] + 1, 0)[0]
        # Beyond the motion that is known the light goes on as at its end.
        charge: np.ndarray = low + (place - index) * (high - low)
        return charge


def _pictures(light: np.ndarray) -> list[np.ndarray]:
    """Grey 8-bit pictures of the segments for the optical flow."""
    greys = grey(light) if light.ndim == 4 else light
    white = max(float(np.percentile(greys, _WHITE)), 1e-6)
    pictures = []
    for image in greys:
        smooth = cv2.GaussianBlur(image, (0, 0), _SMOOTHING)
        pictures.append(np.rint(np.clip(smooth / white, 0, 1) * 255).astype(np.uint8))
    return pictures


def _smooth_in_time(flows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Flows (N, h, w, 2) of a steady acceleration, those of near segments trusted more.

    One flow is wrong by itself; over a millisecond or two things move evenly.
    """
    order = min(2, len(times) - 1)
    if order < 1:
        return flows
    powers = np.stack([times ** (power + 1) for power in range(order)], axis=1)
    powers /= np.abs(powers).max(axis=0)
    weights = 1 / (1 + np.abs(times) / np.abs(np.diff(times)).max())
    weighted = powers * weights[:, None]
    projection = powers @ np.linalg.solve(powers.T @ weighted, weighted.T)
    return np.tensordot(projection.astype(np.float32), flows, axes=1)


def _is_seen(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """1 where going there and back ends close to the start, float32 (h, w)."""
    miss = there + _sample(back, there)
    absolute, relative = _MISS
    bound = absolute + 2 * relative * (there**2).sum(-1)
    return ((miss**2).sum(-1) <= bound).astype(np.float32)


def _sample(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The image at every pixel displaced by the flow; its border goes on outside."""
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    sampled: np.ndarray = cv2.remap(
        image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled


def _mean(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The mean (h, w, ...) of the images (N, h, w, ...) where they are seen."""
    weights = seen.reshape(*seen.shape, *[1] * (images.ndim - seen.ndim))
    total = np.maximum(weights.sum(axis=0), np.float32(1e-6))
    mean: np.ndarray = (images * weights).sum(axis=0) / total
    return mean


def _agreed(missing: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The part of what the segments lack (N, h, w, ...) that they agree on."""
    if len(missing) < 2:
        return np.zeros_like(missing[0])
    even = _mean(missing[0::2], seen[0::2])
    odd = _mean(missing[1::2], seen[1::2])
    mean = _mean(missing, seen)
    common = cv2.GaussianBlur(even * odd, (0, 0), _AGREEMENT)
    power = cv2.GaussianBlur(mean * mean, (0, 0), _AGREEMENT)
    gain = np.clip(common / np.maximum(power, np.float32(1e-12)), 0, 1)
    agreed: np.ndarray = mean * gain
    return agreed


def _spread(mosaic: np.ndarray, cfa: str) -> np.ndarray:
    """Gives each pixel (h, w, 3) of every colour what its neighbours of it have."""
    colours = colour_map(cfa, *mosaic.shape)
    kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32)
    planes = []
    for colour in range(3):
        mask = (colours == colour).astype(np.float32)
        total = cv2.filter2D(
            mosaic * mask, -1, kernel, borderType=cv2.BORDER_REFLECT_101
        )
        weight = cv2.filter2D(mask, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        planes.append(total / weight)
    return np.stack(planes, axis=-1)
