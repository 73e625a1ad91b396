"""Every mistake on the command line is one sentence and an exit code, never a trace."""

import importlib.util
import re
from pathlib import Path

import jax
import orbax.checkpoint as ocp
import pytest

import launch
from configs.load import load_config, write_config

ROOT = Path(__file__).resolve().parents[1]
CROSS = f"{ROOT}/configs/cross_attn.py"


def error_of(capsys, *arguments):
    """The one line on stderr of a command that must fail."""
    assert launch.main(list(arguments)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("launch.py: error: ")
    return lines[0]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # default work directories appear below it


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--config is missing"),
        (["--config=configs/cros_attn.py"], "did you mean"),
        ([f"--config={CROSS}:smok"], "did you mean 'smoke'?"),
        ([f"--config={CROSS}:tiny", "--mode=trian"], "did you mean 'train'?"),
        ([f"--config={CROSS}:tiny", "--workdri=x"], "did you mean '--workdir'?"),
        ([f"--config={CROSS}:tiny", "--configtrain.steps=1"], "did you mean"),
        ([f"--config={CROSS}:tiny", "x"], "unexpected argument 'x'"),
        ([f"--config={CROSS}:tiny", "--config"], "expected one argument"),
        ([f"--config={CROSS}:tiny", "--config.train.steps=x"], "not of the type int"),
        (
            [f"--config={CROSS}:tiny", "--config.optimzer.b1=1"],
            "did you mean 'optimizer.b1'?",
        ),
        ([f"--config={CROSS}:tiny", "--config.data.crop_size=60"], "multiple of 8"),
        ([f"--config={CROSS}:tiny", "--config.mesh.fsdp=7"], "mesh.fsdp=7"),
        (
            [f"--config={CROSS}:tiny", "--config.data.spikes.charge.num_bins=12"],
            "a multiple of 8",
        ),
        (
            [f"--config={CROSS}:tiny", "--config.data.spikes.margin=17"],
            "a margin of 16 at most",
        ),
        (
            [
                f"--config={CROSS}:tiny",
                "--config.data.spikes.representation=raw",
                "--config.data.spikes.raw.num_frames=56",
            ],
            "56 spike frames around the middle of the exposure leave it",
        ),
        ([f"--config={CROSS}:tiny", "--config.model.fusion=none"], "no parameter"),
        (
            [
                f"--config={CROSS}:tiny",
                "--config.data.crop_size=64",
                "--config.model.variant=008",
            ],
            "model.variant=008 cannot be trained",
        ),
        ([f"--config={CROSS}:tiny", f"--workdir={__file__}/x"], "is a file; name"),
        ([f"--config={CROSS}:tiny", "--workdir=run[1]"], "one of the signs * ? ["),
        ([f"--config={CROSS}:tiny", "--input=x.mp4"], "belongs to --mode=restore"),
        (["--mode=eval"], "--config is missing"),
        (["--mode=eval", "--workdir=none"], "nothing was trained there"),
        ([f"--config={CROSS}:tiny", "--mode=eval"], "runs/cross_attn_tiny holds no"),
        (
            ["--mode=eval", "--workdir=none", "--config.train.steps=3"],
            "has no effect in --mode=eval",
        ),
        (
            ["--mode=eval", "--workdir=none", "--config.model.max_chunk=9"],
            "nothing was trained there",
        ),
        (["--mode=restore", "--workdir=none"], "needs --input"),
        (["--mode=restore", "--workdir=none", "--input=x"], "needs --output"),
        (["--mode=restore", "--workdir=w", "--input=x", "--output=y.avi"], ".mp4"),
        (
            ["--mode=restore", "--workdir=w", "--input=x", "--output=a/y.mp4"],
            "does not exist",
        ),
        (
            ["--mode=restore", "--workdir=w", "--input=x", "--output=y.mp4"]
            + ["--spike_height=3"],
            "describes --spikes, which is missing",
        ),
        (
            ["--mode=restore", "--workdir=w", "--input=x", "--output=y.mp4"]
            + ["--spikes=s.dat", "--exposure=1,2"],
            "FIRST,LENGTH,PERIOD",
        ),
        (
            ["--mode=restore", "--workdir=w", "--input=x", "--output=y.mp4"]
            + ["--spikes=s.dat", "--spike_width=1.5"],
            "not a number of spike pixels",
        ),
        (
            ["--mode=restore", "--workdir=w", "--input=x", "--output=y.mp4"]
            + ["--spikes=s.dat", "--spike_flip=yes"],
            "neither true nor false",
        ),
    ],
)
def test_mistake_is_one_sentence(capsys, tmp_path, arguments, sentence):
    assert sentence in error_of(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def untrained(tmp_path):
    """Work directories with a configuration and no checkpoint."""
    for name in ("cross_attn", "baseline"):
        config = load_config(f"{ROOT}/configs/{name}.py:smoke")
        write_config(tmp_path / name / "config.json", config)
    return tmp_path


def test_missing_checkpoint_says_what_to_do(capsys, untrained):
    line = error_of(capsys, "--mode=eval", "--workdir=cross_attn")
    assert "there is no checkpoint in" in line
    assert "train first" in line


def test_what_cannot_be_evaluated_is_refused_before_the_data_set(capsys, tmp_path):
    overrides = ["--config.data.crop_size=64", "--config.model.variant=001"]
    config = load_config(f"{CROSS}:tiny", [*overrides, "--config.eval.tile=6,64,64"])
    write_config(tmp_path / "run" / "config.json", config)
    data = f"--config.data.dir={tmp_path}/data"
    error = error_of(capsys, "--mode=eval", "--workdir=run", data)
    assert "evaluation compares each restored frame" in error
    assert not (tmp_path / "data").exists()


def test_spikes_and_model_must_fit(capsys, untrained):
    common = ["--mode=restore", "--input=x.mp4", "--output=y.mp4"]
    line = error_of(capsys, *common, "--workdir=cross_attn")
    assert "restores with spikes; pass --spikes" in line
    line = error_of(capsys, *common, "--workdir=baseline", "--spikes=s.dat")
    assert "takes no spikes" in line


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("taken.mp4", "taken.mp4 exists; name a new one"),
        ("folder.mp4", "folder.mp4 exists; name a new one"),
        ("folder", "folder exists and is not an empty folder"),
        ("file", "file exists and is not an empty folder"),
    ],
)
def test_what_exists_is_never_overwritten(capsys, tmp_path, output, sentence):
    for name in ("taken.mp4", "file", "folder/frame.png", "folder.mp4/frame.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    line = error_of(
        capsys,
        "--mode=restore",
        "--workdir=w",
        "--input=taken.mp4",
        f"--output={output}",
    )
    assert sentence in line
    assert (tmp_path / "taken.mp4").read_text() == "mine"


