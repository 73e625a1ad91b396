"""The clip record: its fields, dtypes, shapes and units, and the checks on them."""

from typing import Any

import numpy as np

from data_pipeline.bayer import CFA_PATTERNS
from data_pipeline.choices import unknown_name

Record = dict[str, Any]

UNKNOWN = "unknown"
TRANSFERS = ("gamma", "linear", UNKNOWN)  # of the light that the spikes integrated
CFAS = ("none", *CFA_PATTERNS, UNKNOWN)  # colour filters over the spike pixels
SPIKE_SCALES = (1, 2, 4)

# name -> (dtype, number of axes). T frames, S spike frames, (H, W) of the RGB frames,
# h = H / spike_scale and w = W / spike_scale of the spikes, of which one byte holds 8
# horizontal neighbours, least significant bit leftmost.
ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "blur": (np.uint8, 4),  # (T, H, W, 3)
    # (n * T, H, W, 3), n instants of each exposure in the order of time, or
    # (0, H, W, 3) where there is none.
    "sharp": (np.uint8, 4),
    "spikes": (np.uint8, 3),  # (S, h, ceil(w / 8)), rows top-down
    "exposure": (np.float32, 2),  # (T, 2), start and end in spike frames
    # (n * T,), in spike frames, or (T,) NaN where there is no sharp frame.
    "sharp_time": (np.float32, 1),
    "rgb_from_spike": (np.float32, 2),  # (3, 3) homography; NaN where unknown
}
NUMBERS: dict[str, type[np.generic]] = {
    "spike_rate": np.float32,  # spike frames per second; NaN where unknown
    "threshold": np.float32,  # NaN where unknown
    "gain": np.float32,  # NaN where unknown
    "spike_scale": np.int32,  # RGB pixels per spike pixel
    "seed": np.int64,  # -1 for recordings, which have none
}
TEXTS = ("name", "cfa", "transfer", "blur_kind", "source", "licence")


