"""Test clips whose spikes are off in one way: what robustness is measured on.

The blurred and the sharp frames stay as they are, bit for bit: what changes is the
spike camera alone. Of an RGB camera in less light nothing is simulated; take its gain
to make up for it, and its noise to be no worse.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipeline.choices import unknown_name
from data_pipeline.records import Record, pack_spikes, unpack_spikes
from data_pipeline.sources.embedded import make_clip
from data_pipeline.spike_dropout import drop_spikes


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """One way that spikes are off, and by how much.

    Attributes:
        kind: a name in KINDS.
        amount: in the unit of its kind.
    """

    kind: str
    amount: float

    def __post_init__(self) -> None:
        """Raises a ValueError for an unknown kind."""
        if self.kind not in KINDS:
            raise ValueError(unknown_name("perturbation", self.kind, KINDS))


class PerturbedRecords(Sequence[Record]):
    """The test clips of the embedded data set under one perturbation."""

    def __init__(self, settings: Mapping[str, Any], perturbation: Perturbation) -> None:
        """Takes the settings, as in `sources.embedded.SETTINGS`.

        Threshold and light are those of the settings, times what the perturbation says,
        whatever spread the clips that a model was trained on had.
        """
        self._settings = {**settings, "threshold_spread": 1.0, "light_spread": 1.0}
        self._perturbation = perturbation

    def __len__(self) -> int:
        return int(self._settings["test_clips"])

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} test clips, not {index}.")
        change = KINDS[self._perturbation.kind]
        return change(self._settings, int(index), self._perturbation.amount)


def _unchanged(settings: Mapping[str, Any], index: int, amount: float) -> Record:
    return make_clip(settings, "test", index)


def _with_threshold(settings: Mapping[str, Any], index: int, factor: float) -> Record:
    """Filmed again by a spike camera whose threshold is `factor` times as high."""
    threshold = settings["threshold"] * factor
    return make_clip({**settings, "threshold": threshold}, "test", index)


def _with_light(settings: Mapping[str, Any], index: int, factor: float) -> Record:
    """Filmed again with `factor` of the light on the spike camera."""
    gain = settings["gain"] * factor
    return make_clip({**settings, "gain": gain}, "test", index)


def _shifted(settings: Mapping[str, Any], index: int, pixels: float) -> Record:
    """The spikes lie so many spike pixels too far right; the left ones are repeated."""
    record = make_clip(settings, "test", index)
    width = record["blur"].shape[2] // int(record["spike_scale"])
    columns = np.maximum(np.arange(width) - int(pixels), 0)
    spikes = unpack_spikes(record["spikes"], width)[..., columns]
    return {**record, "spikes": pack_spikes(spikes)}


def _late(settings: Mapping[str, Any], index: int, frames: float) -> Record:
    """The spikes of each exposure are taken so many spike frames too late."""
    record = make_clip(settings, "test", index)
    later = np.float32(frames)
    times = {name: record[name] + later for name in ("exposure", "sharp_time")}
    return {**record, **times}


def _dropped(settings: Mapping[str, Any], index: int, share: float) -> Record:
    """A share of the spikes is missing, at random."""
    record = make_clip(settings, "test", index)
    width = record["blur"].shape[2] // int(record["spike_scale"])
    # The same at every share, so that what misses at less also misses at more.
    rng = np.random.default_rng([settings["seed"], index])
    spikes = drop_spikes(unpack_spikes(record["spikes"], width), share, rng=rng)
    return {**record, "spikes": pack_spikes(spikes)}


# Name -> what it makes of a clip, of the settings, its number and the amount.
KINDS: dict[str, Callable[[Mapping[str, Any], int, float], Record]] = {
    "none": _unchanged,
    "threshold": _with_threshold,  # factor
    "light": _with_light,  # factor
    "misaligned_pixels": _shifted,  # spike pixels
    "misaligned_frames": _late,  # spike frames
    "dropped_spikes": _dropped,  # share
}
_AMOUNTS: dict[str, tuple[float, ...]] = {
    "none": (0,),
    "threshold": (0.25, 0.5, 2, 4),
    "light": (1 / 8, 1 / 4, 1 / 2),
    "misaligned_pixels": (1, 2, 4),
    "misaligned_frames": (1, 4, 8),
    "dropped_spikes": (0.1, 0.3, 0.5),
}
PERTURBATIONS = tuple(
    Perturbation(kind, amount)
    for kind, amounts in _AMOUNTS.items()
    for amount in amounts
)
