"""Sheets and videos of every kind of recording; sentences where there is none."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_pipeline import spike_dat, stream_sheet, view
from data_pipeline.prepare import main as prepare
from data_pipeline.scene import Scene, open_scene
from data_pipeline.spike_camera import simulate
from data_pipeline.spike_dat import SpikeDat
from data_pipeline.stream_sheet import choose_view, overlay, save_sheet
from data_pipeline.video_files import read_video, write_video

SPIKES = (np.random.default_rng(0).random((60, 24, 40)) < 0.3).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    spike_dat.write_dat("a.dat", SPIKES)
    return tmp_path


SIZE = ("--height=24", "--width=40", "--flip=true")


def prepared(folder: Path, scale: int = 2) -> Path:
    """Footage of a moving bar through `prepare`."""
    frames = np.full((30, 48, 80, 3), 60, np.uint8)
    for index in range(30):
        frames[index, :, 2 * index + 5 : 2 * index + 15] = 200
    write_video(folder / "bar.mp4", frames, fps=25)
    arguments = ["--source=video", "--input=bar.mp4", "--output=bar"]
    assert prepare([*arguments, f"--spike_scale={scale}", "--gain=1"]) == 0
    return folder / "bar"


def test_a_spike_file_becomes_a_sheet_and_a_video(folder: Path, capsys: Any) -> None:
    assert view.main(["a.dat", *SIZE, "--short=1"]) == 0
    assert capsys.readouterr().out == "a_view\n"
    picture = cv2.imread(str(folder / "a_view" / "sheet.png"))
    assert min(picture.shape[:2]) > 500 and picture.std() > 20
    video, rate = read_video(folder / "a_view" / "stream.mp4")
    assert video.shape == (60, 24, 80, 3) and rate == 25
    # The left half holds the spikes of each spike frame, the right one their TFP.
    np.testing.assert_array_equal(video[:, :, :40, 0] > 127, SPIKES > 0)
    assert view.main(["a.dat", *SIZE, "--step=7", "--output=b"]) == 0
    assert len(read_video(folder / "b" / "stream.mp4")[0]) == 9


def test_prepared_footage_is_shown_with_its_frames(folder: Path) -> None:
    assert view.main([str(prepared(folder)), "--output=v"]) == 0
    assert sorted(x.name for x in (folder / "v").iterdir()) == [
        "sheet.png",
        "stream.mp4",
    ]


@pytest.mark.parametrize("scale", [1, 2])
def test_the_overlay_is_grey_where_frame_and_spikes_agree(
    folder: Path, scale: int
) -> None:
    scene = open_scene(prepared(folder, scale))
    frame = 1
    red, green, blue = np.moveaxis(overlay(scene, frame), -1, 0)
    np.testing.assert_array_equal(green, blue)
    aligned = np.abs(red - green).mean()
    assert aligned < 0.02
    moved = np.array([[1, 0, 6], [0, 1, 0], [0, 0, 1]]) @ scene.rgb_from_spike
    shifted = Scene(**{**vars(scene), "rgb_from_spike": moved})
    red, green, _ = np.moveaxis(overlay(shifted, frame), -1, 0)
    assert np.abs(red - green).mean() > 2 * aligned


@pytest.mark.parametrize("options", [{"transfer": "linear"}, {"cfa": "bggr"}, {}])
def test_the_overlay_is_grey_in_every_light_and_behind_filters(
    folder: Path, options: dict[str, str]
) -> None:
    """Of a still picture with dark and bright, red and blue parts."""
    rows, columns = np.mgrid[:48, :80]
    picture = np.stack([20 + 2.8 * columns, 60 + 0 * rows, 200 - 3 * rows], -1)
    frames = np.repeat(picture.astype(np.uint8)[None], 30, axis=0)
    write_video(folder / "still", frames, fps=25)
    arguments = ["--source=video", "--input=still", "--output=out", "--gain=1"]
    more = ["--exposure=129", "--period=136"]  # long: a count is off by up to one
    more += [f"--{name}={value}" for name, value in options.items()]
    assert prepare([*arguments, *more]) == 0
    red, green, _ = np.moveaxis(overlay(open_scene(folder / "out"), 0), -1, 0)
    inside = np.s_[2:-2, 2:-2]
    assert np.abs(red - green)[inside].mean() < 0.015
    assert np.abs(red - green)[inside].max() < 0.08


def test_a_folder_is_called_by_its_own_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(prepared(folder))
    assert open_scene(".").name == "bar"


def test_the_view_is_the_middle_exposure_or_what_is_asked_for(folder: Path) -> None:
    scene = open_scene(prepared(folder))
    assert scene.exposure is not None
    chosen = choose_view(scene, center=None, short=9, long=None, row=None)
    middle = len(scene.exposure) // 2
    assert chosen.frame == middle and chosen.row == 12
    assert chosen.long == tuple(scene.exposure[middle].astype(int))
    first = choose_view(scene, center=0, short=9, long=31, row=3)
    assert (first.frame, first.row, first.long) == (0, 3, (0, 16))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.dat"], "no spike file or folder none.dat"),
        (["."], "neither spikes.dat nor a data set"),
        (["a.dat"], "give height, width and flip"),
        (["a.dat", *SIZE, "--short=4"], "short must be an odd number"),
        (["a.dat", *SIZE, "--row=24"], "row must be from 0 to 23"),
        (["a.dat", *SIZE, "--center=60"], "center must be a spike frame from 0 to 59"),
        (["a.dat", *SIZE, "--step=0"], "step must be at least 1"),
        (["a.dat", *SIZE, "--fps=0"], "fps must be from 1 to 1000"),
        (["a.dat", *SIZE, "--heigth=3"], "Did you mean 'height'"),
        (["a.dat", "--flip=yes"], "neither true nor false"),
        (["a.dat", *SIZE, "--clip=1"], "is no data set; leave split and clip out"),
        (["a.dat", *SIZE, "--output="], "output is empty"),
        (["a.dat", "b.dat", *SIZE], "unexpected argument 'b.dat'"),
        (["a.dat", *SIZE, "--output=full"], "full already exists"),
        (["a.dat", "--height=25", "--width=40", "--flip=true"], "not a whole number"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence_and_leaves_nothing(
    folder: Path, capsys: Any, arguments: list[str], message: str
) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "x").write_text("")
    before = sorted(folder.rglob("*"))
    assert view.main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("view: ") and message in error
    assert sorted(folder.rglob("*")) == before


def test_a_stream_with_one_spike_is_shown_also_where_it_is_dark(folder: Path) -> None:
    spikes = np.zeros_like(SPIKES)
    spikes[3, 2, 1] = 1
    spike_dat.write_dat("a.dat", spikes)
    assert view.main(["a.dat", *SIZE, "--center=50", "--long=5"]) == 0


def test_swapped_height_and_width_are_named_and_may_be_insisted_on(
    folder: Path, capsys: Any
) -> None:
    light = np.random.default_rng(0).random((1, 40)) * np.linspace(0.2, 1, 32)[:, None]
    still = np.broadcast_to(light, (50, 32, 40)).astype(np.float32)
    rng = np.random.default_rng(1)
    spike_dat.write_dat("a.dat", simulate(still, threshold=1, gain=1, rng=rng))
    swapped = ["a.dat", "--height=40", "--width=32", "--flip=true"]
    assert view.main(swapped) == 2
    assert "a.dat looks like 32x40 pixels" in capsys.readouterr().err
    assert not (folder / "a_view").exists()
    assert view.main([*swapped, "--trust_size=true"]) == 0
    right = ["a.dat", "--height=32", "--width=40", "--flip=true", "--output=b"]
    assert view.main(right) == 0


def test_a_scene_of_unknown_alignment_is_shown_without_overlay(folder: Path) -> None:
    scene = open_scene(prepared(folder))
    unknown = np.full((3, 3), np.nan)
    scene = Scene(**{**vars(scene), "rgb_from_spike": unknown})
    chosen = choose_view(scene, center=None, short=9, long=None, row=None)
    save_sheet(folder / "sheet.png", scene, chosen)
    assert (folder / "sheet.png").is_file()
    with pytest.raises(ValueError, match="does not say how its spikes lie"):
        overlay(scene, 0)


def test_of_50_gb_only_samples_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_sheet, "_LONGEST_MEAN", 2**24)
    monkeypatch.setattr(stream_sheet, "_COUNTED", 2**25)
    with (folder / "long.dat").open("wb") as file:
        file.truncate(4_000_000 * 12_500)
        file.seek(2_000_000 * 12_500)
        file.write(b"\x05" * 12_500 * 40)
    read = []
    slice_of = SpikeDat.__getitem__

    def counted(stream: SpikeDat, key: slice) -> np.ndarray:
        window = slice_of(stream, key)
        read.append(len(window))
        return window

    monkeypatch.setattr(SpikeDat, "__getitem__", counted)
    size = ["--height=250", "--width=400", "--flip=true", "--step=400000"]
    assert view.main(["long.dat", *size, "--output=v"]) == 0
    assert sum(read) < 50_000  # of 4 million
    scene = open_scene(folder / "long.dat", height=250, width=400, flip=True)
    chosen = choose_view(scene, center=None, short=9, long=None, row=None)
    start, end = chosen.long
    assert start < 2_000_000 < end and end - start <= 2**24 // 100_000 + 1
    asked = choose_view(scene, center=None, short=9, long=3_000_001, row=None)
    assert asked.long == (500_000, 3_500_001)


def test_names_are_shown_as_they_are_and_links_followed(folder: Path) -> None:
    spike_dat.write_dat("rec_$a_{$.dat", SPIKES)
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    assert view.main(["rec_$a_{$.dat", *SIZE, "--step=30", "--output=link"]) == 0
    assert (folder / "real" / "sheet.png").is_file() and (folder / "link").is_symlink()
