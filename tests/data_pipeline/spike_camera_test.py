"""The ideal camera against its definition and its closed form."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.bayer import CFA_PATTERNS, colour_map
from data_pipeline.spike_camera import SpikeCamera, grey, simulate


def definition(
    light: np.ndarray,
    phase: np.ndarray,
    *,
    threshold: float,
    gain: float,
    reset: str = "soft",
    dark: float = 0.0,
) -> np.ndarray:
    """The camera as its equations are written, pixel by pixel in float32."""
    theta, eta, pedestal = np.float32([threshold, gain, dark])
    charge = phase.astype(np.float32) * theta
    spikes = np.zeros(light.shape, np.uint8)
    for frame, fired in zip(light, spikes, strict=True):
        charge += eta * frame + pedestal
        for pixel in np.ndindex(charge.shape):
            if charge[pixel] < theta:
                continue
            fired[pixel] = 1
            if reset == "hard":
                charge[pixel] = 0
            elif eta + pedestal <= theta:
                charge[pixel] -= theta
            else:  # the charge beyond one threshold is lost
                charge[pixel] = np.fmod(charge[pixel], theta)
    return spikes


def constant(light: np.ndarray, length: int) -> np.ndarray:
    return np.broadcast_to(light, (length, *light.shape)).astype(np.float32)


def test_constant_light_follows_the_closed_form() -> None:
    # Dyadic rates and phases, so that the sums are exact and the floor decides.
    rate = np.arange(257, dtype=np.float64)[:, None] / 256
    phase = np.broadcast_to(np.arange(64) / 64, (257, 64))
    spikes = simulate(
        constant(np.broadcast_to(rate, phase.shape), 500),
        threshold=1.0,
        gain=1.0,
        rng=np.random.default_rng(0),
        phase=phase,
    )
    t = np.arange(500)[:, None, None]
    expected = np.floor(phase + (t + 1) * rate) - np.floor(phase + t * rate)
    np.testing.assert_array_equal(spikes, expected)


@pytest.mark.parametrize(("threshold", "gain"), [(2.0, 1.0), (4.0, 1.0), (1.0, 0.5)])
def test_the_rate_is_gain_times_light_over_threshold(
    threshold: float, gain: float
) -> None:
    light = np.random.default_rng(1).random((8, 8))
    spikes = simulate(
        constant(light, 400),
        threshold=threshold,
        gain=gain,
        rng=np.random.default_rng(2),
    )
    rate = gain * light / threshold
    assert np.abs(spikes.sum(axis=0) - 400 * rate).max() <= 1.01


def test_the_error_of_a_window_has_the_variance_of_a_sixth() -> None:
    # f (1 - f) averaged over the fraction f of a window, spike_facts 7.
    light = np.random.default_rng(3).random((200, 200))
    window = 21
    spikes = simulate(
        constant(light, window), threshold=1, gain=1, rng=np.random.default_rng(4)
    )
    error = spikes.sum(axis=0) - window * light
    assert np.mean(error**2) == pytest.approx(1 / 6, rel=0.02)


def test_hard_reset_fires_every_ceil_of_threshold_over_light() -> None:
    light = np.array([[0.3, 0.5, 0.51, 1.0]])
    spikes = simulate(
        constant(light, 12),
        threshold=1.0,
        gain=1.0,
        rng=np.random.default_rng(0),
        reset="hard",
        phase=np.zeros((1, 4)),
    )
    np.testing.assert_array_equal(spikes.sum(axis=0), [[3, 6, 6, 12]])


def test_saturated_pixels_fire_always_and_remember_nothing() -> None:
    light = np.ones((20, 1, 1), np.float32)
    light[10:] = 0.0
    spikes = simulate(light, threshold=1.0, gain=3.5, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(spikes[:10], 1)
    np.testing.assert_array_equal(spikes[10:], 0)


number = st.one_of(
    st.sampled_from([0.25, 0.3, 0.5, 1.0, 2.0, 5.0]), st.floats(0.01, 20)
)


@settings(max_examples=150, deadline=None)
@given(
    threshold=number,
    gain=number,
    dark=st.sampled_from([0.0, 0.0, 0.125, 0.3, 7.0]),
    reset=st.sampled_from(["soft", "hard"]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    phase_dtype=st.sampled_from([np.float32, np.float64]),
    levels=st.integers(2, 1000),
    seed=st.integers(0, 2**31),
)
def test_spikes_are_those_of_the_definition(
    threshold: float,
    gain: float,
    dark: float,
    reset: Any,
    dtype: type[np.generic],
    phase_dtype: Any,
    levels: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    # Few levels make light of exactly 0 and 1 frequent.
    light = (rng.integers(0, levels, (25, 3, 5)) / (levels - 1)).astype(dtype)
    phase = rng.random((3, 5), phase_dtype)
    options: Any = {
        "threshold": threshold,
        "gain": gain,
        "dark": dark,
        "reset": reset,
    }
    expected = definition(light, phase, **options)
    spikes = simulate(light, phase=phase, rng=rng, **options)
    assert spikes.dtype == np.uint8
    np.testing.assert_array_equal(spikes, expected)

    # Frame by frame, and a part of the clip after another, the camera gives the same.
    camera = SpikeCamera(phase=phase, **options)
    frames = [camera.read(frame) for frame in light[:10]]
    assert all(frame.dtype == bool for frame in frames)
    parts = np.concatenate([frames, camera.read_clip(light[10:])])
    np.testing.assert_array_equal(parts, expected)


@pytest.mark.parametrize("shape", [(301, 250), (3, 40_000), (1, 1)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_frames_larger_than_the_cache_are_read_like_small_ones(
    shape: tuple[int, int], gain: float
) -> None:
    rng = np.random.default_rng(0)
    light, phase = rng.random((6, *shape), np.float32), rng.random(shape, np.float32)
    spikes = simulate(light, threshold=1.0, gain=gain, rng=rng, phase=phase)
    rows, columns = rng.integers(shape[0], size=40), rng.integers(shape[1], size=40)
    some = definition(
        light[:, [rows], [columns]], phase[[rows], [columns]], threshold=1.0, gain=gain
    )
    np.testing.assert_array_equal(spikes[:, [rows], [columns]], some)


def test_light_is_left_as_it_is_and_may_be_a_view() -> None:
    rng = np.random.default_rng(0)
    light = rng.random((20, 9, 14), np.float32)
    kept, phase = light.copy(), rng.random((14, 9), np.float32)
    turned = simulate(
        light.transpose(0, 2, 1), threshold=1, gain=2, rng=rng, phase=phase
    )
    np.testing.assert_array_equal(light, kept)
    expected = simulate(light, threshold=1, gain=2, rng=rng, phase=phase.T)
    np.testing.assert_array_equal(turned.transpose(0, 2, 1), expected)


def test_maps_set_each_pixel_as_a_camera_of_its_own() -> None:
    rng = np.random.default_rng(0)
    light = rng.random((60, 3, 4), np.float32)
    phase = rng.random((3, 4), np.float32)
    maps: Any = {
        "threshold": rng.uniform(0.5, 2, (3, 4)).astype(np.float32),
        "gain": rng.uniform(0.2, 3, (3, 4)).astype(np.float32),
        "dark": rng.uniform(0, 0.3, (3, 4)).astype(np.float32),
    }
    for reset in ("soft", "hard"):
        options: Any = {"rng": rng, "reset": reset}
        spikes = simulate(light, phase=phase, **options, **maps)
        for y, x in np.ndindex(3, 4):
            pixel = np.s_[y : y + 1, x : x + 1]
            alone = simulate(
                light[:, y : y + 1, x : x + 1],
                phase=phase[pixel],
                **options,
                **{name: float(value[y, x]) for name, value in maps.items()},
            )
            np.testing.assert_array_equal(spikes[:, y, x], alone[:, 0, 0])


def test_dark_charge_follows_the_closed_form() -> None:
    # Dyadic rates, as above: a quarter of a threshold comes without light.
    light = np.broadcast_to(np.array([[0.0, 0.125, 0.5, 0.75]], np.float32), (64, 1, 4))
    phase = np.array([[0.0, 0.5, 0.25, 0.0]], np.float32)
    spikes = simulate(
        light,
        threshold=2.0,
        gain=2.0,
        dark=0.5,
        phase=phase,
        rng=np.random.default_rng(0),
    )
    rate, t = light[0] + 0.25, np.arange(64)[:, None, None]
    expected = np.floor(phase + (t + 1) * rate) - np.floor(phase + t * rate)
    np.testing.assert_array_equal(spikes, expected)


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_colour_pixels_are_those_of_a_mono_camera_on_their_colour(cfa: str) -> None:
    light = np.random.default_rng(0).random((40, 7, 9, 3), np.float32)

    def run(light: np.ndarray, **options: Any) -> np.ndarray:
        rng = np.random.default_rng(1)
        return simulate(light, threshold=1.5, gain=1, rng=rng, **options)

    planes = [run(light[..., channel]) for channel in range(3)]
    expected = np.choose(colour_map(cfa, 7, 9), planes)
    np.testing.assert_array_equal(run(light, cfa=cfa), expected)


def test_the_same_generator_gives_the_same_spikes() -> None:
    light = np.random.default_rng(0).random((30, 5, 5))

    def run(seed: int) -> np.ndarray:
        return simulate(light, threshold=1, gain=1, rng=np.random.default_rng(seed))

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()


def test_grey_is_the_luma_of_the_standard() -> None:
    colour = np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(grey(colour), [0.299, 0.587, 0.114])


def one_pixel_of(value: float) -> np.ndarray:
    """Grey light (4, 2, 3), with this value in spike frame 2."""
    light = np.full((4, 2, 3), 0.5, np.float32)
    light[2, 1, 0] = value
    return light


@pytest.mark.parametrize(
    ("light", "options", "message"),
    [
        (np.full((2, 2, 2), 1.1), {}, r"must lie in \[0, 1\]"),
        (np.full((2, 2, 2), np.nan), {}, "must be finite, but spike frame 0 is not"),
        (one_pixel_of(np.nan), {}, "must be finite, but spike frame 2 is not"),
        (one_pixel_of(-np.inf), {}, "must be finite, but spike frame 2 is not"),
        (np.zeros((2, 2)), {}, r"must be \(S, h, w\)"),
        (np.zeros((0, 2, 2)), {}, r"must be \(S, h, w\)"),
        (np.zeros((2, 2, 2)), {"threshold": 0.0}, "threshold must be a positive"),
        (np.zeros((2, 2, 2)), {"gain": -1.0}, "gain must be a positive"),
        (np.zeros((2, 2, 2)), {"threshold": 1e39}, "threshold must be a positive"),
        (np.zeros((2, 2, 2)), {"threshold": 1e-60}, "positive number, got 0.0"),
        (
            np.zeros((2, 2, 2)),
            {"gain": np.array([[1, 1], [0, 1]], np.float32)},
            "values from 0",
        ),
        (np.zeros((2, 2, 2)), {"gain": np.ones((2, 3))}, r"\(2, 2\), got \(2, 3\)"),
        (np.zeros((2, 2, 2)), {"dark": -0.1}, "dark must be 0 or a positive number"),
        (np.zeros((2, 2, 2)), {"reset": "sof"}, "Did you mean 'soft'"),
        (np.zeros((2, 2, 2)), {"cfa": "rgbb"}, "Did you mean 'rggb'"),
        (np.zeros((2, 2, 2)), {"cfa": "nune"}, "Did you mean 'none'"),
        (np.zeros((2, 2, 2)), {"cfa": "rggb"}, "needs RGB light"),
        (np.zeros((2, 2, 3)), {"cfa": "rggb"}, r"must be \(S, h, w, 3\)"),
        (
            np.zeros((2, 2, 2)),
            {"phase": np.ones((2, 2))},
            r"phase must lie in \[0, 1\)",
        ),
        (np.zeros((2, 2, 2)), {"phase": np.zeros(2)}, r"phase must be \(h, w\)"),
        (np.zeros((2, 2, 2)), {"phase": np.zeros((2, 3))}, "size of the camera, 2 x 3"),
    ],
)
def test_errors_say_what_is_wrong(
    light: np.ndarray, options: dict, message: str
) -> None:
    arguments = {"threshold": 1.0, "gain": 1.0} | options
    with pytest.raises(ValueError, match=message):
        simulate(light, rng=np.random.default_rng(0), **arguments)


@pytest.mark.parametrize(
    ("light", "message"),
    [
        (np.zeros((3, 2)), "must have the size of the camera, 2 x 3, got 3 x 2"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), "must be finite, but spike frame 0"),
        (np.array([[0, 0, 0], [0, np.inf, 0]]), "must be finite, but spike frame 0"),
    ],
)
def test_a_frame_that_cannot_be_read_leaves_the_camera_as_it_was(
    light: np.ndarray, message: str
) -> None:
    phase = np.random.default_rng(0).random((2, 3))
    camera = SpikeCamera(threshold=1.0, gain=1.0, phase=phase)
    with pytest.raises(ValueError, match=message):
        camera.read(light)
    good = np.full((2, 3), 0.5)
    np.testing.assert_array_equal(camera.read(good), phase >= 0.5)
