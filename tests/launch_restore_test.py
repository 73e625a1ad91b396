"""--mode=restore for every task: sizes, rates, chains, and files that come whole."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import launch
from configs.load import write_config
from data_pipeline import spike_dat
from data_pipeline.video_files import read_video, write_video
from stand_ins import Between, Enlarge, NoiseLevel, Restore
from vrt_spike_jax import checkpoint

ROOT = launch.ROOT


class Broken(Restore):
    def __call__(self, frames):
        return frames * jnp.nan


STAND_INS = {
    "003": Enlarge(),
    "006": Restore(),
    "007": Broken(),
    "008": NoiseLevel(),
    "009": Between(),
    "tiny": Restore(takes_spikes=True),
}


# Work directory and step of each model that was read.
_TAKEN: list[tuple[str, int]] = []


def _model_and_params(config, workdir, *, step):
    _TAKEN.append((workdir.name, step))
    return launch._model(config), {}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work directories of stand-ins for the official models, and one with spikes."""
    from configs import base

    monkeypatch.chdir(tmp_path)
    for name in STAND_INS:
        config = base.get_config("deblur")
        config.model.variant = name
        config.model.fusion = "cross_attn" if name == "tiny" else "none"
        config.eval.update(tile=(4, 64, 64), overlap=(1, 8, 8))
        write_config(tmp_path / name / "config.json", config)
    monkeypatch.setattr(
        launch, "_model", lambda config: STAND_INS[config.model.variant]
    )
    monkeypatch.setattr(launch, "_model_and_params", _model_and_params)
    monkeypatch.setattr(checkpoint, "saved_steps", lambda _: [0, 7])
    _TAKEN.clear()
    frames = np.random.default_rng(0).integers(0, 256, (5, 18, 22, 3), np.uint8)
    write_video("pictures", frames, fps=math.nan)
    write_video("video.mp4", frames, fps=12.5)
    return tmp_path


def restore(*arguments, workdir, source="pictures", output="out"):
    return launch.main(
        [
            "--mode=restore",
            f"--workdir={workdir}",
            f"--input={source}",
            f"--output={output}",
            *arguments,
        ]
    )


def error_of(capsys, *arguments, **options):
    assert restore(*arguments, **options) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_restoring_keeps_pictures(folder, capsys):
    assert restore(workdir="006") == 0
    np.testing.assert_array_equal(read_video("out")[0], read_video("pictures")[0])
    assert capsys.readouterr().out == "5 frames of 18x22 written to out\n"


@pytest.mark.parametrize("chain", [("003", "009"), ("009", "003")])
def test_space_and_time_by_a_chain_in_any_order(folder, chain, capsys):
    first, then = chain
    assert restore(f"--then={then}", workdir=first) == 0
    restored, frames = read_video("out")[0], read_video("pictures")[0]
    assert restored.shape == (9, 72, 88, 3)
    np.testing.assert_array_equal(restored[::2], frames.repeat(4, 1).repeat(4, 2))
    # Rounded once, at the end.
    middle = np.round((frames[1].astype(np.float64) + frames[2]) / 2)
    middle = middle.repeat(4, 0).repeat(4, 1)
    assert np.abs(restored[3] - middle).max() <= 1
    assert "9 frames of 72x88" in capsys.readouterr().out


def test_interpolation_doubles_the_rate_each_time(folder, capsys):
    assert restore(workdir="009", source="video.mp4", output="a.mp4") == 0
    assert "9 frames of 18x22 written to a.mp4 at 25 frames" in capsys.readouterr().out
    assert read_video("a.mp4")[1] == 25
    assert read_video("a.mp4")[0].shape == (9, 18, 22, 3)
    options = {"workdir": "006", "source": "video.mp4", "output": "b.mp4"}
    assert restore("--then=009", "--then=009", **options) == 0
    frames, rate = read_video("b.mp4")
    assert (len(frames), rate) == (17, 50)


def test_an_unknown_rate_is_said(folder, capsys):
    assert restore(workdir="009", output="a.mp4") == 0
    assert (
        "at 25 frames per second, since the input says no rate"
        in capsys.readouterr().out
    )


def test_denoising_takes_sigma(folder, capsys):
    assert "pass sigma" in error_of(capsys, workdir="008")
    assert "no model here is told" in error_of(capsys, "--sigma=9", workdir="006")
    for wrong in ("--sigma=x", "--sigma=256"):
        assert f"{wrong} is not" in error_of(capsys, wrong, workdir="008")
    assert restore("--sigma=51", workdir="008") == 0
    assert (read_video("out")[0] == 51).all()


def test_spikes_are_of_the_first_model(folder, capsys):
    spikes = np.random.default_rng(0).integers(0, 2, (60, 18, 22), np.uint8)
    spike_dat.write_dat("s.dat", spikes, flip=True)
    options = ["--spikes=s.dat", "--spike_height=18", "--spike_width=22"]
    options += ["--spike_flip=true", "--exposure=0,9,11"]
    assert "model 2 of the chain" in error_of(capsys, "--then=tiny", workdir="003")
    assert restore(*options, "--then=003", workdir="tiny") == 0
    assert read_video("out")[0].shape == (5, 72, 88, 3)


def test_the_official_tiling_is_a_setting(folder, capsys):
    line = error_of(capsys, "--config.eval.tiling=offical", workdir="006")
    assert "did you mean 'official'?" in line
    tile = ["--config.eval.tile=(4,64,72)", "--config.eval.tiling=official"]
    assert "square patches" in error_of(capsys, *tile, workdir="006")
    assert restore("--config.eval.tiling=official", workdir="006") == 0
    np.testing.assert_array_equal(read_video("out")[0], read_video("pictures")[0])


def test_what_fails_leaves_nothing(folder, capsys):
    assert "not finite in the tile" in error_of(capsys, workdir="007")
    (folder / "pictures" / "000004.png").write_bytes(b"x")
    assert "000004.png cannot be read" in error_of(capsys, workdir="006")
    assert "nothing was trained there" in error_of(capsys, "--then=x", workdir="006")
    assert not (folder / "out").exists()
    assert not list(folder.glob(".out*"))


def test_step_is_of_the_checkpoint_of_the_first_model(folder, capsys):
    assert restore("--step=0", "--then=009", workdir="006") == 0
    assert _TAKEN == [("006", 0), ("009", 7)]
    sentence = error_of(capsys, "--step=3", workdir="006", output="other")
    assert "there is no checkpoint of step 3" in sentence
    assert "those of 0, 7" in sentence


def test_an_empty_option_is_refused_and_the_home_directory_is_found(
    folder, capsys, monkeypatch
):
    for empty in ("--then=", "--spikes=", "--workdir="):
        name = empty.rstrip("=")
        assert f"{name} is empty" in error_of(capsys, empty, workdir="006")
    assert "--input is empty" in error_of(capsys, workdir="006", source="")
    monkeypatch.setenv("HOME", str(folder))
    assert restore(workdir="006", source="~/pictures", output="~/home") == 0
    assert (folder / "home").is_dir()
