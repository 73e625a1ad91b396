"""Every shipped configuration lowers for TPU and GPU on a CPU, and takes a step."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import launch
from configs.load import load_config
from vrt_spike_jax.train import prepare_run

ROOT = Path(__file__).resolve().parents[2]
NO_RUNS = {"base", "ablation", "loss_study"}
RUNS = sorted(
    path.stem
    for path in (ROOT / "configs").glob("*.py")
    if path.stem not in NO_RUNS and "\ndef get_config(" in path.read_text()
)
PLATFORMS = ("tpu", "cuda")


def prepared(name, recipe):
    config = load_config(str(ROOT / "configs" / f"{name}.py") + f":{recipe}")
    model = launch._model(config)
    return config, model, launch._spike_shape(config)


def started(config, model, shape):
    """A run, and a batch of what the data pipeline would serve."""
    data = config.data
    clip = (data.batch_size, data.num_frames, data.crop_size, data.crop_size)
    rng = np.random.default_rng(0)
    batch = {
        key: rng.random((*clip, 3)).astype(np.float32) for key in ("blur", "sharp")
    }
    size = data.crop_size // shape.spike_scale
    spikes = rng.random((*clip[:2], shape.num_channels, size, size)) < 0.4
    batch["spikes"] = spikes.astype(np.float32)
    return prepare_run(config, model, shape), batch


@pytest.mark.parametrize("name", RUNS)
def test_a_training_step_lowers_for_tpu_and_gpu(name):
    run, batch = started(*prepared(name, "smoke"))
    exported = export.export(run.train_step, platforms=PLATFORMS)(run.abstract, batch)
    assert exported.platforms == PLATFORMS


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_training_step_runs(name):
    run, batch = started(*prepared(name, "smoke"))
    lowered = run.train_step.lower(run.abstract, batch)
    step = lowered.compile(compiler_options={"xla_backend_optimization_level": 0})
    state = run.create()
    before = jax.tree.map(np.array, state.params)
    state, metrics = step(state, batch)
    assert int(state.step) == 1
    assert all(np.isfinite(float(value)) for value in metrics.values())
    moved = jax.tree.map(lambda a, b: np.any(a != np.asarray(b)), before, state.params)
    assert any(jax.tree.leaves(moved))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_full_model_lowers_for_tpu_and_gpu(name):
    _, model, shape = prepared(name, "deblur")
    blur = jax.ShapeDtypeStruct((1, 6, 64, 64, 3), jnp.float32)
    size = 64 // shape.spike_scale
    spikes = jax.ShapeDtypeStruct((1, 6, shape.num_channels, size, size), jnp.float32)
    inputs = (blur, spikes) if model.takes_spikes else (blur,)
    params = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    export.export(jax.jit(model.apply), platforms=PLATFORMS)(params, *inputs)
