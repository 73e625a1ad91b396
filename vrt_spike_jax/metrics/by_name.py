"""The metrics that an evaluation asks for by name, a value a frame, with protocols."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Num

from vrt_spike_jax.metrics.detail import (
    EDGE_GRADIENT,
    frame_edge_psnr,
    frame_high_frequency_psnr,
)
from vrt_spike_jax.metrics.gaussian import WINDOW
from vrt_spike_jax.metrics.lpips import LPIPSWeights, frame_lpips
from vrt_spike_jax.metrics.ms_ssim import SMALLEST, frame_ms_ssim
from vrt_spike_jax.metrics.protocol import Protocol
from vrt_spike_jax.metrics.psnr import frame_psnr
from vrt_spike_jax.metrics.ssim import frame_ssim
from vrt_spike_jax.metrics.warping_error import pair_warping_error
from vrt_spike_jax.models.variants import nearest_name

# Frames measured at a time: one shape for clips of every length, and bounded memory.
BATCH = 4

Frames = Num[Array | np.ndarray, "t h w 3"]
Values = Float[np.ndarray, " t"]


class Reference:
    """The sharp frames of a clip, and what metrics need of them, made once.

    Attributes:
      sharp: (T, H, W, 3), float in [0, 1] or uint8.
      moving: (T, H, W), which pixels move; None where that is not known.
      lpips: the weights of LPIPS, by network.
    """

    def __init__(
        self,
        sharp: Frames,
        *,
        moving: Bool[np.ndarray, "t h w"] | None = None,
        lpips: Mapping[str, LPIPSWeights] | None = None,
    ) -> None:
        self.sharp = sharp
        self.moving = moving
        self.lpips = lpips or {}

    @functools.cached_property
    def flows(self) -> tuple[np.ndarray, np.ndarray]:
        """The flow from each sharp frame to the next, and back."""
        from vrt_spike_jax.metrics import optical_flow

        return (
            optical_flow.clip_flow(self.sharp),
            optical_flow.clip_flow(self.sharp, backward=True),
        )


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric of an evaluation.

    Attributes:
      protocol: what it is of, in words, for the place where its number stands.
      measure: of the frames of a method and the reference, a value for each frame; NaN
        for a frame that has none.
      title: its column in a table.
      digits: after the decimal point there.
      partial: whether frames may be without a value.
      of_moving: whether it needs to know which pixels move.
      lpips: the network whose weights it needs; '' for none.
      smallest: height and width that frames need.
      fewest: frames that a clip needs.
    """

    protocol: str
    measure: Callable[[Frames, Reference], Values]
    title: str
    digits: int = 4
    partial: bool = False
    of_moving: bool = False
    lpips: str = ""
    smallest: int = 1
    fewest: int = 1


def metrics_named(names: Sequence[str]) -> dict[str, Metric]:
    """The metrics of these names.

    Raises:
      ValueError: one is unknown; the sentence names the nearest.
    """
    for name in names:
        if name not in METRICS:
            raise ValueError(nearest_name(name, list(METRICS), "metric"))
    return {name: METRICS[name] for name in names}


def require_measurable(
    metrics: Mapping[str, Metric], clip: str, shape: tuple[int, ...]
) -> None:
    """Checks, before anything is computed, that a clip has what metrics need.

    Args:
      metrics: by their names.
      clip: its name.
      shape: (frames, height, width, 3).

    Raises:
      ValueError: it has fewer or smaller frames than one of them needs.
    """
    frames, height, width = shape[:3]
    for name, metric in metrics.items():
        if frames < metric.fewest or min(height, width) < metric.smallest:
            raise ValueError(
                f"clip {clip} has {frames} frame(s) of {height}x{width}, but the "
                f"metric {name} needs at least {metric.fewest} of "
                f"{metric.smallest}x{metric.smallest}; leave it out of eval.metrics."
            )


