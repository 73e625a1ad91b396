"""Evaluates a model on held-out clips beside baselines; the table and its file."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from vrt_spike_jax.atomic_file import replacing
from vrt_spike_jax.metrics import Averages, frame_psnr, frame_ssim, psnr, ssim
from vrt_spike_jax.restore import restore_video
from vrt_spike_jax.restorer import Restorer, task_of

PROTOCOL = (
    "PSNR and SSIM on RGB rounded to 8 bits, all frames, no border cut, mean over the "
    "frames of all clips; SSIM: Gaussian 11x11, sigma 1.5, valid, per channel; moving: "
    "of the pixels alone that move by more than 2 pixels in the exposure, mean over "
    "the frames that have any"
)
METHODS = ("blurred", "closed_form", "model")

Row = dict[str, Any]


def evaluate(
    model: Restorer,
    params: Any,
    clips: Sequence[Mapping[str, Any]],
    *,
    tile: Sequence[int],
    overlap: Sequence[int],
    tiling: str = "blended",
    progress: bool = False,
) -> list[Row]:
    """Measures the blurred input, the closed form and the model on the same frames.

    The model goes through `restore_video`, the function that users call.

    Args:
      model: as for `restore_video`.
      params: its parameters.
      clips: mappings of 'name'; 'blur', 'sharp' (T, H, W, 3) float RGB in [0, 1];
        'spikes' (T, K, h, w), 'tfp_short', 'tfp_long' (T, h, w) rates in spikes per
        spike frame; and, where it is known which pixels move, 'moving' (T, H, W) of
        bool.
      tile: as for `restore_video`.
      overlap: as for `restore_video`.
      tiling: as for `restore_video`.
      progress: shows a bar on stderr.

    Returns:
      A row for each of METHODS: 'method', 'psnr' [dB] and 'ssim' as means over the
      frames of all clips, and 'per_clip', a list of 'name', 'frames', 'psnr', 'ssim'.
      Where all clips say which pixels move, also 'psnr_moving' and 'ssim_moving', of
      these alone, and in 'per_clip' the '..._moving_frames' that have any; None where
      no pixel counts.

    Raises:
      ValueError: no clips, one without sharp frames, or as `require_evaluable`.
    """
    if not len(clips):
        raise ValueError("there are no clips to evaluate on; the test split is empty.")
    require_evaluable(model)
    options = {"tile": tile, "overlap": overlap, "tiling": tiling}
    scores: dict[str, list[Row]] = {method: [] for method in METHODS}
    # Read by index: a clip is large, and is read only when its turn comes.
    with tqdm(
        total=len(clips), desc="evaluating", unit="clip", disable=not progress
    ) as bar:
        for clip in (clips[index] for index in range(len(clips))):
            _check_clip(clip)
            for method, frames in _methods(model, params, clip, options, bar):
                scores[method].append(_score(clip, frames))
            bar.update()
    return [_row(method, per_clip) for method, per_clip in scores.items()]


@jax.jit
def closed_form(
    blur: Float[Array, "t h w 3"],
    tfp_short: Float[Array, "t h2 w2"],
    tfp_long: Float[Array, "t h2 w2"],
) -> Float[Array, "t h w 3"]:
    """Deblurs without learning: blur x TFP around the instant / TFP of the exposure.

    The spike model of deblurring of S-SDM (NeurIPS 2024). Both rates are brought to the
    size of the frames bilinearly, and the result is clipped to [0, 1]. A pixel whose
    exposure has no spike keeps its blurred value.

    Args:
      blur: RGB in [0, 1].
      tfp_short: rates around the instant of the sharp frame.
      tfp_long: rates over the whole exposure.
    """
    shape = blur.shape[:3]
    short, long = (
        jax.image.resize(rates, shape, "bilinear") for rates in (tfp_short, tfp_long)
    )
    ratio = jnp.where(long > 0, short / jnp.where(long > 0, long, 1.0), 1.0)
    return jnp.clip(blur * ratio[..., None], 0.0, 1.0)


def write_results(
    path: str | Path,
    rows: Sequence[Row],
    *,
    protocol: str | None = None,
    data: Mapping[str, Any] | None = None,
    config: Mapping[str, Any],
    step: int,
) -> None:
    """Writes results.json, whole or not at all.

    An infinite value, the PSNR of identical frames, is written as the string "inf",
    since JSON has no infinity; Python's float() reads it back.

    Args:
      path: of the file.
      rows: of `evaluate`.
      protocol: how the numbers were made; None for PROTOCOL.
      data: what they were made on; None for the clips' names and number of frames.
      config: the resolved configuration.
      step: training steps of the evaluated parameters.
    """
    results = {
        "rows": rows,
        "protocol": PROTOCOL if protocol is None else protocol,
        "data": _describe_clips(rows) if data is None else data,
        "config": config,
        "step": step,
        "versions": _versions(),
    }
    text = json.dumps(_without_infinity(results), indent=2, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def format_table(rows: Sequence[Row]) -> str:
    """The rows as an aligned table, with what each gains over the blurred input."""
    blurred = next((row for row in rows if row["method"] == "blurred"), None)
    columns = [("psnr", "PSNR [dB]", 2), ("ssim", "SSIM", 4)]
    columns += [
        (key, title, digits)
        for key, title, digits in (
            ("psnr_moving", "moving [dB]", 2),
            ("ssim_moving", "SSIM", 4),
        )
        if any(row.get(key) is not None for row in rows)
    ]
    lines = [["method"]]
    for _, title, _ in columns:
        lines[0] += [title, "gain"]
    for row in rows:
        cells = [str(row["method"])]
        for key, _, digits in columns:
            gain = 0.0 if blurred is None else row[key] - blurred[key]
            shown = blurred is not None and row is not blurred and math.isfinite(gain)
            cells += [f"{row[key]:.{digits}f}", f"{gain:+.{digits}f}" if shown else ""]
        lines.append(cells)
    widths = [
        max(len(line[column]) for line in lines) for column in range(len(lines[0]))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _methods(
    model: Restorer,
    params: Any,
    clip: Mapping[str, Any],
    options: Mapping[str, Any],
    bar: tqdm,
) -> Iterator[tuple[str, Float[Array | np.ndarray, "t h w 3"]]]:
    """Each method's name and frames, made one after the other."""
    yield "blurred", clip["blur"]
    yield "closed_form", closed_form(clip["blur"], clip["tfp_short"], clip["tfp_long"])
    restored = restore_video(
        model,
        params,
        clip["blur"],
        clip["spikes"] if model.takes_spikes else None,
        **options,
        progress=lambda done, total: bar.set_postfix(tile=f"{done}/{total}"),
    )
    yield "model", restored


