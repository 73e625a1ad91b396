"""Raw .dat spike streams: read lazily and write.

A .dat has no header. Frames follow each other; the bits of a frame are numbered
y * width + x over the whole frame, 8 to a byte, lowest bit first, and a frame whose
bits do not fill its last byte is padded to a whole one. Cameras and toolboxes store
the rows bottom-up (`flip=True`), some data sets do not (spike_facts 1.1). What cameras
write themselves has header bits among the pixels of a row (`layout`, spike_facts 1.2).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from data_pipeline.atomic import new_file
from data_pipeline.choices import unknown_name
from data_pipeline.records import check_stream_shape, packed_width, unpack_spikes

BitOrder = Literal["little", "big"]
BIT_ORDERS = ("little", "big")


class Layout(NamedTuple):
    """What stands in a row beside its pixels."""

    parts: int  # pieces of equal length that a row is stored in
    header: int  # bits after the pixels of each piece


LAYOUTS = {
    "plain": Layout(1, 0),  # data sets, simulators, toolboxes
    "gen1": Layout(1, 16),  # Vidar, SPS10: 400 pixels in 416 bits
    "gen2": Layout(2, 12),  # SPS100, M1K40: 1000 pixels in 1024 bits
}
# Height, width and layout of cameras and public data sets (spike_facts 1.2 and 1.4).
_GEOMETRIES = (
    (250, 400, "plain"),
    (250, 400, "gen1"),
    (1000, 1000, "plain"),
    (1000, 1000, "gen2"),
    (180, 320, "plain"),
    (250, 250, "plain"),
    (256, 256, "plain"),
    (360, 640, "plain"),
    (500, 800, "plain"),
    (720, 1280, "plain"),
)
_CHUNK = 256  # spike frames packed at a time


def frame_bytes(height: int, width: int, *, layout: str = "plain") -> int:
    """Returns the bytes of one spike frame.

    Raises:
        ValueError: height or width is not positive, or the layout is unknown or splits
            rows of this width unevenly.
    """
    if height < 1 or width < 1:
        raise ValueError(f"A spike frame cannot be {height}x{width} pixels.")
    if layout not in LAYOUTS:
        raise ValueError(unknown_name("layout", layout, LAYOUTS))
    parts, header = LAYOUTS[layout]
    if width % parts:
        raise ValueError(
            f"layout {layout!r} stores a row in {parts} equal parts, so width must be "
            f"a multiple of {parts}, got {width}."
        )
    return -(-height * (width + parts * header) // 8)


def count_frames(
    path: str | Path, height: int, width: int, *, layout: str = "plain"
) -> int:
    """Returns how many spike frames a .dat holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its size is not a whole number of frames, or it is empty.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no spike file {file}.")
    size, frame = file.stat().st_size, frame_bytes(height, width, layout=layout)
    if size == 0:
        raise ValueError(f"{file} is empty; it holds no spike frame.")
    if size % frame:
        fits = known_sizes(size)
        hint = f" It would fit {' or '.join(fits)}." if fits else ""
        raise ValueError(
            f"{file} has {size} bytes, which is not a whole number of {height}x{width} "
            f"frames of {frame} bytes: {size // frame} frames take "
            f"{size // frame * frame}.{hint} Check height and width, and that the file "
            "is complete."
        )
    return size // frame


def known_sizes(size: int) -> list[str]:
    """Returns the sizes of cameras and public data sets that a .dat of `size` fits."""
    return [
        f"{height}x{width}" + ("" if name == "plain" else f" of layout {name!r}")
        for height, width, name in _GEOMETRIES
        if size and size % frame_bytes(height, width, layout=name) == 0
    ]


