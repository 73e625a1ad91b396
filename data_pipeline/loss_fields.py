"""What losses need beside frames and spikes: flow of the sharp frames, spike rates.

Everything is measured on the sample as training sees it, turned and in the direction of
time that it was given, so that it is right under every augmentation.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipeline.augment import cut_windows
from data_pipeline.choices import unknown_name
from data_pipeline.latent_instants import relative_instants
from data_pipeline.orientation import orient_frames
from data_pipeline.records import Record, middle_sharp
from data_pipeline.sample_cut import Cut

# float32, of each sample: flow (T - 1, H, W, 2) in pixels, (x, y), of each sharp frame
# to the next and of each next one back; spikes per spike frame (T, h, w) around the
# sharp instant and of the whole exposure; 1 where spikes integrated linear light, or 0.
FIELDS = ("flow_forward", "flow_backward", "rate_short", "rate_long", "is_linear")
_RATES = ("rate_short", "rate_long")


@dataclasses.dataclass(frozen=True)
class LossFields:
    """Which fields a batch has; the default is none, at no cost."""

    names: tuple[str, ...] = ()
    tfp_window: int = 25  # spike frames, odd, that rate_short is the mean of

    def __post_init__(self) -> None:
        """Raises a ValueError for an unknown field or a window without a middle."""
        for name in self.names:
            if name not in FIELDS:
                raise ValueError(unknown_name("loss field", name, FIELDS))
        if self.tfp_window < 1 or self.tfp_window % 2 == 0:
            raise ValueError(
                f"tfp_window must be odd to have a centre, got {self.tfp_window}."
            )

    def check_record(
        self, record: Record, *, num_frames: int, margin: int, instants: str
    ) -> None:
        """Checks whether the fields can be measured wherever a clip is cut.

        Args:
            record: with sharp frames.
            num_frames: of a sample.
            margin: spike frames that are cut before and after each exposure.
            instants: the target, a name in `latent_instants.INSTANTS`.

        Raises:
            ValueError: as `of_sample`.
        """
        if not set(_RATES) & set(self.names):
            return
        _check_colour(record)
        exposure = record["exposure"]
        if instants == "middle":
            record = {**record, "sharp_time": middle_sharp(record)[1]}
        shown = relative_instants(record)
        for first in range(len(exposure) - num_frames + 1):
            part = slice(first, first + num_frames)
            spikes, cut = cut_windows(record["spikes"], exposure[part], margin=margin)
            around = np.concatenate(
                [_spike_frames(cut, instant) for instant in shown[part].T]
            )
            self._check_window(around, len(spikes[0]), record)

    def of_sample(self, record: Record, cut: Cut) -> list[np.ndarray]:
        """Returns the fields of one sample, in the order of `names`.

        Raises:
            ValueError: rates are asked for behind colour filters, whose spikes are not
                those of grey light, or the window reaches beyond the spikes that were
                cut.
        """
        found: dict[str, np.ndarray] = {}
        if {"flow_forward", "flow_backward"} & set(self.names):
            sharp = orient_frames(cut.crop.sharp, cut.orientation)
            found |= _flows(sharp[::-1] if cut.is_reversed else sharp)
        if set(_RATES) & set(self.names):
            found |= self._rates(record, cut)
        found["is_linear"] = np.array(record["transfer"] == "linear")
        return [np.array(found[name], np.float32, order="C") for name in self.names]

    def _rates(self, record: Record, cut: Cut) -> dict[str, np.ndarray]:
        _check_colour(record)
        spikes, exposure = cut.spikes, cut.crop.exposure
        if cut.is_reversed:  # an instant between frames is counted forwards
            spikes = spikes[::-1, ::-1]
        around = _spike_frames(exposure, cut.crop.instant)
        self._check_window(around, spikes.shape[1], record)
        window = self.tfp_window
        firsts = around - window // 2
        short = np.stack(
            [
                frames[first : first + window].mean(axis=0, dtype=np.float32)
                for frames, first in zip(spikes, firsts, strict=True)
            ]
        )
        long = np.empty((len(short), 1, *short.shape[1:]), np.float32)
        cut.fill_grids(long)
        return {
            "rate_short": short[::-1] if cut.is_reversed else short,
            "rate_long": long[:, 0],
        }

    def _check_window(self, around: np.ndarray, length: int, record: Record) -> None:
        """Raises a ValueError unless windows around spike frames are inside a cut."""
        half = self.tfp_window // 2
        room = int(min(around.min(), length - 1 - around.max()))
        if room < half:
            shorter = f"{2 * room + 1} at most, or " if room >= 0 else ""
            raise ValueError(
                f"loss.tfp_window={self.tfp_window} around a sharp instant reaches "
                f"beyond the {length} spike frames that are cut of an exposure of clip "
                f"{record['name']}; take {shorter}a data.spikes.margin that is larger "
                f"by {half - room}."
            )


def _check_colour(record: Record) -> None:
    if record["cfa"] != "none":
        raise ValueError(
            f"Clip {record['name']} has spikes behind the colour filters "
            f"{record['cfa']}, which the losses reblur and spike_rate do not take; "
            "set their weights to 0."
        )


def _spike_frames(exposure: np.ndarray, instant: np.ndarray) -> np.ndarray:
    """The spike frames (T,) at instants relative to their exposures (T, 2)."""
    half = (exposure[:, 1] - exposure[:, 0]) / 2
    # Relative instants are float32: what is whole stays so.
    return np.round(exposure.mean(axis=1) + half * instant, 3).astype(int)


def _flows(sharp: np.ndarray) -> dict[str, np.ndarray]:
    """Flow of frames (T, H, W, 3) uint8 by OpenCV's DIS, preset medium, in grey."""
    luma = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in sharp]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pairs = list(zip(luma[:-1], luma[1:], strict=True))
    return {
        "flow_forward": np.stack([search.calc(a, b, None) for a, b in pairs]),
        "flow_backward": np.stack([search.calc(b, a, None) for a, b in pairs]),
    }