def test_other_settings_are_refused_and_nothing_is_touched(capsys, untrained):
    saved = load_config(f"{CROSS}:smoke").to_dict()
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as writer:
        writer.save(untrained / "cross_attn" / "checkpoints" / "2" / "config", saved)
    before = (untrained / "cross_attn" / "config.json").read_bytes()
    line = error_of(
        capsys,
        f"--config={CROSS}:smoke",
        "--workdir=cross_attn",
        "--config.train.steps=99",
    )
    assert re.search(r"train\.steps \(there \d+, here 99\)", line)
    left = {path.name for path in (untrained / "cross_attn").iterdir()}
    assert left == {"config.json", "checkpoints"}
    assert (untrained / "cross_attn" / "config.json").read_bytes() == before


def test_other_settings_are_taken_until_there_is_a_checkpoint(monkeypatch, untrained):
    """A run that did not fit into memory begins again in the same work directory."""

    class Reached(Exception):
        pass

    def reached(config):
        raise Reached(config.train.steps)

    monkeypatch.setattr(launch, "_data", reached)
    arguments = [f"--config={CROSS}:smoke", "--workdir=cross_attn"]
    with pytest.raises(Reached, match="99"):
        launch.main([*arguments, "--config.train.steps=99"])


def test_configuration_and_work_directory_must_be_of_one_run(capsys, untrained):
    line = error_of(
        capsys, f"--config={CROSS}:smoke", "--workdir=baseline", "--mode=eval"
    )
    assert "was trained as 'baseline'" in line


def test_processes_that_cannot_be_joined_are_one_sentence(capsys, monkeypatch):
    def alone(*args, **options):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", alone)
    line = error_of(capsys, f"--config={CROSS}:smoke", "--distributed")
    assert "found no other processes to join" in line


def test_bug_keeps_its_trace(monkeypatch):
    def broken(options):
        return [][1] if options is None else int("no number of ours")

    monkeypatch.setattr(launch, "_train", broken)
    with pytest.raises(ValueError, match="invalid literal"):
        launch.main([f"--config={CROSS}:smoke"])


def test_sentences_stay_sentences_through_a_link(capsys, untrained):
    (untrained / "link").symlink_to(ROOT)
    path = untrained / "link" / "launch.py"
    spec = importlib.util.spec_from_file_location("linked_launch", path)
    linked = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(linked)
    arguments = ["--mode=restore", "--input=x", "--output=y", "--workdir=cross_attn"]
    assert linked.main(arguments) == 2
    assert "pass --spikes=FILE.dat" in capsys.readouterr().err


def test_help_shows_the_options(capsys):
    with pytest.raises(SystemExit) as stop:
        launch.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--workdir" in text
    assert "--mode=restore" in text
