"""Named models: the published configurations and the one for a laptop."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from vrt_spike_jax.models.fusion import FUSIONS
from vrt_spike_jax.models.guided_alignment import ALIGNMENTS
from vrt_spike_jax.models.vrt import VRT
from vrt_spike_jax.models.vrt_spike import PLACES, VRTSpike
from vrt_spike_jax.official_tasks import TASKS

# Exactly what the official test program gives its constructor for each task.
_SUPER_RESOLUTION = {
    "upscale": 4,
    "window_size": (8, 8, 8),
    "depths": (8,) * 7 + (4,) * 6,
    "indep_reconsts": (11, 12),
    "embed_dims": (120,) * 7 + (180,) * 6,
    "num_heads": (6,) * 13,
}
_REDS_6 = {
    **_SUPER_RESOLUTION,
    "img_size": (6, 64, 64),
    "window_size": (6, 8, 8),
    "pa_frames": 2,
    "deformable_groups": 12,
}
_REDS_16 = {
    **_SUPER_RESOLUTION,
    "img_size": (16, 64, 64),
    "pa_frames": 6,
    "deformable_groups": 24,
}
_VIMEO_7 = {
    **_SUPER_RESOLUTION,
    "img_size": (8, 64, 64),
    "pa_frames": 4,
    "deformable_groups": 16,
}
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
_DENOISE = {**_DEBLUR, "nonblind_denoising": True}
_INTERPOLATE = {
    "upscale": 1,
    "out_chans": 3,
    "img_size": (4, 192, 192),
    "window_size": (4, 8, 8),
    "depths": (8,) * 7 + (4,) * 4,
    "indep_reconsts": (),
    "embed_dims": (96,) * 7 + (120,) * 4,
    "num_heads": (6,) * 11,
    "pa_frames": 0,
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
# Arguments of VRT by variant: the official tasks by their numbers; `deblur`, which is
# that of 005, 006 and 007; and `tiny`, for a laptop.
VARIANTS: dict[str, dict[str, Any]] = {
    "001": _REDS_6,
    "002": _REDS_16,
    "003": _VIMEO_7,
    "004": _VIMEO_7,
    "005": _DEBLUR,
    "006": _DEBLUR,
    "007": _DEBLUR,
    "008": _DENOISE,
    "009": _INTERPOLATE,
    "deblur": _DEBLUR,
    "tiny": _TINY,
}

# Arguments of VRTSpike that go with a variant, where they are not the defaults.
_SPIKE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "tiny": {
        "spike_features": (12, 16, 16, 16),
        "fusion_heads": 4,
        "fusion_window": 4,
        "alignment_features": 12,
    },
}


def nearest_name(
    name: str, names: list[str], what: str, *, other: list[str] | None = None
) -> str:
    """A sentence that rejects `name`, lists the valid names and proposes the nearest.

    `other` names are valid too, and proposed, but not listed.
    """
    close = difflib.get_close_matches(name, names + (other or []), n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {what} {name!r}; valid: {', '.join(sorted(names))}.{hint}"


def variant_of(name: str) -> str:
    """The key of VARIANTS for a key, or for the official name of a task.

    Raises:
      ValueError: it is neither; the nearest name is named.
    """
    official = {task.name: number for number, task in TASKS.items()}
    if name in official:
        return official[name]
    if name not in VARIANTS:
        raise ValueError(
            nearest_name(name, list(VARIANTS), "variant", other=list(official))
        )
    return name


def create_model(
    name: str, *, fusion: str = "none", **overrides: Any
) -> VRT | VRTSpike:
    """Builds a named model.

    Args:
      name: a key of VARIANTS, or an official name, such as
        '006_VRT_videodeblurring_GoPro'.
      fusion: how spikes are fused, a key of FUSIONS, or 'none'.
      **overrides: arguments of VRT and VRTSpike. Where none of them uses spikes, the
        model is VRT on RGB alone, and takes arguments of VRT alone.

    Raises:
      ValueError: an unknown variant, fusion or argument; the nearest one is named.
    """
    variant = variant_of(name)
    if fusion not in ("none", *FUSIONS):
        raise ValueError(nearest_name(fusion, ["none", *FUSIONS], "fusion"))
    places = overrides.get("fusion_places", "both")
    if places not in PLACES:
        raise ValueError(nearest_name(places, list(PLACES), "fusion_places"))
    alignment = overrides.get("alignment", "spynet")
    if alignment not in ALIGNMENTS:
        raise ValueError(nearest_name(alignment, list(ALIGNMENTS), "alignment"))
    takes_spikes = (
        fusion != "none"
        or alignment != "spynet"
        or overrides.get("closed_form_input", False)
    )
    vrt_names = _argument_names(VRT)
    spike_names = _argument_names(VRTSpike) if takes_spikes else []
    for argument in overrides:
        if argument not in vrt_names and argument not in spike_names:
            valid = vrt_names + spike_names
            raise ValueError(nearest_name(argument, valid, "model argument"))
    own = {key: value for key, value in overrides.items() if key in vrt_names}
    vrt = VRT(**VARIANTS[variant] | {"has_spynet": alignment != "spikes"} | own)
    if not takes_spikes:
        return vrt
    spike = _SPIKE_ARGUMENTS.get(variant, {}) | {
        k: v for k, v in overrides.items() if k in spike_names
    }
    return VRTSpike(vrt=vrt, fusion=fusion, **spike)


def _argument_names(module: type) -> list[str]:
    internal = {"parent", "name", "vrt", "fusion"}
    names = [field.name for field in dataclasses.fields(module)]
    return [name for name in names if name not in internal]