class SpikeDat:
    """A .dat as spikes (S, height, width), of which only what is sliced is read.

    `stream[start:stop]` gives uint8 of 0 and 1, rows top-down. The file is mapped into
    memory, so a window costs its own bytes, however long the stream.

    Attributes:
        shape: (S, height, width).
    """

    def __init__(
        self,
        path: str | Path,
        height: int,
        width: int,
        *,
        flip: bool,
        bit_order: str = "little",
        layout: str = "plain",
    ) -> None:
        """Opens a stream; nothing of it is read yet.

        Args:
            path: of the .dat.
            height: spike pixels.
            width: spike pixels, without what `layout` stores beside them.
            flip: whether the file stores the rows bottom-up, as cameras do.
            bit_order: 'little' where the lowest bit of a byte is the leftmost pixel, as
                everywhere in public data; or 'big'.
            layout: a name in LAYOUTS.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: its size does not fit, or bit_order or layout is unknown.
        """
        _check_bit_order(bit_order)
        count = count_frames(path, height, width, layout=layout)
        frame = frame_bytes(height, width, layout=layout)
        self.shape = (count, height, width)
        self._flip = flip
        self._bit_order: BitOrder = "big" if bit_order == "big" else "little"
        self._layout = layout
        self._path = Path(path)
        self._bytes = np.memmap(path, np.uint8, "r", shape=(count, frame))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice) -> np.ndarray:
        """Returns the spikes (s, height, width) of a slice along time.

        Raises:
            TypeError: the key is no slice.
            ValueError: the file has become shorter since it was opened, or the last
                byte of a frame has bits that belong to no pixel.
        """
        check_slice(key)
        if self._path.stat().st_size < self._bytes.nbytes:
            raise ValueError(
                f"{self._path} was cut short while it was read; get the whole file."
            )
        _, height, width = self.shape
        parts, header = LAYOUTS[self._layout]
        stored = width + parts * header
        packed = self._bytes[key]
        self._check_padding(packed, key)
        if self._flip and stored % 8 == 0:
            # Rows of whole bytes are turned around before they are eight times as long.
            rows = packed.reshape(-1, height, stored // 8)[:, ::-1]
            bits = np.unpackbits(rows, axis=2, bitorder=self._bit_order)
            return without_header(bits, self._layout)
        bits = np.unpackbits(
            packed, axis=1, count=height * stored, bitorder=self._bit_order
        )
        spikes = without_header(bits.reshape(-1, height, stored), self._layout)
        return np.ascontiguousarray(spikes[:, ::-1]) if self._flip else spikes

    def any_spike(self, start: int, stop: int) -> bool:
        """Whether a pixel fired in the spike frames [start, stop).

        Where a row has no header this looks at bytes, eight pixels at a time.
        """
        if LAYOUTS[self._layout].header:
            return bool(self[start:stop].any())
        return bool(self._bytes[start:stop].any())

    def _check_padding(self, packed: np.ndarray, key: slice) -> None:
        """Raises a ValueError where a frame's last byte has bits of no pixel."""
        _, height, width = self.shape
        parts, header = LAYOUTS[self._layout]
        used = height * (width + parts * header) % 8
        if not used:
            return
        last = packed[:, -1]
        beyond = last >> used if self._bit_order == "little" else last << used
        stray = np.flatnonzero(beyond & 0xFF)
        if len(stray):
            at = range(len(self))[key][int(stray[0])]
            raise ValueError(
                f"{self._path}: the last byte of spike frame {at} has bits beyond the "
                f"{height}x{width} pixels, which a .dat leaves 0; check height, width "
                "and bit_order."
            )


def check_slice(key: object) -> None:
    """Raises a TypeError unless a stream is asked for a slice along time."""
    if not isinstance(key, slice):
        raise TypeError(
            "A stream is sliced along time; take stream[3:4] for spike frame 3, not "
            f"[{key!r}]."
        )


def without_header(rows: np.ndarray, layout: str) -> np.ndarray:
    """Returns the pixels (..., width) of rows as a camera stores them.

    Raises:
        ValueError: rows of this length are not stored so, or the layout is unknown.
    """
    if layout not in LAYOUTS:
        raise ValueError(unknown_name("layout", layout, LAYOUTS))
    parts, header = LAYOUTS[layout]
    stored = rows.shape[-1]
    if stored % parts or stored // parts <= header:
        raise ValueError(
            f"Rows of {stored} bits are not of layout {layout!r}, which has {parts} "
            f"equal parts with {header} bits of header each."
        )
    pieces = rows.reshape(*rows.shape[:-1], parts, stored // parts)
    pixels = pieces[..., : stored // parts - header]
    return pixels.reshape(*rows.shape[:-1], stored - parts * header)


def _with_header(spikes: np.ndarray, layout: str) -> np.ndarray:
    """Rows (S, h, stored width) as a camera stores these, its header bits 0."""
    parts, header = LAYOUTS[layout]
    count, height, width = spikes.shape
    pieces = spikes.reshape(count, height, parts, width // parts)
    padded = np.pad(pieces, ((0, 0), (0, 0), (0, 0), (0, header)))
    return padded.reshape(count, height, width + parts * header)


def read_dat(
    path: str | Path,
    height: int,
    width: int,
    *,
    start: int = 0,
    count: int | None = None,
    flip: bool = True,
    bit_order: str = "little",
    layout: str = "plain",
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
        bit_order: as for SpikeDat.
        layout: a name in LAYOUTS.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its size does not fit, or the range is not inside it.
    """
    stream = SpikeDat(
        path, height, width, flip=flip, bit_order=bit_order, layout=layout
    )
    if count is None:
        count = len(stream) - start
    if start < 0 or count < 1 or start + count > len(stream):
        raise ValueError(
            f"{path} holds the spike frames 0 to {len(stream) - 1}; cannot read "
            f"{count} from frame {start} on."
        )
    return stream[start : start + count]


def write_dat(
    path: str | Path,
    spikes: np.ndarray,
    *,
    flip: bool = True,
    bit_order: str = "little",
    layout: str = "plain",
) -> None:
    """Writes spikes (S, h, w) of 0 and 1, rows top-down, as a .dat.

    Args:
        path: of the .dat, which is replaced if it is there.
        spikes: boolean, or any whole numbers that are 0 or 1.
        flip: whether to store the rows bottom-up, as cameras do.
        bit_order: as for SpikeDat.
        layout: a name in LAYOUTS; header bits are written as 0.

    Raises:
        ValueError: spikes is not (S, h, w), empty, or holds other values, or the bit
            order or the layout is unknown, or splits rows of this width unevenly.
        FileNotFoundError: the folder does not exist.
    """
    _check_bit_order(bit_order)
    check_stream_shape(spikes)
    if spikes.dtype.kind not in "bui" or not ((spikes == 0) | (spikes == 1)).all():
        raise ValueError(
            f"spikes must be whole numbers 0 and 1, got {spikes.dtype} from "
            f"{spikes.min()} to {spikes.max()}."
        )
    frame_bytes(*spikes.shape[1:], layout=layout)
    chunks = (
        _with_header(spikes[at : at + _CHUNK], layout)
        for at in range(0, len(spikes), _CHUNK)
    )
    _write(path, chunks, flip=flip, bit_order=bit_order)


def write_packed(
    path: str | Path, packed: np.ndarray, width: int, *, flip: bool = True
) -> None:
    """Writes the packed spikes (S, h, ceil(width / 8)) of a clip record as a .dat.

    Raises:
        ValueError: the bytes of a row are not those of this width.
    """
    if packed.ndim != 3 or packed.shape[2] != packed_width(width):
        raise ValueError(
            f"{width} spike pixels take {packed_width(width)} bytes a row, but packed "
            f"is {packed.shape}."
        )
    chunks = (
        unpack_spikes(packed[at : at + _CHUNK], width)
        for at in range(0, len(packed), _CHUNK)
    )
    _write(path, chunks, flip=flip)


def _check_bit_order(bit_order: str) -> None:
    if bit_order not in BIT_ORDERS:
        raise ValueError(unknown_name("bit_order", bit_order, BIT_ORDERS))


def _write(
    path: str | Path,
    chunks: Iterable[np.ndarray],
    *,
    flip: bool,
    bit_order: str = "little",
) -> None:
    order: BitOrder = "big" if bit_order == "big" else "little"
    with new_file(path) as temporary, temporary.open("wb") as file:
        for chunk in chunks:
            rows = chunk[:, ::-1] if flip else chunk
            bits = rows.astype(np.uint8).reshape(len(chunk), -1)
            file.write(np.packbits(bits, axis=1, bitorder=order).tobytes())
