"""VRT and spikes, joined by windowed cross-attention: the main job.

python launch.py --config=configs/cross_attn.py          # sized by the hardware
python launch.py --config=configs/cross_attn.py:smoke    # one minute on a CPU
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults with cross-attention fusion; recipes as in base.py."""
    return base.get_fusion_config("cross_attn", recipe)
