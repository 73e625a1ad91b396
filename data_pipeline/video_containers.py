"""Whether a video file was cut off: the sizes that its container states.

Decoders end silently where a .mkv, .webm or .avi ends in the middle, and so where an
.mp4 ends between two pictures.
"""

from pathlib import Path
from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"  # .mkv and .webm
# Boxes of an .mp4 or .mov; what comes after the last of them is not part of the video.
_BOXES = (
    b"ftyp styp moov moof mdat free skip wide sidx mfra udta uuid meta pdin".split()
)


def missing_bytes(path: Path) -> int:
    """Returns by how much a file is shorter than it states; 0 where it does not say."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head[:4] == _EBML:
            end = _end_of_matroska(file)
        elif head[:4] == b"RIFF":
            end = _end_of_riff(file, size)
        elif head[4:8] == b"ftyp":
            end = _end_of_mp4(file, size)
        else:
            end = 0
    return max(0, end - size)


def _end_of_matroska(file: BinaryIO) -> int:
    """The end of the segment, after the header; 0 where it was written live."""
    file.read(4)
    header = _ebml_size(file)
    file.seek(header or 0, 1)
    file.read(4)  # the segment's identifier
    segment = _ebml_size(file)
    return 0 if segment is None else file.tell() + segment


def _ebml_size(file: BinaryIO) -> int | None:
    """A size whose leading zero bits tell its length; None where all its bits are 1."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    bits = 7 * length
    value = int.from_bytes(first + file.read(length - 1)) & (1 << bits) - 1
    return None if value == (1 << bits) - 1 else value


def _end_of_riff(file: BinaryIO, size: int) -> int:
    """The end of the last of the chunks that follow each other."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        kind, length = file.read(4), int.from_bytes(file.read(4), "little")
        if kind not in (b"RIFF", b"JUNK"):
            break
        end += 8 + length + length % 2
    return end


def _end_of_mp4(file: BinaryIO, size: int) -> int:
    """The end of the last of the boxes that follow each other."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        length = int.from_bytes(file.read(4))
        kind = file.read(4)
        if length == 1:
            length = int.from_bytes(file.read(8))
        # A length of 0: the last box goes on to the end of the file.
        if kind not in _BOXES or length < 8:
            break
        end += length
    return end
