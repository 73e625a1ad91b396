"""Tiles of a real VRT meet without a seam, and the official ones with one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from vrt_spike_jax import create_model
from vrt_spike_jax.restore import restore_video

WIDTH, TILE, OVERLAP = 160, 64, 32
STARTS = (0, 32, 64, 96)


def random_params(model, clip):
    """Of the size of a fresh model's, but drawn without compiling it."""
    rng = np.random.default_rng(0)
    frames = jnp.asarray(clip[None, :, :32, :32])
    abstract = jax.eval_shape(model.init, jax.random.key(0), frames)["params"]

    def draw(path, leaf):
        values = rng.normal(size=leaf.shape).astype(np.float32)
        kind = path[-1].key
        if kind == "scale":
            return 1 + 0.02 * values
        if kind != "kernel":
            return 0.02 * values
        gain = 0.01 if path[0].key == "conv_last" else 1.0
        return gain * values / np.sqrt(np.prod(leaf.shape[:-1]))

    return jax.tree_util.tree_map_with_path(draw, abstract)


@pytest.fixture(scope="module")
def restored():
    """The clip restored whole, in tiles of each tiling, and tile by tile alone."""
    light = np.random.default_rng(0).random((2, TILE, WIDTH, 3))
    light = ndimage.gaussian_filter(light, (0.7, 3, 3, 0))
    light = 0.5 + 0.1 * (light - light.mean()) / light.std()
    clip = np.clip(light, 0.1, 0.9).astype(np.float32)
    model = create_model("tiny")
    params = random_params(model, clip)

    def run(part, width, tiling="blended"):
        tile, overlap = (2, TILE, width), (1, OVERLAP, OVERLAP)
        return restore_video(
            model, params, part, tile=tile, overlap=overlap, tiling=tiling
        )

    return {
        "clip": clip,
        "whole": run(clip, WIDTH),
        "blended": run(clip, TILE),
        "official": run(clip, TILE, "official"),
        "tiles": [run(clip[:, :, s : s + TILE], TILE) for s in STARTS],
    }


def seam(restored, tiling):
    """The steps from column to column that no tile has, beside those of the error.

    A tile's own steps are what the model sees in the clip. What goes beyond those of
    every tile there is the tiling's own: a seam. The measure is the seam where it is
    steepest, as the mean along the column, in units of the mean step of the difference
    between the tiled and the whole clip.
    """
    step = np.diff(restored[tiling], axis=2)
    least, most = np.full_like(step, np.inf), np.full_like(step, -np.inf)
    for start, tile in zip(STARTS, restored["tiles"], strict=True):
        own, place = np.diff(tile, axis=2), np.s_[:, :, start : start + TILE - 1]
        least[place] = np.minimum(least[place], own)
        most[place] = np.maximum(most[place], own)
    beyond = np.maximum(0, np.maximum(step - most, least - step)).mean((0, 1, 3))
    error = np.abs(np.diff(restored[tiling] - restored["whole"], axis=2))
    return beyond.max() / error.mean(), int(beyond.argmax())


def test_the_model_sees_past_its_tiles(restored):
    effect = np.abs(restored["whole"] - restored["clip"]).mean()
    difference = np.abs(restored["blended"] - restored["whole"]).mean()
    assert difference > 0.02 * effect


def test_blended_tiles_have_no_seam_where_the_official_ones_do(restored):
    blended, _ = seam(restored, "blended")
    official, column = seam(restored, "official")
    assert blended < 0.02
    assert official > 0.2
    # Half of the overlap after the beginning of a patch, which follows this column.
    assert column + 1 in [start + OVERLAP // 2 for start in STARTS[1:]]


def test_the_difference_to_the_whole_is_not_steeper_at_the_borders(restored):
    step = np.abs(np.diff(restored["blended"] - restored["whole"], axis=2))
    profile = step.mean((0, 1, 3))
    # Weights change in the inner half of an overlap; its ends are a tile's borders.
    quarter = OVERLAP // 4
    borders = [s + quarter - 1 for s in STARTS[1:]]
    borders += [s + OVERLAP - quarter - 1 for s in STARTS[1:]]
    between = profile[STARTS[1] : STARTS[-1] + OVERLAP]
    assert profile[borders].mean() < 1.25 * between.mean()
