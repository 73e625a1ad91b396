"""VRT on the blurred RGB alone: what the spikes are compared with.

python launch.py --config=configs/baseline.py          # sized by the hardware
python launch.py --config=configs/baseline.py:smoke    # one minute on a CPU
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults without spikes; recipes as in base.py."""
    config = base.get_config(recipe)
    config.name = "baseline"
    config.model.fusion = "none"
    return config
