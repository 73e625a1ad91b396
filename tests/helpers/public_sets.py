"""Builds a miniature of a public data set by `prepare`, and opens what it built."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipeline import prepare
from data_pipeline.records import Record
from data_pipeline.spike_deblur import open_split


@dataclasses.dataclass(frozen=True)
class Prepare:
    """The command for one source, with the options of its miniature."""

    source: str
    small: Mapping[str, Any]

    def run(self, root: Path, output: Path, **options: Any) -> int:
        """The exit code for a folder, with further or other options."""
        given = {**self.small, **options}
        return prepare.main(
            [
                f"--source={self.source}",
                f"--input={root}",
                f"--output={output}",
                *(f"--{name}={value}" for name, value in given.items()),
            ]
        )

    def built(self, output: Path, split: str) -> list[Record]:
        """The records of a split."""
        pattern = f"{self.source}-*/*.*.*"
        (directory,) = (output / "spike_deblur").glob(pattern)
        return list(open_split(directory, split))
