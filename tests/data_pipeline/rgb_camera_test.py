"""Pictures of collected light: gain, saturation, read noise and gamma."""

import numpy as np
import pytest

from data_pipeline.rgb_camera import RgbCamera, quantise


def ramp() -> np.ndarray:
    """Light of 0 .. 1 in 4096 steps, (64, 64, 1) float32."""
    return np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64, 1)


def test_light_is_rounded_to_8_bits_and_clipped() -> None:
    light = np.array([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.2], np.float32)
    np.testing.assert_array_equal(quantise(light), [0, 0, 0, 1, 255, 255])


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
@pytest.mark.parametrize("gain", [0.25, 1.0, 4.0])
def test_gain_acts_on_integrated_light_and_saturates(
    transfer: str, gain: float
) -> None:
    light = ramp()
    picture = RgbCamera(transfer=transfer, gain=gain).picture(light)
    expected = np.minimum(gain * light.astype(np.float64), 1)
    if transfer == "linear":
        expected = expected ** (1 / 2.2)
    np.testing.assert_allclose(picture, 255 * expected, atol=0.501)
    assert ((picture == 255) == (expected > 254.5 / 255)).all()


def test_a_collected_picture_is_the_picture() -> None:
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    for transfer in ("gamma", "linear"):
        camera = RgbCamera(transfer=transfer)
        np.testing.assert_array_equal(
            camera.picture(camera.collect(levels)), np.arange(256)
        )


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
def test_read_noise_has_its_deviation_where_light_is_integrated(transfer: str) -> None:
    camera = RgbCamera(transfer=transfer, read_noise=3.0)
    light = np.full((200, 300, 3), 0.5, np.float32)
    picture = camera.picture(light, np.random.default_rng(0)) / 255.0
    seen = picture**2.2 if transfer == "linear" else picture
    error = (seen - 0.5) * 255
    # Rounding adds a twelfth of a squared level, as wide as the gamma makes it there.
    level = 2.2 * 0.5 ** (1.2 / 2.2) if transfer == "linear" else 1.0
    assert error.mean() == pytest.approx(0, abs=0.03)
    assert error.var() == pytest.approx(9 + level**2 / 12, rel=0.02)
    assert abs(np.corrcoef(error[:, 1:].ravel(), error[:, :-1].ravel())[0, 1]) < 0.01
    # Without a generator there is none, and with the same one it is the same.
    quiet = RgbCamera(transfer=transfer).picture(light)
    np.testing.assert_array_equal(camera.picture(light), quiet)
    again = camera.picture(light, np.random.default_rng(0)) / 255.0
    np.testing.assert_array_equal(again, picture)


def test_noise_comes_before_clipping() -> None:
    camera = RgbCamera(gain=2.0, read_noise=10.0)
    picture = camera.picture(ramp(), np.random.default_rng(0))
    assert (picture[40:] == 255).all()  # twice the light is far above white
    assert 0.4 < (picture[:1] == 0).mean() < 0.6


def test_the_kind_of_blur_says_how_it_was_made() -> None:
    assert RgbCamera().blur_kind == "mean of gamma-coded light, 8 bits"
    kind = RgbCamera(transfer="linear", gain=1.5, read_noise=0.5).blur_kind
    assert kind == (
        "blur_gamma: mean of linear light (gamma 2.2), gamma-coded, 8 bits, "
        "gain 1.5, read noise 0.5/255"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transfer": "Linear"}, "Did you mean 'linear'"),
        ({"transfer": "unknown"}, "Valid: gamma, linear"),
        ({"gain": 0.0}, "rgb_gain must be a positive number, got 0.0"),
        ({"read_noise": -1.0}, "read_noise must be 0 or a positive number, got -1.0"),
        ({"read_noise": float("nan")}, "read_noise must be 0 or a positive"),
    ],
)
def test_what_cannot_be_is_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RgbCamera(**options)
