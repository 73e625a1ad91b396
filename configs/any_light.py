"""VRT and spikes where threshold and light are not those of training.

python launch.py --config=configs/any_light.py          # sized by the hardware
python launch.py --config=configs/any_light.py:smoke    # one minute on a CPU

The model is given the charge of each pixel instead of counts of its spikes, and the
light of the blurred frame where spikes saturate; and it learns from clips of spike
cameras whose thresholds differ by a factor of 16 in all. What each of these gives
stands in docs/ablation.md.
"""

from ml_collections import ConfigDict

from configs import cross_attn


def get_config(recipe: str = "") -> ConfigDict:
    """The configuration of cross_attn.py under any light; recipes as in base.py."""
    config = cross_attn.get_config(recipe)
    config.name = "any_light"
    # Of the 16 spike frames that clips have beside their exposures: the other 8 are for
    # recordings that are late.
    config.data.spikes.update(representation="charge", margin=8)
    config.model.fill_saturated = True
    config.data.embedded.threshold_spread = 4.0
    return config
