"""Streams of every task, through stand-in models whose right answer is known."""

import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.restore import restore_frames, restore_video

TRACES = []
TILES = {"tile": (4, 32, 32), "overlap": (2, 8, 8)}
SIZES = [(1, 1, 1), (1, 8, 8), (2, 5, 70), (7, 41, 33), (11, 33, 9)]


class Restore(nn.Module):
    """Gives back the frames; notes every shape it is compiled for."""

    takes_spikes: bool = False
    size_multiple: int = 8
    min_size: int = 16
    min_frames: int = 2

    def __call__(self, frames):
        TRACES.append(frames.shape)
        return frames


class Enlarge(Restore):
    """Repeats each pixel four times each way."""

    upscale: int = 4

    def __call__(self, frames):
        TRACES.append(frames.shape)
        return jnp.repeat(jnp.repeat(frames, 4, 2), 4, 3)


class Between(Restore):
    """A weighted mean of four frames, whose weights tell them apart."""

    pa_frames: int = 0
    img_size: tuple[int, int, int] = (4, 64, 64)
    min_frames: int = 4

    def __call__(self, frames):
        TRACES.append(frames.shape)
        assert frames.shape[1] == 4
        weights = jnp.asarray([0.1, 0.2, 0.3, 0.4], frames.dtype)
        return (frames * weights[None, :, None, None, None]).sum(1, keepdims=True)


class Denoise(Restore):
    """Shows the noise level it is told in one colour."""

    nonblind_denoising: bool = True

    def __call__(self, frames):
        assert frames.shape[-1] == 4
        return jnp.concatenate([frames[..., 3:], frames[..., 1:3]], -1)


class Watched:
    """A source that only gives short slices, forward, and remembers them."""

    def __init__(self, frames, passes=1):
        self.frames = frames
        self.shape = frames.shape
        self.passes = passes
        self.last = 0
        self.longest = 0

    def __getitem__(self, key):
        if key.start < self.last:
            assert key.start == 0, "the source was read backward"
            self.passes -= 1
            assert self.passes > 0, "the source was read once too often"
        self.last = key.start
        self.longest = max(self.longest, key.stop - key.start)
        return self.frames[key]


def video(*shape):
    return np.random.default_rng(0).random((*shape, 3), np.float32)


def between(frames):
    """Frames with those of `Between` added, without any tile."""
    clips = np.pad(frames, [(1, 1), (0, 0), (0, 0), (0, 0)], mode="edge")
    result = [frames[0]]
    for index in range(len(frames) - 1):
        middle = sum(0.1 * (i + 1) * clips[index + i] for i in range(4))
        result += [middle, frames[index + 1]]
    return np.stack(result)


@pytest.mark.parametrize("tiling", ["blended", "official"])
@pytest.mark.parametrize("shape", SIZES)
def test_super_resolution_of_any_size(shape, tiling):
    frames = video(*shape)
    restored = restore_video(Enlarge(), {}, frames, tiling=tiling, **TILES)
    expected = frames.repeat(4, 1).repeat(4, 2)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize("tiling", ["blended", "official"])
@pytest.mark.parametrize("shape", SIZES)
def test_interpolation_of_any_size(shape, tiling):
    frames = video(*shape)
    restored = restore_video(Between(), {}, frames, tiling=tiling, **TILES)
    assert len(restored) == 2 * len(frames) - 1
    np.testing.assert_array_equal(restored[::2], frames)
    np.testing.assert_allclose(restored, between(frames), rtol=0, atol=5e-7)


