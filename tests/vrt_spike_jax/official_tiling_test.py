"""The official tiling against the procedure of the public code, written anew.

The stand-in's output depends on the place inside a tile, so that every frame and pixel
shows which tiles it was taken from, and with which weights.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.restore import restore_video


class Placed(nn.Module):
    """Mixes the picture with its place in the tile."""

    upscale: int = 1
    window_size: tuple[int, int, int] = (2, 8, 8)
    nonblind_denoising: bool = False
    takes_spikes: bool = False
    size_multiple: int = 8
    min_size: int = 8
    min_frames: int = 1

    def __call__(self, frames):
        return placed(frames, self.upscale, jnp)


def placed(frames, scale, numpy):
    _, count, height, width, channels = frames.shape
    picture = numpy.repeat(numpy.repeat(frames[..., :3], scale, 2), scale, 3)
    time, row, column = (
        numpy.arange(size).reshape([-1 if i == axis else 1 for i in range(5)]) / size
        for axis, size in ((1, count), (2, scale * height), (3, scale * width))
    )
    noise = frames[..., 3:].mean() if channels == 4 else 0.0
    return 0.4 * picture + 0.1 * time + 0.2 * row**2 + 0.15 * column + 0.1 * noise


def expected_video(video, *, tile, overlap, scale, window):
    """What the public test_video computes, for (T, H, W, C)."""
    length, size = tile[:2]
    count = len(video)
    if length == 0:
        padded = mirrored_end(video, 0, window[0])
        return expected_clip(padded, size, overlap[1], scale, window)[:count]
    starts = first_places(count, length, overlap[0])
    total = np.zeros((count, *[scale * s for s in video.shape[1:3]], 3))
    times = np.zeros((count, 1, 1, 1))
    for start in starts:
        clip = video[start : start + length]
        total[start : start + length] += expected_clip(
            clip, size, overlap[1], scale, window
        )
        times[start : start + length] += 1
    return total / times


def expected_clip(clip, size, overlap, scale, window):
    height, width = clip.shape[1:3]
    if size == 0:
        padded = mirrored_end(mirrored_end(clip, 1, window[1]), 2, window[2])
        restored = placed(padded[None], scale, np)[0]
        return restored[:, : height * scale, : width * scale]
    total = np.zeros((len(clip), height * scale, width * scale, 3))
    times = np.zeros_like(total)
    tops, lefts = (first_places(s, size, overlap) for s in (height, width))
    before, after = overlap // 2, -((-overlap) // 2)
    for top in tops:
        for left in lefts:
            patch = clip[:, top : top + size, left : left + size]
            restored = placed(patch[None], scale, np)[0]
            counts = np.ones_like(restored)
            for a in (restored, counts):
                if top < tops[-1]:
                    a[:, a.shape[1] - after :] = 0
                if left < lefts[-1]:
                    a[:, :, a.shape[2] - after :] = 0
                if top > tops[0]:
                    a[:, :before] = 0
                if left > lefts[0]:
                    a[:, :, :before] = 0
            place = np.s_[
                :,
                top * scale : (top + size) * scale,
                left * scale : (left + size) * scale,
            ]
            total[place] += restored
            times[place] += counts
    return total / times


def first_places(size, tile, overlap):
    return [*range(0, size - tile, tile - overlap), max(0, size - tile)]


def mirrored_end(video, axis, window):
    missing = -video.shape[axis] % window
    if not missing:
        return video
    # As many of the last as are missing, or all there are.
    end = np.flip(video, axis)
    end = np.take(end, range(min(missing, video.shape[axis])), axis)
    return np.concatenate([video, end], axis)


SHAPES = [(1, 8, 40), (5, 33, 17), (7, 40, 56), (9, 25, 9)]
TILES = [
    ((0, 0, 0), (0, 0, 0)),
    ((4, 16, 16), (2, 4, 4)),
    ((3, 16, 16), (0, 5, 5)),
    ((5, 24, 24), (4, 20, 20)),
    ((6, 32, 32), (1, 1, 1)),
]


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("tile", "overlap"), TILES)
def test_every_frame_and_pixel_is_that_of_the_public_code(shape, tile, overlap, scale):
    video = np.random.default_rng(0).random((*shape, 3), np.float32)
    expected = expected_video(
        video, tile=tile, overlap=overlap, scale=scale, window=(2, 8, 8)
    )
    restored = restore_video(
        Placed(scale), {}, video, tile=tile, overlap=overlap, tiling="official"
    )
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 9, 17])
def test_the_padding_in_time_is_short_where_the_video_is(count):
    video = np.random.default_rng(0).random((count, 16, 16, 3), np.float32)
    model = Placed(window_size=(8, 8, 8))
    options = {"tile": (0, 16, 16), "overlap": (2, 4, 4)}
    expected = expected_video(video, **options, scale=1, window=(8, 8, 8))
    restored = restore_video(model, {}, video, **options, tiling="official")
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-6)


def test_the_noise_level_reaches_every_patch():
    video = np.random.default_rng(0).random((3, 24, 24, 3), np.float32)
    options = {"tile": (2, 16, 16), "overlap": (1, 4, 4)}
    told = np.concatenate([video, np.full((3, 24, 24, 1), 51 / 255)], -1)
    expected = expected_video(told, **options, scale=1, window=(2, 8, 8))
    model = Placed(nonblind_denoising=True)
    restored = restore_video(model, {}, video, **options, tiling="official", sigma=51)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        ((4, 16, 24), (2, 4, 4), "square patches: .*tile \\(4, 16, 24\\)"),
        ((4, 16, 16), (2, 4, 8), "square patches: .*overlap \\(2, 4, 8\\)"),
        ((4, 12, 12), (2, 4, 4), "a multiple of 8, the window of the model"),
        ((4, 16, 16), (4, 4, 4), "overlap frames .* less than the 4 .*got 4"),
        ((4, 16, 16), (2, 16, 16), "overlap height .* less than the 16 .*got 16"),
        ((4, 16, 16), (-1, 4, 4), "overlap frames must be at least 0"),
        ((4, 16, 16), (2, 0, 0), "divides by zero .*at least 1 .*40 pixels .*of 16"),
    ],
)
def test_what_the_public_code_has_no_answer_for_is_refused(tile, overlap, message):
    video = np.zeros((6, 40, 40, 3), np.float32)
    with pytest.raises(ValueError, match=message):
        restore_video(
            Placed(), {}, video, tile=tile, overlap=overlap, tiling="official"
        )


def test_one_patch_needs_no_overlap():
    video = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    options = {"tile": (2, 16, 16), "overlap": (0, 0, 0)}
    restored = restore_video(Placed(), {}, video, **options, tiling="official")
    expected = expected_video(video, **options, scale=1, window=(2, 8, 8))
    np.testing.assert_allclose(restored, expected, rtol=0, atol=1e-6)


def test_an_unknown_tiling_names_the_nearest():
    video = np.zeros((2, 16, 16, 3), np.float32)
    with pytest.raises(ValueError, match="did you mean 'official'"):
        restore_video(
            Placed(), {}, video, tile=(2, 16, 16), overlap=(0, 0, 0), tiling="offical"
        )
