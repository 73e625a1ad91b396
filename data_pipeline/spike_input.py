"""What a model is given of the spikes: represented, without noise, normalised.

In NumPy, for evaluation, restoring and tools; `graph_spike_input` is the twin for
training inside tf.data.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipeline import low_light
from data_pipeline.choices import unknown_name
from data_pipeline.gain_match import match_gain
from data_pipeline.noise_maps import NoiseMaps, estimated_maps
from data_pipeline.normalisation import ChannelStatistics, compress, standardise
from data_pipeline.represent import (
    OPEN_ENDED,
    REPRESENTATIONS,
    check_margin,
    count_channels,
    first_around_middle,
    represent,
)
from data_pipeline.representations import voxel_grid
from data_pipeline.transfer import to_spike_space

# Name of a normalisation -> what it does, in this order.
_STEPS: dict[str, tuple[str, ...]] = {
    "none": (),
    "gain_match": ("gain",),
    "log": ("gain", "log"),
    "standard": ("gain", "standard"),
    "log_standard": ("gain", "log", "standard"),
}
NORMALISATIONS = tuple(_STEPS)
# Representations whose channels are parts of the exposure, so that their mean is its
# light: those that the low-light noise suppression can correct.
CORRECTABLE = ("voxel", "raw")


@dataclasses.dataclass(frozen=True)
class SpikeInput:
    """How the spikes of each exposure become the channels that a model takes.

    First spikes are left out at random (training alone), then the exposure is
    represented, the noise of the sensor is suppressed, and the channels are normalised.
    The suppression adds one channel behind the others, the confidence in each pixel,
    which is normalised by nothing.

    Attributes:
        representation: a name in `represent.REPRESENTATIONS`.
        options: of the representation.
        margin: spike frames before and after those of an exposure that are looked at.
        normalisation: a name in NORMALISATIONS. 'none' leaves the channels as they are
            represented; 'gain_match' multiplies the rates of a clip by one factor, so
            that they are its light (`gain_match`); 'log' takes log(1 + light) of that,
            'standard' the distance from the mean of the training data in standard
            deviations, channel by channel, and 'log_standard' the one of the other.
        low_light: whether the noise of the sensor is suppressed (`low_light`), with
            noise maps that are estimated from the clip.
        dropout: share of the spikes that training leaves out, in [0, 1).
        statistics: of the channels of the training data, without the confidence, before
            they are standardised; None while they are not known.
    """

    representation: str = "voxel"
    options: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"num_bins": 32}
    )
    margin: int = 0
    normalisation: str = "none"
    low_light: bool = False
    dropout: float = 0.0
    statistics: ChannelStatistics | None = None

    def __post_init__(self) -> None:
        """Raises a ValueError for what does not exist or does not go together."""
        count_channels(self.representation, **self.options)
        check_margin(self.margin)
        if self.normalisation not in _STEPS:
            raise ValueError(
                unknown_name("normalisation", self.normalisation, NORMALISATIONS)
            )
        if not self.holds_rates and self.normalisation not in ("none", "standard"):
            raise ValueError(
                f"The normalisation {self.normalisation} matches the gain of rates, "
                f"but {self.representation} holds none; take none or standard."
            )
        if self.low_light and self.representation not in CORRECTABLE:
            raise ValueError(
                "The low-light noise suppression corrects rates of parts of the "
                f"exposure, which {self.representation} does not hold; take "
                f"{' or '.join(CORRECTABLE)}, or leave it off."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"dropout must be a share of the spikes in [0, 1), got {self.dropout}."
            )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "SpikeInput":
        """Makes it of settings in which each representation has a table of options.

        Args:
            settings: 'representation', 'margin', 'normalisation', 'low_light',
                'dropout', and under the name of each representation its options.

        Raises:
            ValueError: the representation or the normalisation is unknown, a value is
                out of its range, or two do not go together.
        """
        name = settings["representation"]
        if name not in REPRESENTATIONS:
            raise ValueError(unknown_name("representation", name, REPRESENTATIONS))
        return cls(
            representation=name,
            options=dict(settings[name]),
            margin=settings["margin"],
            normalisation=settings["normalisation"],
            low_light=settings["low_light"],
            dropout=settings["dropout"],
        )

    @property
    def holds_rates(self) -> bool:
        """Whether the representation is of spikes per spike frame."""
        return self.representation != "time_surface"

    @property
    def is_unmatched(self) -> bool:
        """Whether the channels are rates whose gain a model has to match."""
        return self.holds_rates and self.normalisation == "none"

    @property
    def is_plain_voxels(self) -> bool:
        """Whether voxel grids are all there is to it."""
        plain = self.normalisation == "none" and not self.low_light
        return plain and self.representation == "voxel" and self.dropout == 0

    @property
    def matches_gain(self) -> bool:
        """Whether a gain is needed, so that rates become light here."""
        return self.holds_rates and "gain" in _STEPS[self.normalisation]

    @property
    def compresses(self) -> bool:
        """Whether the logarithm is taken."""
        return "log" in _STEPS[self.normalisation]

    @property
    def standardises(self) -> bool:
        """Whether the statistics of the training data are needed."""
        return "standard" in _STEPS[self.normalisation]

    @property
    def side_channels(self) -> int:
        """How many of the channels, the last ones, are the confidence: 0 or 1."""
        return int(self.low_light)

    @property
    def num_channels(self) -> int:
        """C, with the side channels."""
        return count_channels(self.representation, **self.options) + self.side_channels

    def before_statistics(self) -> "SpikeInput":
        """Returns what is measured for the statistics: all but the last step."""
        normalisation = {"standard": "gain_match", "log_standard": "log"}
        name = normalisation.get(self.normalisation, self.normalisation)
        if not self.holds_rates:
            name = "none"
        return dataclasses.replace(self, normalisation=name, statistics=None)

    def check_exposures(
        self,
        exposure: np.ndarray,
        num_spike_frames: int,
        *,
        source: str,
        for_training: bool = False,
    ) -> None:
        """Raises a ValueError unless these exposures can be represented.

        Args:
            exposure: (T, 2), start and end in spike frames.
            num_spike_frames: S, how many there are.
            source: what they are of, for the message, as in 'Clip a'.
            for_training: whether all of the margin has to be there, as where the
                samples of a batch have one length, whatever the representation.
        """
        open_ended = self.representation in OPEN_ENDED and not for_training
        margin = 0 if open_ended else self.margin
        first = math.floor(exposure.min()) - margin
        last = math.ceil(exposure.max()) + margin
        if first < 0 or last > num_spike_frames:
            most = margin + min(first, num_spike_frames - last)
            raise ValueError(
                f"{source} has no margin of {margin} spike frames around all of "
                "its exposures; take one that was recorded for longer, or a margin of "
                f"{max(most, 0)} at most."
            )
        darkness = np.zeros((num_spike_frames, 1, 1), np.uint8)
        for start, end in exposure.tolist():
            try:
                self._represent(darkness, start, end)
            except ValueError as error:
                raise ValueError(f"{source}: {error}") from error

    def of_clip(
        self,
        spikes: np.ndarray,
        exposure: np.ndarray,
        *,
        blur: np.ndarray,
        transfer: str,
    ) -> np.ndarray:
        """Returns the channels (T, C, h, w), float32, of a whole clip.

        Args:
            spikes: (S, h, w) uint8 of 0 and 1, from which noise maps are estimated.
            exposure: (T, 2), start and end in spike frames.
            blur: (T, H, W, 3), the frames that the gain is matched with, uint8 or
                float in [0, 1].
            transfer: of the record, the space in which the spikes integrated.

        Raises:
            ValueError: as `of_exposures`, or the frames do not fit the spikes.
        """
        maps = self.estimate_maps(spikes)
        gain = 1.0
        if self.matches_gain:
            rates = np.stack(list(self.rates(spikes, exposure, maps=maps)))
            gain = match_gain(rates, to_spike_space(blur, transfer))
        return self.of_exposures(spikes, exposure, gain=gain, maps=maps)

    def of_exposures(
        self,
        spikes: np.ndarray,
        exposure: np.ndarray,
        *,
        gain: float = 1.0,
        maps: NoiseMaps | None = None,
    ) -> np.ndarray:
        """Returns the channels (T, C, h, w), float32, of T exposures.

        Args:
            spikes: (S, h, w) uint8 of 0 and 1.
            exposure: (T, 2), start and end in spike frames.
            gain: turns rates into light, see `rates`; taken where it is matched.
            maps: noise of the sensor, where that is suppressed.

        Raises:
            ValueError: an exposure with its margin leaves the spikes, or is too short
                for the representation, or statistics or maps are missing.
        """
        _, height, width = spikes.shape
        channels = np.empty(
            (len(exposure), self.num_channels, height, width), np.float32
        )
        rates = channels[:, : self.num_channels - self.side_channels]
        for number, (start, end) in enumerate(_edges(exposure)):
            rates[number] = self._represent(spikes, start, end)
            if self.low_light:
                rates[number], channels[number, -1:] = self._suppress(
                    rates[number], spikes, (start, end), maps
                )
        if self.matches_gain:
            rates *= np.float32(gain)
        if self.compresses:
            rates[:] = compress(rates)
        if self.standardises:
            rates[:] = standardise(rates, self.known_statistics())
        return channels

    def rates(
        self,
        spikes: np.ndarray,
        exposure: np.ndarray,
        *,
        maps: NoiseMaps | None = None,
    ) -> Iterator[np.ndarray]:
        """Yields of each exposure the mean rate (h, w), float32, that gain matches.

        Whatever the representation, it is that of the whole exposure, without the noise
        of the sensor where that is suppressed.

        Args and errors are those of `of_exposures`.
        """
        for start, end in _edges(exposure):
            if self.low_light:
                seen, first = self._seen(spikes, start, end)
                window = {"start": start - first, "end": end - first}
                maps = _known_maps(maps)
                yield low_light.exposure_light(seen, **window, maps=maps)[0]
            else:
                yield voxel_grid(spikes, 1, start=start, end=end)[0]

    def estimate_maps(self, spikes: np.ndarray) -> NoiseMaps | None:
        """Returns the noise maps of spikes (S, h, w), None where nothing needs them."""
        return estimated_maps(spikes) if self.low_light else None

    def known_statistics(self) -> ChannelStatistics:
        """Returns the statistics.

        Raises:
            ValueError: they are not known.
        """
        if self.statistics is None:
            raise ValueError(
                f"The normalisation {self.normalisation} needs the statistics of the "
                "training data, which are missing; measure them first."
            )
        return self.statistics

    def span(self, start: float, end: float) -> tuple[float, float]:
        """Returns the window that the channels of an exposure are parts of."""
        if self.representation != "raw":
            return start, end
        count = self.options["num_frames"]
        first = first_around_middle(start, end, count)
        return first, first + count

    def _represent(self, spikes: np.ndarray, start: float, end: float) -> np.ndarray:
        return represent(
            self.representation,
            spikes,
            start=start,
            end=end,
            margin=self.margin,
            **self.options,
        )

    def _suppress(
        self,
        rates: np.ndarray,
        spikes: np.ndarray,
        window: tuple[float, float],
        maps: NoiseMaps | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        seen, first = self._seen(spikes, *window)
        start, end = self.span(*window)
        return low_light.suppress_noise(
            rates, seen, start=start - first, end=end - first, maps=_known_maps(maps)
        )

    def _seen(
        self, spikes: np.ndarray, start: float, end: float
    ) -> tuple[np.ndarray, int]:
        """The spike frames that may be looked at, and the number of their first."""
        first, last = math.floor(start) - self.margin, math.ceil(end) + self.margin
        if first < 0 or last > len(spikes):
            raise ValueError(
                f"The exposure [{start:g}, {end:g}) with its margin of {self.margin} "
                f"leaves the spikes, which cover [0, {len(spikes)})."
            )
        return spikes[first:last], first


def _known_maps(maps: NoiseMaps | None) -> NoiseMaps:
    if maps is None:
        raise ValueError(
            "The low-light noise suppression needs the noise maps of the sensor, which "
            "are missing; estimate them first."
        )
    return maps


def _edges(exposure: np.ndarray) -> Sequence[tuple[float, float]]:
    """Start and end of each exposure (T, 2), exact."""
    return [(float(start), float(end)) for start, end in exposure.tolist()]
