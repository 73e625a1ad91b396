"""Whole clips for evaluation with several sharp instants of each exposure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipeline import latent_instants
from data_pipeline.pipeline import TestClips
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.representations import tfp
from data_pipeline.spike_input import SpikeInput


class LatentClips(TestClips):
    """As TestClips, and each clip also holds its first, middle and last instants."""

    def __init__(
        self,
        records: Sequence[Record],
        *,
        spike_input: SpikeInput,
        tfp_short_window: int,
    ) -> None:
        """Takes what TestClips takes, and looks at the first record.

        Raises:
            ValueError: as `__getitem__`, of the first record.
        """
        super().__init__(
            records, spike_input=spike_input, tfp_short_window=tfp_short_window
        )
        _check(records[0], tfp_short_window)

    def __getitem__(self, index: Any) -> Any:
        """Adds to a clip 'latent': of each of these instants, in this order, a mapping.

        It holds 'name', 'instant' (T,) float32 in [-1, 1] relative to the exposure,
        'sharp' (T, H, W, 3) float32 in [0, 1] and 'tfp_short' (T, h, w), the light
        around the instant.

        Raises:
            ValueError: as TestClips; or a clip has one sharp frame of each exposure, or
                too few spike frames around an instant.
        """
        clip = super().__getitem__(index)
        record = self._records[index]
        _check(record, self._tfp_short_window)
        width = record["blur"].shape[2] // int(record["spike_scale"])
        spikes = unpack_spikes(record["spikes"], width)
        last = latent_instants.count_instants(record) - 1
        numbers = {"first": 0, "middle": last // 2, "last": last}
        relative = latent_instants.relative_instants(record)
        clip["latent"] = []
        for name, number in numbers.items():
            sharp, times = latent_instants.nth_sharp(record, number)
            short = [tfp(spikes, int(at), self._tfp_short_window) for at in times]
            clip["latent"].append(
                {
                    "name": name,
                    "instant": relative[:, number],
                    "sharp": sharp.astype(np.float32) / np.float32(255),
                    "tfp_short": np.stack(short),
                }
            )
        return clip


def _check(record: Record, window: int) -> None:
    latent_instants.check_several(record)
    times = np.floor(record["sharp_time"])
    around = min(times.min(), len(record["spikes"]) - 1 - times.max())
    if around < window // 2:
        raise ValueError(
            f"Clip {record['name']} has {int(around)} spike frames around its first or "
            f"last sharp instant, which eval.tfp_short_window={window} reaches beyond; "
            f"take {2 * int(around) + 1} at most, or build clips with a larger margin."
        )
