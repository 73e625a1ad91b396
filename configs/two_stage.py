"""Spikes learn beside a VRT that is kept as it is; then all learn together.

python -m vrt_spike_jax.pretrained 006_VRT_videodeblurring_GoPro.pth vrt006 --task=006
python launch.py --config=configs/two_stage.py:deblur --config.train.pretrained=vrt006

It begins with weights of VRT: those, or on a laptop those of configs/baseline.py:

python launch.py --config=configs/baseline.py:tiny
python launch.py --config=configs/two_stage.py:tiny \\
    --config.train.pretrained=runs/baseline_tiny

Stage one trains spike encoder and fusions, at less cost a step; from `_HAND_OVER` on
stage two trains all, VRT at a tenth of the rate. What that saves: docs/training.md.
"""

from ml_collections import ConfigDict

from configs import cross_attn

_HAND_OVER = {"deblur": 60_000, "tiny": 140, "smoke": 3}  # the last step of stage one


def get_config(recipe: str = "") -> ConfigDict:
    """The configuration of cross_attn.py in two stages; recipes as in base.py."""
    config = cross_attn.get_config(recipe)
    config.name = "two_stage"
    config.optimizer.groups = (
        ("fusion_.*/proj/.*", "proj"),
        ("vrt/(spynet|(.*/)?pa_deform)/.*", "vrt_flow"),
        ("vrt/.*", "vrt"),
        (".*", "main"),
    )
    config.optimizer.factors.update(vrt=0.1, vrt_flow=0.0125)
    steps = _HAND_OVER[config.recipe]
    config.optimizer.frozen_steps.update(vrt=steps, vrt_flow=steps)
    return config
