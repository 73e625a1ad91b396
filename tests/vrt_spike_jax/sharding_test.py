import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from vrt_spike_jax import sharding

ROOT = Path(__file__).resolve().parents[2]


def test_largest_divisible_dimension_is_split():
    assert sharding.parameter_spec((3, 3, 64, 128), 4) == PartitionSpec(
        None, None, None, "fsdp"
    )
    assert sharding.parameter_spec((130, 64), 4) == PartitionSpec(None, "fsdp")


@pytest.mark.parametrize(
    ("shape", "fsdp"), [((), 4), ((8,), 4), ((81, 83), 4), ((3, 3, 64, 128), 1)]
)
def test_small_or_indivisible_arrays_stay_whole(shape, fsdp):
    assert sharding.parameter_spec(shape, fsdp) == PartitionSpec()


def test_mesh_takes_all_devices():
    mesh = sharding.make_mesh()
    assert dict(mesh.shape) == {"data": jax.device_count(), "fsdp": 1}
    with pytest.raises(ValueError, match="does not make"):
        sharding.make_mesh(data=3, fsdp=5)


def test_batch_and_host_round_trip():
    mesh = sharding.make_mesh()
    batch = {"blur": np.arange(6, dtype=np.float32).reshape(2, 3)}
    placed = sharding.put_batch(batch, mesh)
    assert placed["blur"].sharding == sharding.batch_sharding(mesh)
    np.testing.assert_array_equal(sharding.to_host(placed)["blur"], batch["blur"])


# Two steps of a small network on a mesh of the wanted shape; prints the losses, and the
# sum of the parameters afterwards.
_TRAIN = """
import sys
import jax, jax.numpy as jnp, numpy as np
from flax import linen as nn
from ml_collections import ConfigDict
from vrt_spike_jax import optimizer as optimizers, sharding
from vrt_spike_jax.losses.table import LOSSES
from vrt_spike_jax.train_state import SpikeShape, create_state
from vrt_spike_jax.train_step import compile_on, make_train_step

class Net(nn.Module):
    takes_spikes, min_size, min_frames = True, 8, 2
    @nn.compact
    def __call__(self, blur, spikes, *, train=False):
        x = nn.gelu(nn.Conv(64, (3, 3), name="first")(blur))
        return blur + nn.Conv(3, (3, 3), name="last")(x)

data, fsdp = int(sys.argv[1]), int(sys.argv[2])
mesh = sharding.make_mesh(data=data, fsdp=fsdp)
settings = ConfigDict(dict(learning_rate=1e-3, warmup_steps=0, schedule="constant",
    end_factor=1.0, weight_decay=1e-2, b1=0.9, b2=0.99, grad_clip_norm=1.0,
    factors={"main": 1.0}))
sharding.MIN_SHARDED_SIZE = 64  # so that this small network is shared
model = Net()
labels = {f"{layer}/{kind}": "main" for layer in ("first", "last")
          for kind in ("kernel", "bias")}
schedule = optimizers.make_schedule(settings, 2)
optimizer = optimizers.make_optimizer(settings, labels, schedule)
shape = SpikeShape(num_channels=2, spike_scale=1)
abstract, create = create_state(model, optimizer, labels, mesh, shape, seed=0)
loss = {name: {"weight": 0.0, "start_step": 0} for name in LOSSES}
loss["charbonnier"] = {"weight": 1.0, "start_step": 0, "epsilon": 1e-3}
step = compile_on(make_train_step(model, optimizer, labels, schedule, seed=0,
    loss=loss), abstract, mesh)
state = create()
if fsdp > 1:
    kernel = state.params["first"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (3, 3, 3, 64 // fsdp)
rng = np.random.default_rng(0)
for _ in range(2):
    blur = rng.random((8, 2, 16, 16, 3), dtype=np.float32)
    batch = dict(blur=blur, sharp=blur ** 2,
                 spikes=np.zeros((8, 2, 2, 16, 16), np.float32))
    state, metrics = step(state, sharding.put_batch(batch, mesh))
    print(repr(float(metrics["loss"])))
print(repr(float(sum(np.abs(x).sum() for x in jax.tree.leaves(
    sharding.to_host(state.params))))))
"""


def _losses(devices: int, data: int, fsdp: int, monkeypatch) -> np.ndarray:
    monkeypatch.setenv("XLA_FLAGS", f"--xla_force_host_platform_device_count={devices}")
    result = subprocess.run(
        [sys.executable, "-c", _TRAIN, str(data), str(fsdp)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return np.array([float(line) for line in result.stdout.split()])


def test_eight_devices_train_as_one_does(monkeypatch):
    one = _losses(1, 1, 1, monkeypatch)
    for data, fsdp in ((8, 1), (2, 4)):
        np.testing.assert_allclose(_losses(8, data, fsdp, monkeypatch), one, rtol=1e-5)