def packed_width(width: int) -> int:
    """Returns the bytes that one row of `width` spike pixels takes."""
    return -(-width // 8)


def pack_spikes(spikes: np.ndarray) -> np.ndarray:
    """Packs spikes (..., h, w) of 0 and 1 into bytes (..., h, ceil(w / 8))."""
    return np.packbits(spikes, axis=-1, bitorder="little")


def unpack_spikes(packed: np.ndarray, width: int) -> np.ndarray:
    """Unpacks bytes (..., h, ceil(w / 8)) into uint8 spikes (..., h, w)."""
    return np.unpackbits(packed, axis=-1, count=width, bitorder="little")


def check_stream_shape(spikes: np.ndarray) -> None:
    """Raises a ValueError unless spikes is (S, h, w) with none of them zero."""
    if spikes.ndim != 3 or 0 in spikes.shape:
        raise ValueError(f"spikes must be (S, h, w), none zero, got {spikes.shape}.")


def rgb_from_spike(scale: int) -> np.ndarray:
    """Homography (3, 3) from spike pixels to RGB pixels, `scale` of them each way.

    It maps pixel centres: spike pixel 0 covers the RGB pixels 0 .. scale - 1.
    """
    homography = np.diag([scale, scale, 1.0])
    homography[:2, 2] = (scale - 1) / 2
    return homography.astype(np.float32)


def middle_sharp(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """Picks of each exposure the sharp instant that is nearest to its middle.

    Returns:
        Its frames (T, H, W, 3) uint8 and times (T,) float32, in spike frames; of a
        record without sharp frames the (0, H, W, 3) and the NaN that it holds.
    """
    sharp, times = record["sharp"], record["sharp_time"]
    num_frames = len(record["blur"])
    if len(sharp) in (0, num_frames):
        return sharp, times
    instants = times.reshape(num_frames, -1)
    middle = record["exposure"].mean(axis=1, keepdims=True)
    nearest = np.abs(instants - middle).argmin(axis=1)
    picked = np.arange(num_frames) * instants.shape[1] + nearest
    return sharp[picked], times[picked]


def check_record(record: Record) -> None:
    """Raises a ValueError that names the field unless `record` keeps the contract."""
    fields = [*ARRAYS, *NUMBERS, *TEXTS]
    missing = [name for name in fields if name not in record]
    if missing:
        raise ValueError(f"The record lacks the field(s) {', '.join(missing)}.")
    for name in record:
        if name not in fields:
            raise ValueError(unknown_name("record field", name, fields))
    for name, (dtype, ndim) in ARRAYS.items():
        _check_array(name, record[name], dtype, ndim)
    for name in TEXTS:
        if not isinstance(record[name], str) or not record[name]:
            raise ValueError(
                f"{name} must be a non-empty string ({UNKNOWN!r} where it is not "
                f"known), got {record[name]!r}."
            )
    for name, number_type in NUMBERS.items():
        _check_number(name, record[name], number_type)
    for name, choices in (("transfer", TRANSFERS), ("cfa", CFAS)):
        if record[name] not in choices:
            raise ValueError(unknown_name(name, record[name], choices))
    _check_frames(record)
    _check_spikes(record)
    _check_times(record)


def _check_array(name: str, value: Any, dtype: type[np.generic], ndim: int) -> None:
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != ndim:
        found = (
            f"{value.dtype} with shape {value.shape}"
            if isinstance(value, np.ndarray)
            else type(value).__name__
        )
        raise ValueError(
            f"{name} must be a {np.dtype(dtype).name} array with {ndim} axes, "
            f"got {found}."
        )


def _check_number(name: str, value: Any, number_type: type[np.generic]) -> None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be one number, got {value!r}.") from None
    if np.issubdtype(number_type, np.integer) and not number.is_integer():
        raise ValueError(f"{name} must be a whole number, got {value!r}.")
    if name in ("spike_rate", "threshold", "gain") and not (
        np.isnan(number) or 0 < number < np.inf
    ):
        raise ValueError(
            f"{name} must be a positive number, or NaN where it is not known, "
            f"got {value!r}."
        )


def _check_frames(record: Record) -> None:
    blur, sharp = record["blur"], record["sharp"]
    if 0 in blur.shape or blur.shape[-1] != 3:
        raise ValueError(f"blur must be (T, H, W, 3), none zero, got {blur.shape}.")
    if sharp.shape[1:] != blur.shape[1:] or len(sharp) % len(blur):
        raise ValueError(
            f"sharp must have the shape of blur, {blur.shape}, or several frames for "
            f"each of blur, or no frames at all, got {sharp.shape}."
        )


def _check_spikes(record: Record) -> None:
    height, width = record["blur"].shape[1:3]
    scale = int(record["spike_scale"])
    if scale not in SPIKE_SCALES or height % scale or width % scale:
        raise ValueError(
            f"spike_scale must be one of {SPIKE_SCALES} and divide the {height}x{width}"
            f" of blur, got {scale}."
        )
    expected = (height // scale, packed_width(width // scale))
    if record["spikes"].shape[1:] != expected:
        raise ValueError(
            f"spikes must be packed to (S, {expected[0]}, {expected[1]}) bytes for "
            f"{height // scale}x{width // scale} spike pixels, "
            f"got {record['spikes'].shape}."
        )
    if record["rgb_from_spike"].shape != (3, 3):
        raise ValueError(
            f"rgb_from_spike must be (3, 3), got {record['rgb_from_spike'].shape}."
        )


def _check_times(record: Record) -> None:
    num_frames, num_spike_frames = len(record["blur"]), len(record["spikes"])
    exposure, sharp_time = record["exposure"], record["sharp_time"]
    num_times = len(record["sharp"]) or num_frames
    if exposure.shape != (num_frames, 2) or sharp_time.shape != (num_times,):
        raise ValueError(
            f"exposure must be ({num_frames}, 2) and sharp_time ({num_times},) for "
            f"{num_frames} frames with {len(record['sharp'])} sharp ones, got "
            f"{exposure.shape} and {sharp_time.shape}."
        )
    check_exposure(exposure, num_spike_frames)
    if len(record["sharp"]):
        _check_sharp_times(sharp_time.reshape(num_frames, -1), exposure)


def _check_sharp_times(instants: np.ndarray, exposure: np.ndarray) -> None:
    """Checks the sharp instants (T, n) of exposures (T, 2)."""
    inside = (instants >= exposure[:, :1]) & (instants <= exposure[:, 1:])
    if not inside.all():
        frame, instant = (int(index) for index in np.argwhere(~inside)[0])
        raise ValueError(
            f"sharp_time of frame {frame} is {instants[frame, instant]}, outside its "
            f"exposure {exposure[frame].tolist()}."
        )
    if not (np.diff(instants, axis=1) > 0).all():
        frame = int(np.argmin((np.diff(instants, axis=1) > 0).all(axis=1)))
        raise ValueError(
            "The sharp instants of an exposure must be in the order of time, but those "
            f"of frame {frame} are {instants[frame].tolist()}."
        )


def check_exposure(exposure: np.ndarray, num_spike_frames: int) -> None:
    """Checks windows (T, 2) against a stream of `num_spike_frames` spike frames.

    Raises:
        ValueError: a window is not finite, empty, out of the stream, or not later
            than the one before it.
    """
    for frame, (start, end) in enumerate(exposure.tolist()):
        if not (np.isfinite(start) and np.isfinite(end) and start < end):
            raise ValueError(
                f"exposure of frame {frame} must start before it ends, "
                f"got [{start}, {end}]."
            )
        if start < 0 or end > num_spike_frames:
            raise ValueError(
                f"exposure of frame {frame} is [{start:g}, {end:g}], but the spikes "
                f"cover [0, {num_spike_frames}] only."
            )
        if frame and not (
            start > exposure[frame - 1, 0] and end > exposure[frame - 1, 1]
        ):
            raise ValueError(
                f"exposures must be in the order of time, but frame {frame} has "
                f"[{start:g}, {end:g}] after {exposure[frame - 1].tolist()}."
            )
