"""VRT and spikes where threshold and light are not those of training.

python launch.py --config=configs/any_light.py          # sized by the hardware
python launch.py --config=configs/any_light.py:smoke    # two minutes on a CPU

The model is given the charge of each pixel, and the light of the blurred frame where
spikes saturate; and it learns from clips of spike cameras whose thresholds differ by a
factor of 16 in all. Its embedded clips are those of an exposure of 8 ms beside a spike
camera of 40 kHz, long enough that dim pixels fire in it at four times the threshold.
What each of these gives stands in docs/ablation.md.
"""

from ml_collections import ConfigDict

from configs import film


def get_config(recipe: str = "") -> ConfigDict:
    """The configuration of film.py under any light; recipes as in base.py."""
    config = film.get_config(recipe)
    config.name = "any_light"
    # Of the 16 spike frames that clips have beside their exposures: the other 8 are for
    # recordings that are late.
    config.data.spikes.margin = 8
    config.model.fill_saturated = True
    embedded = config.data.embedded
    # White fires in 1.4 of the spike frames at a quarter of the threshold, and 28 times
    # an exposure at four times of it.
    embedded.update(threshold_spread=4.0, exposure=321, period=360, gain=0.35)
    # A clip is six times as long in spike frames as those of the other configurations.
    embedded.train_clips = min(embedded.train_clips, 128)
    # It gains nothing here: 32.37 dB with it and without (docs/ablation.md).
    config.loss.focal_frequency.weight = 0.0
    return config
