"""Named models: the published configurations and the one for a laptop."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from vrt_spike_jax.models.fusion import FUSIONS
from vrt_spike_jax.models.vrt import VRT
from vrt_spike_jax.models.vrt_spike import PLACES, VRTSpike

_DEBLUR = {
    "upscale": 1,
    "img_size": (6, 192, 192),
    "window_size": (6, 8, 8),
    "depths": (8,) * 7 + (4,) * 4,
    "indep_reconsts": (9, 10),
    "embed_dims": (96,) * 7 + (120,) * 4,
    "num_heads": (6,) * 11,
    "pa_frames": 2,
    "deformable_groups": 16,
}
_TINY = {
    **_DEBLUR,
    "img_size": (4, 64, 64),
    "window_size": (4, 4, 4),
    "depths": (2,) * 7 + (1,) * 2,
    "indep_reconsts": (8,),
    "embed_dims": (16,) * 9,
    "num_heads": (2,) * 9,
    "deformable_groups": 1,
    "drop_path_rate": 0.0,
    "spynet_features": (4, 8, 8, 4),
}
# Arguments of VRT by variant; `deblur` has the published 18,320,007 parameters.
VARIANTS: dict[str, dict[str, Any]] = {"deblur": _DEBLUR, "tiny": _TINY}

# Arguments of VRTSpike that go with a variant.
_SPIKE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "deblur": {},
    "tiny": {
        "spike_features": (12, 16, 16, 16),
        "fusion_heads": 4,
        "fusion_window": 4,
    },
}


def nearest_name(name: str, names: list[str], what: str) -> str:
    """A sentence that rejects `name` and lists the valid ones, the nearest first."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {what} {name!r}; valid: {', '.join(sorted(names))}.{hint}"


def create_model(
    name: str, *, fusion: str = "none", **overrides: Any
) -> VRT | VRTSpike:
    """Builds a named model.

    Args:
      name: a key of VARIANTS.
      fusion: how spikes are fused, a key of FUSIONS, or 'none' for VRT on RGB alone.
      **overrides: arguments of VRT, or of VRTSpike when there is a fusion.

    Raises:
      ValueError: an unknown variant, fusion or argument; the nearest one is named.
    """
    if name not in VARIANTS:
        raise ValueError(nearest_name(name, list(VARIANTS), "variant"))
    if fusion not in ("none", *FUSIONS):
        raise ValueError(nearest_name(fusion, ["none", *FUSIONS], "fusion"))
    places = overrides.get("fusion_places", "both")
    if places not in PLACES:
        raise ValueError(nearest_name(places, list(PLACES), "fusion_places"))
    vrt_names = _argument_names(VRT)
    spike_names = [] if fusion == "none" else _argument_names(VRTSpike)
    for argument in overrides:
        if argument not in vrt_names and argument not in spike_names:
            valid = vrt_names + spike_names
            raise ValueError(nearest_name(argument, valid, "model argument"))
    vrt = VRT(**VARIANTS[name] | {k: v for k, v in overrides.items() if k in vrt_names})
    if fusion == "none":
        return vrt
    spike = _SPIKE_ARGUMENTS[name] | {
        k: v for k, v in overrides.items() if k in spike_names
    }
    return VRTSpike(vrt=vrt, fusion=fusion, **spike)


def _argument_names(module: type) -> list[str]:
    internal = {"parent", "name", "vrt", "fusion"}
    names = [field.name for field in dataclasses.fields(module)]
    return [name for name in names if name not in internal]
