"""VRT whose frames and spikes are aligned by the spikes, on top of SpyNet.

python launch.py --config=configs/guided_alignment.py          # sized by the hardware
python launch.py --config=configs/guided_alignment.py:smoke    # one minute on a CPU

The flow that the spikes tell warps the neighbours' pictures, their features and their
spikes, and what is aligned is concatenated. Without the spikes, so that all it gains is
the alignment's: --config.model.fusion=none --config.model.aligned_spikes=False. In the
place of SpyNet, whose cost is then gone: --config.model.alignment=spikes. With another
fusion: --config.model.fusion=cross_attn.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults with alignment by spikes; recipes as in base.py."""
    config = base.get_config(recipe)
    config.name = "guided_alignment"
    config.model.fusion = "concat"
    config.model.alignment = "spikes_on_spynet"
    config.model.aligned_spikes = True
    config.optimizer.groups = (
        ("fusion_.*/proj/.*", "proj"),
        ("guided_alignment/(.*/)?(flow_proj/.*|offset_proj_.*)", "proj"),
        *config.optimizer.groups,
    )
    return config
