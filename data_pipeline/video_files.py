"""Video files and folders of pictures: read and write, whole or in slices."""

import contextlib
import functools
import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from data_pipeline.atomic import new_file, new_folder
from data_pipeline.video_containers import missing_bytes

# What it says of a broken picture would stand around our one sentence.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg")
UNKNOWN_RATE = 25.0  # frames per second of an mp4 whose source had no rate
_CRF = "12"  # H.264 quality, visually lossless

# Takes the next frame (H, W, 3), uint8 RGB.
Write = Callable[[np.ndarray], None]


class VideoReader:
    """A video file or a folder of pictures that is read slice by slice.

    Opening reads it once from end to end, so that damage shows then and not after hours
    of work. It keeps the frames from the start of the last slice on; a slice that
    begins before them reads the source from its beginning again.

    Attributes:
        shape: (frames, height, width, 3).
        fps: frames per second, NaN where not known (a folder does not say).
    """

    def __init__(self, path: str | Path) -> None:
        """Opens and checks a source.

        Raises:
            FileNotFoundError: there is no such file or folder.
            ValueError: it cannot be read, was cut off, has no frames, or frames of
                several sizes.
        """
        self._path = Path(path)
        self.fps = _frame_rate(self._path)
        self.shape = _checked_shape(self._path)
        self._rewind()

    def __getitem__(self, key: slice) -> np.ndarray:
        """Returns the frames start to stop, float32 RGB in [0, 1]."""
        start, stop, _ = key.indices(self.shape[0])
        if start < self._first:
            self._rewind()
        while self._first + len(self._kept) < stop:
            self._kept.append(next(self._frames))
            if self._first < start:
                self._kept.popleft()
                self._first += 1
        while self._first < start and self._kept:
            self._kept.popleft()
            self._first += 1
        frames = [self._kept[i] for i in range(stop - start)]
        return np.asarray(frames, np.float32).reshape(-1, *self.shape[1:]) / 255

    def _rewind(self) -> None:
        self._frames = _frames(self._path)
        self._kept: deque[np.ndarray] = deque()
        self._first = 0  # index of the first frame that is kept


class FrameReader:
    """A video file or a folder of pictures that is read frame by frame.

    For a source that was read once and found whole. A picture is read by itself; a
    video file is decoded from the last frame on, or from its beginning for a frame
    before those that are kept.

    Attributes:
        shape: (frames, height, width, 3).
        fps: frames per second, NaN where not known (a folder does not say).
    """

    def __init__(
        self, path: str | Path, shape: tuple[int, int, int, int], *, keep: int
    ) -> None:
        """Opens a source.

        Args:
            path: of a video file or a folder of pictures.
            shape: as VideoReader found it.
            keep: the latest frames that are kept, at least 1.

        Raises:
            FileNotFoundError: there is no such file or folder.
            ValueError: it cannot be read.
        """
        self._path = Path(path)
        self.shape = shape
        self.fps = _frame_rate(self._path)
        self._pictures = list_pictures(self._path) if self._path.is_dir() else []
        self._kept: deque[tuple[int, np.ndarray]] = deque(maxlen=keep)
        self._frames: Iterator[tuple[int, np.ndarray]] = iter(())

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns a frame (H, W, 3), uint8 RGB.

        Raises:
            ValueError: the source is no longer what it was when its shape was found.
        """
        for number, frame in self._kept:
            if number == index:
                return frame
        if self._pictures:
            self._keep(index, read_picture(self._pictures[index]))
        elif not self._kept or index < self._kept[-1][0]:
            self._kept.clear()
            self._frames = enumerate(_decode(self._path))
        while not self._kept or self._kept[-1][0] < index:
            self._keep(*next(self._frames, (index, np.empty((0, 0, 3), np.uint8))))
        return self._kept[-1][1]

    def _keep(self, index: int, frame: np.ndarray) -> None:
        if frame.shape != self.shape[1:]:
            raise ValueError(
                f"{self._path} has changed since it was first read: frame {index} is "
                f"no longer {self.shape[1]}x{self.shape[2]}; start again."
            )
        self._kept.append((index, frame))


def read_video(path: str | Path) -> tuple[np.ndarray, float]:
    """Reads a video file or a folder of pictures.

    Returns:
        Frames (T, H, W, 3), uint8 RGB, and frames per second, NaN where not known (a
        folder does not say).

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it cannot be read, was cut off, has no frames, or frames of several
            sizes.
    """
    rate = _frame_rate(Path(path))
    return np.stack(list(_checked_frames(Path(path)))), rate


def list_pictures(folder: Path) -> list[Path]:
    """Returns the pictures of a folder, frame 2 before frame 10."""
    files = (path for path in folder.iterdir() if path.is_file())
    pictures = [p for p in files if p.suffix.lower() in PICTURES]
    return sorted(pictures, key=_natural)


def write_video(path: str | Path, frames: np.ndarray, *, fps: float) -> None:
    """Writes frames (T, H, W, 3), uint8 RGB, as `new_video` does, with its errors."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(
            "frames must be uint8 (T, H, W, 3), "
            f"got {frames.dtype} with shape {frames.shape}."
        )
    if 0 in frames.shape:
        raise ValueError(f"There is nothing to write in frames {frames.shape}.")
    with new_video(path, fps=fps) as write:
        for frame in frames:
            write(frame)


