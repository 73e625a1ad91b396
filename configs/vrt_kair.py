"""VRT alone, with the optimisation that its authors trained it with for deblurring.

python launch.py --config=configs/vrt_kair.py:deblur \\
    --config.train.pretrained=spynet_sintel_final-3d2a1287.pth

SpyNet begins with its published weights. It and the deformable convolutions are kept
as they are for 20,000 steps, and learn at an eighth of the rate then. Numbers from
https://github.com/cszn/KAIR, options/vrt/006_train_vrt_videodeblurring_gopro.json; the
data is that of base.py, or --config.data.sets.
"""

from ml_collections import ConfigDict

from configs import baseline

_FROZEN = {"deblur": 20_000, "tiny": 20, "smoke": 3}  # steps


def get_config(recipe: str = "") -> ConfigDict:
    """The configuration of baseline.py as VRT was trained; recipes as in base.py."""
    config = baseline.get_config(recipe)
    config.name = "vrt_kair"
    config.loss.charbonnier.epsilon = 1e-9**0.5  # the square is what is added there
    config.loss.focal_frequency.weight = 0.0
    config.optimizer.update(
        learning_rate=4e-4,
        warmup_steps=0,
        end_factor=1e-7 / 4e-4,
        weight_decay=0.0,
        grad_clip_norm=1e6,  # none there
        groups=(("spynet/.*|.*deform.*", "flow"), (".*", "main")),
    )
    config.optimizer.factors.flow = 0.125
    config.optimizer.frozen_steps.flow = _FROZEN[config.recipe]
    return config
