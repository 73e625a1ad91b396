"""A model on several devices: each computes on its own clips, and nothing is gathered.

The network here has what a compiler gathers for if left to itself: loops over chunks of
windows and of pixels, and gathers along a flow.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_STEP = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from flax import linen as nn
from jax.sharding import AxisType
from vrt_spike_jax import sharding
from vrt_spike_jax.collectives import collectives_of
from vrt_spike_jax.models.alignment import FlowPair
from vrt_spike_jax.models.stage import Stage

OPTIONS = dict(dtype=jnp.float32, param_dtype=jnp.float32, remat=False, max_chunk=2**12,
    mlp_ratio=2.0, qkv_bias=True)

class Net(nn.Module):
    @nn.compact
    def __call__(self, blur, train=False):
        x = nn.Dense(8, name="first")(blur)
        flow = nn.Dense(2, name="flow")(blur[:, 1:])
        stage = Stage(8, 2, 2, (2, 8, 8), "none", 0.5, 2, 2, 10.0, (0.5, 0.5), OPTIONS,
            name="stage")
        return blur + nn.Dense(3, name="last")(stage(x, [FlowPair(flow, flow)], train))

rng = np.random.default_rng(0)
blur = rng.random((8, 2, 16, 16, 3), dtype=np.float32)
net = Net()
shapes = jax.eval_shape(net.init, jax.random.key(0), blur[:1])["params"]
params = jax.tree.map(
    lambda x: rng.normal(0, 0.2, x.shape).astype(np.float32), shapes)
key = jax.random.key(1)

def step_on(mesh, dealt):
    def restore(shared, clips):
        params, key = shared
        return net.apply({"params": params}, clips, train=True, rngs={"dropout": key})
    def loss(params, key, blur):
        apply = sharding.over_clips(restore, mesh if dealt else None)
        return jnp.mean(jnp.square(apply((params, key), blur) - blur**2))
    whole, clips = sharding.replicated(mesh), sharding.batch_sharding(mesh)
    step = jax.jit(jax.value_and_grad(loss), in_shardings=(whole, whole, clips),
        out_shardings=whole)
    lowered = step.lower(params, key, blur)
    compiled = lowered.compile()
    value, gradients = compiled(*jax.device_put((params, key, blur),
        (whole, whole, clips)))
    texts = lowered.as_text(), compiled.as_text()
    return texts, float(value), jax.device_get(gradients)

def mesh_of(count):
    return jax.make_mesh((count, 1), ("data", "fsdp"), devices=jax.devices()[:count],
        axis_types=(AxisType.Auto,) * 2)

(lowered, _), one, wanted = step_on(mesh_of(1), True)
assert lowered == step_on(mesh_of(1), False)[0][0]
found = {}
for dealt in (False, True):
    (_, text), value, gradients = step_on(mesh_of(8), dealt)
    np.testing.assert_allclose(value, one, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
        gradients, wanted)
    found[str(dealt)] = [(c.kind, c.devices, c.count, c.bytes)
        for c in collectives_of(text)]
size = sum(x.nbytes for x in jax.tree.leaves(params))
print(json.dumps(dict(found, parameters=size)))
"""


@pytest.fixture(scope="module")
def collectives():
    """Collectives of a step left to the compiler and of one dealt out by clips."""
    flags = "--xla_force_host_platform_device_count=8"
    result = subprocess.run(
        [sys.executable, "-c", _STEP],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    # Among these, the script compares losses and gradients with those of one device.
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_compiler_alone_gathers_features_for_every_chunk(collectives):
    gathered = [c for c in collectives["False"] if c[0] == "all-gather"]
    assert sum(count for _, _, count, _ in gathered) > 10


def test_devices_share_gradients_and_nothing_else(collectives):
    kinds = {kind for kind, *_ in collectives["True"]}
    assert kinds == {"all-reduce"}
    passed = sum(size for *_, size in collectives["True"])
    # Beside the gradients, the loss.
    assert collectives["parameters"] <= passed <= collectives["parameters"] + 64
