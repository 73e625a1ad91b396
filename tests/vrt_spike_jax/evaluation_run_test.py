"""What an evaluation writes, and that being cut or shared changes nothing of it."""

import csv
import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
import skimage.metrics
from ml_collections import ConfigDict

from stand_ins import Restore
from vrt_spike_jax import evaluation_run
from vrt_spike_jax.evaluation_run import compare_run, evaluate_run, lpips_weights
from vrt_spike_jax.metrics import psnr
from vrt_spike_jax.shared_clips import UNFINISHED, own_clips

FILES = ["clips.csv", "frames.csv", "results.json"]
SETS = [{"directory": "/data/street", "manifest_checksum": "12ab"}]
FRAMES = 5  # of each clip: with the metrics' batches, the last is filled up


def config_of(**eval_settings):
    settings = {"tile": (5, 32, 32), "overlap": (1, 8, 8), "tiling": "blended"}
    settings |= {"metrics": ("psnr", "ssim", "psnr_moving", "ssim_moving")}
    settings |= {"lpips_alex": (), "lpips_vgg": ()}
    return ConfigDict({"seed": 0, "eval": settings | eval_settings})


def clip_of(number):
    rng = np.random.default_rng(number)
    sharp = rng.random((FRAMES, 32, 32, 3), np.float32)
    noise = rng.normal(0, 0.1, sharp.shape).astype(np.float32)
    moving = np.zeros(sharp.shape[:3], bool)
    moving[1, 8:24, 8:24] = True
    rates = rng.random((FRAMES, 16, 16), np.float32)
    return {
        "name": f"clip-{number}",
        "sharp": sharp,
        "blur": np.clip(sharp + noise, 0, 1),
        "tfp_short": rates,
        "tfp_long": rates,
        "moving": moving & (number != 2),  # of one clip nothing moves
    }


class Clips(Sequence):
    """Clips that are made when they are read, and say which were."""

    def __init__(self, count, *, cut_at=None):
        self.count, self.cut_at, self.read = count, cut_at, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == self.cut_at:
            raise KeyboardInterrupt
        self.read.append(index)
        return clip_of(index)


def run(folder, clips=None, *, config=None, step=7, params=None, **options):
    evaluate_run(
        config or config_of(),
        folder,
        model=Restore(),
        params={} if params is None else params,
        test_clips=Clips(4) if clips is None else clips,
        step=step,
        data_sets=SETS,
        **options,
    )


def read(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of an evaluation that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_number_stands_beside_what_it_is_of(whole):
    assert sorted(path.name for path in whole.iterdir()) == FILES
    results = read(whole / "results.json")
    assert results["step"] == 7
    assert results["config"]["eval"]["tile"] == [5, 32, 32]
    assert results["data"] == {
        "sets": SETS,
        "clips": [f"clip-{number}" for number in range(4)],
        "frames": 4 * FRAMES,
    }
    assert "8 bits" in results["protocol"]
    assert list(results["protocols"]) == list(config_of().eval.metrics)
    assert {"python", "jax", "flax", "numpy", "device"} <= set(results["versions"])
    assert [row["method"] for row in results["rows"]] == [
        "blurred",
        "closed_form",
        "model",
    ]


def test_means_are_those_of_the_lines(whole):
    with (whole / "frames.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["method"] == "model"]
    assert len(lines) == 4 * FRAMES
    assert [line["frame"] for line in lines[:FRAMES]] == list("01234")
    third = clip_of(3)
    assert float(lines[-1]["psnr"]) == pytest.approx(
        float(psnr(third["blur"][-1:], third["sharp"][-1:])), rel=1e-6
    )
    row = read(whole / "results.json")["rows"][2]
    for name in ("psnr", "ssim", "psnr_moving", "ssim_moving"):
        values = [float(line[name]) for line in lines if line[name]]
        assert len(values) == (3 if name.endswith("moving") else 20)
        assert row[name] == pytest.approx(np.mean(values), rel=1e-12)
    with (whole / "clips.csv").open() as file:
        clips = [line for line in csv.DictReader(file) if line["method"] == "model"]
    assert [line["psnr_moving_frames"] for line in clips] == ["1", "1", "0", "1"]
    assert clips[2]["psnr_moving"] == ""
    means = [float(line["ssim_moving"]) for line in clips if line["ssim_moving"]]
    assert row["over_clips"]["ssim_moving"] == pytest.approx(np.mean(means), rel=1e-12)


def test_an_evaluation_that_is_cut_continues_to_the_same_bytes(tmp_path, whole, capsys):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Clips(4, cut_at=2))
    assert [path.name for path in tmp_path.iterdir()] == [UNFINISHED]
    (tmp_path / UNFINISHED / ".clip_000002.half.json").write_text('{"na')  # a kill
    clips = Clips(4)
    run(tmp_path, clips)
    assert clips.read == [2, 3]
    assert "2 of 4 clips were measured before" in capsys.readouterr().out
    assert bytes_of(tmp_path) == bytes_of(whole)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ({"step": 8}, "step"),
        ({"params": {"a": np.ones(3)}}, "parameters"),
        ({"config": config_of(overlap=(1, 16, 16))}, "config"),
    ],
)
def test_what_is_of_other_settings_is_measured_anew(tmp_path, capsys, other, differs):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Clips(2, cut_at=1))
    clips = Clips(2)
    run(tmp_path, clips, **other)
    assert clips.read == [0, 1]
    output = capsys.readouterr().out
    assert f"differs in {differs}: measuring all clips anew" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


