"""VRTSpike: VRT with the features of a spike camera fused into stages and skips."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vrt_spike_jax.models.alignment import FlowPair, beside_neighbours
from vrt_spike_jax.models.closed_form import ClosedFormInput, confidence
from vrt_spike_jax.models.fusion import FUSIONS
from vrt_spike_jax.models.guided_alignment import ALIGNMENTS, GuidedAlignment
from vrt_spike_jax.models.latent_instant import around_instant
from vrt_spike_jax.models.saturation import fill_saturated
from vrt_spike_jax.models.spike_encoder import (
    SpikeEncoder3D,
    match_gain,
    spike_scale_of,
)
from vrt_spike_jax.models.spynet import SCALES
from vrt_spike_jax.models.vrt import (
    ALIGNED_STAGES,
    ENCODER_PLACES,
    INPUT_PLACE,
    SKIP_PLACES,
    VRT,
    Guides,
)

# Name of a choice of places -> place: index of its scale.
PLACES = {
    "encoder": ENCODER_PLACES,
    "skips": SKIP_PLACES,
    "both": {**ENCODER_PLACES, **SKIP_PLACES},
}
# Spikes per spike frame that a calibrated camera reports in the dark (98 Hz at 20 kHz).
DARK_RATE = 0.0049


class VRTSpike(nn.Module):
    """Restores a blurred clip with the spikes recorded during its exposures.

    `fusion`: a name in FUSIONS, or 'none'. `fusion_places`: before the TMSA groups of
    the 'encoder' stages, at the decoder's 'skips', or 'both'. `matches_gain`: the
    spikes are rates of unknown threshold, gain and light, and are brought to the light
    of the frames here; without it they are taken as they come. `fill_saturated`: where
    they fire in every spike frame, the light is what the blurred frame leaves for it;
    they must then be rates in equal parts of the exposure. `side_channels`: how
    many of their last channels say something of the whole exposure and are no rates,
    such as the confidence of the low-light noise suppression. `dark_confidence`: the
    encoder is told how far each pixel's rate is above the dark. `closed_form_input`:
    the first features are told the closed form of deblurring; the spikes must then be
    light, or rates whose gain is matched here, in equal parts of the exposure.
    `alignment`: what aligns neighbouring frames, a name in ALIGNMENTS; for 'spikes',
    `vrt` has no SpyNet. `alignment_features`: width of the alignment by spikes.
    `aligned_spikes`: the fusion sees, beside the spikes of each exposure, those of the
    neighbouring frames, warped by the flows that align these.
    `takes_instant`: the model can be asked for any instant of the exposures, and the
    window of the spikes moves with it; they must be in equal parts of the exposure.
    `time_code`: the encoder is told the instant as well. The other fields are those of
    SpikeEncoder3D and the fusion.
    The parameters of `vrt` stand under that name, exactly as VRT names them.
    """

    vrt: VRT
    fusion: str = "cross_attn"
    fusion_places: str = "both"
    spike_features: tuple[int, int, int, int] = (32, 64, 96, 96)
    time_strides: tuple[int, ...] = (4, 2)
    encoder_blocks: int = 1
    temporal_blocks: int = 0
    fusion_heads: int = 6
    fusion_window: int = 8
    matches_gain: bool = True
    fill_saturated: bool = False
    side_channels: int = 0
    dark_confidence: bool = False
    closed_form_input: bool = False
    alignment: str = "spynet"
    alignment_features: int = 32
    aligned_spikes: bool = False
    takes_instant: bool = False
    time_code: bool = False

    takes_spikes = True

    @property
    def size_multiple(self) -> int:
        """What height and width must be multiples of."""
        return self.vrt.size_multiple

    @property
    def min_size(self) -> int:
        """Smallest height and width."""
        return self.vrt.min_size

    @property
    def min_frames(self) -> int:
        """Fewest frames."""
        return self.vrt.min_frames

    def setup(self) -> None:
        """Builds encoder and fusions with the precision of `vrt`."""
        precision: dict[str, Any] = {
            "dtype": self.vrt.dtype,
            "param_dtype": self.vrt.param_dtype,
        }
        if self.closed_form_input:
            self.closed_form = ClosedFormInput(self.vrt.embed_dims[0], **precision)
        self._setup_alignment()
        if self.time_code and (self.fusion == "none" or not self.takes_instant):
            raise ValueError(
                "time_code=True tells the spike encoder the instant, so it needs a "
                f"fusion and takes_instant=True; got fusion={self.fusion!r} and "
                f"takes_instant={self.takes_instant}."
            )
        if self.fusion == "none":
            return
        first, second, third, fourth = self.vrt.embed_dims[: len(SCALES)]
        self.spike_encoder = SpikeEncoder3D(
            self.spike_features,
            (first, second, third, fourth),
            self.time_strides,
            self.encoder_blocks,
            self.temporal_blocks,
            max_chunk=self.vrt.max_chunk,
            **precision,
        )
        fusion = FUSIONS[self.fusion]
        self.fusions = {
            place: fusion(
                num_heads=self.fusion_heads,
                window=self.fusion_window,
                max_chunk=self.vrt.max_chunk,
                name=f"fusion_{place}",
                **precision,
            )
            for place in PLACES[self.fusion_places]
        }

    def __call__(
        self,
        blur: Float[Array, "b t H W c"],
        spikes: Float[Array, "b t k h w"],
        train: bool = False,
        *,
        spike_gain: Float[Array, " b"] | None = None,
        instant: Float[Array, "b t"] | None = None,
    ) -> Float[Array, "b t2 H2 W2 3"]:
        """Restores a clip.

        Args:
          blur: blurred RGB frames in [0, 1]; for non-blind denoising a fourth channel
            holds the noise level.
          spikes: per frame, the spike rate (spikes per spike frame) in each bin of its
            own exposure, or another representation with channels in time, and then
            the side channels; h = H / spike_scale.
          train: whether stochastic depth is on (needs the `dropout` generator).
          spike_gain: turns rates into light; by default `match_gain` of this clip.
            Only for a model that matches the gain.
          instant: that the sharp frames are to show, relative to the exposure of each:
            -1 at its start, 0 in its middle, 1 at its end; by default the middle. Only
            for a model that takes an instant.

        Returns:
          The sharp frames, as VRT gives them: not clipped to [0, 1].

        Raises:
          ValueError: shapes do not fit each other, or the windows of the model, or a
            gain is given to a model that matches none, or an instant to one that takes
            none.
        """
        scale = spike_scale_of(spikes.shape, blur.shape)
        rates, side = self._split(spikes)
        light = rates
        if self.matches_gain:
            if spike_gain is None:
                spike_gain = match_gain(rates, blur[..., :3])
            light = rates * spike_gain[:, None, None, None, None]
            if self.fill_saturated:
                light = fill_saturated(light, rates, blur[..., :3])
        elif spike_gain is not None:
            raise ValueError(
                "spike_gain was given to a model with matches_gain=False, which takes "
                "the spikes as they come; leave it out."
            )
        exposure = None  # its light, where that around the instant is another
        if self.takes_instant:
            if instant is None:
                instant = jnp.zeros(blur.shape[:2], jnp.float32)
            exposure, light = light, around_instant(light, instant)
        elif instant is not None:
            raise ValueError(
                "an instant was given to a model that restores the middle of each "
                "exposure; leave it out, or train with data.instants=random."
            )
        features: list[Array] = []
        if self.fusion != "none":
            features = self.spike_encoder(
                light,
                spike_scale=scale,
                side=side,
                mean=None if exposure is None else exposure.mean(2),
                instant=instant if self.time_code else None,
            )
        # A sensor that reports nothing says nothing: such a frame is left to VRT.
        silent = jnp.all(rates == 0, axis=(2, 3, 4))[:, :, None, None, None]

        def fuse(place: str, x: Array) -> Array:
            if place == INPUT_PLACE and self.closed_form_input:
                told: Array = self.closed_form(blur[..., :3], light, exposure)
                return x + told.astype(x.dtype)
            if self.fusion == "none" or place not in self.fusions:
                return x
            scale = PLACES[self.fusion_places][place]
            fused: Array = self.fusions[place](x, features[scale])
            return jnp.where(silent, x, fused)

        def guide(flows: list[FlowPair]) -> tuple[list[FlowPair], Guides]:
            nonlocal features
            guides: Guides = {}
            nothing = silent[..., 0, 0, 0]
            if self.alignment != "spynet":
                flows, guides = self.guided_alignment(light, flows, silent=nothing)
            if self.aligned_spikes:  # VRT aligns before it fuses anything
                pairs = zip(features, flows, strict=True)
                features = [
                    beside_neighbours(x, flow, silent=nothing) for x, flow in pairs
                ]
            return flows, guides

        guided = self.alignment != "spynet" or self.aligned_spikes
        restored: Array = self.vrt(
            blur, train, fuse=fuse, guide=guide if guided else None
        )
        return restored

    def _setup_alignment(self) -> None:
        if self.alignment not in ALIGNMENTS:
            raise ValueError(
                f"alignment must be one of {', '.join(ALIGNMENTS)}; got "
                f"{self.alignment!r}."
            )
        if self.vrt.has_spynet == (self.alignment == "spikes"):
            raise ValueError(
                f"alignment is {self.alignment!r} and vrt.has_spynet "
                f"{self.vrt.has_spynet}; only alignment='spikes' does without SpyNet."
            )
        if self.aligned_spikes and (self.fusion == "none" or not self.vrt.pa_frames):
            raise ValueError(
                "aligned_spikes=True fuses the spikes of aligned neighbours, so it "
                f"needs a fusion and pa_frames above 0; got fusion {self.fusion!r} and "
                f"pa_frames={self.vrt.pa_frames}."
            )
        if self.alignment == "spynet":
            return
        if not self.vrt.pa_frames:
            raise ValueError(
                f"alignment is {self.alignment!r}, but a model with pa_frames=0 aligns "
                "no frames; leave it at 'spynet'."
            )
        flow_dtype = jnp.promote_types(self.vrt.dtype, jnp.float32)
        offsets = 2 * 9 * self.vrt.deformable_groups
        self.guided_alignment = GuidedAlignment(
            self.alignment_features,
            {stage: (scale, offsets) for stage, scale in ALIGNED_STAGES.items()},
            self.vrt.max_chunk,
            flow_dtype,
            self.vrt.param_dtype,
        )

    def _split(
        self, spikes: Float[Array, "b t k h w"]
    ) -> tuple[Float[Array, "b t k2 h w"], Float[Array, "b t n h w"] | None]:
        """The channels in time, and what is known beside them of each pixel."""
        if self.side_channels:
            rates = spikes[:, :, : -self.side_channels]
            side = spikes[:, :, -self.side_channels :]
        else:
            rates, side = spikes, None
        if not self.dark_confidence:
            return rates, side
        trust = confidence(rates, DARK_RATE)[:, :, None]
        return rates, trust if side is None else jnp.concatenate([side, trust], 2)


def aligned_flows(
    model: VRTSpike,
    params: dict[str, Any],
    blur: Float[Array, "b t H W c"],
    spikes: Float[Array, "b t k h w"],
) -> tuple[FlowPair, FlowPair]:
    """Flows between neighbouring frames at full size: SpyNet's, and those aligned by.

    They are the same for alignment='spynet'; for alignment='spikes' the first are zero.
    """

    flows: tuple[FlowPair, FlowPair] = _run_for_flows(model, params, blur, spikes)
    return flows


@functools.partial(jax.jit, static_argnums=0)
def _run_for_flows(
    model: VRTSpike, params: dict[str, Any], blur: Array, spikes: Array
) -> tuple[FlowPair, FlowPair]:
    _, found = model.apply({"params": params}, blur, spikes, mutable=["intermediates"])
    # Nothing else is returned, so nothing else is computed.
    found = found["intermediates"]["vrt"]
    return found["spynet_flow"][0], found["flow"][0]
