"""Named models: what create_model builds, and what it says of wrong names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from configs.require import takes_spikes
from vrt_spike_jax import VARIANTS, VRT, VRTSpike, create_model
from vrt_spike_jax.models.fusion import FUSIONS
from vrt_spike_jax.models.guided_alignment import ALIGNMENTS

SUPER_RESOLUTION = {
    "upscale": 4,
    "depths": (8,) * 7 + (4,) * 6,
    "indep_reconsts": (11, 12),
    "embed_dims": (120,) * 7 + (180,) * 6,
    "num_heads": (6,) * 13,
}
OTHERS = {
    "upscale": 1,
    "depths": (8,) * 7 + (4,) * 4,
    "embed_dims": (96,) * 7 + (120,) * 4,
    "num_heads": (6,) * 11,
}
# vrt_spec.md section 3: img_size, window_size, other arguments, parameters.
OFFICIAL = {
    "001": ((6, 64, 64), (6, 8, 8), {"pa_frames": 2, "deformable_groups": 12}),
    "002": ((16, 64, 64), (8, 8, 8), {"pa_frames": 6, "deformable_groups": 24}),
    "003": ((8, 64, 64), (8, 8, 8), {"pa_frames": 4, "deformable_groups": 16}),
    "005": (
        (6, 192, 192),
        (6, 8, 8),
        {"pa_frames": 2, "deformable_groups": 16, "indep_reconsts": (9, 10)},
    ),
    "008": (
        (6, 192, 192),
        (6, 8, 8),
        {
            "pa_frames": 2,
            "deformable_groups": 16,
            "indep_reconsts": (9, 10),
            "nonblind_denoising": True,
        },
    ),
    "009": (
        (4, 192, 192),
        (4, 8, 8),
        {"pa_frames": 0, "out_chans": 3, "indep_reconsts": ()},
    ),
}
PARAMETERS = {
    "001": 30_676_435,
    "002": 35_134_783,
    "003": 32_577_991,
    "005": 18_320_007,
    "008": 18_320_871,
    "009": 9_943_387,
}
SAME = {"004": "003", "006": "005", "007": "005", "deblur": "005"}


@pytest.mark.parametrize("number", OFFICIAL)
def test_official_tasks_have_exactly_the_official_arguments(number):
    img_size, window_size, rest = OFFICIAL[number]
    common = SUPER_RESOLUTION if number < "005" else OTHERS
    assert VARIANTS[number] == {
        **common,
        "img_size": img_size,
        "window_size": window_size,
        **rest,
    }


def test_tasks_of_one_architecture_share_it():
    for number, other in SAME.items():
        assert VARIANTS[number] == VARIANTS[other]
    assert {*OFFICIAL, *SAME, "tiny"} == set(VARIANTS)


@pytest.mark.parametrize("number", PARAMETERS)
def test_official_tasks_have_the_published_number_of_parameters(number):
    model = create_model(number)
    # Interpolation alone has weights that depend on the number of frames.
    frames = model.min_frames
    channels = 3 + int(model.nonblind_denoising)
    clip = jax.ShapeDtypeStruct((1, frames, 64, 64, channels), np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), clip)["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count == PARAMETERS[number]


def test_variants_build_with_and_without_spikes():
    for name in VARIANTS:
        assert isinstance(create_model(name), VRT)
        fused = create_model(name, fusion="cross_attn", dtype=jnp.bfloat16)
        assert isinstance(fused, VRTSpike)
        assert fused.vrt.dtype == jnp.bfloat16
        assert fused.vrt == create_model(name, dtype=jnp.bfloat16)
        assert (fused.takes_spikes, fused.vrt.takes_spikes) == (True, False)
        assert fused.min_size == fused.vrt.min_size


@pytest.mark.parametrize("closed_form_input", (False, True))
@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("fusion", ("none", *FUSIONS))
def test_configurations_know_which_models_take_spikes(
    fusion, alignment, closed_form_input
):
    """The configurations cannot ask the package, and so have the rule once more."""
    config = base.get_config("tiny")
    own = {"alignment": alignment, "closed_form_input": closed_form_input}
    config.model.update(fusion=fusion, **own)
    if takes_spikes(config.model):
        assert create_model("tiny", fusion=fusion, **own).takes_spikes
        return
    # VRT alone, which has no such arguments.
    assert not create_model("tiny", fusion=fusion).takes_spikes
    with pytest.raises(ValueError, match="unknown model argument"):
        create_model("tiny", fusion=fusion, **own)


def test_official_names_are_taken():
    model = create_model("008_VRT_videodenoising_DAVIS", qkv_bias=False)
    assert model == create_model("008", qkv_bias=False)
    assert model.nonblind_denoising and not model.qkv_bias
    fused = create_model("006_VRT_videodeblurring_GoPro", fusion="cross_attn")
    assert fused.vrt == create_model("deblur")


def test_overrides_go_where_they_belong():
    model = create_model(
        "tiny", fusion="cross_attn", fusion_window=8, drop_path_rate=0.5
    )
    assert (model.fusion_window, model.vrt.drop_path_rate) == (8, 0.5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tyni",), "unknown variant 'tyni'; valid: .*Did you mean 'tiny'"),
        (("06",), "valid: 001, .*Did you mean '006'"),
        (
            ("006_VRT_videodeblurring_GOPRO",),
            "Did you mean '006_VRT_videodeblurring_GoPro'",
        ),
        (("tiny", {"fusion": "crossattn"}), "Did you mean 'cross_attn'"),
        (("tiny", {"embed_dim": 3}), "Did you mean 'embed_dims'"),
        (
            ("tiny", {"fusion": "cross_attn", "fusion_places": "skip"}),
            "unknown fusion_places 'skip'; valid: .*Did you mean 'skips'",
        ),
        (("tiny", {"fusion_window": 8}), "unknown model argument 'fusion_window'"),
    ],
)
def test_unknown_names_point_to_the_nearest(arguments, sentence):
    name, *rest = arguments
    with pytest.raises(ValueError, match=sentence):
        create_model(name, **(rest[0] if rest else {}))
