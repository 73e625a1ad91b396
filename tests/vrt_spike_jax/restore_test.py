"""Whole videos through stand-in models whose right answer is known."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.spike_encoder import match_gain
from vrt_spike_jax.restore import restore_video

TRACES = []
GAINS = []


class Identity(nn.Module):
    """Gives back the blur; notes every shape it is compiled for."""

    takes_spikes: bool = False
    size_multiple: int = 8
    min_size: int = 16
    min_frames: int = 2

    def __call__(self, blur, spikes=None, *, spike_gain=None):
        TRACES.append(blur.shape)
        return blur


class Smooth(Identity):
    """A local average that sees one frame and two pixels around, zeros outside."""

    def __call__(self, blur, spikes=None, *, spike_gain=None):
        mean = nn.avg_pool(blur, (3, 5, 5), padding="SAME", count_include_pad=True)
        return mean


class SpikeRate(Identity):
    """Shows the gained mean rate in all colours, so that misplaced spikes are seen."""

    takes_spikes: bool = True

    def __call__(self, blur, spikes=None, *, spike_gain=None):
        jax.debug.callback(GAINS.append, spike_gain)
        rate = spikes.mean(axis=2) * spike_gain[:, None, None, None]
        scale = blur.shape[2] // spikes.shape[3]
        rate = jnp.repeat(jnp.repeat(rate, scale, axis=2), scale, axis=3)
        return jnp.broadcast_to(rate[..., None], blur.shape)


class Wrong(Identity):
    """Gives what no restoration model may give."""

    kind: str = "shape"

    def __call__(self, blur, spikes=None, *, spike_gain=None):
        return blur[:, :, ::2] if self.kind == "shape" else blur * jnp.nan


def _video(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random((*shape, 3), np.float32)


def _restore(model, blur, spikes=None, *, tile=(4, 32, 48), overlap=(2, 8, 16), **more):
    return restore_video(model, {}, blur, spikes, tile=tile, overlap=overlap, **more)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 8, 8), (2, 16, 16), (3, 1, 200), (7, 97, 131), (11, 33, 9)]
)
def test_identity_gives_back_any_size(shape):
    blur = _video(*shape)
    restored = _restore(Identity(), blur)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, blur, rtol=0, atol=3e-7)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        ((1, 1, 1), (1, 2, 32, 32, 3)),
        ((3, 20, 40), (1, 4, 32, 48, 3)),
        ((9, 97, 131), (1, 4, 32, 48, 3)),
    ],
)
def test_one_shape_is_compiled_no_larger_than_the_bucket_and_the_tile(shape, seen):
    TRACES.clear()
    # The name makes this model unlike those of other tests: nothing is compiled yet.
    model = Identity(min_frames=2, name=f"frames_{shape[0]}")
    _restore(model, _video(*shape))
    assert TRACES == [seen]
    _restore(Identity(min_frames=2, name=f"frames_{shape[0]}"), _video(*shape))
    assert TRACES == [seen], "an equal model and shape compiled again"


@pytest.mark.parametrize("tile", [(6, 48, 40), (5, 32, 32)])
def test_tiles_equal_the_whole_where_the_overlap_covers_what_the_model_sees(tile):
    blur = _video(13, 80, 96)
    whole = _restore(Smooth(), blur, tile=(13, 80, 96), overlap=(0, 0, 0))
    tiled = _restore(Smooth(), blur, tile=tile, overlap=(4, 16, 16))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)
    seams = _restore(Smooth(), blur, tile=tile, overlap=(0, 0, 0))
    assert np.abs(seams - whole).max() > 0.01, "the stand-in does not see past its tile"


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_spikes_are_tiled_with_their_frames(scale):
    blur = _video(5, 88, 72)
    spikes = np.random.default_rng(1).random((5, 3, 88 // scale, 72 // scale))
    spikes = spikes.astype(np.float32)
    gain = float(match_gain(jnp.asarray(spikes[None]), jnp.asarray(blur[None]))[0])
    expected = np.clip(gain * spikes.mean(axis=1), 0, 1)
    expected = expected.repeat(scale, axis=1).repeat(scale, axis=2)
    restored = _restore(SpikeRate(), blur, spikes)
    np.testing.assert_allclose(restored[..., 1], expected, rtol=0, atol=2e-6)


def test_all_tiles_share_the_gain_of_the_unpadded_video():
    GAINS.clear()
    # Light from left to right: a gain for each tile would differ from tile to tile.
    ramp = np.linspace(0.1, 0.9, 131, dtype=np.float32)
    blur = np.broadcast_to(ramp[:, None], (3, 37, 131, 3))
    spikes = np.random.default_rng(1).random((3, 4, 37, 131)).astype(np.float32)
    _restore(SpikeRate(), blur, spikes)
    jax.effects_barrier()
    expected = match_gain(jnp.asarray(spikes[None]), jnp.asarray(blur[None]))
    assert len(GAINS) > 3
    np.testing.assert_allclose(np.ravel(GAINS), float(expected[0]), rtol=1e-5)


def test_progress_counts_every_tile():
    calls = []
    _restore(
        Identity(), _video(6, 40, 40), progress=lambda *counts: calls.append(counts)
    )
    total = calls[0][1]
    assert total > 1
    assert calls == [(done, total) for done in range(total + 1)]


def test_the_result_is_clipped_to_what_a_picture_holds():
    class Double(Identity):
        def __call__(self, blur, spikes=None, *, spike_gain=None):
            return 2 * blur - 0.5

    blur = _video(2, 16, 16)
    expected = np.clip(2 * blur - 0.5, 0, 1)
    np.testing.assert_allclose(_restore(Double(), blur), expected, atol=1e-6)


SPIKES = np.ones((2, 3, 16, 16), np.float32)


@pytest.mark.parametrize(
    ("model", "blur", "spikes", "message"),
    [
        (Identity(), _video(16, 16), None, r"blur must be \(frames.*got \(16, 16, 3\)"),
        (Identity(), _video(0, 16, 16), None, "at least one frame"),
        (Identity(), np.zeros((2, 16, 16, 4)), None, "RGB"),
        (Identity(), np.zeros((2, 16, 16, 3), np.uint8), None, "float.*got uint8"),
        (Identity(), _video(2, 16, 16) * 255, None, r"\[0, 1\].*Divide 8-bit"),
        (Identity(), _video(2, 16, 16) * np.nan, None, "from nan to nan.*remove NaN"),
        (Identity(), _video(2, 16, 16), SPIKES, "a model that takes none"),
        (SpikeRate(), _video(2, 16, 16), None, "needs spikes beside the blur"),
        (SpikeRate(), _video(3, 16, 16), SPIKES, r"the 3 frames.*got \(2, 3, 16, 16\)"),
        (SpikeRate(), _video(2, 48, 48), SPIKES, "16x16 .* exactly 1, 2 or 4"),
        (SpikeRate(), _video(2, 16, 32), SPIKES, "16x16 .* exactly 1, 2 or 4"),
        (SpikeRate(), _video(2, 16, 16), SPIKES[0], r"got \(3, 16, 16\)"),
        (SpikeRate(), _video(2, 16, 16), -SPIKES, "at least 0.*from -1 to -1"),
        (SpikeRate(), _video(2, 16, 16), SPIKES * np.inf, "must be finite"),
        (Wrong(), _video(2, 16, 16), None, r"gave \(1, 2, 16, 32, 3\) for"),
    ],
)
def test_wrong_videos_are_refused(model, blur, spikes, message):
    with pytest.raises(ValueError, match=message):
        _restore(model, blur, spikes)


class SpikesAsTheyCome(Identity):
    """Shows the mean of the channels, which are no rates of unknown gain."""

    takes_spikes: bool = True
    matches_gain: bool = False

    def __call__(self, blur, spikes=None):
        return jnp.broadcast_to(spikes.mean(axis=2)[..., None], blur.shape)


def test_a_model_that_matches_no_gain_is_given_none():
    spikes = np.random.default_rng(3).random((2, 3, 16, 16), np.float32) - 0.2
    restored = _restore(SpikesAsTheyCome(), _video(2, 16, 16), spikes)
    expected = np.clip(spikes.mean(axis=1), 0, 1)[..., None] * np.ones(3)
    np.testing.assert_allclose(restored, expected, atol=1e-6)


def test_a_model_that_diverged_is_named():
    with pytest.raises(
        FloatingPointError, match=r"not finite in the tile at .*0, 0, 0"
    ):
        _restore(Wrong(kind="nan"), _video(2, 16, 16))


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        ((4, 32), (2, 8), r"must be \(frames, height, width\); got \(4, 32\)"),
        ((1, 32, 32), (0, 8, 8), "tile frames must be .* at least 2, .*; got 1"),
        ((2.5, 32, 32), (0, 8, 8), "must be whole numbers; got .2.5, 32, 32."),
        ((4, 8, 32), (2, 0, 8), "tile height must be a multiple of 8 and at least 16"),
        ((4, 32, 36), (2, 8, 8), "tile width must be a multiple of 8 .*; got 36"),
        ((4, 32, 32), (4, 8, 8), "overlap frames must be from 0 to 3.*got 4"),
        ((4, 32, 32), (2, 32, 8), "overlap height must be from 0 to 24.*got 32"),
        ((4, 32, 32), (2, 8, -1), "overlap width must be from 0 to 24.*got -1"),
    ],
)
def test_wrong_tiles_are_refused_even_for_small_videos(tile, overlap, message):
    with pytest.raises(ValueError, match=message):
        _restore(Identity(), _video(1, 8, 8), tile=tile, overlap=overlap)
