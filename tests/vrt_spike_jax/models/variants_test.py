"""Named models: what create_model builds, and what it says of wrong names."""

import jax.numpy as jnp
import pytest

from vrt_spike_jax import VARIANTS, VRT, VRTSpike, create_model


def test_variants_build_with_and_without_spikes():
    for name in VARIANTS:
        assert isinstance(create_model(name), VRT)
        fused = create_model(name, fusion="cross_attn", dtype=jnp.bfloat16)
        assert isinstance(fused, VRTSpike)
        assert fused.vrt.dtype == jnp.bfloat16
        assert fused.vrt == create_model(name, dtype=jnp.bfloat16)
        assert (fused.takes_spikes, fused.vrt.takes_spikes) == (True, False)
        assert fused.min_size == fused.vrt.min_size


def test_overrides_go_where_they_belong():
    model = create_model("tiny", fusion="cross_attn", fusion_window=8, remat=True)
    assert (model.fusion_window, model.vrt.remat) == (8, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tyni",), "unknown variant 'tyni'; valid: .*Did you mean 'tiny'"),
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
