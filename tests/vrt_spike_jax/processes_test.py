"""Two processes that share a run train as one process with two devices does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

# Arguments: number of processes, own number, port, work directory. Trains, is cut after
# the checkpoint of step 2, continues, and prints the parameters.
_WORKER = """
import itertools, sys
import jax
count, own, port, workdir = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if count > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", count, own)
import jax.numpy as jnp, numpy as np
from flax import linen as nn
from configs import base
from vrt_spike_jax import sharding
from vrt_spike_jax.train import train_and_evaluate
from vrt_spike_jax.train_state import SpikeShape

class Net(nn.Module):
    takes_spikes, size_multiple, min_size, min_frames = True, 8, 64, 2
    @nn.compact
    def __call__(self, blur, spikes, *, train=False, spike_gain=None):
        x = nn.gelu(nn.Dense(64, name="first")(blur))
        return blur + nn.Dense(3, name="last")(x)

def clip(number):
    blur = np.random.default_rng(number).random((2, 64, 64, 3), dtype=np.float32)
    spikes = np.repeat(blur.mean(-1)[:, None], 2, axis=1)
    return dict(blur=blur, sharp=blur ** 2, spikes=spikes)

class Cut(Exception):
    pass

def batches(start, end):
    size = 4 // count
    for step in itertools.count(start):
        if step >= end:
            raise Cut
        clips = [clip(4 * step + own * size + i) for i in range(size)]
        yield {name: np.stack([c[name] for c in clips]) for name in clips[0]}

class Writer:
    def write_scalars(self, step, scalars): pass
    def write_images(self, step, images): pass
    def flush(self): pass

config = base.get_config("smoke")
config.data.update(num_frames=2, batch_size=4)
config.optimizer.groups = ((".*", "main"),)  # the stand-in has no layers of VRT's
config.train.update(steps=4, checkpoint_every=2, log_every=1, picture_every=4)
config.eval.update(tile=(2, 64, 64), overlap=(0, 0, 0))
config.mesh.fsdp = 2
sharding.MIN_SHARDED_SIZE = 64  # so that this small network is shared
test = clip(99)
light = test["spikes"].mean(1)
test |= dict(name="test", tfp_short=light, tfp_long=light)
for end in (3, 9):
    try:
        state = train_and_evaluate(config, workdir, model=Net(), writer=Writer(),
            spike_shape=SpikeShape(num_channels=2, spike_scale=1),
            make_batches=lambda start: batches(start, end), test_clips=[test])
    except Cut:
        continue
for x in jax.tree.leaves(sharding.to_host(state.params)):
    print("params", *x.ravel().tolist())
"""


def _train(processes: int, devices: int, workdir: Path) -> list[np.ndarray]:
    """The parameters that each process ends with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = f"--xla_force_host_platform_device_count={devices}"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER]
            + [str(x) for x in (processes, own, port, workdir)],
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": flags},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for own in range(processes)
    ]
    results = [worker.communicate(timeout=400) for worker in workers]
    for worker, (_, errors) in zip(workers, results, strict=True):
        assert worker.returncode == 0, errors
    return [
        np.concatenate(
            [
                np.array(line.split()[1:], np.float64)
                for line in output.splitlines()
                if line.startswith("params")
            ]
        )
        for output, _ in results
    ]


def test_two_processes_train_as_one(tmp_path):
    (one,) = _train(1, 2, tmp_path / "one")
    two = _train(2, 1, tmp_path / "two")
    np.testing.assert_array_equal(two[0], two[1])
    np.testing.assert_allclose(two[0], one, rtol=1e-4, atol=1e-6)
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("one", "two")]
    assert [log.count("\n") for log in logs] == [4, 4]
    assert (tmp_path / "two" / "results.json").exists()
    assert [p.name for p in (tmp_path / "two" / "pictures").iterdir()] == [
        "step_00000004.png"
    ]
