"""What an export holds, by the code of docs/export.md in a process without this one."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from stand_ins import Between, Enlarge, NoiseLevel, Restore
from vrt_spike_jax import checkpoint, create_model
from vrt_spike_jax.export import PLATFORMS, abstract_inputs, write_export
from vrt_spike_jax.models.spike_encoder import match_gain
from vrt_spike_jax.train_state import SpikeShape, abstract_params

ROOT = Path(__file__).resolve().parents[2]
SHALLOW = {"depths": (1,) * 8, "embed_dims": (8,) * 8, "num_heads": (2,) * 8}
SPIKES = SpikeShape(num_channels=8, spike_scale=2)
TILE = (2, 64, 64)
PARAMS = {"a": np.arange(3, dtype=np.float32)}  # of a stand-in, which uses none


def config_of(tile=TILE):
    config = base.get_config("smoke")
    config.eval.tile = tile
    return config


def model_of(fusion):
    # Several chunks of windows in every clip.
    small = {**SHALLOW, "indep_reconsts": (), "max_chunk": 2**16}
    return create_model("tiny", fusion=fusion, **small)


def params_of(model):
    """Numbers of a size at which every part of the model shows in its output."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: rng.normal(0, 0.1, x.shape).astype(x.dtype),
        abstract_params(model, SPIKES),
    )


def export_to(folder, model, params, *, tile=TILE, **options):
    options = {"spike_shape": SPIKES, "step": 7, **options}
    write_export(folder, model, params, config=config_of(tile), **options)


def documented_code():
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", text, flags=re.DOTALL).group(1)


def run_documented(folder, inputs):
    """The output of the documented code, given other inputs than its zeros."""
    np.savez(folder / "inputs.npz", **inputs)
    loading, _, running = documented_code().rpartition("restored =")
    blocked = ("vrt_spike_jax", "configs", "data_pipeline", "flax", "tensorflow")
    lines = [
        "import sys",
        *(f"sys.modules[{name!r}] = None" for name in blocked),
        loading,
        "assert {k: v.ndim for k, v in inputs.items()} == "
        "{k: v.ndim for k, v in np.load('inputs.npz').items()}",
        "inputs = dict(np.load('inputs.npz'))",
        f"restored = {running}",
        "np.save('unclipped.npy', restore(params, inputs))",
        "assert restored.min() >= 0 and restored.max() <= 1",
    ]
    code = "\n".join(lines).replace('Path("exported")', 'Path(".")')
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return np.load(folder / "unclipped.npy")


SLOW = pytest.param("none", marks=pytest.mark.slow)


@pytest.mark.parametrize("fusion", ["cross_attn", SLOW])
def test_documented_code_gives_the_output_of_the_model(tmp_path, fusion):
    model = model_of(fusion)
    params = params_of(model)
    export_to(tmp_path / "export", model, params)
    rng = np.random.default_rng(1)
    inputs = {"blur": rng.random((3, *TILE, 3), np.float32)}
    arguments, options = [inputs["blur"]], {}
    if model.takes_spikes:
        inputs["spikes"] = rng.random((3, 2, 8, 32, 32), np.float32)
        inputs["spike_gain"] = np.array([0.5, 0, 2], np.float32)
        own = match_gain(*map(jnp.asarray, (inputs["spikes"], inputs["blur"])))
        arguments.append(inputs["spikes"])
        options["spike_gain"] = np.where(inputs["spike_gain"] == 0, own, [0.5, 0, 2])
        options["spike_gain"] = options["spike_gain"].astype(np.float32)
    found = run_documented(tmp_path / "export", inputs)
    wanted = jax.jit(model.apply)({"params": params}, *arguments, **options)
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_export_says_what_it_takes_and_is_a_work_directory(tmp_path, capsys):
    model = Restore(takes_spikes=True)
    statistics = tmp_path / "spike_statistics.json"
    statistics.write_text("{}")
    folder = tmp_path / "export"
    export_to(folder, model, PARAMS, files=[statistics])
    signature = json.loads((folder / "signature.json").read_text())
    assert signature["platforms"] == list(PLATFORMS)
    assert signature["inputs"]["spikes"] == {
        "shape": ["b", 2, 8, 32, 32],
        "dtype": "float32",
    }
    assert signature["output"]["shape"] == ["b", 2, 64, 64, 3]
    assert (folder / "spike_statistics.json").is_file()
    assert json.loads((folder / "config.json").read_text())["recipe"] == "smoke"
    assert checkpoint.newest_step(folder / "checkpoints") == 7
    abstract = {"a": jax.ShapeDtypeStruct((3,), np.float32)}
    restored = checkpoint.restore_params(folder / "checkpoints", abstract)
    np.testing.assert_array_equal(restored["a"], [0, 1, 2])
    told = capsys.readouterr().out
    assert "step 7" in told and "float32[b, 2, 8, 32, 32]" in told


@pytest.mark.parametrize(
    ("model", "inputs", "output"),
    [
        (Enlarge(), (2, 64, 64, 3), (2, 256, 256, 3)),
        (Between(), (4, 64, 64, 3), (1, 64, 64, 3)),
        (NoiseLevel(), (2, 64, 64, 4), (2, 64, 64, 3)),
    ],
    ids=["super-resolution", "interpolation", "denoising"],
)
def test_every_task_has_its_shapes(tmp_path, model, inputs, output):
    export_to(tmp_path / "export", model, PARAMS)
    signature = json.loads((tmp_path / "export" / "signature.json").read_text())
    assert signature["inputs"]["blur"]["shape"] == ["b", *inputs]
    assert signature["output"]["shape"] == ["b", *output]


def test_model_at_an_instant_takes_one_for_each_frame():
    model = create_model("tiny", fusion="cross_attn", takes_instant=True)
    inputs = abstract_inputs(model, tile=TILE, spike_shape=SPIKES)
    assert list(inputs) == ["blur", "spikes", "spike_gain", "instant"]
    assert inputs["instant"].shape[1:] == (2,)


def test_whole_videos_and_folders_in_use_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"eval\.tile is \(0, 64, 64\).*pass it"):
        export_to(tmp_path / "export", Restore(), PARAMS, tile=(0, 64, 64))
    assert not (tmp_path / "export").exists()
    (tmp_path / "used").write_text("")
    with pytest.raises(FileExistsError, match="name a new one"):
        export_to(tmp_path, Restore(), PARAMS)
