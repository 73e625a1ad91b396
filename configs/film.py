"""VRT, its features scaled and shifted pixel by pixel as the spikes tell.

python launch.py --config=configs/film.py          # sized by the hardware
python launch.py --config=configs/film.py:smoke    # one minute on a CPU
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults with conditional normalisation; recipes as in base.py."""
    return base.get_fusion_config("film", recipe)
