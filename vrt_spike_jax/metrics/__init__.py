"""Image-quality metrics, pure functions of arrays."""

from vrt_spike_jax.metrics.psnr import psnr
from vrt_spike_jax.metrics.ssim import ssim

__all__ = ["psnr", "ssim"]
