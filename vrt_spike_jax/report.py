"""Pictures that show a restoration: what went in, what came out, what it should be."""

from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float, Num, UInt8
from PIL import Image, ImageDraw, ImageFont

from vrt_spike_jax.atomic_file import replacing

_GAP = 8  # pixels between panels, and around them
_MIN_PANEL = 256  # pixels a panel is wide at least, so that its label can be read
_LABEL_HEIGHT = 26
_FONT_SIZE = 18
_BACKGROUND = (255, 255, 255)
_INK = (20, 20, 20)

Frames = Num[Array | np.ndarray, "..."]


def picture_sheet(
    blur: Frames,
    spikes: Frames | None,
    restored: Frames,
    sharp: Frames | None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Sets frames side by side under their labels: blur, spikes, restored, sharp.

    Args:
      blur: (H, W, 3), or (T, H, W, 3) for a row of panels for each frame; float RGB in
        [0, 1], or uint8.
      spikes: (K, h, w), or (T, K, h, w), rates of the bins of each exposure, shown as
        the mean of the middle quarter of the bins, as bright as the blur; None leaves
        the panel out.
      restored: as blur.
      sharp: as blur, or None where it is not known.

    Raises:
      ValueError: frames that do not go together.
    """
    panels = {"blur": _rows(blur, 4)}
    if spikes is not None:
        panels["spikes"] = _spike_panels(_rows(spikes, 4), panels["blur"])
    panels["restored"] = _rows(restored, 4)
    if sharp is not None:
        panels["sharp"] = _rows(sharp, 4)
    shapes = {label: frames.shape for label, frames in panels.items()}
    shape = shapes["blur"]
    if len(set(shapes.values())) > 1 or shape[-1] != 3 or 0 in shape:
        raise ValueError(
            f"a picture needs RGB frames of one shape and at least one; got {shapes}."
        )
    return _compose({label: _to_8_bits(frames) for label, frames in panels.items()})


def save_picture(
    path: str | Path, picture: UInt8[np.ndarray, "height width 3"]
) -> None:
    """Writes a picture, whole or not at all, in the format of the path's suffix.

    Raises:
      ValueError: a suffix of no picture format.
    """
    path = Path(path)
    if path.suffix.lower() not in Image.registered_extensions():
        raise ValueError(
            f"{path} has a suffix of no picture format; name it {path.stem}.png."
        )
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary)


def _rows(frames: Frames, ndim: int) -> Num[np.ndarray, "t ..."]:
    """One picture or several, as several."""
    frames = np.asarray(jax.device_get(frames))
    return frames[None] if frames.ndim == ndim - 1 else frames


def _spike_panels(
    spikes: Num[np.ndarray, "t k h2 w2"], blur: Num[np.ndarray, "t h w 3"]
) -> Float[np.ndarray, "t h w 3"]:
    bins, height = spikes.shape[1:3]
    scale = blur.shape[1] // height
    quarter = max(1, bins // 4)
    start = (bins - quarter) // 2
    rates = spikes[:, start : start + quarter].mean(axis=1)
    level = _as_unit(blur).mean() / max(float(rates.mean()), 1e-6)
    grey = (rates * level).repeat(scale, axis=1).repeat(scale, axis=2)
    return np.repeat(grey[..., None], 3, axis=-1)


def _as_unit(frames: Num[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    if frames.dtype == np.uint8:
        return frames.astype(np.float32) / np.float32(255)
    return frames.astype(np.float32)


def _to_8_bits(frames: Num[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    return np.round(np.clip(_as_unit(frames), 0, 1) * 255).astype(np.uint8)


def _compose(
    panels: dict[str, UInt8[np.ndarray, "t h w 3"]],
) -> UInt8[np.ndarray, "height width 3"]:
    """Labels over columns; small frames are enlarged by whole pixels."""
    rows, height, width = next(iter(panels.values())).shape[:3]
    factor = -(-_MIN_PANEL // width)
    height, width = height * factor, width * factor
    sheet = Image.new(
        "RGB",
        (
            _GAP + len(panels) * (width + _GAP),
            _LABEL_HEIGHT + _GAP + rows * (height + _GAP),
        ),
        _BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_FONT_SIZE)
    for column, (label, frames) in enumerate(panels.items()):
        left = _GAP + column * (width + _GAP)
        middle = left + width / 2, _GAP + _LABEL_HEIGHT / 2
        draw.text(middle, label, fill=_INK, font=font, anchor="mm")
        for row, frame in enumerate(frames):
            picture = Image.fromarray(frame).resize(
                (width, height), Image.Resampling.NEAREST
            )
            sheet.paste(picture, (left, _GAP + _LABEL_HEIGHT + row * (height + _GAP)))
    return np.array(sheet)