def require_evaluable(model: Restorer) -> None:
    """Refuses a model whose output has no sharp frames to be compared with.

    Raises:
      ValueError: it changes the number or size of frames, or is told the noise level,
        which clips do not say.
    """
    if task_of(model).nonblind:
        raise ValueError(
            "this model is told the noise level, which the clips of the evaluation do "
            "not say; restore videos with it instead."
        )
    shape = (2, 8, 8, 3)
    made = task_of(model).restored_shape(shape)
    if made != shape:
        raise ValueError(
            "evaluation compares each restored frame with the sharp one of its blurred "
            f"frame, but this model makes {made[0]} frames of {made[1]}x{made[2]} from "
            f"{shape[0]} of {shape[1]}x{shape[2]}; restore videos with it instead."
        )


def _check_clip(clip: Mapping[str, Any]) -> None:
    blur, sharp = clip["blur"], clip["sharp"]
    if blur.shape != sharp.shape:
        raise ValueError(
            f"clip {clip['name']} has blur {blur.shape} but sharp {sharp.shape}; "
            "evaluation needs one sharp frame for each blurred one."
        )


def _score(
    clip: Mapping[str, Any], frames: Float[Array | np.ndarray, "t h w 3"]
) -> Row:
    """The numbers of one clip, restored by one method."""
    sharp = clip["sharp"]
    row = {
        "name": str(clip["name"]),
        "frames": len(frames),
        "psnr": float(psnr(frames, sharp)),
        "ssim": float(ssim(frames, sharp)),
    }
    if "moving" in clip:
        for name, metric in (("psnr", frame_psnr), ("ssim", frame_ssim)):
            values = metric(frames, sharp, mask=clip["moving"])
            found = Averages().add("", values)
            row[f"{name}_moving"] = found.over_frames() if found.frames else None
            row[f"{name}_moving_frames"] = found.frames
    return row


def _row(method: str, per_clip: list[Row]) -> Row:
    row: Row = {"method": method}
    keys = {"psnr": "frames", "ssim": "frames"}
    if all("psnr_moving" in clip for clip in per_clip):
        keys |= {key: f"{key}_frames" for key in ("psnr_moving", "ssim_moving")}
    for key, count in keys.items():
        row[key] = _mean_over_frames(per_clip, key, count)
    return row | {"per_clip": per_clip}


def _mean_over_frames(per_clip: Sequence[Row], key: str, count: str) -> float | None:
    """The mean of values that are each one of so many frames; None of none."""
    counted = [row for row in per_clip if row[count]]
    if not counted:
        return None
    frames = sum(row[count] for row in counted)
    return math.fsum(row[count] * row[key] for row in counted) / frames


def _describe_clips(rows: Sequence[Row]) -> dict[str, Any]:
    clips = rows[0]["per_clip"]
    return {
        "clips": [clip["name"] for clip in clips],
        "frames": sum(clip["frames"] for clip in clips),
    }


def _versions() -> dict[str, str]:
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    device = jax.devices()[0]
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "device": f"{device.platform}: {device.device_kind}",
    }


def _without_infinity(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _without_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(item) for item in value]
    return value
