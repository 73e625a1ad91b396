"""Raw .dat spike streams and the .json beside them: read and write.

A .dat has no header. Frames follow each other; the pixels of a frame are numbered
y * width + x over the whole frame, 8 to a byte, lowest bit first, and a frame whose
pixels do not fill its last byte is padded to a whole one. Cameras and toolboxes store
the rows bottom-up (`flip=True`), some data sets do not (spike_facts 1.1).
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.atomic import new_file
from data_pipeline.records import unpack_spikes

# Height and width that cameras and public data sets use (spike_facts 1.2 and 1.4).
_GEOMETRIES = (
    (250, 400),
    (250, 416),
    (1000, 1000),
    (1000, 1024),
    (180, 320),
    (250, 250),
    (256, 256),
    (360, 640),
    (500, 800),
    (720, 1280),
)
_SIDECAR = {
    "height": int,
    "width": int,
    "flip": bool,
    "spike_rate": float,
    "threshold": float,
    "gain": float,
    "spike_scale": int,
    "exposure": list,
}
_CHUNK = 256  # spike frames packed at a time


def frame_bytes(height: int, width: int) -> int:
    """Returns the bytes of one spike frame.

    Raises:
        ValueError: height or width is not positive.
    """
    if height < 1 or width < 1:
        raise ValueError(f"A spike frame cannot be {height}x{width} pixels.")
    return -(-height * width // 8)


def count_frames(path: str | Path, height: int, width: int) -> int:
    """Returns how many spike frames a .dat holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its size is not a whole number of frames, or it is empty.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no spike file {file}.")
    size, frame = file.stat().st_size, frame_bytes(height, width)
    if size == 0:
        raise ValueError(f"{file} is empty; it holds no spike frame.")
    if size % frame:
        fits = [f"{h}x{w}" for h, w in _GEOMETRIES if size % frame_bytes(h, w) == 0]
        hint = f" It would fit {' or '.join(fits)}." if fits else ""
        raise ValueError(
            f"{file} has {size} bytes, which is not a whole number of {height}x{width} "
            f"frames of {frame} bytes: {size // frame} frames take "
            f"{size // frame * frame}.{hint} Check height and width, and that the file "
            "is complete."
        )
    return size // frame


def read_dat(
    path: str | Path,
    height: int,
    width: int,
    *,
    start: int = 0,
    count: int | None = None,
    flip: bool = True,
) -> np.ndarray:
    """Reads spikes (S, height, width), uint8 of 0 and 1, rows top-down.

    Only the bytes of the frames that are asked for are read.

    Args:
        path: of the .dat.
        height: spike pixels.
        width: spike pixels.
        start: first spike frame to read.
        count: how many to read, all to the end where None.
        flip: whether the file stores the rows bottom-up, as cameras do.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its size does not fit, or the range is not inside it.
    """
    total = count_frames(path, height, width)
    if count is None:
        count = total - start
    if start < 0 or count < 1 or start + count > total:
        raise ValueError(
            f"{path} holds the spike frames 0 to {total - 1}; cannot read {count} from "
            f"frame {start} on."
        )
    frame = frame_bytes(height, width)
    packed = np.fromfile(path, np.uint8, count * frame, offset=start * frame)
    bits = np.unpackbits(
        packed.reshape(count, frame), axis=1, count=height * width, bitorder="little"
    )
    spikes = bits.reshape(count, height, width)
    return np.ascontiguousarray(spikes[:, ::-1]) if flip else spikes


def write_dat(path: str | Path, spikes: np.ndarray, *, flip: bool = True) -> None:
    """Writes spikes (S, h, w) of 0 and 1, rows top-down, as a .dat.

    Args:
        path: of the .dat, which is replaced if it is there.
        spikes: boolean, or any whole numbers that are 0 or 1.
        flip: whether to store the rows bottom-up, as cameras do.

    Raises:
        ValueError: spikes is not (S, h, w), empty, or holds other values.
        FileNotFoundError: the folder does not exist.
    """
    if spikes.ndim != 3 or 0 in spikes.shape:
        raise ValueError(f"spikes must be (S, h, w), none zero, got {spikes.shape}.")
    if spikes.dtype.kind not in "bui" or not ((spikes == 0) | (spikes == 1)).all():
        raise ValueError(
            f"spikes must be whole numbers 0 and 1, got {spikes.dtype} from "
            f"{spikes.min()} to {spikes.max()}."
        )
    chunks = (spikes[at : at + _CHUNK] for at in range(0, len(spikes), _CHUNK))
    _write(path, chunks, flip=flip)


def write_packed(
    path: str | Path, packed: np.ndarray, width: int, *, flip: bool = True
) -> None:
    """Writes the packed spikes (S, h, ceil(width / 8)) of a clip record as a .dat."""
    chunks = (
        unpack_spikes(packed[at : at + _CHUNK], width)
        for at in range(0, len(packed), _CHUNK)
    )
    _write(path, chunks, flip=flip)


def _write(path: str | Path, chunks: Iterable[np.ndarray], *, flip: bool) -> None:
    with new_file(path) as temporary, temporary.open("wb") as file:
        for chunk in chunks:
            rows = chunk[:, ::-1] if flip else chunk
            bits = rows.astype(np.uint8).reshape(len(chunk), -1)
            file.write(np.packbits(bits, axis=1, bitorder="little").tobytes())


def sidecar_path(dat_path: str | Path) -> Path:
    """Returns the path of the .json beside a .dat."""
    return Path(dat_path).with_suffix(".json")


def write_sidecar(dat_path: str | Path, facts: dict[str, Any]) -> None:
    """Writes what a .dat does not say of itself into the .json beside it.

    Args:
        dat_path: of the .dat.
        facts: height, width, flip, spike_rate [Hz], threshold, gain, spike_scale and
            exposure, a list of [start, end] in spike frames. Unknown numbers are NaN,
            written as null.

    Raises:
        ValueError: a fact is missing, unknown or of the wrong type.
    """
    known = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in facts.items()
    }
    path = sidecar_path(dat_path)
    _check_facts(known, path)
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(known, indent=2) + "\n")


def read_sidecar(dat_path: str | Path) -> dict[str, Any]:
    """Reads the .json beside a .dat; unknown numbers are NaN.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not JSON, or a fact is missing, unknown or of the wrong type.
    """
    path = sidecar_path(dat_path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path} beside the spikes.")
    try:
        facts = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}).") from None
    if not isinstance(facts, dict):
        raise ValueError(f"{path} must hold one JSON object.")
    _check_facts(facts, path)
    return {name: math.nan if value is None else value for name, value in facts.items()}


def _check_facts(facts: dict[str, Any], path: Path) -> None:
    if set(facts) != set(_SIDECAR):
        raise ValueError(
            f"{path} must hold exactly {', '.join(_SIDECAR)}; it holds "
            f"{', '.join(map(str, facts)) or 'nothing'}."
        )
    for name, kind in _SIDECAR.items():
        value = facts[name]
        if kind is float:
            valid = value is None or _is_number(value)
        elif name == "exposure":
            valid = isinstance(value, list) and all(
                isinstance(window, list)
                and len(window) == 2
                and all(_is_number(edge) for edge in window)
                for window in value
            )
        else:
            valid = isinstance(value, kind) and (
                kind is bool or not isinstance(value, bool)
            )
        if not valid:
            raise ValueError(f"{path}: {name} cannot be {value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
