"""A small VRT of every official architecture, and official weights for it."""

import numpy as np

from vrt_spike_jax import VRT
from vrt_spike_jax.official_layout import vrt_layout

_SMALL = {
    "img_size": (4, 32, 32),
    "window_size": (2, 4, 4),
    "depths": (2,) * 7 + (1,) * 2,
    "indep_reconsts": (8,),
    "embed_dims": (12,) * 7 + (8,) * 2,
    "num_heads": (2,) * 9,
    "spynet_features": (2, 3, 4, 2),
}
MODELS = {
    "sr_pa2": VRT(**_SMALL, upscale=4, pa_frames=2, deformable_groups=2),
    "sr_pa4": VRT(**_SMALL, upscale=4, pa_frames=4, deformable_groups=2),
    "sr_pa6": VRT(**_SMALL, upscale=4, pa_frames=6, deformable_groups=3),
    "deblur": VRT(**_SMALL, upscale=1, pa_frames=2, deformable_groups=2),
    "denoise": VRT(
        **_SMALL, upscale=1, pa_frames=2, deformable_groups=2, nonblind_denoising=True
    ),
    "interpolate": VRT(**_SMALL, upscale=1, pa_frames=0),
}


def random_state_dict(model, *, buffers=True, seed=0):
    """Seeded weights in PyTorch layout, float32, with the buffers of the model."""
    rng = np.random.default_rng(seed)
    return {
        name: (
            rng.normal(size=entry.shape).astype(np.float32)
            if entry.buffer is None
            else entry.buffer.copy()
        )
        for name, entry in vrt_layout(model).items()
        if buffers or entry.buffer is None
    }
