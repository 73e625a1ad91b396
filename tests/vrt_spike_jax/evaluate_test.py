"""The rows of the table on clips whose right numbers are known."""

import json
import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.evaluate import (
    METHODS,
    closed_form,
    evaluate,
    format_table,
    write_results,
)
from vrt_spike_jax.metrics import psnr, ssim

TILES = {"tile": (4, 32, 32), "overlap": (1, 8, 8)}


class Answer(nn.Module):
    """Gives the parameter where there is one, else the blur."""

    takes_spikes: bool = False
    size_multiple: int = 8
    min_size: int = 16
    min_frames: int = 2

    @nn.compact
    def __call__(self, blur):
        if self.has_variable("params", "answer"):
            return self.variable("params", "answer").value[None]
        return blur


class FromSpikes(Answer):
    """Fails where it is not given the spikes."""

    takes_spikes: bool = True

    @nn.compact
    def __call__(self, blur, spikes, *, spike_gain):
        return blur + 0 * spikes.mean() * spike_gain.mean()


def _clip(name: str = "clip", *, frames: int = 3, seed: int = 0, size: int = 32):
    rng = np.random.default_rng(seed)
    sharp = rng.random((frames, size, size, 3), np.float32)
    noise = rng.normal(0, 0.05 * (1 + seed), sharp.shape).astype(np.float32)
    return {
        "name": name,
        "sharp": sharp,
        "blur": np.clip(sharp + noise, 0, 1),
        "spikes": rng.random((frames, 4, size // 2, size // 2), np.float32),
        "tfp_short": rng.random((frames, size // 2, size // 2), np.float32),
        "tfp_long": rng.random((frames, size // 2, size // 2), np.float32),
    }


def test_a_model_that_changes_nothing_scores_as_the_blur():
    clips = [_clip(), _clip("other", seed=1, size=24)]
    rows = {row["method"]: row for row in evaluate(Answer(), {}, clips, **TILES)}
    assert tuple(rows) == METHODS
    blurred, model = rows["blurred"], rows["model"]
    assert model["psnr"] == pytest.approx(blurred["psnr"], rel=1e-6)
    assert model["ssim"] == pytest.approx(blurred["ssim"], abs=1e-6)
    assert blurred["per_clip"][1] == {
        "name": "other",
        "frames": 3,
        "psnr": float(psnr(clips[1]["blur"], clips[1]["sharp"])),
        "ssim": float(ssim(clips[1]["blur"], clips[1]["sharp"])),
    }


def test_a_perfect_model_has_infinite_psnr_in_valid_json(tmp_path):
    clip = _clip(frames=4)  # a whole tile, so that the answer is of its shape
    params = {"answer": jnp.asarray(clip["sharp"])}
    rows = evaluate(Answer(), params, [clip], **TILES)
    model = rows[-1]
    assert math.isinf(model["psnr"])
    assert model["ssim"] == 1.0
    path = tmp_path / "new" / "results.json"
    write_results(path, rows, config={"seed": 0, "tile": (4, 32, 32)}, step=7)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    results = json.loads(path.read_text(), parse_constant=refuse)
    assert set(results) == {"rows", "protocol", "data", "config", "step", "versions"}
    assert results["step"] == 7
    assert results["config"] == {"seed": 0, "tile": [4, 32, 32]}
    assert results["data"] == {"clips": ["clip"], "frames": 4}
    assert "8 bits" in results["protocol"]
    assert {"python", "jax", "flax", "numpy", "device"} <= set(results["versions"])
    assert [row["method"] for row in results["rows"]] == list(METHODS)
    assert math.isinf(float(results["rows"][-1]["psnr"]))
    assert results["rows"][0]["psnr"] == rows[0]["psnr"]
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


def test_means_are_over_frames_and_not_over_clips():
    clips = [_clip(frames=1), _clip("long", frames=5, seed=3)]
    row = evaluate(Answer(), {}, clips, **TILES)[0]
    frames = [
        float(psnr(blur, sharp))
        for clip in clips
        for blur, sharp in zip(clip["blur"], clip["sharp"], strict=True)
    ]
    assert row["psnr"] == pytest.approx(np.mean(frames), rel=1e-6)


def test_a_model_with_fusion_gets_the_spikes():
    rows = evaluate(FromSpikes(), {}, [_clip()], **TILES)
    assert rows[-1]["psnr"] == pytest.approx(rows[0]["psnr"], rel=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_closed_form_is_exact_where_light_is_the_same_in_each_spike_pixel(scale):
    # Each frame is one colour, dimmed by one factor in time; the spikes see both.
    rng = np.random.default_rng(0)
    colour = rng.uniform(0.2, 0.8, (5, 1, 1, 3)).astype(np.float32)
    sharp = np.broadcast_to(colour, (5, 16, 24, 3))
    dimmed = rng.uniform(0.5, 1.2, (5, 1, 1)).astype(np.float32)
    small = (5, 16 // scale, 24 // scale)
    short = np.full(small, 0.3, np.float32)
    restored = closed_form(sharp * dimmed[..., None], short, short * dimmed)
    np.testing.assert_allclose(restored, sharp, atol=1e-6)


def test_closed_form_keeps_the_blur_where_no_spike_fell():
    blur = np.full((1, 8, 8, 3), 0.4, np.float32)
    long = np.zeros((1, 8, 8), np.float32)
    long[:, :, 4:] = 0.5
    short = np.full((1, 8, 8), 0.25, np.float32)
    restored = np.asarray(closed_form(blur, short, long))
    np.testing.assert_allclose(restored[:, :, :4], 0.4, atol=1e-7)
    np.testing.assert_allclose(restored[:, :, 4:], 0.2, atol=1e-7)


def test_the_table_is_aligned_and_shows_the_gain():
    rows = [
        {"method": "blurred", "psnr": 25.0, "ssim": 0.75},
        {"method": "closed_form", "psnr": 9.5, "ssim": 0.5},
        {"method": "model", "psnr": 28.25, "ssim": 0.875},
    ]
    assert format_table(rows).splitlines() == [
        "method       PSNR [dB]    gain    SSIM     gain",
        "blurred          25.00          0.7500",
        "closed_form       9.50  -15.50  0.5000  -0.2500",
        "model            28.25   +3.25  0.8750  +0.1250",
    ]


def test_the_table_leaves_out_gains_that_are_not_numbers():
    rows = [
        {"method": "blurred", "psnr": math.inf, "ssim": 1.0},
        {"method": "model", "psnr": math.inf, "ssim": 1.0},
    ]
    assert format_table(rows).splitlines()[1:] == [
        "blurred        inf        1.0000",
        "model          inf        1.0000  +0.0000",
    ]


def test_without_clips_or_sharp_frames_evaluation_is_refused():
    with pytest.raises(ValueError, match="no clips to evaluate on"):
        evaluate(Answer(), {}, [], **TILES)
    clip = _clip() | {"sharp": np.zeros((0, 32, 32, 3), np.float32)}
    with pytest.raises(ValueError, match=r"clip clip has blur .* sharp \(0, 32"):
        evaluate(Answer(), {}, [clip], **TILES)


def test_a_model_that_changes_the_size_or_the_rate_is_refused():
    class Enlarge(Answer):
        upscale: int = 4

    class Between(Answer):
        pa_frames: int = 0
        img_size: tuple[int, int, int] = (4, 64, 64)

    with pytest.raises(ValueError, match="makes 2 frames of 32x32 from 2 of 8x8"):
        evaluate(Enlarge(), {}, [_clip()], **TILES)
    with pytest.raises(ValueError, match="makes 3 frames of 8x8 from 2 of 8x8"):
        evaluate(Between(), {}, [_clip()], **TILES)


def test_a_model_that_is_told_the_noise_level_is_refused():
    class Told(Answer):
        nonblind_denoising: bool = True

    with pytest.raises(ValueError, match="is told the noise level, which the clips"):
        evaluate(Told(), {}, [_clip()], **TILES)


def test_the_tiling_can_be_the_official_one():
    # Patches of the official tiling are not padded, so the clip must fit the model.
    rows = evaluate(Answer(), {}, [_clip(size=40)], tiling="official", **TILES)
    assert rows[-1]["psnr"] == pytest.approx(rows[0]["psnr"], rel=1e-6)


def test_results_that_cannot_be_written_leave_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    rows = [{"method": "blurred", "psnr": 1.0, "ssim": 0.1, "per_clip": []}]
    with pytest.raises(TypeError):
        write_results(path, rows, config={"bad": object()}, step=1)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_moving_pixels_are_measured_alone():
    """Their error is that of a clip which holds nothing else."""
    clip = _clip(size=48)
    moving = np.zeros(clip["sharp"].shape[:3], bool)
    moving[0, 8:24, 8:40] = True
    moving[2, :, 30:] = True
    rows = evaluate(Answer(), {}, [clip | {"moving": moving}], **TILES)
    assert [set(row) for row in rows] == [
        {"method", "psnr", "ssim", "psnr_moving", "ssim_moving", "per_clip"}
    ] * len(rows)
    levels = [
        np.round(clip[name] * 255).astype(np.float64) for name in ("blur", "sharp")
    ]
    errors = np.square(levels[0] - levels[1])
    expected = [10 * np.log10(255**2 / errors[t][moving[t]].mean()) for t in (0, 2)]
    assert rows[0]["psnr_moving"] == pytest.approx(np.mean(expected), rel=1e-6)
    assert rows[0]["per_clip"][0]["psnr_moving_frames"] == 2
    whole = np.ones_like(moving)
    row = evaluate(Answer(), {}, [clip | {"moving": whole}], **TILES)[0]
    assert row["psnr_moving"] == pytest.approx(row["psnr"], abs=1e-4)
    assert row["ssim_moving"] == pytest.approx(row["ssim"], abs=1e-5)


def test_where_nothing_moves_there_is_no_number(tmp_path):
    still = _clip() | {"moving": np.zeros((3, 32, 32), bool)}
    rows = evaluate(Answer(), {}, [still], **TILES)
    assert {row["psnr_moving"] for row in rows} == {None}
    assert "moving" not in format_table(rows)
    write_results(tmp_path / "results.json", rows, config={}, step=0)
    moving = _clip("other", seed=1) | {"moving": np.ones((3, 32, 32), bool)}
    both, alone = (
        evaluate(Answer(), {}, clips, **TILES)[0]
        for clips in ([still, moving], [moving])
    )
    assert both["psnr_moving"] == pytest.approx(alone["psnr_moving"], rel=1e-9)


def test_the_table_shows_moving_pixels_beside_all():
    rows = [
        {"method": "blurred", "psnr": 25.0, "ssim": 0.75}
        | {"psnr_moving": 20.0, "ssim_moving": 0.5},
        {"method": "model", "psnr": 28.25, "ssim": 0.875}
        | {"psnr_moving": 26.5, "ssim_moving": 0.75},
    ]
    head = "method   PSNR [dB]   gain    SSIM     gain"
    assert format_table(rows).splitlines() == [
        f"{head}  moving [dB]   gain    SSIM     gain",
        "blurred      25.00         0.7500                 20.00         0.5000",
        "model        28.25  +3.25  0.8750  +0.1250"
        "        26.50  +6.50  0.7500  +0.2500",
    ]
