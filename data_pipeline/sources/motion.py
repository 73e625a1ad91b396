"""A scene in motion: a panning camera and moving foreground over photographs."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_HARMONICS = 3
# Textures are enlarged once, by Lanczos, and then sampled linearly: as sharp as cubic
# sampling of the original at a third of its time for each of the many views.
_OVERSAMPLING = 2


@dataclass(frozen=True)
class Path:
    """A smooth random path of poses: x, y in pixels, turn in radians, log of zoom.

    pose(s) = centre + drift * u + sum_j sine_j * sin(2 pi rate_j u + phase_j), where u
    is the time in exposures since `middle`.
    """

    centre: np.ndarray  # (4,)
    drift: np.ndarray  # (4,) per exposure
    sine: np.ndarray  # (harmonics, 4)
    rate: np.ndarray  # (harmonics, 4) cycles per exposure
    phase: np.ndarray  # (harmonics, 4) radians
    middle: float  # spike frames
    exposure: float  # spike frames

    def pose(self, time: float | np.ndarray) -> np.ndarray:
        """Returns x, y, turn and log zoom (..., 4) at a time in spike frames."""
        u = (np.asarray(time)[..., None] - self.middle) / self.exposure
        waves = np.sin(2 * np.pi * self.rate * u[..., None, :] + self.phase)
        return self.centre + self.drift * u + (self.sine * waves).sum(axis=-2)


def random_path(
    centre: np.ndarray,
    *,
    blur: float,
    turn: float,
    zoom: float,
    exposure: np.ndarray,
    rng: np.random.Generator,
) -> Path:
    """Draws a path that translates by `blur` pixels in its fastest exposure.

    Args:
        centre: (2,) x and y in the middle of the clip, in pixels.
        blur: diagonal of the box that the position visits in one exposure, in pixels.
        turn: largest drift of the angle in one exposure, in radians.
        zoom: largest drift of the logarithm of the zoom in one exposure.
        exposure: windows (T, 2) in spike frames.
        rng: draws everything else.
    """
    spread = np.array([1.0, 1.0, turn, zoom])
    heading = rng.uniform(0, 2 * np.pi)
    drift = np.array(
        [np.cos(heading), np.sin(heading), rng.uniform(-1, 1), rng.uniform(-1, 1)]
    )
    rate = rng.uniform(0.08, 0.5, (_HARMONICS, 4))
    # Equal shares of speed: a fast wave is a small one, as a shaking hand's is.
    sine = rng.uniform(0.05, 0.25, (_HARMONICS, 4)) / (2 * np.pi * rate)
    path = Path(
        centre=np.array([*centre, 0.0, 0.0]),
        drift=drift * spread,
        sine=sine * spread,
        rate=rate,
        phase=rng.uniform(0, 2 * np.pi, (_HARMONICS, 4)),
        middle=float(exposure.mean()),
        exposure=float(np.diff(exposure, axis=1).mean()),
    )
    times = np.linspace(exposure[:, 0], exposure[:, 1], 33)
    boxes = np.ptp(path.pose(times)[..., :2], axis=0)
    scale = np.ones(4)
    scale[:2] = blur / np.linalg.norm(boxes, axis=-1).max()
    return Path(
        path.centre,
        path.drift * scale,
        path.sine * scale,
        path.rate,
        path.phase,
        path.middle,
        path.exposure,
    )


@dataclass(frozen=True)
class Patch:
    """A piece of a photograph that moves on its own, with its opacity."""

    side: int  # pixels of the view
    texture: np.ndarray  # colour times opacity, opacity; (n, n, 4) float32, oversampled
    path: Path  # of its centre, in view pixels


@dataclass(frozen=True)
class Scene:
    """What the cameras look at: a photograph behind, patches in front."""

    photograph: np.ndarray  # float32 in [0, 1], oversampled
    camera: Path  # of the view's centre, in photograph pixels
    patches: tuple[Patch, ...]
    size: tuple[int, int]  # height and width of the view

    def render(self, time: float) -> np.ndarray:
        """Returns the sharp light (height, width, 3), float32 in [0, 1]."""
        height, width = self.size
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        view = cv2.warpAffine(
            self.photograph,
            inverse_map(self.camera.pose(time), centre, sign=1.0),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        for patch in self.patches:
            _lay(view, patch, time)
        return np.clip(view, 0.0, 1.0, out=view)


def random_scene(
    photograph: np.ndarray,
    others: Sequence[np.ndarray],
    *,
    size: tuple[int, int],
    exposure: np.ndarray,
    max_blur: float,
    rng: np.random.Generator,
) -> Scene:
    """Draws a camera path over a photograph and 2 or 3 patches cut from others.

    Args:
        photograph: float32 (H, W, 3) in [0, 1].
        others: photographs to cut patches from; one or more.
        size: height and width of the view in pixels.
        exposure: windows (T, 2) in spike frames.
        max_blur: pixels the camera translates in one exposure, at most.
        rng: draws everything else.
    """
    background = _shrink(photograph, side=max(size), rng=rng)
    room = np.array(background.shape[1::-1])
    camera = random_path(
        rng.uniform(0.35, 0.65, 2) * room,
        blur=max_blur * rng.uniform(0.6, 1.0),
        turn=np.deg2rad(2.0),
        zoom=0.03,
        exposure=exposure,
        rng=rng,
    )
    patches = []
    for number in range(int(rng.integers(2, 4))):
        other = others[number % len(others)]
        path = random_path(
            rng.uniform(0.15, 0.85, 2) * size[::-1],
            blur=max_blur * rng.uniform(0.4, 1.0),
            turn=np.deg2rad(4.0),
            zoom=0.02,
            exposure=exposure,
            rng=rng,
        )
        side = int(min(size) * rng.uniform(0.2, 0.45))
        texture = _cut_patch(other, side, rng)
        patches.append(Patch(len(texture), _oversample(texture), path))
    return Scene(_oversample(background), camera, tuple(patches), size)


def inverse_map(pose: np.ndarray, centre: np.ndarray, *, sign: float) -> np.ndarray:
    """Returns the (2, 3) map from an output pixel to an input pixel.

    With sign 1 the output's `centre` looks at the pose's x, y (a camera); with sign -1
    the input's `centre` is seen at the pose's x, y (a moving patch).
    """
    x, y, turn, log_zoom = pose
    cos = np.cos(sign * turn) * np.exp(-log_zoom)
    sin = np.sin(sign * turn) * np.exp(-log_zoom)
    turned = np.array([[cos, -sin], [sin, cos]])
    here, there = (centre, (x, y)) if sign > 0 else ((x, y), centre)
    shift = there - turned @ np.asarray(here)
    # Pixel centres: input pixel x lies at factor * (x + 0.5) - 0.5 of the texture.
    factor = _OVERSAMPLING
    return np.column_stack([factor * turned, factor * (shift + 0.5) - 0.5])


def _lay(view: np.ndarray, patch: Patch, time: float) -> None:
    """Composites a patch over the view, in place."""
    pose = patch.path.pose(time)
    side = patch.side
    reach = side * np.sqrt(0.5) * np.exp(pose[3]) + 2
    left, top = np.maximum(np.floor(pose[:2] - reach), 0).astype(int)
    right, bottom = np.minimum(np.ceil(pose[:2] + reach) + 1, view.shape[1::-1])
    if right <= left or bottom <= top:
        return
    origin = np.array([left, top, 0.0, 0.0])
    piece = cv2.warpAffine(
        patch.texture,
        inverse_map(pose - origin, np.full(2, (side - 1) / 2), sign=-1.0),
        (int(right) - left, int(bottom) - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    region = view[top : int(bottom), left : int(right)]
    # Whole (n, n, 3) planes: NumPy is several times slower on a broadcast last axis.
    region *= 1.0 - cv2.cvtColor(piece[..., 3], cv2.COLOR_GRAY2RGB)
    region += cv2.cvtColor(piece, cv2.COLOR_RGBA2RGB)


def _oversample(image: np.ndarray) -> np.ndarray:
    size = [_OVERSAMPLING * length for length in image.shape[1::-1]]
    return np.clip(cv2.resize(image, size, interpolation=cv2.INTER_LANCZOS4), 0, 1)


def _shrink(image: np.ndarray, *, side: int, rng: np.random.Generator) -> np.ndarray:
    """Shrinks by a random factor, so that `side` still fits well inside.

    Photographs are soft at their own resolution; seen smaller they have the detail of
    real footage.
    """
    smallest = min(1.0, max(0.25, 1.3 * side / min(image.shape[:2])))
    factor = rng.uniform(smallest, (1.0 + smallest) / 2)
    size = [round(length * factor) for length in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _cut_patch(image: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Cuts a soft-edged ellipse or polygon, (side, side, 4), colour times opacity."""
    image = _shrink(image, side=2 * side, rng=rng)
    side = min(side, *image.shape[:2])
    top, left = (int(rng.integers(n - side + 1)) for n in image.shape[:2])
    mask = np.zeros((side, side), np.float32)
    centre = (side - 1) / 2
    if rng.random() < 0.5:
        axes = (rng.uniform(0.6, 0.9, 2) * centre).astype(int).tolist()
        middle = (int(centre), int(centre))
        cv2.ellipse(mask, middle, axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
    else:
        # From four corners on, no two neighbours are half a turn apart: the middle of
        # the patch is inside.
        corners = int(rng.integers(4, 9))
        steps = np.arange(corners) + rng.uniform(0, 0.5, corners)
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * steps / corners
        reach = rng.uniform(0.6, 0.9, corners) * centre
        points = centre + reach[:, None] * np.stack(
            [np.cos(angles), np.sin(angles)], axis=-1
        )
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1.0)
    opacity = cv2.GaussianBlur(mask, (0, 0), 0.7)[..., None]
    colour = image[top : top + side, left : left + side]
    return np.concatenate([colour * opacity, opacity], axis=-1)
