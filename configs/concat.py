"""VRT and spikes, concatenated and mixed by 1x1 convolutions: the simplest fusion.

python launch.py --config=configs/concat.py          # sized by the hardware
python launch.py --config=configs/concat.py:smoke    # one minute on a CPU
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults with concatenation; recipes as in base.py."""
    return base.get_fusion_config("concat", recipe)
