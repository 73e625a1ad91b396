"""The spikes of a recorded video: each frame's own exposure out of a stream."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from data_pipeline import spike_sidecar
from data_pipeline.exposure import exposure_windows
from data_pipeline.gain_match import gain_of, gain_sums
from data_pipeline.noise_maps import NoiseMaps, long_rate_of_parts, maps_of_rate
from data_pipeline.records import SPIKE_SCALES, check_exposure
from data_pipeline.spike_files import SpikeStream, open_spikes
from data_pipeline.spike_input import SpikeInput
from data_pipeline.stream_check import require_size_as_said, require_spikes
from data_pipeline.transfer import to_spike_space

# What has to be known of a .dat, and how launch.py is told.
_FLAGS = {
    "height": "--spike_height",
    "width": "--spike_width",
    "flip": "--spike_flip (true where rows are stored bottom-up, as cameras do)",
    "exposure": "--exposure=FIRST,LENGTH,PERIOD in spike frames",
}


_FRAMES_AT_ONCE = 4
# Noise maps are estimated from so many spike frames, in which most pixels of a sensor
# in the dark fire 18 times. More would take longer and change little.
_MAP_FRAMES = 4096
_PART = 64  # spike frames that are unpacked at once for them


class Frames(Protocol):
    """A video that is read by slices, such as `video_files.VideoReader`."""

    def __getitem__(self, key: slice, /) -> np.ndarray:
        """Frames (t, H, W, 3), uint8 or float in [0, 1]."""
        ...


class Recording:
    """The spikes of a video's exposures, as a model takes them, slice by slice.

    Attributes:
        shape: (T, C, h, w): frames of the video, channels of an exposure, spike pixels.
        transfer: in which the spikes integrated, 'gamma', 'linear' or unknown.
    """

    def __init__(
        self,
        dat_path: str | Path,
        *,
        num_frames: int,
        height: int,
        width: int,
        spike_input: SpikeInput,
        blur: Frames | None = None,
        spike_scale: int | None = None,
        spike_height: int | None = None,
        spike_width: int | None = None,
        flip: bool | None = None,
        bit_order: str | None = None,
        layout: str | None = None,
        key: str | None = None,
        exposure: tuple[int, int, int] | None = None,
        trust_size: bool | None = None,
    ) -> None:
        """Opens a recording and checks that it fits the video.

        What is not given is taken from the .json beside the recording. Other files than
        a .dat know their size, and have their rows top-down where flip is not given.

        Args:
            dat_path: of the .dat.
            num_frames: T, frames of the RGB video.
            height: of the RGB video, in pixels.
            width: of the RGB video, in pixels.
            spike_input: what becomes of the spikes.
            blur: the RGB video, where the gain is matched: one gain for all of it.
            spike_scale: RGB pixels per spike pixel that the model was trained for;
                None takes any.
            spike_height: spike pixels.
            spike_width: spike pixels.
            flip: whether the file stores the rows bottom-up, as cameras do.
            bit_order: 'little' or 'big', see SpikeDat; without a .json, 'little'.
            layout: what cameras store beside the pixels, a name in LAYOUTS of
                spike_dat; without a .json, 'plain'.
            key: of the stream in an .npz or .h5 that holds several.
            exposure: start of the first exposure, its length, and the period from one
                start to the next, in spike frames.
            trust_size: whether spike_height and spike_width are right though the
                pictures look as if they were swapped.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the geometry or the exposures are not known, do not fit the
                file, the video or the representation; height and width look swapped,
                there is no spike at all, or blur is missing.
        """
        if not Path(dat_path).is_file():
            raise FileNotFoundError(f"There is no spike file {dat_path}.")
        given = {
            "height": spike_height,
            "width": spike_width,
            "flip": flip,
            "bit_order": bit_order,
            "layout": layout,
            "exposure": exposure,
        }
        is_dat = Path(dat_path).suffix.lower() == ".dat"
        needed = tuple(_FLAGS) if is_dat else ("exposure",)
        facts = _facts(dat_path, given, needed)
        if not is_dat:
            self._stream = _open(dat_path, facts, key)
            facts |= dict(zip(("height", "width"), self._stream.shape[1:], strict=True))
        size = (facts["height"], facts["width"])
        _check_scale(size, (height, width))
        _check_trained(dat_path, height // size[0], spike_scale)
        self._windows = _windows(facts["exposure"], exposure, num_frames, dat_path)
        if is_dat:
            self._stream = _open(dat_path, facts, key)
        _check_windows(self._windows, len(self._stream), dat_path)
        spike_input.check_exposures(
            self._windows, len(self._stream), source=str(dat_path)
        )
        require_spikes(self._stream, dat_path)
        is_said = (spike_height, spike_width) != (None, None)
        if is_dat and is_said and not trust_size:
            require_size_as_said(
                dat_path,
                *size,
                insist="add --spike_trust_size=true",
                bit_order=facts["bit_order"],
                layout=facts["layout"],
            )
        self.shape = (num_frames, spike_input.num_channels, *size)
        self.transfer = str(facts["transfer"])
        self._input = spike_input
        self._maps = self._estimate_maps() if spike_input.low_light else None
        self._gain = 1.0
        if spike_input.matches_gain:
            self._gain = self._match_gain(blur)

    def __getitem__(self, key: slice) -> np.ndarray:
        """Returns the channels (t, C, h, w) of frames, float32."""
        windows = self._windows[key]
        channels = np.empty((len(windows), *self.shape[1:]), np.float32)
        for number, (spikes, window) in enumerate(self._cut(windows)):
            channels[number : number + 1] = self._input.of_exposures(
                spikes, window, gain=self._gain, maps=self._maps
            )
        return channels

    def _cut(self, windows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields of each window its spikes with their margin, and the window there."""
        margin = self._input.margin
        for start, end in windows.astype(np.float64):
            # What the representation allows to end before its margin was checked.
            first = max(int(np.floor(start)) - margin, 0)
            spikes = self._stream[first : int(np.ceil(end)) + margin]
            yield spikes, np.array([[start - first, end - first]])

    def _estimate_maps(self) -> NoiseMaps:
        """Noise maps of the spike frames in the middle of those of the video."""
        first = int(self._windows[0, 0]) - self._input.margin
        last = int(np.ceil(self._windows[-1, 1])) + self._input.margin
        spare = max(last - first - _MAP_FRAMES, 0)
        first, last = first + spare // 2, last - (spare - spare // 2)
        starts = tqdm(range(first, last, _PART), desc="mapping the noise", delay=2)
        parts = (self._stream[at : min(at + _PART, last)] for at in starts)
        return maps_of_rate(long_rate_of_parts(parts))

    def _match_gain(self, blur: Frames | None) -> float:
        """One gain for the whole video: slices with gains of their own would show."""
        if blur is None:
            raise ValueError(
                f"The normalisation {self._input.normalisation} matches the spikes "
                "with the blurred video, which is missing."
            )
        sums = np.zeros((2, 2))
        starts = range(0, len(self._windows), _FRAMES_AT_ONCE)
        for start in tqdm(starts, desc="matching the gain", delay=2):
            some = slice(start, start + _FRAMES_AT_ONCE)
            rates = [
                next(self._input.rates(spikes, window, maps=self._maps))
                for spikes, window in self._cut(self._windows[some])
            ]
            frames = to_spike_space(blur[some], self.transfer)
            sums += gain_sums(np.stack(rates), frames)
        return gain_of(sums)


