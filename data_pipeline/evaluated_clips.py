"""The clips of an evaluation, of which some may have no sharp frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class MissingSharpError(ValueError):
    """A clip has no sharp frames, such as of a real recording.

    Attributes:
        clip: what the clip has without them: 'name' and 'blur'.
    """

    def __init__(self, name: str, blur: np.ndarray) -> None:
        super().__init__(f"Clip {name} has no sharp frames to evaluate against.")
        self.clip = {"name": name, "blur": blur}


class EvaluatedClips(Sequence[dict[str, Any]]):
    """Clips as they are, and those without sharp frames as 'name' and 'blur' alone."""

    def __init__(self, clips: Sequence[dict[str, Any]]) -> None:
        """Takes clips that are read when they are asked for."""
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: Any) -> Any:
        try:
            return self._clips[index]
        except MissingSharpError as error:
            return error.clip
