"""Several data sets as one: which clip of which set each position of training takes."""

import bisect
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data_pipeline.records import Record
from data_pipeline.spike_deblur import open_split
from data_pipeline.spike_deblur.layout import MANIFEST

# A data set's directory, or directories with the weights that they are drawn by.
Data = str | Sequence[tuple[str, float]]

_MOST_SLOTS = 2**16
_NEXT_SET = 1_000_003  # from the seed of one set's permutations to that of the next


def weighted_sets(data: Data) -> list[tuple[str, float]]:
    """Returns the directories, and the weights that they are drawn by."""
    return [(data, 1.0)] if isinstance(data, str) else list(data)


def find_set(directory: str) -> str:
    """Returns the full path of a built data set; ~ is the home directory.

    Raises:
        FileNotFoundError: there is none; the sentence says which one to give instead.
    """
    path = Path(directory).expanduser().resolve()
    if (path / MANIFEST).is_file() or (path / "dataset_info.json").is_file():
        return str(path)
    built = "the directory that python -m data_pipeline.prepare printed at its end"
    if not path.is_dir():
        what = "is a file" if path.exists() else "is not there"
        raise FileNotFoundError(f"The data set {path} {what}; give {built}.")
    depths = ("*/" * depth + MANIFEST for depth in (1, 2, 3))
    below = sorted(found.parent for depth in depths for found in path.glob(depth))
    if below:
        others = f", or another of the {len(below)} there" if len(below) > 1 else ""
        raise FileNotFoundError(
            f"{path} is no data set itself, but holds {below[0]}; give that{others}."
        )
    raise FileNotFoundError(f"{path} holds no finished data set; give {built}.")


def check_spike_scale(
    sets: Sequence[tuple[str, Sequence[Record]]], *, expected: int | None = None
) -> None:
    """Checks that all data sets have as many RGB pixels for a spike pixel.

    Args:
        sets: directories and their records, of which the first is looked at.
        expected: the number; that of the first set where it is not given.

    Raises:
        ValueError: one has another number; the sentence names it.
    """
    for directory, records in sets:
        found = int(records[0]["spike_scale"])
        if expected is None:
            expected = found
        if found != expected:
            raise ValueError(
                f"The spike_scale of {directory} is {found}, but that of the training "
                f"is {expected}: all data sets must have as many RGB pixels for a "
                f"spike pixel. Leave it out, or set data.spike_scale to {found} and "
                "leave out the others."
            )


class JoinedRecords(Sequence[Record]):
    """The records of several data sets, one after the other.

    Attributes:
        counts: clips of each set.
    """

    def __init__(self, data: Data, split: str) -> None:
        """Opens a split of every data set.

        Raises:
            FileNotFoundError: there is no data set in a directory.
            ValueError: there is no such split, or a set cannot be read.
        """
        self._directories = [directory for directory, _ in weighted_sets(data)]
        self._sets = [open_split(name, split) for name in self._directories]
        self.counts = [len(records) for records in self._sets]
        self._ends = list(itertools.accumulate(self.counts))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"The data has {len(self)} clips, not {index}.")
        number = self.set_of(index)
        return self._sets[number][index - self._ends[number] + self.counts[number]]

    @property
    def sets(self) -> list[tuple[str, Sequence[Record]]]:
        """The directories and their records."""
        return list(zip(self._directories, self._sets, strict=True))

    def set_of(self, index: int) -> int:
        """Returns the number of the set that a clip is of."""
        return bisect.bisect_right(self._ends, index)

    def label_of(self, index: int) -> str:
        """Returns what tells a clip's set from the others; '' where there is one."""
        if len(self._sets) == 1:
            return ""
        labels = [Path(name).parent.name for name in self._directories]
        number = self.set_of(index)
        is_known = labels.count(labels[number]) == 1
        return labels[number] if is_known else f"{labels[number]}-{number}"


class Schedule:
    """Which data set every position takes, and how many of its clips came before.

    The sets take turns as evenly as their weights allow, in a period after which it
    begins anew: proportions are exact over a period, and off by less than one clip for
    each set at any position. Nothing is counted, so that training begins anywhere.

    Attributes:
        sets: (P,) the set of each slot of a period.
        ranks: (P,) how many slots of the same set came before in the period.
        slots: (N,) how many slots a period has of each set.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        """Takes the weight of each set, of any sum.

        Raises:
            ValueError: a weight is not positive, or there is no period of moderate
                length in which the proportions are exact.
        """
        for weight in weights:
            if not 0 < weight < math.inf:
                raise ValueError(
                    f"The weights of data sets must be positive, got {weight}."
                )
        shares = [Fraction(str(weight)) for weight in weights]
        unit = math.lcm(*(share.denominator for share in shares))
        whole = [int(share * unit) for share in shares]
        counts = [number // math.gcd(*whole) for number in whole]
        if sum(counts) > _MOST_SLOTS:
            raise ValueError(
                f"The weights {tuple(weights)} are in the proportion of "
                f"{' to '.join(map(str, counts))}, which takes more than "
                f"{_MOST_SLOTS} clips to keep; give weights of fewer digits."
            )
        turns = sorted(
            (Fraction(2 * rank + 1, count), number, rank)
            for number, count in enumerate(counts)
            for rank in range(count)
        )
        self.sets = np.array([number for _, number, _ in turns], np.int64)
        self.ranks = np.array([rank for _, _, rank in turns], np.int64)
        self.slots = np.array(counts, np.int64)

    def order(
        self, counts: Sequence[int], *, seed: int, first: int, stride: int
    ) -> tf.data.Dataset:
        """Yields (index among all clips, position); each set has epochs of its own.

        Args:
            counts: clips of each set; every epoch is its own permutation of them.
            seed: of the permutations.
            first: position.
            stride: positions to the next one.
        """
        ends = np.cumsum(np.array(counts, np.int64))

        @tf.autograph.experimental.do_not_convert
        def at(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            period, slot = position // len(self.sets), position % len(self.sets)
            number = tf.gather(self.sets, slot)
            place = period * tf.gather(self.slots, number) + tf.gather(self.ranks, slot)
            count = tf.gather(np.array(counts, np.int64), number)
            # Sets of one length are not to be permuted alike.
            key = tf.stack([seed + _NEXT_SET * number, place // count])
            index = tf.random.experimental.index_shuffle(
                place % count, tf.cast(key, tf.uint32), count - 1
            )
            return tf.gather(ends, number) - count + index, position

        return tf.data.Dataset.range(first, tf.int64.max, stride).map(at)
