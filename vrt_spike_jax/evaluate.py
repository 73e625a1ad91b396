"""Measures a model on held-out clips, beside the blurred input and the closed form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from vrt_spike_jax.metrics import LPIPSWeights
from vrt_spike_jax.metrics.by_name import (
    MAIN,
    Reference,
    measure,
    metrics_named,
    require_measurable,
)
from vrt_spike_jax.restore import restore_video
from vrt_spike_jax.restorer import Restorer, task_of
from vrt_spike_jax.scores import ClipScores, Row, rows_of

PROTOCOL = (
    "PSNR and SSIM on RGB rounded to 8 bits, all frames, no border cut, mean over the "
    "frames of all clips; SSIM: Gaussian 11x11, sigma 1.5, valid, per channel; moving: "
    "of the pixels alone that move by more than 2 pixels in the exposure, mean over "
    "the frames that have any"
)
METHODS = ("blurred", "closed_form", "model")

Show = Callable[[int, int], None]


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

    PSNR and SSIM, of all pixels and of those that move. What is written, continued and
    shared among processes is `evaluation_run`.

    Args:
      model: as for `restore_video`.
      params: its parameters.
      clips: as for `score_clip`.
      tile: as for `restore_video`.
      overlap: as for `restore_video`.
      tiling: as for `restore_video`.
      progress: shows a bar on stderr.

    Returns:
      The rows of `rows_of`, one for each of METHODS.

    Raises:
      ValueError: no clips, or as `require_evaluable` and `score_clip`.
    """
    require_clips(clips)
    require_evaluable(model)
    tiles = {"tile": tile, "overlap": overlap, "tiling": tiling}
    scores = []
    # Read by index: a clip is large, and is read only when its turn comes.
    with tqdm(
        total=len(clips), desc="evaluating", unit="clip", disable=not progress
    ) as bar:
        for clip in (clips[index] for index in range(len(clips))):
            scores.append(
                score_clip(
                    model, params, clip, metrics=MAIN, tiles=tiles, show=show_on(bar)
                )
            )
            bar.update()
    return rows_of(scores)


def require_clips(clips: Sequence[Any]) -> None:
    """Raises a ValueError where there is nothing to evaluate on."""
    if not len(clips):
        raise ValueError("there are no clips to evaluate on; the test split is empty.")


def show_on(bar: tqdm) -> Show:
    """What shows the progress within a clip beside that over the clips."""
    return lambda done, total: bar.set_postfix(tile=f"{done}/{total}")


def score_clip(
    model: Restorer,
    params: Any,
    clip: Mapping[str, Any],
    *,
    metrics: Sequence[str],
    tiles: Mapping[str, Any],
    lpips: Mapping[str, LPIPSWeights] | None = None,
    show: Show | None = None,
) -> ClipScores:
    """Measures one clip, restored by each of METHODS.

    The model goes through `restore_video`, the function that users call.

    Args:
      model: as for `restore_video`.
      params: its parameters.
      clip: a mapping of 'name'; 'blur', 'sharp' (T, H, W, 3) float RGB in [0, 1];
        'spikes' (T, K, h, w), 'tfp_short', 'tfp_long' (T, h, w) rates in spikes per
        spike frame; and, where it is known which pixels move, 'moving' (T, H, W) of
        bool. Or, of a clip without sharp frames, 'name' and 'blur' alone. For a model
        that takes an instant also 'latent': of other instants than that of 'sharp',
        mappings of 'at', what they are called, 'instant' (T,) in [-1, 1], and 'sharp',
        'tfp_short' and 'moving' as above.
      metrics: their names.
      tiles: 'tile', 'overlap' and 'tiling' as for `restore_video`.
      lpips: the weights of LPIPS by network, where a metric needs them.
      show: called with the tiles of the clip that are done, and all of them.

    Returns:
      A value for each frame, of each method and of 'METHOD AT' for each of 'latent';
      none at all of a clip without sharp frames.

    Raises:
      ValueError: another number of sharp frames than of blurred ones, or too few or
        too small ones for a metric.
    """
    name = str(clip["name"])
    frames = [str(number) for number in range(len(clip["blur"]))]
    if "sharp" not in clip:
        return ClipScores(name, frames, {})
    _check_clip(clip)
    chosen = metrics_named(metrics)
    require_measurable(chosen, name, clip["sharp"].shape)
    values = {}
    for shown in ({}, *clip.get("latent", ())):
        view = {**clip, **shown}
        reference = Reference(view["sharp"], moving=view.get("moving"), lpips=lpips)
        for method, restored in _methods(model, params, view, tiles, show):
            values[f"{method} {shown['at']}" if shown else method] = {
                metric: found.tolist()
                for metric, found in measure(chosen, restored, reference).items()
            }
    return ClipScores(name, frames, values)


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


def _methods(
    model: Restorer,
    params: Any,
    clip: Mapping[str, Any],
    tiles: Mapping[str, Any],
    show: Show | None,
) -> Iterator[tuple[str, Float[Array | np.ndarray, "t h w 3"]]]:
    """Each method's name and frames, made one after the other."""
    yield "blurred", clip["blur"]
    yield "closed_form", closed_form(clip["blur"], clip["tfp_short"], clip["tfp_long"])
    restored = restore_video(
        model,
        params,
        clip["blur"],
        clip["spikes"] if model.takes_spikes else None,
        **tiles,
        instants=clip["instant"][None] if "instant" in clip else None,
        progress=show,
    )
    yield "model", restored


def _check_clip(clip: Mapping[str, Any]) -> None:
    blur, sharp = clip["blur"], clip["sharp"]
    if blur.shape != sharp.shape:
        raise ValueError(
            f"clip {clip['name']} has blur {blur.shape} but sharp {sharp.shape}; "
            "evaluation needs one sharp frame for each blurred one."
        )
