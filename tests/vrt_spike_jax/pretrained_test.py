"""The command: official files to work directories, back, and its errors."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from vrt_spike_jax import VARIANTS, VRT, convert_vrt_state_dict, load_pretrained
from vrt_spike_jax import checkpoint as checkpoints
from vrt_spike_jax.official_files import write_workdir
from vrt_spike_jax.official_layout import spynet_layout, vrt_layout
from vrt_spike_jax.pretrained import main
from vrt_spike_jax.train_state import TrainState

ROOT = Path(__file__).resolve().parents[2]
TINY = VRT(**VARIANTS["tiny"])


def weights_of(layout, fill=None):
    rng = np.random.default_rng(0)
    return {
        name: (
            entry.buffer.copy()
            if entry.buffer is not None
            else np.full(entry.shape, fill, np.float32)
            if fill is not None
            else rng.normal(size=entry.shape).astype(np.float32)
        )
        for name, entry in layout.items()
    }


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason=".pth files need the extra 'torch'")


@pytest.fixture(scope="module")
def tiny_file(torch, tmp_path_factory):
    file = tmp_path_factory.mktemp("official") / "tiny.pth"
    save(torch, weights_of(vrt_layout(TINY)), file)
    return file


def save(torch, weights, file):
    torch.save({"params": {k: torch.from_numpy(v) for k, v in weights.items()}}, file)


def run(capsys, *arguments):
    """Exit code, standard output and standard error."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_way_there_and_back(torch, tiny_file, tmp_path, capsys):
    workdir, back = tmp_path / "run", tmp_path / "back.pth"
    code, out, _ = run(capsys, tiny_file, workdir, "--task=tiny")
    assert code == 0
    assert f"--mode=restore --workdir={workdir}" in out
    assert sorted(p.name for p in workdir.iterdir()) == ["checkpoints", "config.json"]
    config = json.loads((workdir / "config.json").read_text())
    digest = hashlib.sha256(tiny_file.read_bytes()).hexdigest()
    assert config["weights"] == {"file": "tiny.pth", "sha256": digest, "task": "tiny"}
    assert config["recipe"] == config["model"]["variant"] == "tiny"
    found, wanted = load_pretrained(workdir, TINY), load_pretrained(tiny_file, TINY)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)

    code, out, _ = run(capsys, "--to_torch", workdir, back)
    assert code == 0 and "spike" not in out
    old, new = (torch.load(f, weights_only=True)["params"] for f in (tiny_file, back))
    assert list(old) == list(new)
    for name, value in old.items():
        assert new[name].dtype == value.dtype
        assert torch.equal(new[name], value)


def test_training_with_spikes_leaves_its_encoder_behind(torch, tmp_path, capsys):
    vrt = convert_vrt_state_dict(weights_of(vrt_layout(TINY)), TINY)
    params = {"vrt": vrt, "spike_encoder": {"kernel": np.ones(3, np.float32)}}
    state = TrainState(step=np.int32(7), params=params, opt_state={})
    with checkpoints.Checkpoints(tmp_path / "run" / "checkpoints") as manager:
        manager.save(state, step=7, position=0)
        manager.wait()
    config = {"model": {"variant": "tiny", "fusion": "cross_attn"}}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    file = tmp_path / "vrt.pth"
    code, out, _ = run(capsys, "--to_torch", tmp_path / "run", file)
    assert code == 0
    assert "the spike encoder and the fusions stay behind" in out
    found = load_pretrained(file, TINY)
    jax.tree.map(np.testing.assert_array_equal, found, vrt)
    # Nothing is written over.
    code, _, error = run(capsys, "--to_torch", tmp_path / "run", file)
    assert code == 2 and f"{file} exists; name a new file" in error


def test_parameters_that_are_no_vrt_are_refused(tmp_path, capsys):
    write_workdir(
        tmp_path / "run", {"a": np.ones(2, np.float32)}, variant="tiny", weights={}
    )
    code, _, error = run(capsys, "--to_torch", tmp_path / "run", tmp_path / "x.pth")
    assert code == 2 and "missing: conv_first/kernel" in error
    assert not (tmp_path / "x.pth").exists()


@pytest.mark.parametrize(
    ("holds", "name", "task", "sentence"),
    [
        ("009", "mine.pth", "006", "fits task 009_VRT_videofi_Vimeo_4frames and not"),
        ("009", "mine.pth", "tiny", "pass --task=009"),
        ("006", "006_VRT.pth", "009", "pass --task=006"),
        ("005", "007_VRT.pth", "006", "carries the number of 007_VRT_videodeblurring_"),
        ("005", "x_005_y.pth", "006", "pass --task=005, or rename"),
        ("tiny", "tiny.pth", "006", "nor any official task"),
        ("spynet", "spynet.pth", "006", "holds SpyNet alone, which restores nothing"),
    ],
)
def test_file_of_another_task_names_the_right_one(
    torch, holds, name, task, sentence, tmp_path, capsys
):
    if holds == "spynet":
        layout = spynet_layout((32, 64, 32, 16), buffers=False)
    else:
        layout = vrt_layout(VRT(**VARIANTS[holds]))
    file = tmp_path / name
    save(torch, weights_of(layout, fill=0), file)
    code, out, error = run(capsys, file, tmp_path / "out", f"--task={task}")
    assert (code, out) == (2, "")
    assert sentence in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.pth", "out"], "--task is missing; pass the number"),
        (["a.pth", "out", "--task=06"], "Did you mean '006'"),
        (
            ["a.pth", "out", "--task=spynet"],
            "convert_vrt_state_dict(state_dict, model)",
        ),
        (["a.pth", "out", "--taks=006"], "Did you mean '--task'"),
        (["a.pth", "out", "more", "--task=006"], "unexpected argument 'more'"),
        (["a.pth", "--task=006"], "required: output"),
        (["a.pth", "out", "--task=006"], "there is no file a.pth"),
        (
            ["--to_torch", "out", "a.pth", "--task=006"],
            "has no meaning with --to_torch",
        ),
        (["--to_torch", "out", "a.pth"], "out holds no config.json"),
    ],
)
def test_mistake_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, error = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert sentence in error
    assert error.startswith("pretrained: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_occupied_output_is_refused_first(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, _, error = run(capsys, tmp_path / "none.pth", tmp_path, "--task=006")
    assert code == 2 and "is not an empty folder" in error
    (tmp_path / "config.json").write_text("[]")
    code, _, error = run(capsys, "--to_torch", tmp_path, tmp_path / "x.pth")
    assert code == 2 and "names no model.variant" in error


def test_command_runs_as_a_module_and_lists_the_files():
    command = [sys.executable, "-W", "error", "-m", "vrt_spike_jax.pretrained", "-h"]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "006_VRT_videodeblurring_GoPro.pth: deblurring" in result.stdout
