"""Real photographs set in motion: clip records without any download.

The photographs come with scikit-image. A seeded camera pans, turns and zooms over one
of them while patches cut from others of the same split move across the view.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import skimage.data

from data_pipeline.camera_settings import (
    CAMERA_DEFAULTS,
    CAMERA_SETTINGS,
    cameras,
    check_cameras,
)
from data_pipeline.capture import Captured, capture_clip
from data_pipeline.choices import unknown_name
from data_pipeline.exposure import MARGIN, exposure_windows, sharp_times
from data_pipeline.records import Record
from data_pipeline.settings import check_settings
from data_pipeline.sources.motion import Scene, random_scene

VERSION = "2"  # raised whenever the same settings would give other clips
PHOTOGRAPHS = {
    "train": (
        "astronaut",
        "coffee",
        "rocket",
        "hubble_deep_field",
        "retina",
        "immunohistochemistry",
        "brick",
        "grass",
    ),
    "test": ("chelsea", "stereo_motorcycle"),
}
SETTINGS: dict[str, type] = {
    "train_clips": int,
    "test_clips": int,
    "num_frames": int,
    "height": int,
    "width": int,
    "exposure": int,  # spike frames, odd
    "period": int,  # spike frames from one exposure's start to the next
    "spike_scale": int,
    "threshold": float,
    "gain": float,
    "max_blur": float,  # pixels the camera translates in one exposure, at most
    "seed": int,
    **CAMERA_SETTINGS,
}
_LICENCE = "CC0, public domain or no known restrictions (skimage.data)"


def check_embedded_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings as plain values.

    Raises:
        ValueError: one is missing, unknown or out of its range.
    """
    checked = check_settings(settings, SETTINGS, defaults=CAMERA_DEFAULTS)
    for name in ("train_clips", "test_clips", "num_frames"):
        if checked[name] < 1:
            raise ValueError(f"{name} must be at least 1, got {checked[name]}.")
    for name in ("height", "width"):
        if checked[name] < 32 or checked[name] % 8:
            raise ValueError(
                f"{name} must be a multiple of 8 and at least 32 pixels, "
                f"got {checked[name]}."
            )
    check_cameras(checked)
    if not checked["max_blur"] > 0:
        raise ValueError(f"max_blur must be above 0, got {checked['max_blur']}.")
    if checked["seed"] < 0:
        raise ValueError(f"seed must not be negative, got {checked['seed']}.")
    return checked


def make_clip(settings: Mapping[str, Any], split: str, index: int) -> Record:
    """Makes clip `index` of a split: a pure function of its arguments.

    Raises:
        ValueError: the split is unknown or a setting is wrong.
    """
    return film_clip(settings, split, index).record


def film_clip(settings: Mapping[str, Any], split: str, index: int) -> Captured:
    """Makes clip `index` of a split, with what is known of its spikes.

    Raises:
        ValueError: the split is unknown or a setting is wrong.
    """
    settings = check_embedded_settings(settings)
    staged = _stage(settings, split, index)
    scene, exposure = staged.scene, staged.exposure
    return capture_clip(
        _light(scene, int(exposure[-1, 1]) + MARGIN),
        exposure,
        threshold=settings["threshold"],
        gain=settings["gain"],
        spike_scale=settings["spike_scale"],
        rng=staged.rng,
        name=f"{split}-{index:05d}-{staged.subject}",
        source=f"scikit-image photograph {staged.subject}, simulated motion",
        licence=_LICENCE,
        seed=settings["seed"],
        cameras=cameras(settings),
        sharp_time=sharp_times(exposure, settings["sharp_instants"]),
    )


@dataclasses.dataclass(frozen=True)
class _Staged:
    """What is filmed, and when."""

    scene: Scene
    subject: str  # name of the photograph
    exposure: np.ndarray  # windows (T, 2) in spike frames
    rng: np.random.Generator  # for what is drawn after the scene


def _stage(settings: Mapping[str, Any], split: str, index: int) -> _Staged:
    if split not in PHOTOGRAPHS:
        raise ValueError(unknown_name("split", split, PHOTOGRAPHS))
    rng = np.random.default_rng(
        [settings["seed"], list(PHOTOGRAPHS).index(split), index]
    )
    names = PHOTOGRAPHS[split]
    subject = names[index % len(names)]
    others = [name for name in names if name != subject]
    exposure = exposure_windows(
        settings["num_frames"],
        first_start=MARGIN,
        exposure=settings["exposure"],
        period=settings["period"],
    )
    scene = random_scene(
        _photograph(subject),
        [_photograph(str(name)) for name in rng.permutation(others)[:3]],
        size=(settings["height"], settings["width"]),
        exposure=exposure,
        max_blur=settings["max_blur"],
        rng=rng,
    )
    return _Staged(scene, subject, exposure, rng)


def scene_of(
    settings: Mapping[str, Any], split: str, index: int
) -> tuple[Scene, np.ndarray]:
    """Returns what clip `index` of a split shows, and its `sharp_time` (T,).

    Raises:
        ValueError: the split is unknown or a setting is wrong.
    """
    settings = check_embedded_settings(settings)
    staged = _stage(settings, split, index)
    return staged.scene, sharp_times(staged.exposure, settings["sharp_instants"])


def _light(scene: Scene, num_samples: int) -> Iterator[np.ndarray]:
    """Yields what each spike frame sees, taken at its middle."""
    for sample in range(num_samples):
        yield scene.render(sample + 0.5)


@functools.cache
def _photograph(name: str) -> np.ndarray:
    """Returns a photograph as float32 (H, W, 3) in [0, 1]."""
    image = getattr(skimage.data, name)()
    if isinstance(image, tuple):  # a stereo pair with its disparity: take the left
        image = image[0]
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    image = np.ascontiguousarray(image[..., :3], np.float32) / np.float32(255)
    image.flags.writeable = False  # it is shared by all clips
    return image
