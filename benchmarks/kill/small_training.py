"""A training of seconds with a network of two layers, as one process of a run.

Its one argument is JSON: `workdir`, and what differs from the defaults in `main`. It
ends as launch.py does, with the same codes and sentences. `start` starts it, for the
tests of processes and for the benchmark beside it.
"""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300.0  # seconds until a process counts as hung


def start(
    devices: int, *, processes: int = 1, log: Path | None = None, **settings: Any
) -> list[subprocess.Popen[str]]:
    """Starts all processes of a run.

    Args:
      devices: of each process.
      processes: of the run.
      log: what they print is appended to this file; None for pipes.
      settings: as in `main`.
    """
    if log is not None:
        with log.open("a") as output:
            return _start(devices, processes, output, settings)
    return _start(devices, processes, subprocess.PIPE, settings)


def _start(
    devices: int, processes: int, output: Any, settings: dict[str, Any]
) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={processes}"]
    flags = f"--xla_force_host_platform_device_count={devices}"
    return [
        subprocess.Popen(
            [sys.executable, __file__, json.dumps({**settings, "own": own})]
            + ([*names, f"--process_id={own}"] if processes > 1 else []),
            env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags},
            stdout=output,
            stderr=output,
            text=True,
        )
        for own in range(processes)
    ]


def ends(workers: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit code and stderr of each process."""
    errors = [worker.communicate(timeout=PATIENCE)[1] for worker in workers]
    return [(w.returncode, e) for w, e in zip(workers, errors, strict=True)]


def losses(workdir: Path) -> list[float]:
    """Of every step, as logged."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    found = {line["step"]: line["loss"] for line in map(json.loads, lines)}
    assert sorted(found) == list(range(1, len(found) + 1))
    return list(found.values())


def clip(number: int) -> dict[str, Any]:
    """A pure function of the number of the clip."""
    import numpy as np

    blur = np.random.default_rng(number).random((2, 64, 64, 3), dtype=np.float32)
    spikes = np.repeat(blur.mean(-1)[:, None], 2, axis=1)
    return {"blur": blur, "sharp": blur**2, "spikes": spikes}


def test_clip(number: int) -> dict[str, Any]:
    """A held-out clip, with what an evaluation takes beside."""
    held_out = clip(10**6 + number)
    light = held_out["spikes"].mean(1)
    return {"name": f"clip {number}", **held_out, "tfp_short": light, "tfp_long": light}


test_clip.__test__ = False  # type: ignore[attr-defined]


def net() -> Any:
    """Two layers with the interface of VRTSpike."""
    from flax import linen as nn

    class Net(nn.Module):
        takes_spikes, size_multiple, min_size, min_frames = True, 8, 64, 2

        @nn.compact
        def __call__(self, blur, spikes, *, train=False, spike_gain=None):
            x = nn.gelu(nn.Dense(64, name="first")(blur))
            return blur + nn.Dense(3, name="last")(x)

    return Net()


class NoWriter:
    """A metric writer that writes nothing."""

    def write_scalars(self, step, scalars):
        """Takes numbers."""

    def write_images(self, step, images):
        """Takes pictures."""

    def flush(self):
        """Has nothing to wait for."""


def main(settings: dict[str, Any], arguments: Namespace | None) -> int:
    """Trains; returns the exit code."""
    asked = {
        "fsdp": 1,  # devices that share each parameter
        "clips": 1,  # to evaluate on
        "eval_every": 0,
        "steps": 4,
        "stop_in": None,  # while this batch is read, process `victim` is sent ..
        "signal": "SIGTERM",  # .. this signal
        "victim": 0,
        "checkpoint_every": 100,
        "pause": 0.0,  # seconds to read a batch
        "fail_in": None,  # while this batch is read, process `victim` fails
        **settings,
    }
    from configs import base, distributed

    if arguments is not None:
        distributed.join(arguments)
    import jax
    import numpy as np

    from vrt_spike_jax import preemption, sharding
    from vrt_spike_jax.train import train_and_evaluate
    from vrt_spike_jax.train_state import SpikeShape

    count, own = jax.process_count(), jax.process_index()
    size = 8 // count  # clips of this process

    def batches(start):
        for step in itertools.count(start):
            time.sleep(asked["pause"])
            if own == asked["victim"] and step == asked["stop_in"]:
                os.kill(os.getpid(), getattr(signal, asked["signal"]))
            if own == asked["victim"] and step == asked["fail_in"]:
                raise OSError("the disk of the clips is gone.")
            clips = [clip(8 * step + own * size + i) for i in range(size)]
            yield {name: np.stack([c[name] for c in clips]) for name in clips[0]}

    config = base.get_config("smoke")
    config.data.update(num_frames=2, crop_size=64, batch_size=8)
    config.optimizer.groups = ((".*", "main"),)  # the stand-in has no layers of VRT's
    config.train.update(
        steps=asked["steps"],
        checkpoint_every=asked["checkpoint_every"],
        log_every=1,
        picture_every=0,
        eval_every=asked["eval_every"],
    )
    config.eval.update(tile=(2, 64, 64), overlap=(0, 0, 0))
    config.mesh.fsdp = asked["fsdp"]
    sharding.MIN_SHARDED_SIZE = 64  # so that this small network is shared
    tests = [test_clip(number) for number in range(asked["clips"])]
    try:
        state = train_and_evaluate(
            config,
            asked["workdir"],
            model=net(),
            writer=NoWriter(),
            spike_shape=SpikeShape(num_channels=2, spike_scale=1),
            make_batches=batches,
            test_clips=tests,
        )
    except preemption.Preempted as notice:
        print(notice, file=sys.stderr)
        return preemption.EXIT_CODE
    params = sharding.to_host(state.params)
    name = Path(asked["workdir"]) / f"params_{own}.npy"
    np.save(name, np.concatenate([x.ravel() for x in jax.tree.leaves(params)]))
    return 0


if __name__ == "__main__":
    from configs import command_line, distributed, process

    names = sys.argv[2:]
    distributed.supervise(names)
    options = command_line.parse(["--config=none", *names], "") if names else None
    process.end(process.exit_code_of(lambda: main(json.loads(sys.argv[1]), options)))