@pytest.mark.parametrize("clips", [0, 1, 5, 8])
@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_processes_share_the_clips(clips, processes):
    shares = [
        list(own_clips(clips, process_index=own, process_count=processes))
        for own in range(processes)
    ]
    assert sorted(sum(shares, [])) == list(range(clips))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def alone(*, succeeded):
    """In place of what waits for the other process, which is not there."""
    return [succeeded]


def test_a_process_measures_its_own_and_the_first_writes_all(
    tmp_path, whole, monkeypatch
):
    """The second process comes first; what it leaves, the first one puts together."""
    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("vrt_spike_jax.agreement._all_outcomes", alone)
    read_by = []
    for own in (1, 0):
        clips = Clips(4)
        with monkeypatch.context() as patch:
            patch.setattr("jax.process_index", lambda own=own: own)
            if own == 1:  # as the first process begins
                patch.setattr("jax.process_index", lambda: 0)
                with pytest.raises(KeyboardInterrupt):
                    run(tmp_path, Clips(4, cut_at=0))
                patch.setattr("jax.process_index", lambda: 1)
                # That it removes everything at its end is not yet its turn.
            run(tmp_path, clips)
        read_by.append(clips.read)
    assert read_by == [[1, 3], [0, 2]]
    assert bytes_of(tmp_path) == bytes_of(whole)


