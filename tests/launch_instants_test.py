"""--mode=restore --instants: several sharp frames of each blurred one, and the rate."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import launch
from configs import base
from configs.load import write_config
from data_pipeline import spike_dat
from data_pipeline.video_files import read_video, write_video
from stand_ins import Restore
from vrt_spike_jax import checkpoint


class Shows(Restore):
    """The blur, brighter by a tenth of the instant."""

    takes_spikes: bool = True
    takes_instant: bool = True

    def __call__(self, blur, spikes, *, spike_gain=None, instant):
        return blur + 0.1 * instant[..., None, None, None]


def write_input(folder):
    rng = np.random.default_rng(0)
    write_video(folder / "video.mp4", np.full((4, 72, 80, 3), 120, np.uint8), fps=12.5)
    spikes = (rng.random((220, 72, 80)) < 0.3).astype(np.uint8)
    spike_dat.write_dat(folder / "s.dat", spikes, flip=True)


INPUT = (
    "--mode=restore",
    "--input=video.mp4",
    "--spikes=s.dat",
    "--spike_height=72",
    "--spike_width=80",
    "--spike_flip=true",
    "--exposure=0,49,56",
)


@pytest.fixture
def restore(tmp_path, monkeypatch, capsys):
    """Restores by stand-ins; returns the exit code and the last line printed."""
    monkeypatch.chdir(tmp_path)
    models = {"random": Shows(), "middle": Restore(takes_spikes=True)}
    for instants in models:
        config = base.get_config("tiny")
        config.model.fusion = "cross_attn"
        config.data.instants = instants
        config.data.embedded.sharp_instants = 5
        config.eval.update(tile=(2, 64, 64), overlap=(1, 8, 8))
        write_config(tmp_path / instants / "config.json", config)
    monkeypatch.setattr(launch, "_model", lambda config: models[config.data.instants])
    monkeypatch.setattr(
        launch,
        "_model_and_params",
        lambda config, _, *, step: (launch._model(config), {}),
    )
    monkeypatch.setattr(checkpoint, "saved_steps", lambda _: [0])
    write_input(tmp_path)

    def run(*arguments, workdir="random"):
        code = launch.main([*INPUT, f"--workdir={workdir}", *arguments])
        printed = capsys.readouterr()
        text = printed.err if code else printed.out
        return code, text.splitlines()[-1]

    return run


def test_pictures_are_numbered_through_the_instants_of_all_frames(restore):
    code, line = restore("--output=out", "--instants=3")
    assert (code, line) == (0, "12 frames of 72x80 written to out")
    source, frames = read_video("video.mp4")[0], read_video("out")[0]
    change = (frames.reshape(4, 3, -1) - source.reshape(4, 1, -1).astype(float)).mean(2)
    # Instants are -2/3, 0 and 2/3.
    np.testing.assert_allclose(change, 4 * [[-17, 0, 17]], atol=0.6)


def test_the_rate_of_a_video_is_that_of_all_its_instants(restore):
    code, line = restore("--output=out.mp4", "--instants=4")
    assert code == 0
    assert "16 frames of 72x80 written to out.mp4 at 50 frames per second" in line
    assert read_video("out.mp4")[1] == 50
    code, line = restore("--output=one.mp4")
    assert "4 frames of 72x80 written to one.mp4 at 12.5 frames" in line


def test_what_cannot_be_asked_for_is_said_before_anything_is_written(restore, tmp_path):
    code, line = restore("--output=out", "--instants=3", workdir="middle")
    assert code == 2
    assert "train one with data.instants=random" in line
    for wrong in ("0", "-1", "2.5", "x"):
        code, line = restore("--output=out", f"--instants={wrong}")
        assert code == 2
        assert line.endswith(f"--instants={wrong} is not a number of sharp frames.")
    assert not (tmp_path / "out").exists()


def test_spike_losses_that_do_not_fit_an_instant_are_refused_before_the_data_is_built(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    # Instants are up to 20 spike frames from the middle of 49.
    code = launch.main(
        [
            f"--config={launch.ROOT / 'configs/cross_attn.py'}:smoke",
            "--config.data.instants=random",
            "--config.data.embedded.sharp_instants=5",
            "--config.loss.spike_rate.weight=0.1",
        ]
    )
    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert "loss.tfp_window=25 around a sharp instant" in line
    assert "take 9 at most, or a data.spikes.margin that is larger by 8" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_was_trained_at_random_instants_restores_any_of_them(tmp_path):
    options = ("--config.data.instants=random", "--config.model.time_code=True")
    config = f"--config={launch.ROOT / 'configs/cross_attn.py'}:smoke"

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, str(launch.ROOT / "launch.py"), config, *arguments],
            cwd=tmp_path,
            env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    data = ("--config.data.dir=data", "--config.data.embedded.sharp_instants=3")
    assert "model last" in run("--workdir=run", *data, *options)
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert [row["method"] for row in rows][3:6] == [
        "blurred first",
        "closed_form first",
        "model first",
    ]
    write_input(tmp_path)
    out = run("--workdir=run", *INPUT, "--output=out", "--instants=2")
    assert "8 frames of 72x80 written to out" in out
