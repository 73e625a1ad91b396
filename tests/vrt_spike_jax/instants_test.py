"""Whole videos at several instants of each exposure, by a model that shows them."""

import itertools

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from stand_ins import Between, Restore
from vrt_spike_jax.instants import even_instants, planned_instants
from vrt_spike_jax.restore import restore_frames, restore_video
from vrt_spike_jax.restore_chain import Link, check_chain, rate_factor, restore_chain

TRACES = []
TILES = {"tile": (4, 32, 32), "overlap": (2, 8, 8)}


class Shows(nn.Module):
    """The blur's red, the mean of the spikes as green, and the instant as blue."""

    takes_instant: bool = True
    takes_spikes: bool = True
    matches_gain: bool = False
    size_multiple: int = 8
    min_size: int = 16
    min_frames: int = 2

    def __call__(self, blur, spikes, *, instant):
        TRACES.append(blur.shape)
        green = jnp.broadcast_to(spikes.mean(2), blur.shape[:-1])
        blue = jnp.broadcast_to(instant[..., None, None] / 2 + 0.5, blur.shape[:-1])
        return jnp.stack([blur[..., 0], green, blue], -1)


def video(frames, height=20, width=40):
    rng = np.random.default_rng(1)
    blur = rng.random((frames, height, width, 3), np.float32)
    return blur, rng.random((frames, 4, height, width), np.float32)


def instants_of(restored):
    """The instant that each frame shows, where it shows one alone."""
    blue = 2 * restored[..., 2] - 1
    assert np.ptp(blue, axis=(1, 2)).max() < 1e-5
    return blue.mean((1, 2))


def test_even_instants_are_the_middles_of_even_parts():
    assert even_instants(1) == (0,)
    np.testing.assert_allclose(even_instants(4), [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(np.diff(even_instants(7)), 2 / 7)


@pytest.mark.parametrize("frames", [1, 3, 9])
def test_all_instants_of_a_frame_follow_each_other(frames):
    blur, spikes = video(frames)
    asked = even_instants(3)
    restored = restore_video(Shows(), {}, blur, spikes, instants=asked, **TILES)
    assert restored.shape == (3 * frames, *blur.shape[1:])
    np.testing.assert_allclose(instants_of(restored), frames * asked, atol=1e-6)
    for number in range(3):
        np.testing.assert_allclose(restored[number::3, ..., 0], blur[..., 0], atol=1e-6)
        np.testing.assert_allclose(
            restored[number::3, ..., 1], spikes.mean(1), atol=1e-6
        )


def test_any_number_of_instants_is_one_program_and_every_tile_is_told():
    blur, spikes = video(9)
    TRACES.clear()
    for count in (1, 2, 5):
        seen = []
        restore_video(
            Shows(name="compiled_once"),
            {},
            blur,
            spikes,
            instants=even_instants(count),
            progress=lambda done, total, seen=seen: seen.append((done, total)),
            **TILES,
        )
        total = count * 4 * 2  # clips and columns
        assert seen == [(done, total) for done in range(total + 1)]
    restore_video(Shows(name="compiled_once"), {}, blur, spikes, **TILES)
    assert len(TRACES) == 1


def test_the_middle_is_what_is_not_asked_for():
    blur, spikes = video(3)
    restored = restore_video(Shows(), {}, blur, spikes, **TILES)
    np.testing.assert_allclose(instants_of(restored), 0, atol=1e-6)


def test_instants_may_differ_from_frame_to_frame():
    blur, spikes = video(5)
    asked = np.stack([np.linspace(-1, 0, 5), np.linspace(0.2, 1, 5)])
    restored = restore_video(Shows(), {}, blur, spikes, instants=asked, **TILES)
    # Where two clips overlap, both were told the instant of the frame.
    np.testing.assert_allclose(instants_of(restored), asked.T.ravel(), atol=1e-6)


class Source:
    """A video that notes how much of it was read."""

    def __init__(self, values):
        self.values, self.shape, self.read = values, values.shape, []

    def __getitem__(self, key):
        self.read.append((key.start, key.stop))
        return self.values[key]


def test_frames_come_as_they_are_read_and_are_read_once_for_all_instants():
    blur, spikes = (Source(x) for x in video(40))
    stream = restore_frames(
        Shows(), {}, blur, spikes, instants=even_instants(4), **TILES
    )
    assert stream.shape[0] == 160
    assert len(list(itertools.islice(stream, 40))) == 40
    assert max(stop for _, stop in blur.read) < 20
    assert len(set(blur.read)) == len(blur.read)
    assert spikes.read == blur.read


def test_a_chain_asks_its_first_model():
    blur, spikes = video(3)
    links = [
        Link(Shows(), {}, **TILES),
        Link(Between(), {}, **TILES),
    ]
    restored = np.stack(list(restore_chain(links, blur, spikes, instant_count=3)))
    assert len(restored) == 2 * 9 - 1
    models = [link.model for link in links]
    assert rate_factor(models, 3) == 6
    assert rate_factor(models) == 2
    np.testing.assert_allclose(
        instants_of(restored[::2]), 3 * even_instants(3), atol=1e-6
    )
    with pytest.raises(ValueError, match="train one with data.instants=random"):
        check_chain([Restore()], sigma=None, instant_count=3)


@pytest.mark.parametrize(
    ("instants", "sentence"),
    [
        ((), "at least one"),
        (((0.0, 0.5),), r"\(N, 3\) for the 3 frames"),
        ((0.5, 0.5), "must rise"),
        ((0.0, 1.5), "must rise from -1"),
        ((float("nan"),), "must rise"),
    ],
)
def test_wrong_instants_are_said(instants, sentence):
    with pytest.raises(ValueError, match=sentence):
        planned_instants(Shows(), instants, 3)


def test_models_that_take_no_instant_refuse():
    blur, _ = video(3)
    with pytest.raises(ValueError, match="middle of each exposure alone"):
        restore_video(Restore(), {}, blur, instants=(0.0,), **TILES)
    assert planned_instants(Restore(), None, 3) is None

    class Middle(Between):
        takes_instant: bool = True

    with pytest.raises(ValueError, match="between exposures"):
        planned_instants(Middle(), (0.0,), 3)