def measure(
    metrics: Mapping[str, Metric], frames: Frames, reference: Reference
) -> dict[str, Values]:
    """A value for each metric and frame; not for use inside jit.

    Args:
      metrics: by their names; those of moving pixels are left out where the reference
        does not know which move.
      frames: of one clip, restored by one method: float in [0, 1] or uint8.
      reference: the sharp frames of the same shape.

    Returns:
      float64 by name; NaN for a frame that has no value. That of a pair of frames
      stands at the first of them.

    Raises:
      ValueError: shapes, types or values that a metric refuses.
    """
    frames = np.asarray(frames)
    return {
        name: metric.measure(frames, reference)
        for name, metric in metrics.items()
        if reference.moving is not None or not metric.of_moving
    }


def _in_batches(function: Callable[..., Any], *arrays: Any) -> Values:
    """A function of frames, a few at a time; what fills the last of them up is cut."""
    count = len(arrays[0])
    found = []
    for start in range(0, count, BATCH):
        parts = [_filled(np.asarray(array[start : start + BATCH])) for array in arrays]
        values = np.asarray(function(*parts)).astype(np.float64)
        found.append(values[: count - start])
    return np.concatenate(found)


def _filled(frames: np.ndarray) -> np.ndarray:
    rest = [(0, 0)] * (frames.ndim - 1)
    return np.pad(frames, [(0, BATCH - len(frames)), *rest], mode="edge")


def _of_frames(
    function: Callable[..., Any], **options: Any
) -> Callable[[Frames, Reference], Values]:
    def values(frames: Frames, reference: Reference) -> Values:
        return _in_batches(
            functools.partial(function, **options), frames, reference.sharp
        )

    return values


def _of_moving(function: Callable[..., Any]) -> Callable[[Frames, Reference], Values]:
    def values(frames: Frames, reference: Reference) -> Values:
        def masked(first: Any, second: Any, mask: Any) -> Any:
            return function(first, second, mask=mask)

        return _in_batches(masked, frames, reference.sharp, reference.moving)

    return values


def _lpips(net: str) -> Callable[[Frames, Reference], Values]:
    def values(frames: Frames, reference: Reference) -> Values:
        weights = reference.lpips[net]
        distance = functools.partial(frame_lpips, weights=weights)
        return _in_batches(distance, frames, reference.sharp)

    return values


def _at_first(pairs: np.ndarray, count: int, *, dropped: int = 0) -> Values:
    """Values of pairs of frames, each at the first of its pair."""
    found = np.full(count, np.nan)
    found[dropped : dropped + len(pairs)] = pairs
    return found


def _tof(frames: Frames, reference: Reference) -> Values:
    from vrt_spike_jax.metrics import temporal

    pairs = temporal.tof(frames, reference.sharp)
    return _at_first(pairs, len(frames), dropped=temporal.DROPPED)


def _tlp(frames: Frames, reference: Reference) -> Values:
    from vrt_spike_jax.metrics import temporal

    pairs = temporal.tlp(frames, reference.sharp, reference.lpips["alex"])
    return _at_first(pairs, len(frames), dropped=temporal.DROPPED)


def _e_warp(frames: Frames, reference: Reference) -> Values:
    return _at_first(pair_warping_error(frames, *reference.flows), len(frames))


def _e_warp_sharp(frames: Frames, reference: Reference) -> Values:
    return _e_warp(reference.sharp, reference)


_RGB = Protocol().describe()
_Y = Protocol(colour="y").describe()
_PSNR = "10 log10(255^2 / mean squared error) of each frame"
_SSIM = f"Gaussian window {WINDOW}x{WINDOW}, sigma 1.5, only inside, per channel"
_MOVING = "of the pixels that move by more than 2 pixels in the exposure"
_E_WARP = (
    "Lai et al. 2018: mean squared difference, in [0, 1], of successive frames warped "
    "onto each other, where not occluded; Farneback's flow of the sharp frames"
)
# What TecoGAN's measures need: 2 frames left out at each end, a middle of 32 pixels.
_TECOGAN: dict[str, Any] = {"partial": True, "fewest": 6, "smallest": 48}

