"""A run of two stages, with micro-batches and averages, whole and cut at any step."""

import itertools
import json

import jax
import numpy as np
import pytest

from configs import base
from stand_ins import TwoLayers
from vrt_spike_jax import train
from vrt_spike_jax.checkpoint import restore_params
from vrt_spike_jax.initial_weights import load_initial
from vrt_spike_jax.optimizer import NamedParams
from vrt_spike_jax.train_state import SpikeShape, abstract_params

SHAPE = SpikeShape(num_channels=2, spike_scale=1)
HAND_OVER, STEPS = 3, 6
NET = TwoLayers("vrt", 4)


class Writer:
    """Takes what a metric writer is given."""

    def write_scalars(self, step, scalars):
        pass

    def write_images(self, step, images):
        pass

    def flush(self):
        pass


class Killed(Exception):
    """Stands for the end of a process."""


def config_of(pretrained="", **settings):
    config = base.get_config("smoke")
    config.data.update(num_frames=2, crop_size=64, batch_size=2)
    config.optimizer.groups = (("vrt/.*", "flow"), (".*", "main"))
    config.optimizer.frozen_steps.flow = HAND_OVER
    config.train.update(steps=STEPS, checkpoint_every=1, log_every=1, picture_every=0)
    config.train.update(accumulate=2, ema_decay=0.5, pretrained=str(pretrained))
    config.train.update(settings)
    config.eval.update(tile=(2, 64, 64), overlap=(0, 0, 0))
    return config.lock()


def batch_of(number):
    rng = np.random.default_rng(number)
    sharp = rng.random((2, 2, 64, 64, 3), dtype=np.float32)
    spikes = np.repeat(sharp.mean(axis=-1)[:, :, None], 2, axis=2)
    return {"blur": 0.5 * sharp, "sharp": sharp, "spikes": spikes}


def held_out():
    clip = {name: x[0] for name, x in batch_of(10**6).items()}
    light = clip["spikes"].mean(axis=1)
    return {"name": "clip", **clip, "tfp_short": light, "tfp_long": light}


def run(workdir, config, *, initial=None, die_after=None):
    def make_batches(start):
        for number in itertools.count(start):
            if number == die_after:
                raise Killed
            yield batch_of(number)

    return train.train_and_evaluate(
        config,
        workdir,
        model=NET,
        spike_shape=SHAPE,
        make_batches=make_batches,
        test_clips=[held_out()],
        initial=initial,
        writer=Writer(),
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The work directory of a training in one stage, whose weights are begun with."""
    workdir = tmp_path_factory.mktemp("first")
    config = config_of(steps=1)
    with config.unlocked():
        config.optimizer.frozen_steps.flow = 0
    run(workdir, config)
    return workdir


def initial_of(config):
    return load_initial(config, NET, abstract_params(NET, SHAPE))


@pytest.fixture(scope="module")
def whole(first, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    config = config_of(first, keep_checkpoints=STEPS)
    compiled = []
    with pytest.MonkeyPatch.context() as patch:
        real = train.compile_on
        patch.setattr(
            train,
            "compile_on",
            lambda *args, **options: (
                compiled.append(real(*args, **options)) or compiled[-1]
            ),
        )
        state = run(workdir, config, initial=initial_of(config))
    assert [step._cache_size() for step in compiled] == [1, 1]
    return workdir, state


def params_at(workdir, step, *, ema=False) -> NamedParams:
    abstract = abstract_params(NET, SHAPE)
    return restore_params(workdir / "checkpoints", abstract, step=step, ema=ema)


def test_what_is_frozen_keeps_every_bit_until_its_stage(first, whole):
    begun = params_at(first, 1, ema=True)["vrt"]
    for step in range(1, STEPS + 1):
        found = params_at(whole[0], step)
        for name, value in begun.items():
            same = np.array_equal(found["vrt"][name], value)
            assert same == (step <= HAND_OVER)
    moved = [params_at(whole[0], step)["mix"]["bias"] for step in (1, 2, 3, 4)]
    assert all(np.all(a != b) for a, b in itertools.pairwise(moved))


# With 2, what is trained after the hand-over is lost, and it is gone through again.
@pytest.mark.parametrize(("every", "die_after"), [(1, 2), (1, 3), (1, 4), (2, 4)])
def test_run_cut_near_the_hand_over_continues_bit_for_bit(
    first, whole, tmp_path, die_after, every
):
    config = config_of(first, checkpoint_every=every)
    initial = initial_of(config)
    with pytest.raises(Killed):
        run(tmp_path, config, initial=initial, die_after=die_after)
    continued = run(tmp_path, config, initial=initial)
    jax.tree.map(np.testing.assert_array_equal, continued, whole[1])


def test_averages_are_what_is_evaluated_and_restored(whole):
    workdir, state = whole
    expected = params_at(workdir, 1)  # the average of one step is almost that step
    for step in range(2, STEPS + 1):
        new = params_at(workdir, step)
        if step <= HAND_OVER:
            expected["vrt"] = new["vrt"]
        # Half of the newest, or more where there are few.
        share = max(0.5, 9 / (10 + step - 1))
        expected = jax.tree.map(lambda e, n, s=share: e + s * (n - e), expected, new)
    found = params_at(workdir, STEPS, ema=True)
    assert np.all(found["mix"]["bias"] != params_at(workdir, STEPS)["mix"]["bias"])
    jax.tree.map(
        np.testing.assert_array_equal,
        found,
        jax.device_get(state.averaged_params()),
    )
    # The first average had begun at the initial weights.
    for part in ("mix", "vrt"):
        for name, value in found[part].items():
            np.testing.assert_allclose(value, expected[part][name], atol=2e-4)


def test_log_tells_stages_weights_and_averages(first, tmp_path, capsys):
    config = config_of(first)
    run(tmp_path, config, initial=initial_of(config))
    shown = capsys.readouterr()
    assert "stage 1     steps 1 to 3: 15 (60 B) trained, 20 (80 B) frozen" in shown.out
    assert "stage 2     steps 4 to 6: 35 (140 B) trained, 0 (0 B) frozen" in shown.out
    assert f"weights     35 from {first.resolve()}, step 1\n" in shown.out
    assert "decay 0.5; evaluated" in shown.out
    assert "2 clips of 2x64x64 in 2 micro-batches" in shown.out
    assert "stage 2     steps 4 to 6" in shown.err
    run(tmp_path, config)
    assert "\nweights" not in capsys.readouterr().out
    settings = json.loads((tmp_path / "results.json").read_text())["config"]["train"]
    assert settings["pretrained"] == str(first)
