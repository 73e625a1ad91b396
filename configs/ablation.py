"""What each fusion is worth: several trainings on one budget, compared in one table.

python launch.py --mode=ablate --config=configs/ablation.py          # by the hardware
python launch.py --mode=ablate --config=configs/ablation.py:smoke    # minutes on a CPU
"""

from ml_collections import ConfigDict

from configs import base

# Name of a variant -> the file of configs/ it starts from, and what differs from that.
VARIANTS = {
    "baseline": "baseline",
    "concat": "concat",
    "cross_attn": "cross_attn",
    "channel_attn": "channel_attn",
    "film": "film",
    "guided_alignment": "guided_alignment",  # on top of SpyNet
    "guided_alignment_alone": "guided_alignment model.alignment=spikes",
    # Where the spikes are fused; the others fuse at both places.
    "cross_attn_encoder": "cross_attn model.fusion_places=encoder",
    "cross_attn_skips": "cross_attn model.fusion_places=skips",
    # What becomes of the spikes; the others are given the charge.
    "cross_attn_voxel": "cross_attn data.spikes.representation=voxel",
    "cross_attn_time_surface": "cross_attn data.spikes.representation=time_surface",
    "cross_attn_raw": "cross_attn data.spikes.representation=raw",
}


def get_config(recipe: str = "") -> ConfigDict:
    """The defaults, which are the budget of every training, and what is compared."""
    config = base.get_config(recipe)
    config.name = "ablation"
    config.ablation = ConfigDict(
        {
            # Those of the table below that are trained. One that is not in the table is
            # spelt out: 'NAME FILE [KEY=VALUE ...]', as in 'long film model.remat=()'.
            "variants": tuple(VARIANTS),
            "table": VARIANTS,
            "seeds": (0, 1, 2),  # each variant is trained once with each
            "baseline": "baseline",  # the variant that gains are over
        }
    )
    return config
