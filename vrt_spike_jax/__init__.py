"""VRT-Spike-JAX: restores blurred video with the help of a spike camera."""

from vrt_spike_jax.metrics.psnr import psnr
from vrt_spike_jax.metrics.ssim import ssim
from vrt_spike_jax.models.variants import VARIANTS, create_model
from vrt_spike_jax.models.vrt import VRT
from vrt_spike_jax.models.vrt_spike import VRTSpike
from vrt_spike_jax.official_files import load_pretrained
from vrt_spike_jax.official_weights import convert_vrt_state_dict, to_vrt_state_dict
from vrt_spike_jax.restore import restore_frames, restore_video

__all__ = [
    "VARIANTS",
    "VRT",
    "VRTSpike",
    "convert_vrt_state_dict",
    "create_model",
    "load_pretrained",
    "psnr",
    "restore_frames",
    "restore_video",
    "ssim",
    "to_vrt_state_dict",
]
