"""Official weights on disk: work directories, and files that must not be read."""

import pickle
import sys

import jax
import numpy as np
import pytest

from configs.check import check
from configs.load import override, read_config
from vrt_spike_jax import (
    VARIANTS,
    VRT,
    VRTSpike,
    convert_vrt_state_dict,
    create_model,
    load_pretrained,
)
from vrt_spike_jax import checkpoint as checkpoints
from vrt_spike_jax.models.vrt import STAGES
from vrt_spike_jax.official_files import read_pth, write_workdir
from vrt_spike_jax.official_layout import vrt_layout
from vrt_spike_jax.train_state import SpikeShape, abstract_params

TINY = VRT(**VARIANTS["tiny"])
WEIGHTS = {"file": "tiny.pth", "sha256": "0", "task": "tiny"}


def tiny_state_dict():
    rng = np.random.default_rng(0)
    return {
        name: (
            rng.normal(size=entry.shape).astype(np.float32)
            if entry.buffer is None
            else entry.buffer.copy()
        )
        for name, entry in vrt_layout(TINY).items()
    }


@pytest.fixture(scope="module")
def params():
    return convert_vrt_state_dict(tiny_state_dict(), TINY)


@pytest.fixture(scope="module")
def workdir(params, tmp_path_factory):
    target = tmp_path_factory.mktemp("made") / "deep" / "tiny"
    write_workdir(target, params, variant="tiny", weights=WEIGHTS)
    return target


def test_work_directory_is_what_the_launcher_reads(workdir, params):
    config = read_config(workdir / "config.json")
    assert config.is_locked
    assert (config.name, config.recipe) == ("vrt", "tiny")
    assert (config.model.variant, config.model.fusion) == ("tiny", "none")
    assert config.model.dtype == "float32"
    assert config.weights.to_dict() == WEIGHTS
    changed = override(config, ["--config.eval.tile=(2, 64, 64)"])
    assert changed.eval.tile == (2, 64, 64)
    abstract = abstract_params(create_model("tiny"), SpikeShape(32, 1))
    found = checkpoints.restore_params(workdir / "checkpoints", abstract)
    jax.tree.map(np.testing.assert_array_equal, found, params)
    assert checkpoints.newest_step(workdir / "checkpoints") == 0


def test_directory_is_loaded_into_its_model(workdir, params):
    found = load_pretrained(workdir, TINY)
    jax.tree.map(np.testing.assert_array_equal, found, params)
    assert jax.tree.structure(found) == jax.tree.structure(params)


def test_directory_of_another_model_is_refused(workdir, tmp_path):
    with pytest.raises(ValueError, match="other parameters than the model"):
        load_pretrained(workdir, create_model("deblur"))
    with pytest.raises(ValueError, match="pass model.vrt"):
        load_pretrained(workdir, VRTSpike(vrt=TINY))
    with pytest.raises(FileNotFoundError, match="no folder 'checkpoints'"):
        load_pretrained(tmp_path, TINY)


def test_directory_appears_whole_or_not_at_all(params, tmp_path, monkeypatch):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("")
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        write_workdir(taken, params, variant="tiny", weights=WEIGHTS)
    with pytest.raises(NotADirectoryError, match="is a file"):
        write_workdir(
            taken / "mine.txt" / "out", params, variant="tiny", weights=WEIGHTS
        )
    with pytest.raises(ValueError, match="one of the signs"):
        write_workdir(tmp_path / "a[b]", params, variant="tiny", weights=WEIGHTS)

    def fail(*_args, **_kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr("vrt_spike_jax.official_files._config_of", fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_workdir(tmp_path / "new", params, variant="tiny", weights=WEIGHTS)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    monkeypatch.undo()
    (tmp_path / "empty").mkdir()
    write_workdir(tmp_path / "empty", params, variant="tiny", weights=WEIGHTS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "taken"]
    assert (tmp_path / "empty").stat().st_mode & 0o777 == taken.stat().st_mode & 0o777


@pytest.mark.parametrize("variant", VARIANTS)
def test_tiles_fit_every_variant(variant, tmp_path):
    # The parameters do not matter to the configuration.
    params = {"a": np.ones(2, np.float32)}
    write_workdir(tmp_path / "out", params, variant=variant, weights=WEIGHTS)
    config = read_config(tmp_path / "out" / "config.json")
    model = create_model(variant)
    frames, *sizes = config.eval.tile
    assert frames == model.window_size[0] and frames >= model.min_frames
    assert all(size >= model.min_size and size % 8 == 0 for size in sizes)
    variants = {name: create_model(name).min_size for name in VARIANTS}
    check(
        config, variants=variants, fusions=("none",), stages=STAGES, device_count=None
    )


def test_without_torch_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    file = tmp_path / "006.pth"
    file.write_bytes(b"")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'torch>=2\.6'"):
        load_pretrained(file, TINY)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_pretrained(tmp_path / "007.pth", TINY)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason=".pth files need the extra 'torch'")


def test_file_is_loaded_into_its_model(torch, params, tmp_path):
    tensors = {k: torch.from_numpy(v) for k, v in tiny_state_dict().items()}
    for name, root in (("sd.pth", tensors), ("root.pth", {"params": tensors})):
        torch.save(root, tmp_path / name)
        found = load_pretrained(tmp_path / name, TINY)
        jax.tree.map(np.testing.assert_array_equal, found, params)
    del tensors["norm.bias"]
    torch.save(tensors, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match=r"cut.pth: .*missing: norm\.bias"):
        load_pretrained(tmp_path / "cut.pth", TINY)


class Malicious:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("how", ["torch", "legacy", "pickle"])
def test_file_that_would_run_code_is_refused(torch, how, tmp_path):
    mark, file = tmp_path / "mark", tmp_path / "006.pth"
    objects = {"params": {"norm.weight": Malicious(mark)}}
    if how == "pickle":
        file.write_bytes(pickle.dumps(objects))
    else:
        torch.save(objects, file, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(ValueError, match="was refused") as error:
        read_pth(file)
    assert "\n" not in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize("contents", [b"", b"no weights", b"PK\x03\x04 cut", b"\x80"])
def test_file_of_something_else_is_refused(torch, contents, tmp_path):
    file = tmp_path / "006.pth"
    file.write_bytes(contents)
    with pytest.raises(ValueError, match=r"was refused|cannot be read") as error:
        read_pth(file)
    assert "\n" not in str(error.value)


def test_file_cut_in_the_middle_is_refused(torch, tmp_path):
    file = tmp_path / "006.pth"
    torch.save({"a": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"cannot be read .*fetch it again"):
        read_pth(file)


def test_file_of_tensors_without_names_is_refused(torch, tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list.pth: a state_dict maps names"):
        read_pth(tmp_path / "list.pth")
