"""VRT whose frames and spikes are aligned by the spikes, on top of SpyNet.

python launch.py --config=configs/guided_alignment.py          # sized by the hardware
python launch.py --config=configs/guided_alignment.py:smoke    # one minute on a CPU

The flow that the spikes tell warps the neighbours' pictures, their features and their
spikes, and what is aligned is fused as by film.py. In the place of SpyNet, whose cost
is then gone: --config.model.alignment=spikes. With another fusion:
--config.model.fusion=concat.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults with alignment by spikes; recipes as in base.py."""
    config = base.get_fusion_config("film", recipe)
    config.name = "guided_alignment"
    config.model.alignment = "spikes_on_spynet"
    config.model.aligned_spikes = True
    projections, *others = config.optimizer.groups
    config.optimizer.groups = (
        projections,
        # At the rate of the rest a flow that is learnt from scratch runs off the frame.
        ("(.*/)?spynet/.*|guided_alignment/.*", "flow"),
        *others,
    )
    return config
