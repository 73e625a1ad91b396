import itertools
import json
import os
import signal

import jax
import numpy as np
import pytest

from configs import base
from stand_ins import TwoLayers
from vrt_spike_jax import train
from vrt_spike_jax.checkpoint import newest_step
from vrt_spike_jax.preemption import Preempted
from vrt_spike_jax.train import train_and_evaluate
from vrt_spike_jax.train_state import SpikeShape

NET = TwoLayers("widen", 8)


class Writer:
    """Keeps what a metric writer is given."""

    def __init__(self):
        self.scalars, self.images = {}, {}

    def write_scalars(self, step, scalars):
        self.scalars.setdefault(step, {}).update(scalars)

    def write_images(self, step, images):
        self.images[step] = images

    def flush(self):
        pass


class Killed(Exception):
    """Stands for the end of a process."""


def config_of(steps=6, **settings):
    config = base.get_config("smoke")
    config.data.update(num_frames=2, crop_size=64, batch_size=1)
    config.optimizer.groups = ((".*", "main"),)  # the stand-in has no layers of VRT's
    config.train.update(steps=steps, checkpoint_every=2, log_every=1, picture_every=3)
    config.train.update(settings)
    config.eval.update(tile=(2, 64, 64), overlap=(0, 0, 0))
    return config.lock()


def clip_of(number):
    """A pure function of the number of the clip."""
    rng = np.random.default_rng(number)
    sharp = rng.random((2, 64, 64, 3), dtype=np.float32)
    spikes = np.repeat(sharp.mean(axis=-1)[:, None], 2, axis=1)
    return {"blur": 0.5 * sharp, "sharp": sharp, "spikes": spikes}


def test_clip():
    clip = clip_of(10**6)
    light = clip["spikes"].mean(axis=1)
    return {"name": "clip", **clip, "tfp_short": light, "tfp_long": light}


test_clip.__test__ = False


def run(workdir, *, batches=None, steps=6, die_after=None, stop_in=None, **settings):
    """Trains with the batches of the clips; `die_after` so many, the process ends.

    While batch `stop_in` is read, it is sent SIGTERM. `settings` are of config.train.
    """

    def make_batches(start):
        for number in itertools.count(start):
            if number == stop_in:
                os.kill(os.getpid(), signal.SIGTERM)
            if die_after is not None and number >= die_after:
                raise Killed
            change = (batches or {}).get(number, 1.0)
            yield {k: change * x[None] for k, x in clip_of(number).items()}

    writer = Writer()
    state = train_and_evaluate(
        config_of(steps, **settings),
        workdir,
        model=NET,
        spike_shape=SpikeShape(num_channels=2, spike_scale=1),
        make_batches=make_batches,
        test_clips=[test_clip()],
        writer=writer,
    )
    return state, writer


def logged(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_run_leaves_what_it_promises(tmp_path, capsys):
    state, writer = run(tmp_path)
    assert int(state.step) == 6
    assert newest_step(tmp_path / "checkpoints") == 6
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == [
        "step_00000003.png",
        "step_00000006.png",
    ]
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["method"] for row in results["rows"]] == [
        "blurred",
        "closed_form",
        "model",
    ]
    assert results["step"] == 6
    assert results["config"]["train"]["steps"] == 6
    assert writer.scalars[6]["eval/model/psnr"] == results["rows"][2]["psnr"]
    assert set(writer.images) == {3, 6}
    out = capsys.readouterr().out
    assert "6 steps from the beginning" in out
    assert "closed_form" in out


@pytest.mark.parametrize("die_after", [1, 5])
def test_cut_run_continues_bit_for_bit(tmp_path, die_after):
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "cut", die_after=die_after)
    continued, _ = run(tmp_path / "cut")
    jax.tree.map(np.testing.assert_array_equal, continued, whole)
    assert logged(tmp_path / "cut") == logged(tmp_path / "whole")


def test_finished_run_trains_no_further(tmp_path, capsys):
    first, _ = run(tmp_path)
    again, _ = run(tmp_path, die_after=0)
    jax.tree.map(np.testing.assert_array_equal, again, first)
    assert "is complete (6 steps)" in capsys.readouterr().out