def test_a_file_that_another_process_wrote_elsewhere_is_one_sentence(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("jax.process_count", lambda: 2)
    monkeypatch.setattr("vrt_spike_jax.agreement._all_outcomes", alone)
    with pytest.raises(ValueError, match=r"clip_000001.json, .* a disk that all"):
        run(tmp_path, Clips(2))


def test_clips_without_sharp_frames_are_counted_and_left_out(tmp_path, capsys):
    real = {"name": "real", "blur": clip_of(0)["blur"]}
    run(tmp_path, [real, clip_of(1)])
    assert "1 of 2 clips have no sharp frames: left out" in capsys.readouterr().out
    data = read(tmp_path / "results.json")["data"]
    assert (data["clips"], data["without_sharp"]) == (["clip-1"], ["real"])
    with pytest.raises(ValueError, match="none of the 1 clips has sharp frames"):
        run(tmp_path / "other", [real])


def test_still_clips_and_identical_frames_are_right_in_all_files(tmp_path):
    clip = clip_of(2)
    run(tmp_path, [clip | {"blur": clip["sharp"]}])
    row = read(tmp_path / "results.json")["rows"][2]
    assert (row["psnr"], row["ssim"]) == ("inf", 1.0)
    assert row["over_clips"] == {
        "psnr": "inf",
        "ssim": 1.0,
        "psnr_moving": None,
        "ssim_moving": None,
    }
    for name in ("frames.csv", "clips.csv"):
        with (tmp_path / name).open() as file:
            lines = list(csv.DictReader(file))
        assert math.isinf(float(lines[-1]["psnr"]))
        assert lines[-1]["psnr_moving"] == ""


def test_the_means_become_scalars(tmp_path):
    class Writer:
        def write_scalars(self, step, scalars):
            self.step, self.scalars = step, scalars

        def write_images(self, step, images):
            raise AssertionError

        def flush(self):
            self.flushed = True

    writer = Writer()
    run(tmp_path, [clip_of(2)], writer=writer)
    row = read(tmp_path / "results.json")["rows"][2]
    assert writer.step == 7
    assert writer.flushed
    assert writer.scalars["eval/model/psnr"] == row["psnr"]
    assert "eval/model/psnr_moving" not in writer.scalars  # nothing moves


def pair_of(seed, frames=3):
    rng = np.random.default_rng(seed)
    sharp = rng.integers(0, 256, (frames, 24, 30, 3), np.uint8)
    prediction = np.clip(sharp + rng.normal(0, 9, sharp.shape), 0, 255)
    return {
        "name": f"pair-{seed}",
        "frames": [f"{number:03d}" for number in range(frames)],
        "prediction": prediction.astype(np.uint8),
        "sharp": sharp,
    }


def test_pictures_are_compared_as_scikit_image_does(tmp_path):
    pairs = [pair_of(0), pair_of(1, frames=1)]
    data = {"prediction": "a", "sharp": "b", "files": "12ab"}
    compare_run(config_of().eval, tmp_path, pairs=pairs, data=data)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    with (tmp_path / "frames.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["clip"], line["frame"]) for line in lines] == [
        ("pair-0", "000"),
        ("pair-0", "001"),
        ("pair-0", "002"),
        ("pair-1", "000"),
    ]
    assert set(lines[0]) == {"method", "clip", "frame", "psnr", "ssim"}
    pictures = [
        pictures
        for pair in pairs
        for pictures in zip(pair["sharp"], pair["prediction"], strict=True)
    ]
    for line, (sharp, prediction) in zip(lines, pictures, strict=True):
        assert float(line["psnr"]) == pytest.approx(
            skimage.metrics.peak_signal_noise_ratio(sharp, prediction), abs=1e-6
        )
        _, similar = skimage.metrics.structural_similarity(
            sharp.astype(np.float64),
            prediction.astype(np.float64),
            channel_axis=-1,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        inside = similar[5:-5, 5:-5].mean()
        assert float(line["ssim"]) == pytest.approx(inside, abs=1e-6)
    results = read(tmp_path / "results.json")
    assert results["step"] is None
    assert results["data"] == data | {"clips": ["pair-0", "pair-1"], "frames": 4}
    assert [row["method"] for row in results["rows"]] == ["prediction"]


def test_a_comparison_overwrites_its_own_results_alone(tmp_path):
    data = {"prediction": "a", "sharp": "b", "files": "12ab"}
    compare_run(config_of().eval, tmp_path, pairs=[pair_of(0)], data=data)
    before = bytes_of(tmp_path)
    for other in ({"prediction": "c"}, {"sharp": "c"}):
        with pytest.raises(ValueError, match=r"of a compared with b, .* pass --output"):
            compare_run(config_of().eval, tmp_path, pairs=[], data=data | other)
    assert bytes_of(tmp_path) == before
    again = data | {"files": "34cd"}  # the same folders, restored once more
    compare_run(config_of().eval, tmp_path, pairs=[pair_of(0)], data=again)
    assert read(tmp_path / "results.json")["data"]["files"] == "34cd"


@pytest.mark.parametrize("text", ['{"data": {"sets": []}}', "{", "[]", '{"data": 1}'])
def test_a_comparison_does_not_overwrite_what_is_of_no_comparison(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    data = {"prediction": "a", "sharp": "b"}
    with pytest.raises(ValueError, match="has the results of something else, not of a"):
        compare_run(config_of().eval, tmp_path, pairs=[pair_of(0)], data=data)
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_are_not_named_or_not_there_are_one_sentence():
    asked = {"metrics": ("psnr", "ssim", "tlp")}
    with pytest.raises(
        ValueError, match=r"tlp needs the published .*alexnet.*alex\.pth"
    ):
        lpips_weights(config_of(**asked).eval)
    files = ("none/alexnet.pth", "none/alex.pth")
    with pytest.raises(FileNotFoundError, match="there is no file none"):
        lpips_weights(config_of(**asked, lpips_alex=files).eval)
    assert lpips_weights(config_of().eval) == {}


def test_results_that_cannot_be_written_leave_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        evaluation_run.write_results(
            path,
            [{"method": "blurred", "psnr": 1.0}],
            protocol="",
            protocols={},
            data={},
            config={"bad": object()},
            step=1,
        )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
