"""VRT, its features scaled and shifted pixel by pixel as the spikes tell.

python launch.py --config=configs/film.py          # sized by the hardware
python launch.py --config=configs/film.py:smoke    # one minute on a CPU
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults with conditional normalisation; recipes as in base.py."""
    config = base.get_config(recipe)
    config.name = "film"
    config.model.fusion = "film"
    config.data.spikes.representation = "charge"
    config.optimizer.groups = (
        ("fusion_.*/proj/.*", "proj"),
        *config.optimizer.groups,
    )
    return config