METRICS: dict[str, Metric] = {
    "psnr": Metric(f"{_PSNR}; {_RGB}", _of_frames(frame_psnr), "PSNR [dB]", 2),
    "ssim": Metric(f"{_SSIM}; {_RGB}", _of_frames(frame_ssim), "SSIM", smallest=WINDOW),
    "psnr_moving": Metric(
        f"{_PSNR}, {_MOVING}; {_RGB}",
        _of_moving(frame_psnr),
        "moving [dB]",
        2,
        partial=True,
        of_moving=True,
    ),
    "ssim_moving": Metric(
        f"{_SSIM}, {_MOVING}; {_RGB}",
        _of_moving(frame_ssim),
        "SSIM",
        partial=True,
        of_moving=True,
        smallest=WINDOW,
    ),
    "psnr_y": Metric(
        f"{_PSNR}; {_Y}", _of_frames(frame_psnr, protocol=Protocol("y")), "PSNR-Y", 2
    ),
    "ssim_y": Metric(
        f"{_SSIM}; {_Y}",
        _of_frames(frame_ssim, protocol=Protocol("y")),
        "SSIM-Y",
        smallest=WINDOW,
    ),
    "ssim_volumetric": Metric(
        f"MATLAB's ssim of an RGB array: windows of {WINDOW}^3 over both directions "
        f"and the colours, borders repeated; {_RGB}",
        _of_frames(frame_ssim, form="volumetric"),
        "SSIM-3D",
        smallest=WINDOW,
    ),
    "ms_ssim": Metric(
        f"Wang et al. 2003, 5 scales, per channel; {_RGB}",
        _of_frames(frame_ms_ssim),
        "MS-SSIM",
        smallest=SMALLEST,
    ),
    "lpips": Metric(
        "LPIPS v0.1, AlexNet; RGB, rounded to 8 bits, no border cut",
        _lpips("alex"),
        "LPIPS",
        lpips="alex",
        smallest=31,
    ),
    "lpips_vgg": Metric(
        "LPIPS v0.1, VGG-16; RGB, rounded to 8 bits, no border cut",
        _lpips("vgg"),
        "LPIPS-VGG",
        lpips="vgg",
        smallest=16,
    ),
    "hf_psnr": Metric(
        f"PSNR of the luma less its mean under a Gaussian window {WINDOW}x{WINDOW}, "
        f"sigma 1.5, only inside; {_Y}",
        _of_frames(frame_high_frequency_psnr),
        "HF-PSNR",
        2,
        smallest=WINDOW,
    ),
    "edge_psnr": Metric(
        f"{_PSNR}, of the pixels where the sharp frame's Sobel gradient of Y is "
        f"{EDGE_GRADIENT:g} levels a pixel or more; {_RGB}",
        _of_frames(frame_edge_psnr),
        "edge PSNR",
        2,
        partial=True,
    ),
    "tof": Metric(
        "TecoGAN's code: mean length in pixels of the difference of Farneback's flows, "
        "2 frames left out at each end of a clip",
        _tof,
        "tOF",
        **_TECOGAN,
    ),
    "tlp": Metric(
        "TecoGAN: 100 times the difference of both clips' LPIPS (AlexNet) from frame "
        "to frame, 2 frames left out at each end of a clip",
        _tlp,
        "tLP",
        lpips="alex",
        **_TECOGAN,
    ),
    "e_warp": Metric(_E_WARP, _e_warp, "E_warp", 6, partial=True, fewest=2),
    "e_warp_sharp": Metric(
        f"{_E_WARP}; of the sharp frames themselves, beside which e_warp is read",
        _e_warp_sharp,
        "sharp E_warp",
        6,
        partial=True,
        fewest=2,
    ),
}
# Those that every evaluation has; the last two where it is known which pixels move.
MAIN = ("psnr", "ssim", "psnr_moving", "ssim_moving")
