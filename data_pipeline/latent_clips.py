"""Whole clips for evaluation at several sharp instants of each exposure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipeline import latent_instants
from data_pipeline.motion_mask import moving_pixels
from data_pipeline.pipeline import TestClips
from data_pipeline.records import Record, unpack_spikes
from data_pipeline.representations import tfp
from data_pipeline.spike_input import SpikeInput


class LatentClips(TestClips):
    """As TestClips, of the middle, and beside it of the first and last instants."""

    def __init__(
        self,
        records: Sequence[Record],
        *,
        spike_input: SpikeInput,
        tfp_window: int,
    ) -> None:
        """Takes what TestClips takes, and looks at the first record.

        Raises:
            ValueError: as `__getitem__`, of the first record.
        """
        super().__init__(records, spike_input=spike_input, tfp_window=tfp_window)
        _check(records[0], tfp_window)

    def __getitem__(self, index: Any) -> Any:
        """Adds to a clip 'latent': of these two instants a mapping each.

        It holds 'at', 'first' or 'last'; 'instant' (T,) float32 in [-1, 1] relative to
        the exposure; and of the instant 'sharp', 'tfp_short' and 'moving', as those of
        the middle.

        Raises:
            ValueError: as TestClips; or a clip has one sharp frame of each exposure, or
                too few spike frames around an instant.
        """
        clip = super().__getitem__(index)
        record = self._records[index]
        _check(record, self._tfp_window)
        width = record["blur"].shape[2] // int(record["spike_scale"])
        spikes = unpack_spikes(record["spikes"], width)
        relative = latent_instants.relative_instants(record)
        numbers = {"first": 0, "last": relative.shape[1] - 1}
        clip["latent"] = []
        for name, number in numbers.items():
            sharp, times = latent_instants.nth_sharp(record, number)
            short = [tfp(spikes, int(at), self._tfp_window) for at in times]
            clip["latent"].append(
                {
                    "at": name,
                    "instant": relative[:, number],
                    "sharp": sharp.astype(np.float32) / np.float32(255),
                    "tfp_short": np.stack(short),
                    "moving": moving_pixels(sharp, times, record["exposure"]),
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
            f"last sharp instant, which eval.tfp_window={window} reaches beyond; "
            f"take {2 * int(around) + 1} at most, or build clips with a larger margin."
        )
