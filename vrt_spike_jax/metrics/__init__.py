"""Image-quality metrics, pure functions of arrays; docs/metrics.md defines each.

`optical_flow` and `temporal`, which need OpenCV, are imported by their own names.
"""

from vrt_spike_jax.metrics.averages import Averages
from vrt_spike_jax.metrics.detail import (
    edge_mask,
    frame_edge_psnr,
    frame_high_frequency_psnr,
)
from vrt_spike_jax.metrics.lpips import LPIPSWeights, frame_lpips
from vrt_spike_jax.metrics.ms_ssim import frame_ms_ssim
from vrt_spike_jax.metrics.protocol import Protocol
from vrt_spike_jax.metrics.psnr import frame_psnr, psnr
from vrt_spike_jax.metrics.ssim import frame_ssim, ssim
from vrt_spike_jax.metrics.warping_error import occluded, pair_warping_error

__all__ = [
    "Averages",
    "LPIPSWeights",
    "Protocol",
    "edge_mask",
    "frame_edge_psnr",
    "frame_high_frequency_psnr",
    "frame_lpips",
    "frame_ms_ssim",
    "frame_psnr",
    "frame_ssim",
    "occluded",
    "pair_warping_error",
    "psnr",
    "ssim",
]
