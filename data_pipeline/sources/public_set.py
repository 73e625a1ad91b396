"""A public data set: its settings, and how its clips are found, split and made."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipeline import video_files
from data_pipeline.records import SPIKE_SCALES, Record
from data_pipeline.settings import check_settings

SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class ClipFiles:
    """The files of one clip, a frame each, in the order of time."""

    name: str
    spikes: tuple[Path, ...] = ()
    blur: tuple[Path, ...] = ()
    sharp: tuple[Path, ...] = ()

    def sources(self) -> tuple[Path, ...]:
        """Everything that the clip is made from: files, or folders of pictures."""
        return (*self.spikes, *self.blur, *self.sharp)

    def shares_with(self, other: "ClipFiles") -> bool:
        """Whether a file, or the same part of one, is in both."""
        return not set(self.sources()).isdisjoint(other.sources())


@dataclasses.dataclass(frozen=True)
class PublicSet:
    """A public data set: its settings and how its clips are found and made.

    Attributes:
        version: raised whenever the same settings would give other clips.
        settings: name -> type.
        defaults: the published values of the settings.
        find: from the root, 'train', 'test' or '' where there are no such folders, and
            the settings to the clips; it looks at every file's name and size.
        make: from the files of a clip and the settings to its record.
        splits_in: the folder of the root that train and test lie in.
        split_folders: the folders in there that tell of train and of test.
        check: from the settings to checked ones; their table and above 0 where None.
        stream_size: from a .dat and the settings to the height and width of its spike
            frames; those of the settings where None.
        finds_split: whether `find` is to tell 'train' from 'test' without such folders.
    """

    version: str
    settings: Mapping[str, type]
    defaults: Mapping[str, Any]
    find: Callable[[Path, str, Mapping[str, Any]], Sequence[ClipFiles]]
    make: Callable[[Any, Mapping[str, Any]], Record]
    splits_in: str = ""
    split_folders: tuple[str, str] = SPLITS
    check: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    stream_size: Callable[[Path, Mapping[str, Any]], tuple[int, int]] | None = None
    finds_split: bool = False

    def checked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings as plain values.

        Raises:
            ValueError: one is missing, unknown or out of its range.
        """
        if self.check is not None:
            return self.check(settings)
        return check_set_settings(settings, self.settings)

    def streams(
        self, clips: Iterable[ClipFiles], settings: Mapping[str, Any]
    ) -> dict[tuple[int, int], list[Path]]:
        """Returns the streams of clips, by the height and width of spike frames."""
        sizes: dict[tuple[int, int], list[Path]] = {}
        for stream in dict.fromkeys(path for clip in clips for path in clip.spikes):
            if self.stream_size is not None:
                size = self.stream_size(stream, settings)
            else:
                size = (settings["spike_height"], settings["spike_width"])
            sizes.setdefault(size, []).append(stream)
        return sizes


def check_set_settings(
    settings: Mapping[str, Any], types: Mapping[str, type]
) -> dict[str, Any]:
    """Returns the settings as plain values; numbers are above 0.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_settings(settings, types)
    for name, value in checked.items():
        least = 0 if name == "key_frame" else 1
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, int) and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
        if not value > 0 and least:
            raise ValueError(f"{name} must be above 0, got {value:g}.")
    scale = checked.get("spike_scale", 1)
    if scale not in SPIKE_SCALES:
        raise ValueError(f"spike_scale must be one of {SPIKE_SCALES}, got {scale}.")
    return checked


def find_splits(
    data_set: PublicSet, root: str | Path, settings: Mapping[str, Any]
) -> dict[str, Sequence[ClipFiles]]:
    """Finds the clips of a data set, of train and test where it has both.

    Returns:
        'train' and 'test' -> clips where there are folders of these names or the data
        set is split in another way; otherwise 'all' -> clips.

    Raises:
        FileNotFoundError: there is no such folder, or a file of a clip is missing.
        ValueError: it is not of the data set's layout, a .dat does not fit its
            geometry, or there is one of train and test without the other.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if data_set.finds_split:
        return {split: data_set.find(folder, split, settings) for split in SPLITS}
    parent = folder / data_set.splits_in
    names = data_set.split_folders
    there = [name for name in names if (parent / name).is_dir()]
    if len(there) == 1:
        raise ValueError(
            f"{parent} holds {there[0]} but not the other of {' and '.join(names)}; "
            f"complete it, or take what {there[0]} holds out of that folder to split "
            "its clips."
        )
    if there:
        return {split: data_set.find(folder, split, settings) for split in SPLITS}
    return {"all": data_set.find(folder, "", settings)}


def split_clips(
    found: Mapping[str, Sequence[ClipFiles]], test_clips: int | None
) -> dict[str, Sequence[ClipFiles]]:
    """Keeps the data set's own split, or sets the last clips aside for the test.

    Clips before them that are made from a part of what they are made from, as the
    margins of neighbours are, are in neither split.

    Args:
        found: of find_splits.
        test_clips: how many to set aside, a tenth where None.

    Raises:
        ValueError: no clip would be left to train on, or none to test on, or the data
            set has a split of its own.
    """
    if "all" not in found:
        if test_clips is not None:
            raise ValueError(
                "The data set is split into train and test as it is; leave test_clips "
                "out."
            )
        return dict(found)
    clips = found["all"]
    count = max(1, round(len(clips) / 10)) if test_clips is None else test_clips
    if not 1 <= count < len(clips):
        raise ValueError(
            f"The folder gives {len(clips)} clip(s); test_clips must leave at least "
            f"one of them to train on and take at least one, got {count}."
        )
    test = clips[-count:]
    train = _apart(clips[:-count], test)
    if not train:
        raise ValueError(
            f"All of the other {len(clips) - count} clip(s) share spikes or frames "
            f"with the {count} that would be set aside for the test, as neighbours in "
            "a recording do; give longer ones or more of them, or fewer num_frames."
        )
    return {"train": train, "test": test}


def left_out_note(num_clips: int, splits: Mapping[str, Sequence[Any]]) -> str:
    """Says how many of some clips split_clips left out; '' where it kept all."""
    left = num_clips - sum(len(clips) for clips in splits.values())
    return (
        f"{left} of {num_clips} clips are in neither train nor test, as they share "
        "spikes or frames with both."
        if left
        else ""
    )


def _apart(clips: Sequence[ClipFiles], others: Sequence[ClipFiles]) -> list[ClipFiles]:
    """The clips that share nothing with any of the others."""
    by_source: dict[Path, list[ClipFiles]] = {}
    for other in others:
        for source in other.sources():
            by_source.setdefault(source, []).append(other)
    return [
        clip
        for clip in clips
        if not any(
            clip.shares_with(other)
            for source in clip.sources()
            for other in by_source.get(source, ())
        )
    ]


def overlap(first: range, second: range) -> bool:
    """Whether two ranges without steps have a number in common."""
    return max(first.start, second.start) < min(first.stop, second.stop)


def identity(root: str | Path, clips: Iterable[ClipFiles]) -> str:
    """Names the state of all files: others under the same names are another set."""
    sources = dict.fromkeys(source for clip in clips for source in clip.sources())
    files = (
        file
        for source in sources
        for file in (
            video_files.list_pictures(source) if source.is_dir() else (source,)
        )
    )
    states = [
        (str(file.relative_to(root)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
    ]
    digest = hashlib.sha256(json.dumps(states).encode()).hexdigest()[:12]
    return f"{Path(root).resolve().name}-{digest}"
