"""The table of an ablation against numbers worked out by hand."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from vrt_spike_jax.ablation import Outcome, Training
from vrt_spike_jax.ablation_report import (
    Spread,
    ablation_rows,
    markdown_table,
    spread,
    write_ablation,
)

CONFIG = ConfigDict(
    {
        "model": {"variant": "tiny", "dtype": "float32"},
        "data": {"num_frames": 3, "crop_size": 48, "batch_size": 2},
        "optimizer": {"learning_rate": 1e-3},
        "train": {"steps": 10},
        "ablation": {"baseline": "baseline"},
    }
)


def outcome(variant, seed, psnr=None, *, moving=None, seconds=None, blurred=20.0):
    training = Training(variant, seed, Path(variant), ("true",), 10, 1234567)
    if psnr is None:
        return Outcome(training, failure="training stopped: at step 3 the loss is nan")
    rows = [
        {"method": name, "psnr": value, "ssim": value / 100}
        | {"psnr_moving": None if moving is None else value - 1, "ssim_moving": None}
        for name, value in (("blurred", blurred), ("closed_form", 22.0))
    ]
    rows.append({"method": "model", "psnr": psnr, "ssim": psnr / 100})
    rows[-1] |= {"psnr_moving": moving, "ssim_moving": None}
    results = {
        "rows": rows,
        "protocol": "as always",
        "step": 10,
        "versions": {"jax": "1", "device": "cpu"},
    }
    return Outcome(training, results=results, seconds_per_step=seconds)


THREE = [
    outcome("baseline", 0, 25.0, moving=24.0, seconds=0.5),
    outcome("baseline", 1, 26.0, moving=25.0, seconds=0.7),
    outcome("film", 0, 28.0, moving=27.5),
    outcome("film", 1, 27.0, moving=26.0),
    outcome("film", 2, 29.0, moving=28.0),
    outcome("concat", 0),
    outcome("concat", 1, 25.5, moving=25.0),
]


def is_close(found, mean, deviation):
    return (found.mean, found.deviation) == pytest.approx((mean, deviation))


def test_spread_is_mean_and_sample_deviation():
    # Squared distances from 5: 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, over 7.
    values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]
    assert is_close(spread(values), 5.0, math.sqrt(32 / 7))
    assert spread([3.5]) == Spread(3.5, None)
    assert spread([]) is None
    assert Spread(1.234, 0.056).text(2, signed=True) == "+1.23 ± 0.06"
    assert Spread(1.234, None).text(1) == "1.2"


def test_rows_have_means_spreads_and_gains_over_the_same_seed():
    rows = {row["method"]: row for row in ablation_rows(THREE, baseline="baseline")}
    assert list(rows) == ["blurred", "closed_form", "baseline", "film", "concat"]
    assert rows["blurred"]["psnr"] == Spread(20.0, None)
    assert rows["closed_form"]["psnr_moving"] == Spread(21.0, None)
    film = rows["film"]
    assert film["runs"] == 3
    assert is_close(film["psnr"], 28.0, 1.0)
    # Seed 0 gains 3 and seed 1 gains 1; seed 2 has no baseline.
    assert is_close(film["gain_psnr"], 2.0, math.sqrt(2))
    assert film["gain_psnr_moving"].mean == pytest.approx((3.5 + 1.0) / 2)
    assert film["ssim_moving"] is None
    assert film["seconds_per_step"] is None
    assert rows["baseline"]["gain_psnr"] is None
    assert is_close(rows["baseline"]["seconds_per_step"], 0.6, math.sqrt(0.02))
    assert rows["concat"]["runs"] == 1
    assert rows["concat"]["failures"] == [
        "seed 0: training stopped: at step 3 the loss is nan"
    ]


def test_the_table_reads_as_it_is():
    table = markdown_table(ablation_rows(THREE, baseline="baseline")).splitlines()
    assert len({len(line) for line in table}) == 1
    assert [cell.strip() for cell in table[0].split("|")[1:-1]] == [
        "method",
        "PSNR [dB]",
        "SSIM",
        "moving: PSNR [dB]",
        "gain [dB]",
        "moving: gain [dB]",
        "parameters",
        "s / step",
    ]
    film = [cell.strip() for cell in table[5].split("|")[1:-1]]
    assert film[:2] == ["film", "28.00 ± 1.00"]
    assert film[4:7] == ["+2.00 ± 1.41", "+2.25 ± 1.77", "1,234,567"]
    assert table[6].startswith("| concat (1 failed) |")


def test_the_files_hold_the_rows(tmp_path):
    folder = tmp_path / "report"
    table = write_ablation(folder, THREE, config=CONFIG)
    names = {path.name for path in folder.iterdir()}
    assert names == {"ablation.csv", "ablation.md", "ablation.png"}
    text = (folder / "ablation.md").read_text()
    assert table in text
    assert "10 steps of 2 clips of 3x48x48" in text
    assert "- concat, seed 0: training stopped: at step 3 the loss is nan" in text
    with (folder / "ablation.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert float(rows["film"]["psnr"]) == 28.0
    assert float(rows["film"]["psnr_std"]) == pytest.approx(1.0)
    assert rows["film"]["ssim_moving"] == ""
    assert rows["concat"]["failed"] == "1"
    picture = np.asarray(Image.open(folder / "ablation.png").convert("RGB"))
    assert picture.min() < 50 < 250 < picture.max()


def test_other_metrics_and_their_gains_over_another_baseline_are_told(tmp_path):
    """Of clips with three more metrics; what is less is negative."""
    outcomes = [
        outcome(variant, seed, 25.0 + seed, moving=24.0)
        for variant in ("plain", "film")
        for seed in (0, 1)
    ]
    # By hand: film gains 1 and 3 dB of the high frequencies; means 0.002 and 0.001.
    detail = iter((30.0, 31.0, 31.0, 34.0))
    error = iter((0.002, 0.004, 0.001, 0.003))
    for own in outcomes:
        for row in own.results["rows"]:
            is_model = row["method"] == "model"
            row["hf_psnr"] = next(detail) if is_model else 29.0
            row["e_warp"] = next(error) if is_model else 0.005
            row["e_warp_sharp"] = 0.0015
    config = ConfigDict(CONFIG.to_dict() | {"ablation": {"baseline": "plain"}})
    table = write_ablation(tmp_path, outcomes, config=config)
    rows = {row["method"]: row for row in ablation_rows(outcomes, baseline="plain")}
    assert is_close(rows["film"]["gain_hf_psnr"], 2.0, math.sqrt(2))
    assert is_close(rows["film"]["gain_e_warp"], -0.001, 0.0)
    assert rows["plain"]["gain_hf_psnr"] is None
    lines = [[x.strip() for x in line.split("|")[1:-1]] for line in table.splitlines()]
    # Nothing that no row has, and no gain of what is the same for all.
    assert lines[0] == [
        *("method", "PSNR [dB]", "SSIM", "moving: PSNR [dB]", "HF-PSNR", "E_warp"),
        *("sharp E_warp", "gain [dB]", "moving: gain [dB]", "HF-PSNR: gain"),
        *("E_warp: gain", "parameters", "s / step"),
    ]
    film = dict(zip(lines[0], lines[-1], strict=True))
    assert film["HF-PSNR"] == "32.50 ± 2.12"
    assert film["HF-PSNR: gain"] == "+2.00 ± 1.41"
    assert film["E_warp: gain"] == "-0.001000 ± 0.000000"
    assert "over the plain of the same seed" in (tmp_path / "ablation.md").read_text()
    with (tmp_path / "ablation.csv").open() as file:
        found = {row["method"]: row for row in csv.DictReader(file)}
    assert float(found["film"]["gain_e_warp"]) == pytest.approx(-0.001)


def test_where_all_failed_there_is_a_table_of_failures(tmp_path):
    outcomes = [outcome("baseline", 0), outcome("film", 0)]
    table = write_ablation(tmp_path, outcomes, config=CONFIG)
    assert table.count("failed") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"ablation.csv", "ablation.md"}


def test_a_variant_that_failed_is_drawn_beside_the_others(tmp_path):
    outcomes = [outcome("baseline", 0, 25.0), outcome("film", 0)]
    write_ablation(tmp_path, outcomes, config=CONFIG)
    assert (tmp_path / "ablation.png").is_file()


def test_trainings_that_were_evaluated_on_other_clips_are_not_compared(tmp_path):
    outcomes = [outcome("film", 0, 28.0), outcome("film", 1, 27.0, blurred=21.0)]
    with pytest.raises(ValueError, match="film-0 and film-1 measured another psnr"):
        write_ablation(tmp_path, outcomes, config=CONFIG)
    assert list(tmp_path.iterdir()) == []