def test_the_frames_of_a_tile_say_nothing_to_interpolation():
    frames = video(5, 16, 16)
    options = {"overlap": (0, 0, 0)}
    results = [
        restore_video(Between(), {}, frames, tile=(count, 32, 32), **options)
        for count in (0, 1, 12)
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("shape", SIZES)
def test_denoising_is_told_the_noise_level(shape):
    frames = video(*shape)
    restored = restore_video(Denoise(), {}, frames, sigma=51, **TILES)
    np.testing.assert_allclose(restored[..., 0], 0.2, rtol=0, atol=1e-6)
    np.testing.assert_allclose(restored[..., 1:], frames[..., 1:], rtol=0, atol=3e-7)


@pytest.mark.parametrize(
    ("model", "sigma", "message"),
    [
        (Denoise(), None, "told the noise level: pass sigma"),
        (Denoise(), -1.0, "from 0 to 255, where 255 is white; got -1"),
        (Denoise(), 256.0, "from 0 to 255, where 255 is white; got 256"),
        (Denoise(), float("nan"), "got nan"),
        (Restore(), 10.0, "sigma=10 was given to a model that is not told"),
    ],
)
def test_a_missing_or_wrong_noise_level_is_refused(model, sigma, message):
    with pytest.raises(ValueError, match=message):
        restore_video(model, {}, video(2, 16, 16), sigma=sigma, **TILES)


@pytest.mark.parametrize("size", [0, 40])
def test_a_tile_of_0_or_of_the_size_of_the_video_is_the_whole(size):
    frames = video(5, 40, 40)
    TRACES.clear()
    model = Restore(name=f"whole_{size}")
    tile = (5, size, size) if size else (0, 0, 0)
    restored = restore_video(model, {}, frames, tile=tile, overlap=(0, 0, 0))
    assert [shape[2:4] for shape in TRACES] == [(40, 40)]
    np.testing.assert_array_equal(restored, frames)


@pytest.mark.parametrize("model", [Restore, Enlarge, Between])
def test_97_frames_are_read_forward_in_short_slices_and_compile_once(model):
    TRACES.clear()
    source = Watched(video(97, 41, 33))
    # The name makes this model unlike those of other tests: nothing is compiled yet.
    stream = restore_frames(model(name="long"), {}, source, **TILES)
    restored = np.stack(list(stream))
    assert restored.shape == stream.shape
    assert TRACES == [(1, 4, 32, 32, 3)]
    assert source.longest <= 4
    expected = restore_video(model(name="long"), {}, source.frames, **TILES)
    np.testing.assert_array_equal(restored, expected)
    assert TRACES == [(1, 4, 32, 32, 3)]


def test_a_frame_comes_before_the_next_clip_is_read():
    source = Watched(video(12, 16, 16))
    stream = iter(restore_frames(Restore(), {}, source, **TILES))
    read_until = []
    for _ in range(12):
        next(stream)
        read_until.append(source.last + 4)
    # Clips begin every second frame; two frames of each are final at once.
    assert read_until == [4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 12, 12]


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_progress_of_interpolation_counts_its_tiles(frames):
    calls = []
    restore_video(
        Between(),
        {},
        video(frames, 40, 20),
        progress=lambda *counts: calls.append(counts),
        **TILES,
    )
    total = 2 * (frames - 1)
    assert calls == [(done, total) for done in range(total + 1)]


def test_a_source_that_breaks_its_word_is_named():
    source = Watched(video(6, 16, 16))
    source.frames = source.frames[:3]
    with pytest.raises(ValueError, match=r"gave \(3, 16, 16, 3\) for its frames 0 to"):
        list(restore_frames(Restore(), {}, source, **TILES))


MEMORY = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import clip_streams_test as stand_ins
from vrt_spike_jax.restore import restore_frames

class Endless:
    shape = (97, 128, 128, 3)
    def __getitem__(self, key):
        return np.full((key.stop - key.start, 128, 128, 3), 0.5, np.float32)

def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096 / 2**20

stream = restore_frames(
    stand_ins.Enlarge(), {{}}, Endless(), tile=(4, 64, 64), overlap=(2, 8, 8)
)
seen = []
for frame in stream:
    seen.append(resident())
print(max(seen[20:]) - max(seen[:20]), len(seen) * frame.nbytes / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_resident_memory_is_flat_from_frame_20_to_frame_97():
    script = MEMORY.format(tests=str(Path(__file__).parent))
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    growth, all_frames = map(float, run.stdout.split())
    assert all_frames > 250  # MiB, of which any share kept would show
    assert growth < 25
