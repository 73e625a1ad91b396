"""Light between frames: known motions are met, and what does not move stays."""

import cv2
import numpy as np
import pytest

from data_pipeline.inbetween import InBetween, optical_flow

HEIGHT, WIDTH = 96, 128


def texture() -> np.ndarray:
    noise = np.random.default_rng(0).random((HEIGHT + 80, WIDTH + 80, 3), np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    low, high = smooth.min(), smooth.max()
    return (smooth - low) / (high - low) * 255


TEXTURE = texture()


def view(x: float, y: float = 0.0) -> np.ndarray:
    """The texture seen from a moved place, float32."""
    shift = np.float32([[1, 0, -20 - x], [0, 1, -20 - y]])
    return cv2.warpAffine(TEXTURE, shift, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)


def as_frame(light: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(light, 0, 255)).astype(np.uint8)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    inside = (slice(16, -16), slice(16, -16))
    return float(np.sqrt(np.mean((found[inside] - expected[inside]) ** 2)))


@pytest.mark.parametrize("motion", [(5.0, 0.0), (-3.0, 4.0), (9.0, 2.0)])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.875])
def test_what_moves_passes_through_the_places_between(
    motion: tuple[float, float], share: float
) -> None:
    before, after = as_frame(view(0)), as_frame(view(*motion))
    expected = view(motion[0] * share, motion[1] * share)
    flow = error(InBetween(before, after, "flow").light(share), expected)
    linear = error(InBetween(before, after, "linear").light(share), expected)
    assert flow < 2.0 and flow < linear / 4


def test_the_frames_themselves_and_small_motions_are_as_they_are() -> None:
    before, after = as_frame(view(0)), as_frame(view(0.4))
    for name in ("flow", "linear"):
        np.testing.assert_array_equal(InBetween(before, after, name).light(0), before)
    np.testing.assert_array_equal(
        InBetween(before, after, "flow").light(0.5),
        InBetween(before, after, "linear").light(0.5),
    )


def test_a_moving_square_covers_and_uncovers_without_ghosts() -> None:
    def scene(x: int) -> np.ndarray:
        frame = as_frame(view(0))
        frame[30:60, x : x + 30] = as_frame(view(25))[30:60, 40:70]
        return frame

    found = InBetween(scene(30), scene(38), "flow").light(0.5)
    expected = scene(34).astype(np.float32)
    blended = (scene(30).astype(np.float32) + scene(38)) / 2
    assert error(found, expected) < 0.6 * error(blended, expected)


def test_the_light_stays_within_the_light_of_the_frames() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.integers(10, 200, (2, 64, 64, 3), np.uint8)
    light = InBetween(before, after, "flow").light(0.3)
    assert light.dtype == np.float32
    assert light.min() >= 10 - 1e-3 and light.max() <= 200 + 1e-3


def test_mistakes_are_named() -> None:
    small = np.zeros((16, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="a frame is 16x64; take in_between=linear"):
        optical_flow(small, small)
    with pytest.raises(ValueError, match="Unknown in_between 'lin'.*'linear'"):
        InBetween(small, small, "lin")
