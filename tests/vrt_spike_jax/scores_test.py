"""Means, CSV and table of scores whose right numbers are found by hand."""

import csv
import io
import json
import math

import pytest

from vrt_spike_jax.scores import (
    ClipScores,
    clips_csv,
    format_table,
    frames_csv,
    rows_of,
)

NAN, INF = math.nan, math.inf
# One clip has a frame without moving pixels, and one whose frames are identical.
CLIPS = [
    ClipScores(
        "walk",
        ["0", "1", "2"],
        {
            "blurred": {"psnr": [20.0, 22.0, 27.0], "psnr_moving": [10.0, NAN, 13.0]},
            "model": {"psnr": [30.0, 31.0, 32.0], "psnr_moving": [20.0, NAN, 30.0]},
        },
    ),
    ClipScores(
        "still",
        ["7"],
        {
            "blurred": {"psnr": [0.1 + 0.2], "psnr_moving": [NAN]},
            "model": {"psnr": [INF], "psnr_moving": [NAN]},
        },
    ),
]
WITHOUT_SHARP = ClipScores("real", ["0", "1"], {})


def test_means_are_over_frames_and_over_clips():
    blurred, model = rows_of([CLIPS[0], WITHOUT_SHARP, CLIPS[1]])
    assert blurred["method"] == "blurred"
    assert blurred["psnr"] == pytest.approx((20 + 22 + 27 + 0.3) / 4, rel=1e-12)
    assert blurred["over_clips"]["psnr"] == pytest.approx((23 + 0.3) / 2, rel=1e-12)
    # Frames without a value count in neither, and a clip of such frames not either.
    assert blurred["psnr_moving"] == blurred["over_clips"]["psnr_moving"] == 11.5
    assert model["psnr"] == model["over_clips"]["psnr"] == INF
    assert [clip["name"] for clip in model["per_clip"]] == ["walk", "still"]
    still = model["per_clip"][1]
    assert still == {
        "name": "still",
        "frames": 1,
        "psnr": INF,
        "psnr_moving": None,
        "psnr_moving_frames": 0,
    }


def test_a_metric_that_a_clip_lacks_is_left_out():
    other = ClipScores("other", ["0"], {m: {"psnr": [1.0]} for m in CLIPS[0].values})
    rows = rows_of([CLIPS[0], other])
    assert "psnr_moving" not in rows[0]
    assert "psnr_moving" not in frames_csv([CLIPS[0], other])
    assert rows_of([WITHOUT_SHARP]) == []


def test_json_keeps_every_bit():
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    for clip in (*CLIPS, WITHOUT_SHARP):
        text = json.dumps(clip.to_json(), allow_nan=False)
        found = ClipScores.from_json(json.loads(text, parse_constant=refuse))
        assert repr(found) == repr(clip)


def test_the_csv_of_frames_has_a_line_for_each_method_and_frame():
    lines = list(csv.reader(io.StringIO(frames_csv([*CLIPS, WITHOUT_SHARP]))))
    assert lines == [
        ["method", "clip", "frame", "psnr", "psnr_moving"],
        ["blurred", "walk", "0", "20.0", "10.0"],
        ["blurred", "walk", "1", "22.0", ""],
        ["blurred", "walk", "2", "27.0", "13.0"],
        ["blurred", "still", "7", "0.30000000000000004", ""],
        ["model", "walk", "0", "30.0", "20.0"],
        ["model", "walk", "1", "31.0", ""],
        ["model", "walk", "2", "32.0", "30.0"],
        ["model", "still", "7", "inf", ""],
    ]


def test_the_csv_of_clips_has_a_line_for_each_method_and_clip():
    assert clips_csv(rows_of(CLIPS)).splitlines() == [
        "method,clip,frames,psnr,psnr_moving,psnr_moving_frames",
        "blurred,walk,3,23.0,11.5,2",
        "blurred,still,1,0.30000000000000004,,0",
        "model,walk,3,31.0,25.0,2",
        "model,still,1,inf,,0",
    ]


def test_other_metrics_stand_in_a_table_below():
    rows = [
        {"method": "blurred", "psnr": 25.0, "ssim": 0.75, "tof": None, "lpips": 0.25},
        {"method": "model", "psnr": 28.25, "ssim": 0.875, "tof": None, "lpips": 0.125},
    ]
    assert format_table(rows).splitlines()[3:] == [
        "",
        "method    LPIPS  tOF",
        "blurred  0.2500",
        "model    0.1250",
    ]


def test_without_a_blurred_input_there_are_no_gains():
    rows = [{"method": "prediction", "psnr": 25.0, "ssim": 0.75}]
    assert format_table(rows).splitlines() == [
        "method      PSNR [dB]    SSIM",
        "prediction      25.00  0.7500",
    ]


def test_pixels_of_which_none_move_are_not_shown():
    rows = [{"method": "blurred", "psnr": 25.0, "ssim": 0.75, "psnr_moving": None}]
    assert "moving" not in format_table(rows)


def test_a_method_without_a_value_where_others_have_one_is_blank():
    """As of an instant at which nothing moves, while something does at the middle."""
    rows = [
        {"method": "blurred", "psnr_moving": 20.0},
        {"method": "model", "psnr_moving": 26.5},
        {"method": "blurred first", "psnr_moving": None},
        {"method": "model first", "psnr_moving": None},
        {"method": "blurred last", "psnr_moving": None},
        {"method": "model last", "psnr_moving": 30.0},
    ]
    assert format_table(rows).splitlines() == [
        "method         moving [dB]   gain",
        "blurred              20.00",
        "model                26.50  +6.50",
        "blurred first",
        "model first",
        "blurred last",
        "model last           30.00",
    ]


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
