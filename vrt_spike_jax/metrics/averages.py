"""Means over frames and over clips, as sums and counts that can be merged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Array, Bool, Num


@dataclasses.dataclass(frozen=True)
class Averages:
    """Sums and counts of one metric, clip by clip.

    Two of them can be merged in any order, of batches or of processes, to the same
    means. Frames are given with what says which of them are real: a last batch that was
    filled up counts exactly.

    Attributes:
      sums: of the values of each clip.
      counts: of the values of each clip.
    """

    sums: Mapping[str, float] = dataclasses.field(default_factory=dict)
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def add(
        self,
        clip: str,
        values: Sequence[float] | Num[Array | np.ndarray, " n"],
        *,
        valid: Bool[Array | np.ndarray, " n"] | None = None,
    ) -> Averages:
        """These averages with the values of more frames of a clip.

        Args:
          clip: name of the clip.
          values: one a frame, or a pair of frames. NaN, of a frame of which a mask left
            nothing, does not count.
          valid: which of them are real; None for all.

        Raises:
          ValueError: another number of values than of marks.
        """
        given = np.asarray(values, np.float64)
        marks = np.ones(given.shape, bool) if valid is None else np.asarray(valid)
        if marks.shape != given.shape:
            raise ValueError(
                f"values and valid must have one length; got {given.shape} and "
                f"{marks.shape}."
            )
        real = given[marks & ~np.isnan(given)]
        return self.merge(Averages({clip: math.fsum(real)}, {clip: len(real)}))

    def merge(self, other: Averages) -> Averages:
        """The averages of both; frames of one clip may be in either."""
        names = {**self.sums, **other.sums}
        return Averages(
            {n: self.sums.get(n, 0.0) + other.sums.get(n, 0.0) for n in names},
            {n: self.counts.get(n, 0) + other.counts.get(n, 0) for n in names},
        )

    def of_clip(self, clip: str) -> float:
        """The mean over the frames of one clip; NaN if none of them counts."""
        count = self.counts[clip]
        return self.sums[clip] / count if count else math.nan

    def over_frames(self) -> float:
        """The mean over all frames, whatever clip they are of; NaN without any."""
        count = sum(self.counts.values())
        return math.fsum(self.sums.values()) / count if count else math.nan

    def over_clips(self) -> float:
        """The mean of the means of the clips that have a frame; NaN without any."""
        means = [self.of_clip(name) for name, count in self.counts.items() if count]
        return math.fsum(means) / len(means) if means else math.nan

    @property
    def frames(self) -> int:
        """How many values count."""
        return sum(self.counts.values())