def test_number_that_is_not_finite_leaves_the_last_good_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError, match="at step 4 "):
        run(tmp_path, batches={3: np.float32("nan")})
    assert newest_step(tmp_path / "checkpoints") == 2
    assert [line["step"] for line in logged(tmp_path)] == [1, 2, 3]
    assert not (tmp_path / "results.json").exists()
    # The damage was in the data: without it the run goes on from the good state.
    state, _ = run(tmp_path)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


def test_run_told_to_stop_saves_its_step_and_continues_bit_for_bit(tmp_path):
    whole, _ = run(tmp_path / "whole")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted, match="step 3 of 6 is saved, and the same command"):
        run(tmp_path / "stopped", stop_in=3)  # which is read while step 3 runs
    assert signal.getsignal(signal.SIGTERM) is before
    assert newest_step(tmp_path / "stopped" / "checkpoints") == 3  # not due
    continued, _ = run(tmp_path / "stopped")
    jax.tree.map(np.testing.assert_array_equal, continued, whole)
    assert logged(tmp_path / "stopped") == logged(tmp_path / "whole")


def test_run_told_to_stop_in_its_last_step_is_evaluated_when_it_continues(tmp_path):
    with pytest.raises(Preempted, match="step 1 of 1 is saved"):
        run(tmp_path, steps=1, stop_in=0)
    assert newest_step(tmp_path / "checkpoints") == 1
    assert not (tmp_path / "results.json").exists()
    run(tmp_path, steps=1)
    assert json.loads((tmp_path / "results.json").read_text())["step"] == 1


def test_step_moves_nothing_between_host_and_devices(tmp_path, monkeypatch):
    compile_on, taken = train.compile_on, []

    def guarded(*args, **options):
        step = compile_on(*args, **options)

        def run_step(state, batch):
            with jax.transfer_guard("disallow"):
                after = step(state, batch)
            taken.append([x.is_deleted() for x in jax.tree.leaves(state)])
            return after

        return run_step

    monkeypatch.setattr(train, "compile_on", guarded)
    run(tmp_path)
    # The state is given up, so that no second one is held; on a CPU a checkpoint, as
    # after steps 2 and 4, reads it where it lies.
    assert len(taken) == 6
    assert all(all(taken[before]) for before in (0, 1, 3, 5))
    with (
        jax.transfer_guard("disallow"),
        pytest.raises(Exception, match="[Dd]isallowed"),
    ):
        jax.jit(lambda x: x + 1)(np.ones(2))  # what the guard would have found


def test_next_batch_is_on_the_devices_before_a_step_is_waited_for(
    tmp_path, monkeypatch
):
    order = []
    put_batch, record = train.sharding.put_batch, train.TrainLog.record

    def put(*args):
        order.append("put")
        return put_batch(*args)

    def wait(log, step, metrics):
        order.append(step)
        record(log, step, metrics)

    monkeypatch.setattr(train.sharding, "put_batch", put)
    monkeypatch.setattr(train.TrainLog, "record", wait)
    run(tmp_path)
    # Batches 1 and 2 before the first wait; each later one before that for its step.
    for step in range(1, 7):
        assert order[: order.index(step)].count("put") >= min(step + 1, 6)
    assert order.count("put") == 6


def test_what_is_measured_is_what_the_evaluation_finds(tmp_path):
    settings = {"eval_every": 3, "keep_checkpoints": 1, "checkpoint_every": 5}
    _, writer = run(tmp_path, **settings)
    assert [step for step, x in writer.scalars.items() if "eval/psnr" in x] == [3, 6]
    results = json.loads((tmp_path / "results.json").read_text())["rows"]
    found = writer.scalars[6]["eval/psnr"]
    np.testing.assert_allclose(found, results[2]["psnr"], rtol=1e-6)


def test_the_best_of_what_is_measured_is_kept_beside_the_newest(
    tmp_path, monkeypatch, capsys
):
    found = iter((30.0, 32.0, 31.0))
    monkeypatch.setattr(train.validation, "mean_psnr", lambda *_: next(found))
    run(tmp_path, eval_every=2, keep_checkpoints=1, checkpoint_every=5)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["4", "6"]
    output = capsys.readouterr()
    assert "step 4 was the best of those measured: --mode=eval --step=4" in output.out
    assert "step 4: psnr 32.000 dB of the held-out clips" in output.err


def test_measuring_changes_nothing_of_the_training(tmp_path):
    plain, _ = run(tmp_path / "plain")
    measured, _ = run(tmp_path / "measured", eval_every=2)
    jax.tree.map(np.testing.assert_array_equal, measured, plain)
