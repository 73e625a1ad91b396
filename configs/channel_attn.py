"""VRT and spikes, joined by attention between channels, linear in the pixels.

python launch.py --config=configs/channel_attn.py          # sized by the hardware
python launch.py --config=configs/channel_attn.py:smoke    # one minute on a CPU
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults with channel attention; recipes as in base.py."""
    return base.get_fusion_config("channel_attn", recipe)
