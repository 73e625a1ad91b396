"""Video files and folders of pictures: read and write."""

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from data_pipeline.atomic import new_file, new_folder

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg")
_UNKNOWN_RATE = 25.0  # frames per second of an mp4 whose source had no rate
_CRF = "12"  # H.264 quality, visually lossless


def read_video(path: str | Path) -> tuple[np.ndarray, float]:
    """Reads a video file or a folder of pictures.

    Returns:
        Frames (T, H, W, 3), uint8 RGB, and frames per second, NaN where not known (a
        folder does not say).

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it cannot be read, has no frames, or frames of several sizes.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"There is no video or folder {source}.")
    if source.is_dir():
        return _read_folder(source), math.nan
    frames: list[np.ndarray] = []
    rate = math.nan
    for frame, rate in _decode(source):  # noqa: B007  (the last rate is the stream's)
        if frames and frame.shape != frames[0].shape:
            raise ValueError(
                f"Frame {len(frames)} of {source} is {frame.shape[0]}x{frame.shape[1]},"
                f" but the first is {frames[0].shape[0]}x{frames[0].shape[1]}; all "
                "frames must be of one size."
            )
        frames.append(frame)
    if not frames:
        raise ValueError(f"{source} holds no frames.")
    return np.stack(frames), rate


def list_pictures(folder: Path) -> list[Path]:
    """Returns the pictures of a folder, frame 2 before frame 10."""
    pictures = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES]
    return sorted(pictures, key=_natural)


def write_video(path: str | Path, frames: np.ndarray, *, fps: float) -> None:
    """Writes frames as an .mp4 file, or as a new folder of PNGs without suffix.

    An .mp4 is H.264 with 4:2:0 colour, which every player shows; frames of odd height
    or width, which 4:2:0 cannot hold, keep every pixel in 4:4:4. PNGs are lossless and
    named 000000.png and so on.

    Args:
        path: ends in .mp4, or has no suffix.
        frames: (T, H, W, 3), uint8 RGB.
        fps: frames per second; where it is NaN (not known) an .mp4 plays at 25.

    Raises:
        ValueError: the suffix, the frames or the rate cannot be written.
        FileNotFoundError: the folder for the file does not exist.
        FileExistsError: the folder is there and not empty.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(
            "frames must be uint8 (T, H, W, 3), "
            f"got {frames.dtype} with shape {frames.shape}."
        )
    if 0 in frames.shape:
        raise ValueError(f"There is nothing to write in frames {frames.shape}.")
    suffix = Path(path).suffix.lower()
    if suffix not in ("", ".mp4"):
        raise ValueError(
            f"Cannot write {path}: give a name that ends in .mp4, or one without a "
            "suffix for a folder of PNGs."
        )
    if suffix:
        if not math.isnan(fps) and not 0 < fps < math.inf:
            raise ValueError(f"fps must be above 0, got {fps}.")
        with new_file(path) as temporary:
            _encode(temporary, frames, _UNKNOWN_RATE if math.isnan(fps) else fps)
    else:
        with new_folder(path) as folder:
            write_pictures(folder, frames)


def write_pictures(folder: Path, frames: np.ndarray) -> None:
    """Writes frames (T, H, W, 3), uint8 RGB, as PNGs into an existing folder."""
    for index, frame in enumerate(frames):
        picture = folder / f"{index:06d}.png"
        if not cv2.imwrite(str(picture), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)):
            raise OSError(f"Could not write {picture}; is there space left?")


def _read_folder(folder: Path) -> np.ndarray:
    pictures = list_pictures(folder)
    if not pictures:
        raise ValueError(
            f"The folder {folder} holds no pictures ({', '.join(PICTURES)})."
        )
    frames: list[np.ndarray] = []
    for picture in pictures:
        # Decoded from bytes, as imread is silent about what it cannot open.
        data = np.frombuffer(picture.read_bytes(), np.uint8)
        frame = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if frame is None:
            raise ValueError(f"The picture {picture} cannot be read.")
        if frames and frame.shape != frames[0].shape:
            raise ValueError(
                f"{picture} is {frame.shape[0]}x{frame.shape[1]}, but "
                f"{pictures[0].name} is {frames[0].shape[0]}x{frames[0].shape[1]}; all "
                "frames must be of one size."
            )
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return np.stack(frames)


def _decode(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Yields upright RGB frames with the rate of their stream."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path} has no video stream.")
            stream = container.streams.video[0]
            rate = float(stream.average_rate) if stream.average_rate else math.nan
            for frame in container.decode(stream):
                pixels = frame.to_ndarray(format="rgb24")
                # Phones store the turn to upright beside the frames, in degrees.
                turns = round(frame.rotation / 90) % 4
                yield np.ascontiguousarray(np.rot90(pixels, turns)), rate
    except av.error.FFmpegError as error:
        raise ValueError(
            f"{path} cannot be read as a video ({error.strerror}); is it complete?"
        ) from None


def _encode(path: Path, frames: np.ndarray, fps: float) -> None:
    height, width = frames.shape[1:3]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", Fraction(fps).limit_denominator(1001), {"crf": _CRF}
        )
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts runs of digits by their value."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
