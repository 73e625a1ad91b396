"""Clips of which one fails in the process that makes it, or ends that process."""

import dataclasses
import os
import signal
from collections.abc import Mapping
from typing import Any

from data_pipeline.records import Record
from data_pipeline.sources import embedded


@dataclasses.dataclass(frozen=True)
class FailingClips:
    """Makes embedded clips, but clip 1 of train 'fails' or 'dies'."""

    settings: Mapping[str, Any]
    kind: str

    def __call__(self, split: str, index: int) -> Record:
        """Makes a clip."""
        if (split, index) == ("train", 1):
            if self.kind == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("clip 1 of train is broken")
        return embedded.make_clip(self.settings, split, index)
