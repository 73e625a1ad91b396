"""Two folders of pictures, or two videos, as pairs of clips that are compared."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline.video_files import (
    PICTURES,
    VIDEOS,
    list_pictures,
    read_picture,
    read_video,
)

_SHOWN = 3  # names in a sentence
_ROOT = "."  # the clip of the pictures that lie in the given folder itself


class FramePairs(Sequence[dict[str, Any]]):
    """Clips of two sources, read when they are asked for.

    Each item is {'name', 'frames': names of the frames, 'prediction' and 'sharp'
    (T, H, W, 3) uint8 RGB}.
    """

    def __init__(self, prediction: str | Path, sharp: str | Path) -> None:
        """Opens two sources and checks that they hold the same clips and frames.

        A video file is one clip. So is every folder that holds pictures, be it the one
        that is given or one below it. Clips and pictures are matched by their names,
        pictures without the suffix; the frames of two videos by their order.

        Args:
            prediction: a folder or a video file.
            sharp: the same of what it is compared with.

        Raises:
            FileNotFoundError: there is no such folder or file.
            ValueError: one is a folder and the other a video, there are no pictures,
                or a clip or picture is in one of them alone.
        """
        self.sources = Path(prediction).resolve(), Path(sharp).resolve()
        for option, source in zip(("prediction", "sharp"), self.sources, strict=True):
            if not source.exists():
                raise FileNotFoundError(f"There is no folder or video {source}.")
            if source.is_file() and source.suffix.lower() not in VIDEOS:
                raise ValueError(
                    f"--{option}={source} is neither a folder nor a video "
                    f"({', '.join(VIDEOS)})."
                )
        folders = [source.is_dir() for source in self.sources]
        if folders[0] != folders[1]:
            kinds = ["a folder" if folder else "a video" for folder in folders]
            raise ValueError(
                f"{self.sources[0]} is {kinds[0]}, but {self.sources[1]} {kinds[1]}; "
                "compare two folders of pictures, or two videos."
            )
        self._is_video = not folders[0]
        self._clips: list[tuple[str, Any]] = []
        if self._is_video:
            self._clips = [(self.sources[0].stem, self.sources)]
        else:
            self._match_folders()

    def _match_folders(self) -> None:
        prediction, sharp = (_clips_of(source) for source in self.sources)
        _require_same(prediction, sharp, self.sources, "the clip(s)")
        for name, pictures in prediction.items():
            places = [source / name for source in self.sources]
            _require_same(pictures, sharp[name], places, "the picture(s)")
            pairs = [(pictures[stem], sharp[name][stem]) for stem in pictures]
            _read_pair(pairs[0])  # most of what is wrong shows before any work
            # The folders that are given may have any name.
            name = self.sources[0].name if name == _ROOT else name
            self._clips.append((name, (list(pictures), pairs)))

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: Any) -> Any:
        """Reads a clip.

        Raises:
            ValueError: a picture or video cannot be read, sizes differ, or the number
                of frames of two videos.
        """
        name, content = self._clips[index]
        if self._is_video:
            first, second = (read_video(source)[0] for source in content)
            if len(first) != len(second):
                raise ValueError(
                    f"{content[0]} has {len(first)} frames, but {content[1]} "
                    f"{len(second)}; compare videos of the same frames."
                )
            _require_size(first[0], second[0], *content)
            frames = [str(number) for number in range(len(first))]
            return {
                "name": name,
                "frames": frames,
                "prediction": first,
                "sharp": second,
            }
        frames, pairs = content
        prediction, sharp = [], []
        for paths in pairs:
            pictures = _read_pair(paths)
            if prediction:
                _require_size(pictures[0], prediction[0], paths[0], pairs[0][0])
            prediction.append(pictures[0])
            sharp.append(pictures[1])
        return {
            "name": name,
            "frames": frames,
            "prediction": np.stack(prediction),
            "sharp": np.stack(sharp),
        }

    def describe(self) -> dict[str, str]:
        """What tells these files from others: where they are, and when they were made.

        'files' is a checksum of the names, sizes and times of change of all of them.
        """
        found = hashlib.sha256()
        for _, content in self._clips:
            pairs = [content] if self._is_video else content[1]
            for path in (path for pair in pairs for path in pair):
                facts = path.stat()
                line = f"{path} {facts.st_size} {facts.st_mtime_ns}\n"
                found.update(line.encode())
        prediction, sharp = map(str, self.sources)
        return {"prediction": prediction, "sharp": sharp, "files": found.hexdigest()}


def _clips_of(root: Path) -> dict[str, dict[str, Path]]:
    """The pictures of each folder that holds some, by their names without suffix."""
    clips = {}
    folders = sorted(path for path in root.rglob("*") if path.is_dir())
    for folder in (root, *folders):
        pictures: dict[str, Path] = {}
        for path in list_pictures(folder):
            if path.stem in pictures:
                raise ValueError(
                    f"{folder} holds {pictures[path.stem].name} and {path.name}, two "
                    "pictures of one name; remove one of them."
                )
            pictures[path.stem] = path
        if pictures:
            clips[folder.relative_to(root).as_posix()] = pictures
    if not clips:
        raise ValueError(
            f"{root} holds no pictures ({', '.join(PICTURES)}), and no folder below it."
        )
    return clips


def _require_same(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    places: Sequence[Path],
    what: str,
) -> None:
    for found, other, where, there in (
        (first, second, *places),
        (second, first, *reversed(places)),
    ):
        alone = [name for name in found if name not in other]
        if alone:
            more = f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else ""
            raise ValueError(
                f"{where} holds {what} {', '.join(alone[:_SHOWN])}{more}, which "
                f"{there} does not; names must match one to one."
            )


def _read_pair(paths: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
    prediction, sharp = (read_picture(path) for path in paths)
    _require_size(prediction, sharp, *paths)
    return prediction, sharp


def _require_size(
    first: np.ndarray, second: np.ndarray, first_path: Path, second_path: Path
) -> None:
    if first.shape != second.shape:
        sizes = [f"{frame.shape[0]}x{frame.shape[1]}" for frame in (first, second)]
        raise ValueError(
            f"{first_path} is {sizes[0]}, but {second_path} is {sizes[1]}; frames that "
            "are compared must be of one size."
        )
