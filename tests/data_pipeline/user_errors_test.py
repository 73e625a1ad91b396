"""What can be wrong with a user's files, through the commands that a user types.

Each gives exit code 2 and one sentence on stderr that names the file, and leaves the
folder as it was.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import launch
from configs import base
from configs.load import write_config
from data_pipeline import prepare, spike_dat, view
from data_pipeline.spike_camera import simulate
from data_pipeline.video_files import write_video
from stand_ins import Restore
from vrt_spike_jax import checkpoint

HEIGHT, WIDTH, COUNT = 32, 44, 120
FRAMES = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
EXPOSURE = [[2.0, 11.0], [30.0, 39.0], [60.0, 69.0]]


def scene() -> np.ndarray:
    """Spikes (S, h, w) of a still scene that is smooth from top to bottom."""
    light = (
        np.random.default_rng(0).random((1, WIDTH))
        * np.linspace(0.2, 1, HEIGHT)[:, None]
    )
    still = np.broadcast_to(light, (COUNT, HEIGHT, WIDTH)).astype(np.float32)
    return simulate(still, threshold=1, gain=1, rng=np.random.default_rng(1))


SPIKES = scene()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording with its .json and frames, a public data set, and a trained model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rec").mkdir()
    write_video("rec/blur", FRAMES, fps=math.nan)
    put("rec/spikes.dat", SPIKES)
    describe()
    for index in (1, 2):
        put(f"set/spike/{index}_key_id60.dat", SPIKES)
        write_video(f"set/p{index}", FRAMES[:1], fps=math.nan)
        (tmp_path / "set" / "gt").mkdir(exist_ok=True)
        (tmp_path / f"set/p{index}/000000.png").rename(
            tmp_path / f"set/gt/{index}_key_id60.png"
        )
        (tmp_path / f"set/p{index}").rmdir()
    config = base.get_config("deblur")
    config.eval.update(tile=(4, 64, 64), overlap=(1, 8, 8))
    write_config(tmp_path / "run" / "config.json", config)
    model = Restore(takes_spikes=True)
    monkeypatch.setattr(launch, "_model", lambda config: model)
    monkeypatch.setattr(launch, "_model_and_params", lambda *_, step: (model, {}))
    monkeypatch.setattr(checkpoint, "saved_steps", lambda _: [0])
    return tmp_path


def put(path: str, spikes: np.ndarray) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    spike_dat.write_dat(path, spikes)


def describe(**changes: Any) -> None:
    """Writes rec/spikes.json as another program might, without checks."""
    facts: dict[str, Any] = {
        "height": HEIGHT,
        "width": WIDTH,
        "flip": True,
        "spike_rate": None,
        "threshold": None,
        "gain": None,
        "spike_scale": 1,
        "exposure": EXPOSURE,
    }
    Path("rec/spikes.json").write_text(json.dumps(facts | changes))


def run_view(*arguments: str, path: str = "rec") -> int:
    return view.main([path, "--output=out", *arguments])


def run_restore(*arguments: str, source: str = "rec/blur") -> int:
    command = ["--mode=restore", "--workdir=run", "--spikes=rec/spikes.dat"]
    return launch.main([*command, f"--input={source}", "--output=out", *arguments])


def run_prepare_set(*arguments: str) -> int:
    size = [
        f"--spike_height={HEIGHT}",
        f"--spike_width={WIDTH}",
        "--exposure=41",
        "--key_frame=60",
    ]
    given = [a for a in size if a.split("=")[0] not in str(arguments)]
    command = ["--source=spike_zoo", "--input=set", "--output=out", *given]
    return prepare.main([*command, *arguments])


def run_prepare_spikes(*arguments: str) -> int:
    """A data set of the recording alone: blurred and sharp frames from its spikes."""
    short = ["--exposure=21", "--period=25", "--window=11", "--num_frames=1"]
    given = [a for a in short if a.split("=")[0] not in str(arguments)]
    command = ["--source=spikes", "--input=rec/spikes.dat", "--output=out", *given]
    return prepare.main([*command, *arguments])


def run_prepare_video(*arguments: str, source: str = "rec/blur") -> int:
    return prepare.main(
        ["--source=video", f"--input={source}", "--output=out", *arguments]
    )


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refuses(
    folder: Path, capsys: Any, run: Callable[[], int], *said: str, program: str
) -> None:
    """Asserts that a command says one sentence with all of `said`, and leaves all."""
    before = contents(folder)
    assert run() == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith(program)]
    assert len(lines) == 1 and captured.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in captured.err and captured.out == ""
    for part in said:
        assert part in lines[0]
    assert contents(folder) == before


def check_recording(folder: Path, capsys: Any, *said: str) -> None:
    """The same sentence from all that reads rec/spikes.dat."""
    refuses(folder, capsys, run_view, *said, program="view: ")
    refuses(folder, capsys, run_restore, *said, program="launch.py: error: ")


def check_stream(folder: Path, capsys: Any, *said: str) -> None:
    """The same sentence from all that reads rec/spikes.dat, with its frames or not."""
    check_recording(folder, capsys, *said)
    refuses(folder, capsys, run_prepare_spikes, *said, program="prepare: ")


def test_nothing_is_wrong_with_these_files(folder: Path) -> None:
    assert run_restore() == 0
    assert view.main(["rec", "--output=sheet"]) == 0
    assert run_prepare_set("--output=built") == 0
    size = (f"--spike_height={HEIGHT}", f"--spike_width={WIDTH}", "--flip=true")
    two = ("--input=set/spike", "--output=triplets", "--test_clips=1")
    assert run_prepare_spikes(*size, *two) == 0


def test_bytes_that_are_no_whole_number_of_spike_frames(
    folder: Path, capsys: Any
) -> None:
    content = Path("rec/spikes.dat").read_bytes()
    for change in (content + b"\0", content[:-100], content[:50]):
        Path("rec/spikes.dat").write_bytes(change)
        said = f"spikes.dat has {len(change)} bytes, which is not a whole number"
        check_stream(folder, capsys, said, "176 bytes")
        Path("set/spike/2_key_id60.dat").write_bytes(change)
        said = said.replace("spikes.dat", "2_key_id60.dat")
        refuses(folder, capsys, run_prepare_set, said, program="prepare: ")


def test_an_empty_file(folder: Path, capsys: Any) -> None:
    Path("rec/spikes.dat").write_bytes(b"")
    check_stream(folder, capsys, "spikes.dat is empty")


def test_bits_in_the_last_partial_byte(folder: Path, capsys: Any) -> None:
    put("rec/spikes.dat", SPIKES[:, :31, :43])
    content = bytearray(Path("rec/spikes.dat").read_bytes())
    content[167 * 61 - 1] |= 0x80  # 31 * 43 pixels are 166 bytes and 5 bits
    Path("rec/spikes.dat").write_bytes(bytes(content))
    describe(height=31, width=43)
    write_video("small", FRAMES[:, :31, :43], fps=math.nan)
    restore = lambda: run_restore("--exposure=50,20,21", source="small")  # noqa: E731
    said = "spike frame 60 has bits beyond the 31x43 pixels"
    refuses(folder, capsys, restore, said, program="launch.py: error: ")
    look = lambda: run_view(path="rec/spikes.dat")  # noqa: E731
    refuses(folder, capsys, look, said, program="view: ")


def test_a_wrong_width(folder: Path, capsys: Any) -> None:
    describe(width=43)
    said = "not a whole number of 32x43 frames"
    refuses(folder, capsys, run_view, said, program="view: ")
    said = "The spikes are 32x43 (height x width) and the video is 32x44"
    refuses(folder, capsys, run_restore, said, program="launch.py: error: ")
    wrong = lambda: run_prepare_set("--spike_width=43")  # noqa: E731
    refuses(folder, capsys, wrong, "of 32x43 frames", program="prepare: ")


def test_swapped_height_and_width(folder: Path, capsys: Any) -> None:
    Path("rec/spikes.json").unlink()
    swapped = ("--flip=true", f"--height={WIDTH}", f"--width={HEIGHT}")
    look = lambda: run_view(*swapped, path="rec/spikes.dat")  # noqa: E731
    said = "looks like 32x44 pixels (height x width), not 44x32"
    refuses(folder, capsys, look, said, "--trust_size=true", program="view: ")
    write_video("turned", FRAMES.swapaxes(1, 2), fps=math.nan)
    facts = ("--spike_flip=true", "--spike_height=44", "--spike_width=32")

    def restore(*more: str) -> int:
        return run_restore(*facts, "--exposure=0,9,30", *more, source="turned")

    refuses(folder, capsys, restore, said, program="launch.py: error: ")
    alone = lambda: run_prepare_spikes(  # noqa: E731
        "--spike_height=44", "--spike_width=32", "--flip=true"
    )
    refuses(folder, capsys, alone, said, program="prepare: ")
    build = lambda: run_prepare_set("--spike_height=44", "--spike_width=32")  # noqa: E731
    for name in ("1", "2"):
        picture = cv2.imread(f"set/gt/{name}_key_id60.png")
        cv2.imwrite(f"set/gt/{name}_key_id60.png", picture.swapaxes(0, 1))
    refuses(folder, capsys, build, said, program="prepare: ")
    trust = ("--spike_height=44", "--spike_width=32", "--trust_size=true")
    assert run_prepare_set(*trust, "--output=built") == 0
    assert restore("--spike_trust_size=true") == 0
    assert view.main(["rec/spikes.dat", *swapped, "--trust_size=true"]) == 0


def test_a_stream_without_a_spike(folder: Path, capsys: Any) -> None:
    put("rec/spikes.dat", np.zeros_like(SPIKES))
    said = f"spikes.dat holds no spike in any of its {COUNT} spike frames"
    check_stream(folder, capsys, said)
    np.save("dark.npy", np.zeros_like(SPIKES))
    look = lambda: run_view(path="dark.npy")  # noqa: E731
    refuses(folder, capsys, look, "dark.npy holds no spike", program="view: ")

    def restore() -> int:
        return run_restore("--spikes=dark.npy", "--exposure=0,9,30")

    said_of = "dark.npy holds no spike"
    refuses(folder, capsys, restore, said_of, program="launch.py: error: ")
    put("set/spike/2_key_id60.dat", np.zeros_like(SPIKES))
    said = said.replace("spikes.dat", "2_key_id60.dat")
    refuses(folder, capsys, run_prepare_set, said, program="prepare: ")


def test_footage_without_light(folder: Path, capsys: Any) -> None:
    write_video("dark", np.zeros((20, 32, 44, 3), np.uint8), fps=math.nan)
    build = lambda: run_prepare_video(source="dark")  # noqa: E731
    refuses(folder, capsys, build, "dark is too dark for a spike", program="prepare: ")
    write_video("lit", np.full((20, 32, 44, 3), 99, np.uint8), fps=math.nan)
    assert prepare.main(["--source=video", "--input=lit", "--output=lit_out"]) == 0


def test_a_dark_exposure_of_a_live_stream_is_no_error(folder: Path) -> None:
    dark = SPIKES.copy()
    dark[: int(EXPOSURE[-1][1])] = 0
    put("rec/spikes.dat", dark)
    assert run_restore() == 0
    assert view.main(["rec", "--output=sheet"]) == 0


def test_a_stream_shorter_than_an_exposure(folder: Path, capsys: Any) -> None:
    put("rec/spikes.dat", SPIKES[:7])
    refuses(
        folder, capsys, run_view, "exposure of frame 0 is [2, 11]", program="view: "
    )
    said = "spikes.dat holds 7 spike frames, but the exposure of the last of 3"
    refuses(folder, capsys, run_restore, said, program="launch.py: error: ")
    long = lambda: run_restore("--exposure=0,121,130")  # noqa: E731
    put("rec/spikes.dat", SPIKES)
    refuses(folder, capsys, long, "holds 120 spike", program="launch.py: error: ")
    long = lambda: run_prepare_spikes("--exposure=121", "--period=130")  # noqa: E731
    refuses(folder, capsys, long, "spikes.dat", "exposure=121", program="prepare: ")
    long = lambda: run_prepare_set("--exposure=121")  # noqa: E731
    refuses(folder, capsys, long, "key_id60.dat", "121", program="prepare: ")


@pytest.mark.parametrize(
    ("exposure", "said"),
    [
        ([EXPOSURE[1], EXPOSURE[0], EXPOSURE[2]], "in the order of time, but frame 1"),
        ([EXPOSURE[0], EXPOSURE[0], EXPOSURE[2]], "in the order of time, but frame 1"),
        ([[-1.0, 5.0], *EXPOSURE[1:]], "frame 0 is [-1, 5], but the spikes cover"),
        ([*EXPOSURE[:2], [60.0, 60.0]], "frame 2 must start before it ends"),
        ([[11.0, 2.0], *EXPOSURE[1:]], "frame 0 must start before it ends"),
        ([[1.0], *EXPOSURE[1:]], "spikes.json: exposure cannot be"),
        ([[1.0, None], *EXPOSURE[1:]], "spikes.json: exposure cannot be"),
        (EXPOSURE[:2], "2 exposures"),
    ],
)
def test_exposures_that_cannot_be(
    folder: Path, capsys: Any, exposure: Any, said: str
) -> None:
    describe(exposure=exposure)
    check_recording(folder, capsys, said)


def test_exposures_out_of_the_stream(folder: Path, capsys: Any) -> None:
    describe(exposure=[*EXPOSURE[:2], [60.0, 121.0]])
    refuses(folder, capsys, run_view, "is [60, 121]", program="view: ")
    refuses(folder, capsys, run_restore, "ends at 121", program="launch.py: error: ")
    for flag, said in (
        ("--exposure=0,20,10", "between 1 and the period"),
        ("--exposure=0,0,10", "between 1 and the period"),
        ("--exposure=10,9", "must be three whole numbers"),
        ("--exposure=-5,9,10", "must be three whole numbers"),
        ("--exposure=90,9,30", "ends at 159"),
    ):
        restore = lambda flag=flag: run_restore(flag)  # noqa: E731
        refuses(folder, capsys, restore, said, program="launch.py: error: ")


def test_a_json_that_is_none(folder: Path, capsys: Any) -> None:
    for text, said in (
        ("{", "spikes.json is not valid JSON"),
        ("[]", "must hold one JSON object"),
        ("{}", "it holds nothing"),
        ('{"height": NaN}', "it holds height"),
    ):
        Path("rec/spikes.json").write_text(text)
        check_stream(folder, capsys, said)


def test_footage_that_is_no_number(folder: Path, capsys: Any) -> None:
    cv2.imwrite("rec/blur/000001.tif", np.full((HEIGHT, WIDTH, 3), np.nan, np.float32))
    Path("rec/blur/000001.png").unlink()
    said = "000001.tif holds float32 values, not all of them numbers"
    check_recording(folder, capsys, said)
    for layout in ("files", "records"):
        build = lambda x=layout: run_prepare_video(f"--layout={x}")  # noqa: E731
        refuses(folder, capsys, build, said, program="prepare: ")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov"])
def test_a_video_that_is_none(folder: Path, capsys: Any, name: str) -> None:
    Path(name).write_bytes(b"no video at all" * 99)
    check_video(folder, capsys, name, "cannot be read as a video")


def test_a_video_that_was_cut_off(folder: Path, capsys: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    write_video("whole.mp4", frames, fps=25)
    content = Path("whole.mp4").read_bytes()
    for length in (len(content) - 1, len(content) // 2, 40):
        Path("a.mp4").write_bytes(content[:length])
        check_video(folder, capsys, "a.mp4")


def test_a_video_that_is_damaged(folder: Path, capsys: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    write_video("a.mp4", frames, fps=25)
    content = bytearray(Path("a.mp4").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    Path("a.mp4").write_bytes(bytes(content))
    check_video(folder, capsys, "a.mp4")


def check_video(folder: Path, capsys: Any, name: str, *said: str) -> None:
    restore = lambda: run_restore(source=name)  # noqa: E731
    refuses(folder, capsys, restore, name, *said, program="launch.py: error: ")
    for layout in ("files", "records"):
        build = lambda x=layout: run_prepare_video(f"--layout={x}", source=name)  # noqa: E731
        refuses(folder, capsys, build, name, *said, program="prepare: ")


def test_a_picture_that_was_cut_off(folder: Path, capsys: Any) -> None:
    picture = Path("rec/blur/000001.png")
    picture.write_bytes(picture.read_bytes()[:99])
    check_recording(folder, capsys, "000001.png cannot be read")
    refuses(folder, capsys, run_prepare_video, "000001.png", program="prepare: ")
    Path("set/gt/2_key_id60.png").write_bytes(b"")
    before = contents(folder)
    assert run_prepare_set() == 2
    lines = capsys.readouterr().err.splitlines()
    (error,) = (line for line in lines if line.startswith("prepare: "))
    assert error == lines[-1] and "2_key_id60.png cannot be read" in error
    kept = {k: v for k, v in contents(folder).items() if not k.startswith("out")}
    assert kept == before


def test_a_record_that_cannot_be_read(folder: Path, capsys: Any) -> None:
    assert run_prepare_set("--output=built") == 0
    built = capsys.readouterr().out.strip()
    assert view.main([built, "--output=sheet"]) == 0
    capsys.readouterr()
    (file,) = Path(built).glob("*train*.array_record*")
    whole = file.read_bytes()
    middle = len(whole) // 2
    damaged = whole[: middle - 64] + bytes(128) + whole[middle + 64 :]
    for content in (damaged, whole[:middle], b""):
        file.write_bytes(content)
        look = lambda: run_view(path=built)  # noqa: E731
        refuses(folder, capsys, look, built, "build it again", program="view: ")
    file.unlink()
    refuses(folder, capsys, look, built, program="view: ")


@pytest.mark.parametrize("module", ["data_pipeline.view", "data_pipeline.prepare"])
def test_the_exit_code_of_the_process_is_2_and_stderr_one_line(
    folder: Path, module: str
) -> None:
    put("rec/spikes.dat", np.zeros_like(SPIKES))
    arguments = ["rec", "--output=out"]
    if module == "data_pipeline.prepare":
        Path("a.mp4").write_bytes(b"x")
        arguments = ["--source=video", "--input=a.mp4", "--output=out"]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": str(launch.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
    assert not Path("out").exists()
