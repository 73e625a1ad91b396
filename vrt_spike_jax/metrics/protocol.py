"""Protocols of PSNR and SSIM: what becomes of frames before they are compared."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num, Shaped

from vrt_spike_jax.metrics.quantise import frame_pair
from vrt_spike_jax.models.variants import nearest_name

COLOURS = ("rgb", "y")
# The range of the values that are compared, in every protocol; never taken from the
# frames themselves.
DATA_RANGE = 255.0
# Y of BT.601 from RGB 0...255 is 16 + LUMA . RGB / 255, not rounded, as BasicSR has it.
LUMA = np.array([65.481, 128.553, 24.966])


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What becomes of frames before they are compared, on a scale of 0...255.

    The default is that of the deblurring tables. Two numbers of different protocols are
    not comparable; `describe` belongs beside each.

    Attributes:
      colour: 'rgb', all channels alike, or 'y', the luma of BT.601 (16...235).
      rounding: whether values are rounded to those that a picture file can hold. Either
        way they are clipped to [0, 1].
      border: pixels left out at each side, before anything else.

    Raises:
      ValueError: an unknown colour, or a negative border.
    """

    colour: str = "rgb"
    rounding: bool = True
    border: int = 0

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise ValueError(nearest_name(self.colour, list(COLOURS), "colour"))
        if self.border < 0:
            raise ValueError(f"border must be at least 0 pixels; got {self.border}.")

    def describe(self) -> str:
        """The protocol in words, for the place where its number stands."""
        colour = "RGB" if self.colour == "rgb" else "Y of BT.601"
        rounding = "rounded to 8 bits" if self.rounding else "not rounded"
        border = (
            f"{self.border} px of each border cut" if self.border else "no border cut"
        )
        return f"{colour}, {rounding}, {border}, data range {DATA_RANGE:.0f}"


def compared_frames(
    prediction: Num[Array | np.ndarray, "..."],
    target: Num[Array | np.ndarray, "..."],
    protocol: Protocol,
) -> tuple[Float[Array, "n h w 3"], Float[Array, "n h w 3"]]:
    """Checks two sets of RGB frames; gives them rounded and cut, still as RGB 0...255.

    Raises:
      ValueError: as `quantise.frame_pair`, or no pixel is left within the border.
    """
    pair = frame_pair(prediction, target, rounding=protocol.rounding)
    height, width = pair[0].shape[1:3]
    if 2 * protocol.border >= min(height, width):
        raise ValueError(
            f"a border of {protocol.border} pixels leaves nothing of frames of "
            f"{height}x{width}; take a smaller one."
        )
    first, second = (cut_border(frames, protocol.border) for frames in pair)
    return first, second


def cut_border(
    frames: Shaped[Array, "n h w *c"], border: int
) -> Shaped[Array, "n h2 w2 *c"]:
    """Frames or masks without `border` pixels at each side."""
    return frames[
        :, border : frames.shape[1] - border, border : frames.shape[2] - border
    ]


def compared_pixels(
    mask: Shaped[Array | np.ndarray, "..."] | None,
    frames: Float[Array, "n h w 3"],
    protocol: Protocol,
) -> Bool[Array, "n h w"]:
    """The mask on the frames that are left within the border; all pixels without one.

    Args:
      mask: (..., H, W) of the whole frames, or None.
      frames: of `compared_frames`.
      protocol: the same.

    Raises:
      ValueError: the mask has another shape, or is not of booleans.
    """
    count, height, width = frames.shape[:3]
    if mask is None:
        return jnp.ones((count, height, width), bool)
    border = protocol.border
    whole = (height + 2 * border, width + 2 * border)
    if mask.dtype != np.bool_:
        raise ValueError(f"a mask of pixels must be boolean; got {mask.dtype}.")
    if mask.shape[-2:] != whole or mask.size != count * whole[0] * whole[1]:
        raise ValueError(
            f"the mask must have one value a pixel, for {count} frames of "
            f"{whole[0]}x{whole[1]}; got {mask.shape}."
        )
    return cut_border(jnp.asarray(mask).reshape(count, *whole), border)


def luma(frames: Float[Array, "*n 3"], *, offset: float = 16.0) -> Float[Array, "*n 1"]:
    """Y of BT.601, 16...235, of RGB 0...255; with the offset 0, of differences."""
    red, green, blue = (jnp.asarray(w / 255.0, frames.dtype) for w in LUMA)
    # One product at a time: in full float32 on every device, which a matrix product is
    # not.
    weighted = red * frames[..., :1] + green * frames[..., 1:2] + blue * frames[..., 2:]
    return offset + weighted
