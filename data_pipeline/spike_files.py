"""Opens spike streams of every file format: .dat, .npy, .npz and .h5.

.npz files are those of UHSR (`spk`, a stream) and of RSIR (`seq`, 8 spike frames of a
pixel in a byte, lowest bit first, and their number `length`); .h5 files hold one stream
per name, such as the patches '0', '1', .. that Spk2ImgNet trains on (spike_facts 1.4).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from data_pipeline.choices import unknown_name
from data_pipeline.spike_dat import (
    SpikeDat,
    check_slice,
    known_sizes,
    without_header,
)

SUFFIXES = (".dat", ".npy", ".npz", ".h5", ".hdf5")
_SHOWN = 5


class SpikeStream(Protocol):
    """Spikes (S, h, w), of which slices along time are uint8 of 0 and 1, top-down."""

    shape: tuple[int, int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice) -> np.ndarray: ...


def open_spikes(
    path: str | Path,
    *,
    height: int | None = None,
    width: int | None = None,
    flip: bool | None = None,
    bit_order: str = "little",
    layout: str = "plain",
    key: str | None = None,
) -> SpikeStream:
    """Opens a stream; slices read what they hold (of an .npz, opening reads all of it).

    Args:
        path: a file with one of SUFFIXES.
        height: spike pixels of a .dat; others know it.
        width: spike pixels of a .dat, without what `layout` stores beside them.
        flip: whether rows are stored bottom-up: to be said of a .dat, false for others
            where it is not given.
        bit_order: of a .dat, see SpikeDat.
        layout: what cameras store beside the pixels, a name in spike_dat.LAYOUTS.
        key: of the stream in an .npz or .h5 that holds several.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the suffix is unknown, the file is broken or holds no such stream,
            or an argument is missing or has no meaning for this format.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{file}: {unknown_name('suffix', suffix, SUFFIXES)}")
    if not file.is_file():
        raise FileNotFoundError(f"There is no spike file {file}.")
    if suffix == ".dat":
        if height is None or width is None or flip is None:
            fits = known_sizes(file.stat().st_size)
            hint = f" Its size fits {' or '.join(fits)}." if fits else ""
            raise ValueError(
                f"{file} does not say how it is to be read; give height, width and "
                f"flip, true where rows are stored bottom-up, as cameras do.{hint}"
            )
        if key is not None:
            raise ValueError(f"{file} holds one stream without a name; leave key out.")
        return SpikeDat(
            file, height, width, flip=flip, bit_order=bit_order, layout=layout
        )
    if bit_order != "little":
        raise ValueError(
            f"{file} does not store bits in bytes of its own; leave bit_order out."
        )
    read = {".npy": _open_npy, ".npz": _open_npz}.get(suffix, _open_h5)
    stream = _ArrayStream(file, read(file, key), flip=bool(flip), layout=layout)
    for name, given, found in zip(
        ("height", "width"), (height, width), stream.shape[1:], strict=True
    ):
        if given not in (None, found):
            raise ValueError(f"{file} has {name} {found}, not {given}.")
    return stream


class _ArrayStream:
    """A stream in anything that is sliced like an array (S, h, stored width)."""

    def __init__(self, path: Path, array: Any, *, flip: bool, layout: str) -> None:
        shape = getattr(array, "shape", None) or ()
        if len(shape) != 3 or 0 in shape or array.dtype.kind not in "buif":
            raise ValueError(
                f"{path} must hold a stream (S, h, w) of numbers, none zero, got "
                f"{getattr(array, 'dtype', 'several arrays')} of shape {tuple(shape)}."
            )
        row = without_header(np.empty(shape[2]), layout)
        self.shape = (shape[0], shape[1], len(row))
        self._path, self._array, self._flip, self._layout = path, array, flip, layout

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice) -> np.ndarray:
        check_slice(key)
        try:
            rows = np.asarray(self._array[key])
        except (OSError, RuntimeError) as error:  # HDF5 reads its chunks only now
            raise ValueError(f"{self._path} is damaged ({error}).") from None
        window = without_header(rows, self._layout)
        if not ((window == 0) | (window == 1)).all():
            raise ValueError(
                f"{self._path} holds values from {window.min()} to {window.max()}; "
                "spikes are 0 and 1."
            )
        return np.array(window[:, ::-1] if self._flip else window, np.uint8, order="C")


def _open_npy(path: Path, key: str | None) -> np.ndarray:
    if key is not None:
        raise ValueError(f"{path} holds one array without a name; leave key out.")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a whole .npy file ({error}).") from None
    return array


def _open_npz(path: Path, key: str | None) -> np.ndarray:
    names: list[str] = _from_npz(path, lambda archive: list(archive.files))
    name = _choose(path, names, key, known=("spk", "seq"))
    array: np.ndarray = _from_npz(path, lambda archive: archive[name])
    if name != "seq" or "length" not in names:
        return array
    length: np.ndarray = _from_npz(path, lambda archive: archive["length"])
    if (
        array.dtype != np.uint8
        or array.ndim != 3
        or length.dtype.kind not in "iu"
        or length.size != 1
        or not 0 < length.item() <= 8 * len(array)
    ):
        raise ValueError(
            f"{path}: seq must be bytes (S / 8, h, w) and length the whole number S of "
            f"spike frames, got {array.dtype} of shape {array.shape} and {length}."
        )
    return np.unpackbits(array, axis=0, count=length.item(), bitorder="little")


def _from_npz(path: Path, get: Callable[[Any], Any]) -> Any:
    """What `get` takes out of an archive; arrays that it leaves are not read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return get(archive)
    # What other bytes make archive, compression and arrays raise is not documented.
    except Exception as error:
        reason = str(error).splitlines()[:1]
        raise ValueError(
            f"{path} is not a whole .npz file ({''.join(reason)})."
        ) from None


def _open_h5(path: Path, key: str | None) -> h5py.Dataset:
    names: list[str] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)

    try:
        file = h5py.File(path, "r")
        file.visititems(note)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} is not a whole HDF5 file ({error}).") from None
    return file[_choose(path, names, key)]


def _choose(
    path: Path, names: list[str], key: str | None, *, known: tuple[str, ...] = ()
) -> str:
    """The name of the stream: the one asked for, the one known, or the only one."""
    shown = ", ".join(names[:_SHOWN]) + (", .." if len(names) > _SHOWN else "")
    if key is not None:
        if key not in names:
            raise ValueError(f"{path} holds nothing named {key!r}, but {shown}.")
        return key
    candidates = [name for name in known if name in names] or names
    if len(candidates) != 1:
        raise ValueError(
            f"{path} holds {shown or 'nothing'}; say with key which is the stream."
        )
    return candidates[0]
