"""VRT whose neighbouring frames are aligned by the spikes, on top of SpyNet.

python launch.py --config=configs/guided_alignment.py          # sized by the hardware
python launch.py --config=configs/guided_alignment.py:smoke    # one minute on a CPU

Nothing else is fused: what it gains, alignment gains. With another fusion:
--config=configs/cross_attn.py --config.model.alignment=spikes_on_spynet; in the place
of SpyNet, whose cost is then gone: --config.model.alignment=spikes.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults with alignment by spikes; recipes as in base.py."""
    config = base.get_config(recipe)
    config.name = "guided_alignment"
    config.model.fusion = "none"
    config.model.alignment = "spikes_on_spynet"
    config.optimizer.groups = (
        ("guided_alignment/(.*/)?(flow_proj/.*|offset_proj_.*)", "proj"),
        *config.optimizer.groups,
    )
    return config
