"""SpikeEncoder3D: the spikes of each exposure as features at VRT's four scales.

The frames of a clip are folded into the batch and the convolutions run over the time
inside one exposure and over the pixels, so that the order of the spikes within an
exposure, which the blur has lost, is what the encoder reads.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange, reduce, repeat
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vrt_spike_jax.models.latent_instant import TimeCode
from vrt_spike_jax.models.spike_encoder_temporal import TemporalTransformer
from vrt_spike_jax.models.spynet import SCALES
from vrt_spike_jax.models.warping import resize_bilinear

# Weights of R, G, B in the grey value a spike camera integrates (ITU-R BT.601).
GREY = (0.299, 0.587, 0.114)
# A pixel that fires in more than this share of the spike frames of an exposure may have
# seen, in part of it, more light than it could report: it says nothing about the gain.
SATURATED = 0.7
# The least share of the energy of all rates that the others have to have: with less,
# what is left are pixels so dark that their few spikes say nothing either.
LEAST_ENERGY = 0.01
# What brings changes of light inside an exposure to the size of the learnt features.
_CHANGE_FACTOR = 4


def spike_scale_of(spikes_shape: tuple[int, ...], frames_shape: tuple[int, ...]) -> int:
    """RGB pixels per spike pixel, from the shapes (b,t,k,h,w) and (b,t,H,W,3).

    Raises:
      ValueError: the clips differ in b or t, or the sizes are not 1, 2 or 4 apart.
    """
    height, width = frames_shape[2:4]
    if tuple(spikes_shape[:2]) != tuple(frames_shape[:2]):
        raise ValueError(
            f"spikes {spikes_shape} and frames {frames_shape} must share batch and "
            "time: one voxel grid per frame."
        )
    for scale in (1, 2, 4):
        if (spikes_shape[3] * scale, spikes_shape[4] * scale) == (height, width):
            return scale
    raise ValueError(
        f"spikes are {spikes_shape[3]}x{spikes_shape[4]} for frames of {height}x{width}"
        "; frames must be exactly 1, 2 or 4 times as large: crop or resize one of them."
    )


def grey_at_spikes(
    blur: Float[Array, "b t H W 3"], spike_scale: int
) -> Float[Array, "b t h w"]:
    """The grey value of the frames, mean over the area of each spike pixel."""
    weights = jnp.asarray(GREY, blur.dtype)
    grey = jnp.matmul(blur, weights, precision="highest")
    pattern = "b t (h y) (w x) -> b t h w"
    return reduce(grey, pattern, "mean", y=spike_scale, x=spike_scale)


def match_gain(
    spikes: Float[Array, "b t k h w"], blur: Float[Array, "b t H W 3"]
) -> Float[Array, " b"]:
    """Factor that turns a clip's spike rates into its light, known or not.

    Least squares of the mean rate of each exposure against the grey blurred frame, both
    of which are the mean light of the exposure. Threshold, gain and illumination of the
    spike camera cancel. Pixels above SATURATED do not count, unless the others have
    less than LEAST_ENERGY of the energy. A clip without spikes gets 1.
    """
    rate = spikes.mean(2)
    grey = grey_at_spikes(blur, spike_scale_of(spikes.shape, blur.shape))
    axes = (1, 2, 3)
    counted = rate <= SATURATED
    energies = rate * rate
    energy = jnp.where(counted, energies, 0).sum(axes)
    enough = energy >= LEAST_ENERGY * energies.sum(axes)
    counted |= ~enough[:, None, None, None]
    energy = jnp.where(counted, energies, 0).sum(axes)
    product = jnp.where(counted, rate * grey, 0).sum(axes)
    return jnp.where(energy > 0, product / jnp.where(energy > 0, energy, 1), 1)


class Conv3D(nn.Module):
    """Convolution over (time, height, width), zero padded, time strided.

    Written as one 2-D convolution over the images of all times, with the taps in time
    laid side by side on the channels: on a CPU twice as fast as a 3-D one.
    """

    features: int
    kernel: tuple[int, int, int]
    time_stride: int = 1
    space_stride: int = 1
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n k h w c"]) -> Float[Array, "n k2 h2 w2 f"]:
        """Convolves; k2 = k / time_stride, h2 = h / space_stride."""
        taps, height, width = self.kernel
        pad = taps - self.time_stride
        times = x.shape[1] // self.time_stride
        x = jnp.pad(x, [(0, 0), (pad // 2, pad - pad // 2), (0, 0), (0, 0), (0, 0)])
        last = (times - 1) * self.time_stride + 1
        x = jnp.concatenate(
            [x[:, i : i + last : self.time_stride] for i in range(taps)], -1
        )
        return nn.Conv(
            self.features,
            (height, width),
            strides=self.space_stride,
            padding=[(height // 2, height // 2), (width // 2, width // 2)],
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )(x)


class ResidualBlock3D(nn.Module):
    """Two 3x3x3 convolutions added to their input."""

    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n k h w c"]) -> Float[Array, "n k h w c"]:
        """Keeps shape and channels."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        features = x.shape[-1]
        y = nn.gelu(Conv3D(features, (3, 3, 3), name="conv1", **dtypes)(x))
        return x + Conv3D(features, (3, 3, 3), name="conv2", **dtypes)(y)


