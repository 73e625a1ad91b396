"""What a model that takes an instant scores at the first and last of an exposure."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.evaluate import METHODS, closed_form, evaluate
from vrt_spike_jax.metrics import psnr
from vrt_spike_jax.scores import format_table

TILES = {"tile": (4, 32, 32), "overlap": (1, 8, 8)}
RNG = np.random.default_rng(3)


class Brighter(nn.Module):
    """The blur plus a tenth of the instant: exactly how sharp frames differ here."""

    takes_instant: bool = True
    takes_spikes: bool = True
    matches_gain: bool = False
    size_multiple: int = 8
    min_size: int = 16
    min_frames: int = 2

    def __call__(self, blur, spikes, *, instant):
        return blur + 0.1 * instant[..., None, None, None] + 0 * jnp.mean(spikes)


def clip_of(name):
    blur = 0.4 + 0.2 * RNG.random((3, 32, 32, 3), np.float32)
    clip = {
        "name": name,
        "blur": blur,
        "sharp": blur,
        "spikes": RNG.random((3, 4, 32, 32), np.float32),
        "tfp_short": np.full((3, 32, 32), 0.5, np.float32),
        "tfp_long": np.full((3, 32, 32), 0.5, np.float32),
        "moving": np.ones((3, 32, 32), bool),
    }
    clip["latent"] = [
        {
            "at": at,
            "instant": np.full(3, instant, np.float32),
            "sharp": blur + np.float32(0.1 * instant),
            "tfp_short": np.full((3, 32, 32), short, np.float32),
            "moving": np.ones((3, 32, 32), bool),
        }
        for at, instant, short in (("first", -0.5, 0.4), ("last", 1.0, 0.6))
    ]
    return clip


def test_each_instant_is_compared_with_its_own_sharp_frame():
    clips = [clip_of("a"), clip_of("b")]
    found = evaluate(Brighter(), {}, clips, **TILES)
    names = [f"{method}{at}" for at in ("", " first", " last") for method in METHODS]
    assert [row["method"] for row in found] == names
    rows = {row["method"]: row for row in found}
    for at, instant in ((" first", 0.5), (" last", 1.0)):
        assert rows[f"model{at}"]["psnr"] > 55
        expected = -20 * np.log10(0.1 * instant)
        assert rows[f"blurred{at}"]["psnr"] == pytest.approx(expected, abs=0.05)
        assert rows[f"blurred{at}"]["psnr_moving"] == pytest.approx(expected, abs=0.05)
    assert rows["model"]["psnr"] > 55
    # The light around the instant, not around the middle.
    last = clips[1]["latent"][1]
    by_hand = closed_form(clips[1]["blur"], last["tfp_short"], clips[1]["tfp_long"])
    scored = rows["closed_form last"]["per_clip"][1]["psnr"]
    assert scored == pytest.approx(float(psnr(by_hand, last["sharp"])), abs=1e-4)


def test_the_table_tells_the_gain_over_the_blur_of_the_same_instant():
    rows = [
        {"method": "blurred", "psnr": 25.0},
        {"method": "model", "psnr": 28.0},
        {"method": "blurred first", "psnr": 21.0},
        {"method": "model first", "psnr": 27.5},
    ]
    lines = format_table(rows).splitlines()
    assert lines[2].split() == ["model", "28.00", "+3.00"]
    assert lines[4].split() == ["model", "first", "27.50", "+6.50"]
