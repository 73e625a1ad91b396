"""The rows of the table on clips whose right numbers are known."""

import flax.linen as nn
import numpy as np
import pytest

from vrt_spike_jax.evaluate import METHODS, closed_form, evaluate, score_clip
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
    other = blurred["per_clip"][1]
    assert list(other) == ["name", "frames", "psnr", "ssim"]
    assert (other["name"], other["frames"]) == ("other", 3)
    expected = [float(f(clips[1]["blur"], clips[1]["sharp"])) for f in (psnr, ssim)]
    assert [other["psnr"], other["ssim"]] == pytest.approx(expected, rel=1e-6)


def test_means_are_over_frames_and_not_over_clips():
    clips = [_clip(frames=1), _clip("long", frames=5, seed=3)]
    row = evaluate(Answer(), {}, clips, **TILES)[0]
    frames = [
        float(psnr(blur, sharp))
        for clip in clips
        for blur, sharp in zip(clip["blur"], clip["sharp"], strict=True)
    ]
    assert row["psnr"] == pytest.approx(np.mean(frames), rel=1e-6)
    both = np.mean([frames[0], np.mean(frames[1:])])
    assert row["over_clips"]["psnr"] == pytest.approx(both, rel=1e-6)


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


def test_moving_pixels_are_measured_alone():
    """Their error is that of a clip which holds nothing else."""
    clip = _clip(size=48)
    moving = np.zeros(clip["sharp"].shape[:3], bool)
    moving[0, 8:24, 8:40] = True
    moving[2, :, 30:] = True
    rows = evaluate(Answer(), {}, [clip | {"moving": moving}], **TILES)
    assert [set(row) for row in rows] == [
        {"method", "psnr", "ssim", "psnr_moving", "ssim_moving"}
        | {"over_clips", "per_clip"}
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


def test_where_nothing_moves_there_is_no_number():
    still = _clip() | {"moving": np.zeros((3, 32, 32), bool)}
    rows = evaluate(Answer(), {}, [still], **TILES)
    assert {row["psnr_moving"] for row in rows} == {None}
    assert rows[0]["per_clip"][0]["ssim_moving_frames"] == 0
    moving = _clip("other", seed=1) | {"moving": np.ones((3, 32, 32), bool)}
    both, alone = (
        evaluate(Answer(), {}, clips, **TILES)[0]
        for clips in ([still, moving], [moving])
    )
    assert both["psnr_moving"] == pytest.approx(alone["psnr_moving"], rel=1e-9)


def test_a_clip_without_sharp_frames_has_no_scores():
    clip = {"name": "real", "blur": _clip()["blur"]}
    tiles = TILES | {"tiling": "blended"}
    scores = score_clip(Answer(), {}, clip, metrics=("psnr",), tiles=tiles)
    assert (scores.name, scores.frames, scores.values) == ("real", ["0", "1", "2"], {})


def test_a_clip_too_short_for_a_metric_is_refused_before_it_is_restored():
    class Unused(Answer):
        def __call__(self, blur):
            raise AssertionError("the clip was restored")

    with pytest.raises(ValueError, match=r"clip clip has 3 .* tof needs at least 6"):
        score_clip(Unused(), {}, _clip(), metrics=("psnr", "tof"), tiles=TILES)
