"""Structural similarity of frames: two published forms, all pixels or a mask's."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num, Shaped

from vrt_spike_jax.metrics.gaussian import WINDOW, volume_blur, window_blur
from vrt_spike_jax.metrics.protocol import (
    DATA_RANGE,
    Protocol,
    compared_frames,
    compared_pixels,
    luma,
)
from vrt_spike_jax.metrics.quantise import frame_pair
from vrt_spike_jax.models.variants import nearest_name

# 'gaussian': BasicSR's. 'volumetric': what MATLAB's ssim makes of an RGB array, whose
# colours it takes for a third dimension of space.
FORMS = ("gaussian", "volumetric")
_C1 = (0.01 * DATA_RANGE) ** 2
_C2 = (0.03 * DATA_RANGE) ** 2


def ssim(
    prediction: Num[Array | np.ndarray, "..."], target: Num[Array | np.ndarray, "..."]
) -> Float[Array, ""]:
    """Mean over the frames of each frame's SSIM: RGB, 8-bit rounded.

    Wang et al. 2004 in BasicSR's form: a Gaussian window of 11x11 pixels, sigma 1.5,
    only where it lies inside the frame, per channel, K1 = 0.01, K2 = 0.03.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8; H and W at least 11.
      target: the same shape.

    Returns:
      A float32 scalar, 1 for identical frames.

    Raises:
      ValueError: shapes, types or values other than these.
    """
    prediction, target = frame_pair(prediction, target)
    _require_window(prediction)
    return _mean_over_frames(prediction, target)


def frame_ssim(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    *,
    form: str = "gaussian",
    protocol: Protocol | None = None,
    mask: Shaped[Array | np.ndarray, "..."] | None = None,
) -> Float[np.ndarray, " n"]:
    """SSIM of each frame: not for use inside jit.

    Args:
      prediction: (..., H, W, 3), float in [0, 1] or uint8; H and W at least 11 within
        the border.
      target: the same shape.
      form: 'gaussian' as `ssim`: each colour by itself, only where the window lies
        inside the frame. 'volumetric' as MATLAB's ssim of an RGB array: a window of
        11x11x11 over both directions and the colours, borders repeated.
      protocol: None for the default one: RGB, rounded, no border cut.
      mask: (..., H, W), which pixels count, as centres of windows; None for all.

    Returns:
      A float64 value for each frame, leading axes folded into one; NaN for a frame of
      which the mask leaves no window.

    Raises:
      ValueError: shapes, types or values other than these, an unknown form, or the
        volumetric form of Y, which has no colours.
    """
    protocol = protocol or Protocol()
    if form not in FORMS:
        raise ValueError(nearest_name(form, list(FORMS), "form of SSIM"))
    if form == "volumetric" and protocol.colour == "y":
        raise ValueError(
            "the volumetric SSIM is one of RGB; take the form 'gaussian' for Y."
        )
    prediction, target = compared_frames(prediction, target, protocol)
    _require_window(prediction)
    pixels = compared_pixels(mask, prediction, protocol)
    totals, counts = _row_sums(
        prediction,
        target,
        pixels,
        volumetric=form == "volumetric",
        colour=protocol.colour,
    )
    with np.errstate(invalid="ignore"):
        total = np.asarray(totals).astype(np.float64).sum(axis=1)
        return total / np.asarray(counts).astype(np.float64).sum(axis=1)


def similarity(
    x: Float[Array, "h w c"], y: Float[Array, "h w c"], *, volumetric: bool = False
) -> tuple[Float[Array, "h2 w2 c"], Float[Array, "h2 w2 c"]]:
    """The two factors of SSIM at each window: of luminance, and of structure.

    Args:
      x: values 0...255.
      y: the same shape.
      volumetric: whether windows also reach over the colours, and over the border.
    """
    blur = volume_blur if volumetric else window_blur
    # Variances do not depend on the origin. From each frame's own level the squares are
    # small, which keeps E[x^2] - E[x]^2 exact enough in float32; whole numbers keep the
    # shift itself exact.
    axes = (0, 1, 2) if volumetric else (0, 1)
    level_x, level_y = (
        jnp.round(jnp.mean(v, axis=axes, keepdims=True)) for v in (x, y)
    )
    x, y = x - level_x, y - level_y
    variance_x, variance_y, variance_difference = (
        blur(jnp.square(v)) - jnp.square(blur(v)) for v in (x, y, x - y)
    )
    mean_x, mean_y = blur(x) + level_x, blur(y) + level_y
    # 2ab + c = a^2 + b^2 + c - (a - b)^2 makes both factors one minus an error, which
    # float32 resolves also where the frames are nearly equal.
    luminance = 1.0 - jnp.square(mean_x - mean_y) / (
        jnp.square(mean_x) + jnp.square(mean_y) + _C1
    )
    structure = 1.0 - variance_difference / (variance_x + variance_y + _C2)
    return luminance, structure


def _require_window(frames: Float[Array, "n h w 3"]) -> None:
    height, width = frames.shape[1:3]
    if min(height, width) < WINDOW:
        raise ValueError(
            f"SSIM needs frames of at least {WINDOW}x{WINDOW} pixels, the size of "
            f"its window; got {height}x{width}."
        )


@jax.jit
def _mean_over_frames(
    prediction: Float[Array, "n h w 3"], target: Float[Array, "n h w 3"]
) -> Float[Array, ""]:
    def of_frame(frames: tuple[Array, Array]) -> Float[Array, ""]:
        luminance, structure = similarity(*frames)
        return jnp.mean(luminance * structure)

    # One frame at a time: the working set of a long video would not fit in memory.
    return jnp.mean(jax.lax.map(of_frame, (prediction, target)))


@jax.jit(static_argnames=("volumetric", "colour"))
def _row_sums(
    prediction: Float[Array, "n h w 3"],
    target: Float[Array, "n h w 3"],
    pixels: Bool[Array, "n h w"],
    *,
    volumetric: bool,
    colour: str,
) -> tuple[Float[Array, "n h2"], Num[Array, "n h2"]]:
    """Sums of SSIM over each row's windows, and how many values they are of."""
    margin = 0 if volumetric else WINDOW // 2

    def of_frame(
        inputs: tuple[Array, Array, Array],
    ) -> tuple[Float[Array, " h2"], Num[Array, " h2"]]:
        *pair, inside = inputs
        x, y = (luma(frame) if colour == "y" else frame for frame in pair)
        luminance, structure = similarity(x, y, volumetric=volumetric)
        height, width = inside.shape
        inside = inside[margin : height - margin, margin : width - margin]
        values = jnp.where(inside[..., None], luminance * structure, 0.0)
        count = jnp.sum(inside, axis=1, dtype=jnp.int32) * x.shape[-1]
        return jnp.sum(values, axis=(1, 2)), count

    totals, counts = jax.lax.map(of_frame, (prediction, target, pixels))
    return totals, counts
