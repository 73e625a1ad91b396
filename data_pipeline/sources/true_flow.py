"""The true motion between two instants of a scene, and where both show the same thing.

A flow (x, y) lives on the pixels of the first instant and points to the second, in
pixels. It is known of the layer that is on top; where layers mix, or what is seen at
one instant is hidden at the other, there is none.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from data_pipeline.sources.embedded import scene_of
from data_pipeline.sources.motion import (
    Patch,
    Scene,
    inverse_map,
)

# Share of a pixel that another layer may have where the flow is that of one alone.
_MIXED = 1 / 255


class Flow(NamedTuple):
    """A flow and where it is known."""

    flow: np.ndarray  # (H, W, 2) float32: x, y in pixels
    known: np.ndarray  # (H, W) bool


def clip_flows(settings: Mapping[str, Any], split: str, index: int) -> list[Flow]:
    """Flows from each sharp frame of an embedded clip to the next, and back.

    Returns:
        Those that live on the earlier frame, then those that live on the later one: of
        T sharp frames, T - 1 each.

    Raises:
        ValueError: the split is unknown or a setting is wrong.
    """
    scene, times = scene_of(settings, split, index)
    pairs = list(zip(times[:-1], times[1:], strict=True))
    onward = [scene_flow(scene, float(a), float(b)) for a, b in pairs]
    return onward + [scene_flow(scene, float(b), float(a)) for a, b in pairs]


def scene_flow(scene: Scene, start: float, end: float) -> Flow:
    """Returns the flow on the view at `start` that points to the view at `end`.

    Args:
        scene: what is seen.
        start: instant in spike frames.
        end: instant in spike frames.
    """
    height, width = scene.size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(
        np.float64
    )
    top_at_start = _top_layer(scene, start)
    top_at_end = _top_layer(scene, end)
    target = np.zeros_like(pixels)
    inside = np.zeros(scene.size, bool)
    for layer in range(len(scene.patches) + 1):
        moved, in_texture = _follow(scene, layer, pixels, start, end)
        here = top_at_start == layer
        target[here] = moved[here]
        inside[here] = in_texture[here]
    # What is seen at both instants is the same thing if the layer on top is the same
    # at all four pixels that the target lies between.
    x, y = target[..., 0], target[..., 1]
    inside &= (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left = np.clip(np.floor(x), 0, width - 1).astype(int)
    top = np.clip(np.floor(y), 0, height - 1).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    for row in (top, bottom):
        for column in (left, right):
            inside &= top_at_end[row, column] == top_at_start
    inside &= top_at_start >= 0
    return Flow((target - pixels).astype(np.float32), inside)


def _top_layer(scene: Scene, time: float) -> np.ndarray:
    """Index of the layer each pixel shows: 0 the photograph, then the patches.

    -1 where a pixel shows several.
    """
    found = np.zeros(scene.size, int)
    for number, patch in enumerate(scene.patches, 1):
        opacity = cv2.warpAffine(
            np.ascontiguousarray(patch.texture[..., 3]),
            _texture_map(scene, number, time),
            scene.size[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        found[opacity > _MIXED] = -1
        found[opacity >= 1 - _MIXED] = number
    return found


def _follow(
    scene: Scene, layer: int, pixels: np.ndarray, start: float, end: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where a layer's points go, and whether the photograph has them at all."""
    to_texture = _texture_map(scene, layer, start)
    place = pixels @ to_texture[:, :2].T + to_texture[:, 2]
    back = cv2.invertAffineTransform(_texture_map(scene, layer, end))
    texture = scene.photograph if layer == 0 else scene.patches[layer - 1].texture
    # Beyond its edges the photograph is mirrored, and moves the other way.
    last = np.array(texture.shape[1::-1]) - 1
    inside = ((place >= 0) & (place <= last)).all(-1)
    return place @ back[:, :2].T + back[:, 2], inside


def _texture_map(scene: Scene, layer: int, time: float) -> np.ndarray:
    """The (2, 3) map from a pixel of the view to one of a layer's texture."""
    if layer == 0:
        height, width = scene.size
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        return inverse_map(scene.camera.pose(time), centre, sign=1.0)
    patch: Patch = scene.patches[layer - 1]
    middle = np.full(2, (patch.side - 1) / 2)
    return inverse_map(patch.path.pose(time), middle, sign=-1.0)