def load_spikes(dat_path: str | Path, **options: Any) -> np.ndarray:
    """Returns the channels (T, C, h, w) of all frames of a video, float32.

    Args and errors are those of Recording.
    """
    return Recording(dat_path, **options)[:]


def _open(
    dat_path: str | Path, facts: Mapping[str, Any], key: str | None
) -> SpikeStream:
    return open_spikes(
        dat_path,
        height=facts.get("height"),
        width=facts.get("width"),
        flip=facts.get("flip"),
        bit_order=facts["bit_order"],
        layout=facts["layout"],
        key=key,
    )


def _facts(
    dat_path: str | Path, given: Mapping[str, Any], needed: Collection[str]
) -> dict[str, Any]:
    """Merges what was given with the .json beside the recording."""
    facts = spike_sidecar.merge_facts(dat_path, given, needed=needed)
    flags = [_FLAGS[name] for name in needed if name not in facts]
    if flags:
        raise ValueError(
            f"{dat_path} does not say how it is to be read and there is no "
            f"{spike_sidecar.sidecar_path(dat_path).name} beside it; pass "
            f"{', '.join(flags)}."
        )
    return facts


def _check_scale(spike_size: tuple[int, int], size: tuple[int, int]) -> None:
    def fits(height: int, width: int) -> bool:
        return any((height * s, width * s) == size for s in SPIKE_SCALES)

    height, width = spike_size
    if not fits(height, width):
        swapped = " Were height and width swapped?" if fits(width, height) else ""
        raise ValueError(
            f"The spikes are {height}x{width} (height x width) and the video is "
            f"{size[0]}x{size[1]}; the video must be 1, 2 or 4 times as high and as "
            f"wide as the spikes.{swapped}"
        )


def _check_trained(dat_path: str | Path, found: int, trained: int | None) -> None:
    if trained not in (None, found):
        raise ValueError(
            f"one spike pixel of {dat_path} covers {found} RGB pixels each way, but "
            f"the model was trained for {trained}; train one with "
            f"--config.data.spike_scale={found}, or resize the video."
        )


def _check_windows(windows: np.ndarray, total: int, dat_path: str | Path) -> None:
    if windows[-1, 1] > total:
        raise ValueError(
            f"{dat_path} holds {total} spike frames, but the exposure of the last of "
            f"{len(windows)} video frames ends at {windows[-1, 1]:g}; check the "
            "exposures, and that this video was recorded with these spikes."
        )
    check_exposure(windows, total)


def _windows(
    listed: Any,
    exposure: tuple[int, int, int] | None,
    num_frames: int,
    dat_path: str | Path,
) -> np.ndarray:
    """Returns the exposure windows (T, 2) of the frames, in spike frames."""
    if exposure is not None:
        first, length, period = exposure
        return exposure_windows(
            num_frames, first_start=first, exposure=length, period=period
        )
    if len(listed) != num_frames:
        raise ValueError(
            f"{spike_sidecar.sidecar_path(dat_path)} lists {len(listed)} exposures, "
            f"but the video has {num_frames} frames; give the video that was recorded "
            "with these spikes, or pass --exposure=FIRST,LENGTH,PERIOD."
        )
    return np.asarray(listed, np.float32)
