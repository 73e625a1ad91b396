"""Models in turn give what they give one after the other."""

import numpy as np
import pytest

from stand_ins import Between, Denoise, Enlarge, Restore
from vrt_spike_jax.restore import restore_video
from vrt_spike_jax.restore_chain import Link, check_chain, rate_factor, restore_chain

AFFINE = {"scale": 0.7, "offset": 0.11}
TILE = {"tile": (4, 32, 32), "overlap": (2, 8, 8)}


def video(*shape):
    return np.random.default_rng(0).random((*shape, 3), np.float32)


@pytest.mark.parametrize(
    "models",
    [
        (Restore(),),
        (Enlarge(), Between()),
        (Between(), Enlarge()),
        (Restore(), Between(), Between()),
    ],
)
def test_a_chain_is_one_model_after_the_other_without_rounding(models):
    frames = video(7, 13, 20)
    stream = restore_chain([Link(model, {}, **TILE) for model in models], frames)
    expected = frames
    for model in models:
        expected = restore_video(model, {}, expected, **TILE)
    assert stream.shape == expected.shape
    np.testing.assert_array_equal(np.stack(list(stream)), expected)
    assert rate_factor(models) == (expected.shape[0] - 1) // 6


def test_spikes_go_to_the_first_model_and_the_noise_level_to_the_one_told():
    frames = video(3, 16, 16)
    spikes = np.ones((3, 2, 16, 16), np.float32)
    links = [
        Link(model, {}, **TILE)
        for model in (Restore(True, **AFFINE), Denoise(**AFFINE))
    ]
    stream = restore_chain(links, frames, spikes, sigma=20)
    expected = 0.7 * (0.7 * frames + 0.11) + 0.11
    np.testing.assert_allclose(np.stack(list(stream)), expected, atol=1e-6)


def test_progress_counts_the_tiles_of_all_models():
    calls = []
    stream = restore_chain(
        [Link(model, {}, **TILE) for model in (Restore(), Between())],
        video(7, 16, 16),
        progress=lambda *counts: calls.append(counts),
    )
    assert list(zip(*calls, strict=True))[0] == (0, 0)
    list(stream)
    # Three clips of the first model, six frames of the second.
    assert calls[-1] == (9, 9)
    assert [done for done, _ in calls[1:]] == list(range(10))


def test_only_short_slices_of_the_video_are_read():
    longest = []

    class Source:
        shape = (30, 16, 16, 3)

        def __getitem__(self, key):
            longest.append(key.stop - key.start)
            return np.full((longest[-1], 16, 16, 3), 0.5, np.float32)

    links = [Link(model, {}, **TILE) for model in (Enlarge(), Between())]
    assert len(list(restore_chain(links, Source()))) == 59
    assert max(longest) == 4


@pytest.mark.parametrize(
    ("models", "sigma", "message"),
    [
        ((Restore(), Restore(True)), None, "model 2 of the chain takes spikes"),
        ((Restore(), Denoise()), None, "told the noise level: pass sigma"),
        ((Denoise(), Denoise()), 9.0, "its noise only once"),
        ((Restore(),), 9.0, "sigma=9 was given, but no model here"),
    ],
)
def test_models_that_cannot_follow_each_other(models, sigma, message):
    with pytest.raises(ValueError, match=message):
        check_chain(models, sigma=sigma)
