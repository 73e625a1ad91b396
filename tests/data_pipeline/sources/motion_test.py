"""The scene moves as its paths say."""

import cv2
import numpy as np
import pytest

from data_pipeline.exposure import exposure_windows
from data_pipeline.sources.motion import Path, Scene, random_path, random_scene

EXPOSURE = exposure_windows(4, first_start=10, exposure=33, period=40)


def still(**pose: float) -> Path:
    """A path that stays at one pose."""
    names = ("x", "y", "turn", "zoom")
    none = np.zeros((1, 4))
    centre = np.array([pose.get(name, 0.0) for name in names])
    return Path(centre, np.zeros(4), none, none, none, middle=0.0, exposure=1.0)


@pytest.mark.parametrize("blur", [1.0, 12.0])
def test_the_fastest_exposure_passes_the_asked_number_of_pixels(blur: float) -> None:
    for seed in range(5):
        path = random_path(
            np.array([50.0, 60.0]),
            blur=blur,
            turn=0.1,
            zoom=0.1,
            exposure=EXPOSURE,
            rng=np.random.default_rng(seed),
        )
        lengths = []
        for start, end in EXPOSURE:
            places = path.pose(np.linspace(start, end, 200))[:, :2]
            lengths.append(np.linalg.norm(np.ptp(places, axis=0)))
        assert max(lengths) == pytest.approx(blur, rel=0.02)
        steps = np.diff(path.pose(np.arange(170.0))[:, :2], axis=0)
        assert np.linalg.norm(steps, axis=1).max() < 3 * blur / 33


def test_the_camera_sees_what_it_points_at() -> None:
    # A smooth picture, so that interpolation adds next to nothing.
    y, x = np.mgrid[:200, :300].astype(np.float32)
    picture = np.stack([x / 300, y / 200, 0 * x], axis=-1)
    large = cv2.resize(picture, (600, 400), interpolation=cv2.INTER_LINEAR)
    scene = Scene(large, still(x=120.5, y=80.25), (), (20, 30))
    view = scene.render(0.0)
    rows = (80.25 + np.arange(20) - 9.5) / 200
    columns = (120.5 + np.arange(30) - 14.5) / 300
    assert np.abs(view[..., 0] - columns).max() < 2e-4
    assert np.abs(view[..., 1] - rows[:, None]).max() < 2e-4
    # Turned a quarter, a step to the right in the view is a step down the picture.
    turned = Scene(large, still(x=120.5, y=80.25, turn=np.pi / 2), (), (20, 30))
    view = turned.render(0.0)
    assert np.diff(view[..., 1], axis=1).mean() == pytest.approx(1 / 200, rel=0.02)
    assert np.abs(np.diff(view[..., 0], axis=1)).mean() < 1e-4
    near = Scene(large, still(x=120.5, y=80.25, zoom=np.log(2)), (), (20, 30))
    slope = np.diff(near.render(0.0)[..., 0], axis=1).mean()
    assert slope == pytest.approx(0.5 / 300, rel=0.02)


def test_patches_hide_the_photograph_where_their_path_is() -> None:
    rng = np.random.default_rng(0)
    black = np.zeros((200, 200, 3), np.float32)
    white = np.ones((150, 150, 3), np.float32)
    scene = random_scene(
        black, [white], size=(64, 64), exposure=EXPOSURE, max_blur=8.0, rng=rng
    )
    seen = 0
    for time in (20.0, 80.0, 140.0):
        view = scene.render(time)
        assert view.min() >= 0 and view.max() <= 1
        for patch in scene.patches:
            x, y = np.rint(patch.path.pose(time)[:2]).astype(int)
            if 2 <= x < 62 and 2 <= y < 62:
                assert view[y, x].min() > 0.9
                seen += 1
    assert seen >= 3


def test_light_changes_by_sub_pixel_steps() -> None:
    rng = np.random.default_rng(1)
    photograph = cv2.GaussianBlur(rng.random((200, 200, 3), np.float32), (0, 0), 2)
    scene = random_scene(
        photograph,
        [photograph],
        size=(64, 64),
        exposure=EXPOSURE,
        max_blur=8.0,
        rng=rng,
    )
    views = np.stack([scene.render(t + 0.5) for t in range(20, 40)])
    steps = np.abs(np.diff(views, axis=0)).mean(axis=(1, 2, 3))
    assert (steps > 0).all()
    assert steps.max() < 0.25 * np.abs(views[-1] - views[0]).mean()
