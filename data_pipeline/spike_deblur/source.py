"""Where the clips of a data set come from: each is made by its index, anywhere."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from data_pipeline.records import Record
from data_pipeline.settings import settings_hash

SPLITS = ("train", "test")
Make = Callable[[str, int], Record]  # split, index -> the record of a clip


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a data set's clips come from.

    `settings`, `version` and the source's name decide every byte of them: the hash of
    the three is in the name of the directory.

    Attributes:
        name: of the source.
        version: raised whenever the same settings would give other clips.
        settings: plain values, as JSON takes them.
        counts: split -> clips.
        make: makes a clip, a pure function of its arguments. It travels to other
            processes: a function of a module, functools.partial of one, or an instance
            of a module's class.
    """

    name: str
    version: str
    settings: Mapping[str, Any]
    counts: Mapping[str, int]
    make: Make

    @property
    def config_name(self) -> str:
        """The name of the TFDS configuration, and of the directory."""
        return f"{self.name}-{settings_hash(self.settings, version=self.version)}"


def check_source(source: Source) -> None:
    """Raises a ValueError unless every split has a clip."""
    for split in SPLITS:
        if source.counts.get(split, 0) < 1:
            raise ValueError(f"The {split} split would hold no clip; give more.")