@contextlib.contextmanager
def new_video(path: str | Path, *, fps: float) -> Iterator[Write]:
    """Gives a function that appends a frame to a new .mp4 file or folder of PNGs.

    It appears when the block ends well, whole or not at all. An .mp4 is H.264 with
    4:2:0 colour, which every player shows; frames of odd height or width, which 4:2:0
    cannot hold, keep every pixel in 4:4:4. PNGs are lossless and named 000000.png and
    so on.

    Args:
        path: ends in .mp4, or has no suffix.
        fps: frames per second; where it is NaN (not known) an .mp4 plays at 25.

    Raises:
        ValueError: the suffix or the rate cannot be written, frames are not uint8
            (H, W, 3) of one size, or there was none.
        FileNotFoundError: the folder for the file does not exist.
        FileExistsError: the folder is there and not empty.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ("", ".mp4"):
        raise ValueError(
            f"Cannot write {path}: give a name that ends in .mp4, or one without a "
            "suffix for a folder of PNGs."
        )
    if suffix and not math.isnan(fps) and not 0 < fps < math.inf:
        raise ValueError(f"fps must be above 0, got {fps}.")
    with new_file(path) if suffix else new_folder(path) as target:
        if suffix:
            encoding = _encoder(target, UNKNOWN_RATE if math.isnan(fps) else fps)
        else:
            encoding = contextlib.nullcontext(functools.partial(_write_picture, target))
        with encoding as encode:
            writer = _CheckedWriter(encode)
            yield writer.write
            if not writer.count:
                raise ValueError(f"There is nothing to write to {path}: no frame came.")


class _CheckedWriter:
    def __init__(self, encode: Callable[[int, np.ndarray], None]) -> None:
        self.count = 0
        self._encode = encode
        self._shape: tuple[int, ...] = ()

    def write(self, frame: np.ndarray) -> None:
        self._shape = self._shape or frame.shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
            raise ValueError(
                f"A frame must be uint8 (H, W, 3), got {frame.dtype} with shape "
                f"{frame.shape}."
            )
        if frame.shape != self._shape:
            raise ValueError(
                f"Frame {self.count} is {frame.shape[0]}x{frame.shape[1]}, but the "
                f"first is {self._shape[0]}x{self._shape[1]}; all frames must be of "
                "one size."
            )
        self._encode(self.count, frame)
        self.count += 1


def describe_new(path: str | Path, shape: Sequence[int], *, fps: float) -> str:
    """One line on what `new_video` wrote.

    Args:
        path: of the video file or the folder of pictures.
        shape: of the frames, (T, H, W, 3).
        fps: frames per second, NaN where no rate is known.
    """
    plays = f" at {fps:g} frames per second"
    if math.isnan(fps):
        plays = f" at {UNKNOWN_RATE:g} frames per second, since the input says no rate"
    plays = plays if Path(path).suffix else ""
    count, height, width = shape[:3]
    return f"{count} frames of {height}x{width} written to {path}{plays}"


def write_pictures(folder: Path, frames: np.ndarray) -> None:
    """Writes frames (T, H, W, 3), uint8 RGB, as PNGs into an existing folder."""
    for index, frame in enumerate(frames):
        _write_picture(folder, index, frame)


def _write_picture(folder: Path, index: int, frame: np.ndarray) -> None:
    picture = folder / f"{index:06d}.png"
    if not cv2.imwrite(str(picture), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)):
        raise OSError(f"Could not write {picture}; is there space left?")


def _checked_shape(source: Path) -> tuple[int, int, int, int]:
    shapes = [frame.shape for frame in _checked_frames(source)]
    return len(shapes), shapes[0][0], shapes[0][1], 3


def _checked_frames(source: Path) -> Iterator[np.ndarray]:
    """Yields all frames; raises ValueError for none, several sizes, or a cut file."""
    missing = 0 if source.is_dir() else missing_bytes(source)
    if missing:
        raise ValueError(
            f"{source} was cut off: the last {missing} bytes of what it says it holds "
            "are missing; get the whole file."
        )
    first: tuple[int, ...] = ()
    index = -1
    for index, frame in enumerate(_frames(source)):
        first = first or frame.shape
        if frame.shape != first:
            name, start = f"Frame {index} of {source}", "the first"
            if source.is_dir():
                pictures = list_pictures(source)
                name, start = str(pictures[index]), pictures[0].name
            raise ValueError(
                f"{name} is {frame.shape[0]}x{frame.shape[1]}, but {start} is "
                f"{first[0]}x{first[1]}; all frames must be of one size."
            )
        yield frame
    if index < 0:
        raise ValueError(f"{source} holds no frames.")


def _frames(source: Path) -> Iterator[np.ndarray]:
    return _pictures(source) if source.is_dir() else _decode(source)


def _pictures(folder: Path) -> Iterator[np.ndarray]:
    pictures = list_pictures(folder)
    if not pictures:
        raise ValueError(
            f"The folder {folder} holds no pictures ({', '.join(PICTURES)})."
        )
    for picture in pictures:
        yield read_picture(picture)


def read_picture(path: Path) -> np.ndarray:
    """Reads a picture (H, W, 3), uint8 RGB; 16 bits are rounded to 8.

    Raises:
        ValueError: it cannot be read, or holds neither 8 nor 16 bits a value.
    """
    # Decoded from bytes, as imread is silent about what it cannot open.
    data = np.frombuffer(path.read_bytes(), np.uint8)
    any_depth = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    frame = cv2.imdecode(data, any_depth) if data.size else None
    if frame is None:
        raise ValueError(f"The picture {path} cannot be read; is it complete?")
    if frame.dtype == np.uint16:
        frame = np.rint(frame / 257).astype(np.uint8)
    if frame.dtype != np.uint8:
        wrong = "" if np.isfinite(frame).all() else ", not all of them numbers"
        raise ValueError(
            f"The picture {path} holds {frame.dtype} values{wrong}; save it with 8 or "
            "16 bits, whose largest value is white."
        )
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path} has no video stream.")
            yield container, container.streams.video[0]
    except av.error.FFmpegError as error:
        raise ValueError(
            f"{path} cannot be read as a video ({error.strerror}); is it complete?"
        ) from None


def _frame_rate(source: Path) -> float:
    if not source.exists():
        raise FileNotFoundError(f"There is no video or folder {source}.")
    if source.is_dir():
        return math.nan
    with _opened(source) as (_, stream):
        return float(stream.average_rate) if stream.average_rate else math.nan


def _decode(path: Path) -> Iterator[np.ndarray]:
    """Yields upright RGB frames."""
    with _opened(path) as (container, stream):
        for index, frame in enumerate(container.decode(stream)):
            if frame.is_corrupt:  # what is missing was filled in from other frames
                raise ValueError(
                    f"{path} is damaged at frame {index}; get the file anew, or leave "
                    "out what is before and at the damage."
                )
            pixels = frame.to_ndarray(format="rgb24")
            # Phones store the turn to upright beside the frames, in degrees.
            turns = round(frame.rotation / 90) % 4
            yield np.ascontiguousarray(np.rot90(pixels, turns))


@contextlib.contextmanager
def _encoder(path: Path, fps: float) -> Iterator[Callable[[int, np.ndarray], None]]:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", Fraction(fps).limit_denominator(1001), {"crf": _CRF}
        )

        def encode(index: int, frame: np.ndarray) -> None:
            if index == 0:
                height, width = frame.shape[:2]
                stream.height, stream.width = height, width
                stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))

        yield encode
        container.mux(stream.encode())


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts runs of digits by their value."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
