"""Builds that are stopped, killed, shared or repeated give the same bytes as one."""

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipeline.prepare import main
from data_pipeline.prepare_options import PUBLIC_SETS
from data_pipeline.records import Record
from data_pipeline.spike_deblur import Source, build, layout, open_split, shards
from data_pipeline.video_files import write_video

ROOT = Path(__file__).resolve().parents[3]


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def command(settings: dict[str, Any], output: Path, *more: str) -> list[str]:
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    start = [sys.executable, "-m", "data_pipeline.prepare", "--source=embedded"]
    return [*start, f"--output={output}", *arguments, *more]


def clip_files(output: Path) -> list[Path]:
    """The finished clips of an unfinished build."""
    return list(output.glob("spike_deblur/*/incomplete/clips/[!.]*"))


def wait_for_clips(output: Path, clips: int, process: Any) -> None:
    deadline = time.monotonic() + 120
    while len(clip_files(output)) < clips:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def kill_once_there_are(output: Path, clips: int, process: Any) -> None:
    """Kills a build with SIGKILL, which nothing can catch."""
    try:
        wait_for_clips(output, clips, process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_build_goes_on_and_gives_the_same_bytes(
    settings: dict[str, Any], tmp_path: Path, workers: str
) -> None:
    settings = settings | {"train_clips": 16, "num_frames": 6}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    start = command(settings, killed, f"--workers={workers}")
    said = tmp_path / "said"
    with said.open("w") as stderr:
        process = subprocess.Popen(start, cwd=ROOT, stderr=stderr)
    kill_once_there_are(killed, 3, process)
    (unfinished,) = killed.glob("spike_deblur/*/incomplete")
    with pytest.raises(FileNotFoundError, match="no finished data set"):
        open_split(unfinished, "train")
    # What a kill in the middle of a write leaves.
    (unfinished / "clips" / ".train-00000015.77").write_bytes(b"half a clip")

    done = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, check=True)
    # The bar begins with the clips that were not made again. A worker whose build was
    # killed finishes the clip it is at.
    first, total = re.findall(r"(\d+)/(\d+) \[", done.stderr)[0]
    assert 3 <= int(first) < 16 and total == "18"
    assert not list(killed.rglob("incomplete"))
    assert "Traceback" not in said.read_text()
    again = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, check=True)
    assert again.stdout == done.stdout and "clip/s" not in again.stderr

    subprocess.run(
        command(settings, whole), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert files(killed) == files(whole)
    assert len(files(whole)) == 6


def test_an_interrupted_build_says_what_is_kept_and_leaves_no_worker(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = settings | {"train_clips": 40, "num_frames": 6}
    # What a shell starts in the background ignores Ctrl-C, and so do its children. A
    # preexec_fn would fork this process, which has the threads of JAX.
    heeding = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", heeding, *command(settings, tmp_path, "--workers=2")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_clips(tmp_path, 3, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
    shown = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in shown
    assert re.search(
        r"stopped\. \d+ of 42 clips are finished and kept; the same", shown
    )
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_build_killed_before_any_of_its_file_operations_goes_on(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/helpers/killed_builds.py"), str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 30


def test_workers_give_the_same_bytes_in_many_shards(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 300_000)
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    for workers in (1, 3):
        output = f"--output={tmp_path / str(workers)}"
        options = ["--source=embedded", output, f"--workers={workers}", *arguments]
        assert main(options) == 0
    one = files(tmp_path / "1")
    assert sum("train" in name for name in one) > 1
    assert files(tmp_path / "3") == one


def test_footage_is_made_by_workers_too(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (100, 32, 40, 3), np.uint8)
    write_video(tmp_path / "a.mp4", frames, fps=100)
    given = ["--source=video", "--layout=records", f"--input={tmp_path / 'a.mp4'}"]
    given += ["--exposure=9", "--period=12", "--spikes_per_frame=4", "--num_frames=3"]
    for workers in (1, 2):
        output = tmp_path / str(workers)
        assert main([*given, f"--output={output}", f"--workers={workers}"]) == 0
    assert files(tmp_path / "1") == files(tmp_path / "2")


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_public_sets_travel_to_workers(name: str) -> None:
    assert pickle.loads(pickle.dumps(PUBLIC_SETS[name])) == PUBLIC_SETS[name]


class Counted:
    """Makes clips of a record, notes which, and fails at some of them."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.made: list[tuple[str, int]] = []
        self.failing: tuple[str, int] | None = None

    def __call__(self, split: str, index: int) -> Record:
        if (split, index) == self.failing:
            raise ValueError(f"Clip {index} of {split} is broken.")
        self.made.append((split, index))
        return self.record | {"name": f"{split}-{index}"}

    def source(self, **settings: Any) -> Source:
        counts = {"train": 4, "test": 2}
        return Source("counted", "1", settings, counts, self)


def test_an_error_keeps_what_is_finished_and_says_so(
    record: Record, tmp_path: Path
) -> None:
    clips = Counted(record)
    clips.failing = ("train", 2)
    with pytest.raises(ValueError, match="Clip 2 of train is broken") as raised:
        build(tmp_path, clips.source(), workers=1)
    assert raised.value.__notes__ == [
        "2 of 6 clips are finished and kept; the same command goes on from there."
    ]
    (left,) = tmp_path.glob("spike_deblur/*/*")
    assert left.name == "incomplete"
    clips.failing = None
    directory = build(tmp_path, clips.source(), workers=1)
    assert [f"{s}-{i}" for s, i in clips.made] == [
        *(f"train-{i}" for i in range(4)),
        *(f"test-{i}" for i in range(2)),
    ]
    assert [clip["name"] for clip in open_split(directory, "test")] == [
        "test-0",
        "test-1",
    ]
    assert not left.exists()


def test_an_error_in_the_first_clip_leaves_nothing(
    record: Record, tmp_path: Path
) -> None:
    clips = Counted(record)
    clips.failing = ("train", 0)
    with pytest.raises(ValueError, match="is broken") as raised:
        build(tmp_path / "new" / "folder", clips.source(), workers=1)
    assert not hasattr(raised.value, "__notes__")
    assert not any(tmp_path.iterdir())


def test_an_invalid_record_is_not_kept(record: Record, tmp_path: Path) -> None:
    record["spikes"] = record["spikes"][:4]
    with pytest.raises(ValueError, match="exposure of frame"):
        build(tmp_path, Counted(record).source(), workers=1)
    assert not any(tmp_path.iterdir())


def test_other_settings_or_software_use_no_clips_of_before(
    record: Record,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clips = Counted(record)
    clips.failing = ("train", 3)
    for settings in ({"a": 1}, {"a": 2}):
        with pytest.raises(ValueError):
            build(tmp_path, clips.source(**settings), workers=1)
    assert clips.made == [("train", i) for i in (0, 1, 2)] * 2
    clips.failing = None
    clips.made = []
    for state in tmp_path.glob("spike_deblur/*/incomplete/state.json"):
        state.write_text(state.read_text().replace('"numpy": "', '"numpy": "1.'))
    build(tmp_path, clips.source(a=1), workers=1)
    assert len(clips.made) == 6
    assert "made by other versions of the software" in capsys.readouterr().err


def test_builds_of_one_data_set_wait_for_each_other(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    start = command(settings | {"train_clips": 12}, tmp_path)
    processes = [
        subprocess.Popen(
            start, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    shown = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({out for out, _ in shown}) == 1
    # One built; the others waited, or came when it was done.
    assert sum("clip/s" in err for _, err in shown) == 1
    assert not list(tmp_path.rglob(layout.LOCK))


def test_a_worker_that_dies_or_fails_is_one_sentence(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    for kind, message in (
        ("dies", r"The worker that made clip \d of train ended with code -9"),
        ("fails", "clip 1 of train is broken"),
    ):
        code = (
            "from data_pipeline.spike_deblur import build, Source\n"
            "from failing_clips import FailingClips\n"
            f"made = FailingClips({settings!r}, {kind!r})\n"
            "source = Source('failing', '1', {}, {'train': 4, 'test': 1}, made)\n"
            f"build({str(tmp_path)!r}, source, workers=2)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert re.search(message, done.stderr), done.stderr
