"""The command line: what it writes can be used, and mistakes are one sentence."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from configs import base, check_data
from data_pipeline import pipeline, spike_sidecar
from data_pipeline.bayer import CFA_PATTERNS
from data_pipeline.camera_settings import CAMERA_OPTIONS, SENSORS
from data_pipeline.prepare import main
from data_pipeline.prepare_options import OPTIONS
from data_pipeline.recording import load_spikes
from data_pipeline.spike_deblur import open_split
from data_pipeline.spike_input import SpikeInput
from data_pipeline.transfer import INTEGRATED
from data_pipeline.video_files import read_video, write_video

CAMERAS = ("exposure", "period", "threshold", "gain", "spike_scale", *CAMERA_OPTIONS)
TIMES = ["--spikes_per_frame=4", "--exposure=9", "--period=12"]


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A folder of 60 pictures of a square that moves."""
    frames = np.full((60, 32, 40, 3), 40, np.uint8)
    for index, frame in enumerate(frames):
        frame[8:16, index // 3 : index // 3 + 8] = (200, 150, 100)
    write_video(tmp_path / "footage", frames, fps=math.nan)
    return tmp_path / "footage"


def prepare(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("scale", [1, 2])
def test_files_are_what_restore_takes(
    footage: Path, tmp_path: Path, scale: int, capsys: Any
) -> None:
    output = tmp_path / "deep" / "output"
    code = prepare(
        "--source=video",
        f"--input={footage}",
        f"--output={output}",
        f"--spike_scale={scale}",
        *TIMES,
    )
    assert code == 0
    assert capsys.readouterr().out == f"{output}\n"
    blur, _ = read_video(output / "blur")
    sharp, _ = read_video(output / "sharp")
    original, _ = read_video(footage)
    assert blur.shape == sharp.shape == (17, 32, 40, 3)
    facts = spike_sidecar.read_sidecar(output / "spikes.dat")
    assert facts["spike_scale"] == scale
    for frame, (start, end) in zip(sharp, facts["exposure"], strict=True):
        np.testing.assert_array_equal(frame, original[int((start + end) / 2) // 4])
    spikes = load_spikes(
        output / "spikes.dat",
        num_frames=17,
        height=32,
        width=40,
        spike_input=SpikeInput("voxel", {"num_bins": 3}),
    )
    grey = blur / 255 @ np.array([0.299, 0.587, 0.114])
    grey = grey.reshape(17, 32 // scale, scale, 40 // scale, scale).mean(axis=(2, 4))
    # White light adds 0.6 to the integrator in a spike frame, and a spike takes 1.
    light = spikes.mean(axis=1) / 0.6
    assert np.abs(light - grey).max() < 1 / (0.6 * 9) + 1 / 255
    assert sorted(p.name for p in output.parent.iterdir()) == ["output"]


def test_files_of_linear_light_say_so(footage: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    arguments = ["--transfer=linear", "--cfa=rggb", f"--output={output}", *TIMES]
    assert prepare("--source=video", f"--input={footage}", *arguments) == 0
    facts = spike_sidecar.read_sidecar(output / "spikes.dat")
    assert (facts["transfer"], facts["cfa"]) == ("linear", "rggb")
    spikes = load_spikes(
        output / "spikes.dat",
        num_frames=17,
        height=32,
        width=40,
        spike_input=SpikeInput("voxel", {"num_bins": 3}),
    )
    blur = (read_video(output / "blur")[0] / 255) ** 2.2
    # The first pixel of each four has a red filter, the last a blue one.
    for (row, column), colour in (((0, 0), 0), ((0, 1), 1), ((1, 1), 2)):
        rate = spikes.mean(axis=1)[:, row::2, column::2]
        light = blur[:, row::2, column::2, colour]
        assert np.abs(rate / 0.6 - light).max() < 1 / (0.6 * 9) + 2.2 / 255


def test_files_of_a_real_sensor_hold_what_the_ideal_one_saw(
    footage: Path, tmp_path: Path
) -> None:
    for sensor in ("ideal", "calibrated"):
        arguments = [f"--sensor={sensor}", f"--output={tmp_path / sensor}", *TIMES]
        assert prepare("--source=video", f"--input={footage}", *arguments) == 0
    ideal, real = tmp_path / "ideal", tmp_path / "calibrated"
    assert (real / "clean.dat").read_bytes() == (ideal / "spikes.dat").read_bytes()
    assert (real / "clean.json").read_bytes() == (ideal / "spikes.json").read_bytes()
    assert (real / "spikes.dat").read_bytes() != (real / "clean.dat").read_bytes()
    maps = np.load(real / "sensor_maps.npz")
    assert set(maps) == {"response", "dark", "threshold", "hot"}
    assert maps["dark"].shape == (32, 40)
    added = {path.name for path in real.iterdir()} - {p.name for p in ideal.iterdir()}
    assert added == {"clean.dat", "clean.json", "sensor_maps.npz"}


def test_records_of_real_cameras(footage: Path, tmp_path: Path) -> None:
    arguments = ["--source=video", f"--input={footage}", f"--output={tmp_path}"]
    arguments += ["--layout=records", "--num_frames=3", "--test_clips=2", *TIMES]
    arguments += ["--sharp_instants=3", "--sensor=calibrated", "--photons=500"]
    arguments += ["--rgb_gain=1.2", "--read_noise=2", "--threshold_spread=4"]
    assert prepare(*arguments) == 0
    (directory,) = (tmp_path / "spike_deblur").glob("video-*/*.*.*")
    records = open_split(directory, "train")
    original, _ = read_video(footage)
    for record in (records[0], records[1]):
        assert record["sharp"].shape == (9, 32, 40, 3)
        assert record["blur_kind"].endswith("gain 1.2, read noise 2/255")
        assert 0.25 <= record["threshold"] <= 4 and record["gain"] == np.float32(0.6)
    # The frames of the footage, as bright as the camera shows them.
    times = records[0]["sharp_time"].astype(int)
    bright = np.minimum(1.2 * original[times // 4], 255)
    np.testing.assert_allclose(records[0]["sharp"], bright, atol=0.51)


def test_several_videos_get_a_folder_each(footage: Path, tmp_path: Path) -> None:
    frames, _ = read_video(footage)
    write_video(tmp_path / "films" / "a", frames, fps=math.nan)
    write_video(tmp_path / "films" / "b.mp4", frames, fps=30)
    output = tmp_path / "output"
    films = tmp_path / "films"
    code = prepare("--source=video", f"--input={films}", f"--output={output}", *TIMES)
    assert code == 0
    for name, rate in (("a", math.nan), ("b", 120.0)):
        facts = spike_sidecar.read_sidecar(output / name / "spikes.dat")
        np.testing.assert_equal(facts["spike_rate"], rate)
        assert len(list((output / name / "blur").iterdir())) == 17


def test_records_of_footage_train_and_test(footage: Path, tmp_path: Path) -> None:
    arguments = ["--source=video", f"--input={footage}", f"--output={tmp_path}"]
    arguments += ["--layout=records", "--num_frames=3", "--test_clips=2", *TIMES]
    assert prepare(*arguments) == 0
    (directory,) = (tmp_path / "spike_deblur").glob("video-*/*.*.*")
    batch = next(
        pipeline.train_batches(
            str(directory),
            num_frames=2,
            crop_size=16,
            spike_input=SpikeInput("voxel", {"num_bins": 4}),
            batch_size=2,
            seed=0,
            start_step=0,
        )
    )
    assert batch["spikes"].shape == (2, 2, 4, 16, 16)
    clips = pipeline.test_clips(
        str(directory),
        spike_input=SpikeInput("voxel", {"num_bins": 4}),
        tfp_window=3,
    )
    assert [clip["name"] for clip in clips] == ["footage-00003", "footage-00004"]
    names = [record["name"] for record in open_split(directory, "train")]
    assert names == ["footage-00000", "footage-00001"]  # 2 shares frames with 3
    # Other footage under the same name is another data set.
    picture = footage / "000000.png"
    cv2.imwrite(str(picture), np.zeros((32, 40, 3), np.uint8))
    assert prepare(*arguments) == 0
    assert len(list((tmp_path / "spike_deblur").glob("video-*/*.*.*"))) == 2


def test_the_embedded_data_set_from_the_command_line(
    settings: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    settings = settings | {"train_clips": 2, "test_clips": 1, "num_frames": 2}
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    assert prepare("--source=embedded", f"--output={tmp_path}", *arguments) == 0
    directory = capsys.readouterr().out.strip()
    assert directory == pipeline.prepare_embedded(str(tmp_path), settings)
    assert len(open_split(directory, "train")) == 2


def test_footage_is_filmed_as_the_default_models_were_trained() -> None:
    data = base.get_config("tiny").data
    trained = {**data.embedded, "spike_scale": data.spike_scale}
    assert {name: OPTIONS[name][0] for name in CAMERAS} == {
        name: trained[name] for name in CAMERAS
    }
    assert check_data.CAMERAS == {
        "transfer": INTEGRATED,
        "sensor": SENSORS,
        "cfa": ("none", *CFA_PATTERNS),
    }
    # A whole number of footage frames passes from one exposure to the next.
    assert trained["period"] % OPTIONS["spikes_per_frame"][0] == 0


VIDEO = ["--source=video", "--input=FOOTAGE", "--output=OUT"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=OUT"], "required: --source"),
        (["--source=vidoe", "--output=OUT"], "Did you mean 'video'"),
        ([*VIDEO, "--layout=file"], "Did you mean 'files'"),
        ([*VIDEO, "--exposur=9"], "Unknown option 'exposur'. Did you mean 'exposure'"),
        ([*VIDEO, "--exposure=nine"], "invalid int value: 'nine'"),
        ([*VIDEO, "--exposure=10"], "exposure must be an odd number"),
        ([*VIDEO, "--period=57"], "period must be a multiple of spikes_per_frame"),
        ([*VIDEO, "--gain=0"], "gain must be above 0"),
        ([*VIDEO, "--exposure=641", "--period=648"], "has 60 frames, but one clip"),
        ([*VIDEO, "--spike_scale=3"], "spike_scale must be one of"),
        ([*VIDEO, "--transfer=Linear"], "Did you mean 'linear'"),
        ([*VIDEO, "--sensor=calib"], "Did you mean 'calibrated'"),
        ([*VIDEO, "--cfa=RGGB"], "Did you mean 'rggb'"),
        ([*VIDEO, "--photons=50"], "take sensor=calibrated"),
        ([*VIDEO, "--read_noise=-1"], "read_noise must be 0 or a positive number"),
        ([*VIDEO, "--rgb_gain=inf"], "rgb_gain must be float"),
        ([*VIDEO, "--sharp_instants=3"], "--sharp_instants has no meaning"),
        ([*VIDEO, "--layout=records", "--sharp_instants=9"], "room for 7 sharp"),
        ([*VIDEO, "--train_clips=3"], "--train_clips has no meaning"),
        ([*VIDEO, "--num_frames=3"], "--num_frames has no meaning"),
        ([*VIDEO, *TIMES, "--layout=records", "--test_clips=9"], "gives 2 clips"),
        ([*VIDEO, *TIMES, "--layout=records", "--test_clips=0"], "at least one, got 0"),
        ([*VIDEO, *TIMES, "--layout=records"], "none is left to train on"),
        ([*VIDEO, "--layout=records", "--num_frames=9"], "60 frames, but one clip"),
        ([*VIDEO, "--layout=records", "--num_frames=0"], "at least 1, got 0"),
        (["--source=video", "--output=OUT"], "needs --input"),
        (["--source=video", "--input=none.mp4", "--output=OUT"], "no video or folder"),
        (["--source=video", "--input=TEXT", "--output=OUT"], "cannot be read as a"),
        (["--source=embedded", "--output=OUT", "--input=FOOTAGE"], "not --input"),
        (["--source=embedded", "--output=OUT", "--layout=files"], "records only"),
        (["--source=embedded", "--output=OUT", "--height=50"], "multiple of 8"),
    ],
)
def test_mistakes_are_one_sentence_with_code_2_and_leave_nothing(
    footage: Path, tmp_path: Path, capsys: Any, arguments: list[str], message: str
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    places = {"FOOTAGE": footage, "OUT": tmp_path / "out", "TEXT": text}
    for name, place in places.items():
        arguments = [a.replace(f"={name}", f"={place}") for a in arguments]
    try:
        code = prepare(*arguments)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len([line for line in shown.err.splitlines() if "prepare:" in line]) == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"footage", "text.mp4"}


@pytest.mark.parametrize("layout", ["files", "records"])
def test_one_video_too_short_is_said(
    footage: Path, tmp_path: Path, capsys: Any, layout: str
) -> None:
    frames, _ = read_video(footage)
    write_video(tmp_path / "films" / "a", frames, fps=math.nan)
    write_video(tmp_path / "films" / "short", frames[:8], fps=math.nan)
    arguments = [f"--input={tmp_path / 'films'}", f"--output={tmp_path / 'out'}"]
    if layout == "records":
        arguments.append("--num_frames=3")
    code = prepare("--source=video", f"--layout={layout}", *arguments, *TIMES)
    shown = capsys.readouterr().err
    if layout == "files":  # before the long one was filmed
        assert code == 2 and "short has 8 frames, but one clip takes" in shown
        assert "spike frame/s" not in shown and not (tmp_path / "out").exists()
    else:
        assert code == 0
        assert "1 of 2 videos are shorter than a clip and in none" in shown


@pytest.mark.parametrize("layout", ["files", "records"])
def test_one_video_too_small_for_the_flow_is_found_before_the_build(
    footage: Path, tmp_path: Path, capsys: Any, layout: str
) -> None:
    frames, _ = read_video(footage)
    write_video(tmp_path / "films" / "a", frames, fps=math.nan)
    write_video(tmp_path / "films" / "small", frames[:, :24], fps=math.nan)
    arguments = [f"--input={tmp_path / 'films'}", f"--output={tmp_path / 'out'}"]
    assert prepare("--source=video", f"--layout={layout}", *arguments, *TIMES) == 2
    shown = capsys.readouterr().err
    assert "but small is 24x40; take in_between=linear" in shown
    assert "spike frame" not in shown and "Building" not in shown
    assert not (tmp_path / "out").exists()


def test_output_in_use_is_kept(footage: Path, capsys: Any) -> None:
    before = sorted(footage.iterdir())
    code = prepare("--source=video", f"--input={footage}", f"--output={footage}")
    assert code == 2
    assert "already exists and is not an empty folder" in capsys.readouterr().err
    assert sorted(footage.iterdir()) == before
