"""Spike consistency: what both cameras recorded of the light that was restored.

Light is compared in the space in which the spike camera integrated it: where that was
linear light, frames, which are gamma-coded, are decoded first. It is compared on the
spike camera's pixels, of which the frames' are means. The factor from spike rates to
light is matched clip by clip to the blurred frames, so threshold and gain need not be
known. Pixels whose spikes are saturated, around the instant or in all of the exposure,
do not count.
"""

import jax.numpy as jnp
from einops import reduce
from jaxtyping import Array, Float

from vrt_spike_jax.losses.pair import compared, magnitude
from vrt_spike_jax.models.closed_form import DARK_LIGHT
from vrt_spike_jax.models.spike_encoder import (
    SATURATED,
    grey_at_spikes,
    match_gain,
    spike_scale_of,
)

# Of coded light, as data_pipeline.transfer has it.
GAMMA = 2.2


def reblur(
    prediction: Float[Array, "..."],
    blur: Float[Array, "..."],
    rate_short: Float[Array, "..."],
    rate_long: Float[Array, "..."],
    is_linear: Float[Array, "..."],
) -> Float[Array, ""]:
    """Mean absolute difference of the prediction, blurred again, to the blurred frame.

    One sharp instant cannot be averaged over its exposure. The spikes say what the
    average would change: with S the light around the sharp instant and L that of the
    whole exposure, the blurred frame is the sharp one times L / S, colour by colour
    (S-SDM, NeurIPS 2024). The light of the dark, 0.01 of white, is added to all four,
    and (prediction L) is compared with (blur S), divided by the larger of L and S:
    where the exposure is darker than its instant, that is the prediction blurred again
    against the blurred frame; elsewhere, the prediction against the blurred frame made
    sharp. So no noise of the spikes is amplified; what there is of it stays as an error
    of sharp frames. Of colours that change in the exposure spikes know nothing.

    Args:
      prediction: (B, T, H, W, 3), RGB, coded as pictures are.
      blur: the blurred frames, of the same shape.
      rate_short: (B, T, h, w), spikes per spike frame around the sharp instant.
      rate_long: the same, of the whole exposure.
      is_linear: (B,), 1 where the spikes integrated linear light, else 0.

    Raises:
      ValueError: shapes other than these.
    """
    prediction, blur = _light(prediction, blur, rate_short, is_linear)
    gain = match_gain(rate_long[:, :, None].astype(blur.dtype), blur)
    scale = spike_scale_of(rate_short[:, :, None].shape, blur.shape)
    short, long = (
        _of_clips(gain) * rate.astype(blur.dtype) + DARK_LIGHT
        for rate in (rate_short, rate_long)
    )
    restored, blurred = (_on_spike_pixels(x, scale) for x in (prediction, blur))
    restored, blurred = restored + DARK_LIGHT, blurred + DARK_LIGHT
    difference = restored * long[..., None] - blurred * short[..., None]
    off = magnitude(difference) / jnp.maximum(short, long)[..., None]
    return _mean(jnp.mean(off, axis=-1), rate_short, rate_long)


def spike_rate(
    prediction: Float[Array, "..."],
    blur: Float[Array, "..."],
    rate_short: Float[Array, "..."],
    rate_long: Float[Array, "..."],
    is_linear: Float[Array, "..."],
    *,
    tfp_window: int,
) -> Float[Array, ""]:
    """How far the expected spike rate of the prediction is off the recorded one.

    The grey light of the prediction, which the spike camera sees, against its rates
    around the sharp instant times the gain, in units of white. A camera that integrates
    fires within one spike of what the light expects, so that a window of w spike frames
    tells a rate to 1 / w: only what is further away counts. The rate is the mean of the
    window, which is to be short against the motion.

    Args:
      prediction: (B, T, H, W, 3), RGB, coded as pictures are.
      blur: the blurred frames, of the same shape, which the gain is matched to.
      rate_short: (B, T, h, w), spikes per spike frame around the sharp instant.
      rate_long: the same, of the whole exposure.
      is_linear: (B,), 1 where the spikes integrated linear light, else 0.
      tfp_window: spike frames that `rate_short` is the mean of.

    Raises:
      ValueError: shapes other than these.
    """
    prediction, blur = _light(prediction, blur, rate_short, is_linear)
    gain = _of_clips(match_gain(rate_long[:, :, None].astype(blur.dtype), blur))
    scale = spike_scale_of(rate_short[:, :, None].shape, blur.shape)
    expected = grey_at_spikes(prediction, scale)
    off = magnitude(expected - gain * rate_short.astype(blur.dtype))
    return _mean(jnp.maximum(off - gain / tfp_window, 0), rate_short, rate_long)


def _light(
    prediction: Float[Array, "..."],
    blur: Float[Array, "..."],
    rates: Float[Array, "..."],
    is_linear: Float[Array, "..."],
) -> tuple[Float[Array, "b t H W 3"], Float[Array, "b t H W 3"]]:
    """Both clips in the space in which the spikes integrated; checks the shapes."""
    prediction, blur = compared(prediction, blur)
    shape = prediction.shape
    if prediction.ndim != 5 or shape[-1] != 3 or rates.ndim != 4:
        raise ValueError(
            "spike losses take clips (batch, frames, height, width, 3), RGB, and rates "
            f"(batch, frames, height, width); got {shape} and {rates.shape}."
        )
    decode = is_linear.reshape(-1, 1, 1, 1, 1) > 0
    # No light is below none.
    decoded = (jnp.maximum(x, 0) ** GAMMA for x in (prediction, blur))
    first, second = (
        jnp.where(decode, light, x)
        for light, x in zip(decoded, (prediction, blur), strict=True)
    )
    return first, second


def _mean(
    values: Float[Array, "b t h w"],
    rate_short: Float[Array, "b t h w"],
    rate_long: Float[Array, "b t h w"],
) -> Float[Array, ""]:
    """The mean over the pixels whose spikes are not saturated; 0 where all are."""
    counted = jnp.maximum(rate_short, rate_long) <= SATURATED
    total = jnp.sum(jnp.where(counted, values, 0))
    return total / jnp.maximum(jnp.sum(counted, dtype=jnp.int32), 1)


def _of_clips(gain: Float[Array, " b"]) -> Float[Array, "b 1 1 1"]:
    return gain[:, None, None, None]


def _on_spike_pixels(
    frames: Float[Array, "b t H W c"], scale: int
) -> Float[Array, "b t h w c"]:
    pattern = "b t (h y) (w x) c -> b t h w c"
    return reduce(frames, pattern, "mean", y=scale, x=scale)