class SpikeEncoder3D(nn.Module):
    """Conv3D pyramid over the spikes inside each exposure.

    `features`: widths at VRT's scales 1, 1/2, 1/4, 1/8; beside the learnt features of
    each scale stands one more, how the light changes in the exposure. `channels`:
    widths of the VRT stages the outputs go to. `time_strides`: temporal down-sampling
    of the stem's convolutions; the number of channels in time, such as voxel bins, must
    be a multiple of their product. `temporal_blocks`: transformer blocks along the time
    of each pixel behind the `blocks` of each scale, for long streams; `temporal_heads`
    must divide the features.
    """

    features: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    time_strides: tuple[int, ...] = (4, 2)
    blocks: int = 1
    temporal_blocks: int = 0
    temporal_heads: int = 4
    max_chunk: int = 2**20
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        light: Float[Array, "b t k h w"],
        *,
        spike_scale: int,
        side: Float[Array, "b t n h w"] | None = None,
        mean: Float[Array, "b t h w"] | None = None,
        instant: Float[Array, "b t"] | None = None,
    ) -> list[Float[Array, "b t s h2 w2 c"]]:
        """Encodes gain-matched spike rates.

        Args:
          light: spike rates times gain, in units of the frames' grey value, or another
            representation of the spikes with channels in time.
          spike_scale: RGB pixels per spike pixel.
          side: what is known of each pixel for the whole exposure, such as how far to
            trust it; seen beside the light at every time.
          mean: light of the whole exposure, where `light` is of another window.
          instant: that is asked for, in [-1, 1] relative to the exposure, where the
            features are to know it.

        Returns:
          One feature clip per VRT scale, each with the short sub-exposure time axis s.

        Raises:
          ValueError: the number of channels is no multiple of the temporal strides, or
            height or width of a coarser scale is no whole number.
        """
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        b = light.shape[0]
        x = rearrange(light, "b t k h w -> (b t) k h w 1").astype(self.dtype)
        bins = x.shape[1]
        total = 1
        for stride in self.time_strides:
            total *= stride
        if bins % total:
            raise ValueError(
                f"spikes have {bins} channels in time, such as voxel bins; the encoder "
                f"needs a multiple of {total}, the product of "
                f"time_strides={self.time_strides}."
            )
        first = SCALES.index(spike_scale)
        coarsest = SCALES[-1] // spike_scale
        if light.shape[3] % coarsest or light.shape[4] % coarsest:
            raise ValueError(
                f"spikes are {light.shape[3]}x{light.shape[4]}; the encoder needs "
                f"height and width to be multiples of {coarsest}."
            )
        # A small difference of large numbers: formed before precision is given up.
        change = _change_of_light(
            rearrange(light, "b t k h w -> (b t) k h w 1"),
            total,
            None if mean is None else rearrange(mean, "b t h w -> (b t) 1 h w 1"),
        )
        change = change.astype(self.dtype)
        if side is not None:
            still = repeat(side, "b t n h w -> (b t) k h w n", k=bins)
            x = jnp.concatenate([x, still.astype(self.dtype)], -1)
        for i, stride in enumerate(self.time_strides):
            stem = Conv3D(
                self.features[first],
                (stride, 3, 3),
                stride,
                name=f"stem_{i}",
                **dtypes,
            )
            x = nn.gelu(stem(x))
        if instant is not None:
            code = TimeCode(self.features[first], name="time_code", **dtypes)(instant)
            x = x + rearrange(code, "b t f -> (b t) 1 1 1 f")
        outputs = []
        for scale in range(first, len(SCALES)):
            if scale > first:
                down = Conv3D(
                    self.features[scale],
                    (3, 3, 3),
                    space_stride=2,
                    name=f"down_{scale}",
                    **dtypes,
                )
                x = nn.gelu(down(x))
            for i in range(self.blocks):
                x = ResidualBlock3D(name=f"block_{scale}_{i}", **dtypes)(x)
            x = self._attend_in_time(x, scale)
            outputs.append(_beside(x, change))
        # Scales finer than the spike camera see its finest features, enlarged.
        h, w = light.shape[3:]
        for finer in range(first):
            enlarge = spike_scale // SCALES[finer]
            finest = resize_bilinear(outputs[finer], h * enlarge, w * enlarge)
            outputs.insert(finer, finest)
        return [
            rearrange(self._project(x, scale), "(b t) s h w c -> b t s h w c", b=b)
            for scale, x in enumerate(outputs)
        ]

    def _attend_in_time(self, x: Array, scale: int) -> Array:
        for i in range(self.temporal_blocks):
            block = TemporalTransformer(
                self.temporal_heads,
                max_chunk=self.max_chunk,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"temporal_{scale}_{i}",
            )
            x = block(x)
        return x

    def _project(self, x: Array, scale: int) -> Array:
        # No normalisation here: how bright a pixel is, is what the features carry.
        return nn.Dense(
            self.channels[scale],
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=f"project_{scale}",
        )(x)


def _change_of_light(
    light: Float[Array, "n k h w 1"],
    bins: int,
    mean: Float[Array, "n 1 h w 1"] | None,
) -> Float[Array, "n s h w 1"]:
    """Mean light of each `bins` bins, less that of the whole exposure.

    What blurs is what changes within the exposure. Single bins hold so few spikes that
    untrained convolutions over them pass on more of the camera's noise than of it.
    """
    means = reduce(light, "n (s k) h w c -> n s h w c", "mean", k=bins)
    if mean is None:
        mean = means.mean(1, keepdims=True)
    return _CHANGE_FACTOR * (means - mean)


def _beside(
    features: Float[Array, "n s h2 w2 f"], change: Float[Array, "n s h w 1"]
) -> Float[Array, "n s h2 w2 f1"]:
    """The features, and the change of light at their scale as one more."""
    factor = change.shape[2] // features.shape[2]
    change = reduce(
        change, "n s (h y) (w x) c -> n s h w c", "mean", y=factor, x=factor
    )
    return jnp.concatenate([features, change], -1)
