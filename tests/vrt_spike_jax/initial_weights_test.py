from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from vrt_spike_jax import initial_weights, sharding
from vrt_spike_jax.checkpoint import Checkpoints
from vrt_spike_jax.initial_weights import load_initial
from vrt_spike_jax.train_state import TrainState, with_params

VRT = {"spynet": {"kernel": jnp.full((2, 2), 1.0)}, "mix": {"bias": jnp.full(3, 2.0)}}
MODEL = SimpleNamespace()  # where no file is read
SPIKE = {"vrt": VRT, "encoder": {"kernel": jnp.full((4,), 3.0)}}
ABSTRACT = {
    name: jax.eval_shape(lambda t=t: t) for name, t in (("vrt", VRT), ("spike", SPIKE))
}


def config_of(path="", **frozen_steps):
    config = base.get_config("smoke")
    config.train.pretrained = str(path)
    config.optimizer.frozen_steps.update(frozen_steps)
    return config.lock()


def workdir_of(folder, params, ema=None):
    state = TrainState(jnp.asarray(5, jnp.int32), params, {"count": jnp.ones(1)})
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state.replace(ema=ema), step=5, position=5)
    return folder


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_without_a_path_weights_are_random():
    assert load_initial(config_of(), MODEL, ABSTRACT["spike"]) is None


def test_random_weights_are_not_kept_frozen():
    with pytest.raises(ValueError, match="'flow' as it is for 9 steps") as error:
        load_initial(config_of(flow=9), MODEL, ABSTRACT["spike"])
    assert "--config.train.pretrained=PATH" in str(error.value)


def test_missing_path_is_one_sentence(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="where nothing is; name a .pth"
    ) as error:
        load_initial(config_of(tmp_path / "x.pth"), MODEL, ABSTRACT["spike"])
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_initial(config_of(tmp_path), MODEL, ABSTRACT["spike"])


@pytest.mark.parametrize("model", ["vrt", "spike"])
def test_work_directory_of_the_same_model_gives_all(tmp_path, model):
    params = {"vrt": VRT, "spike": SPIKE}[model]
    folder = workdir_of(tmp_path, params)
    found = load_initial(config_of(folder), MODEL, ABSTRACT[model])
    assert_same(found.params, params)
    count = 7 if model == "vrt" else 11
    assert found.describe(count) == f"{count} from {folder.resolve()}, step 5"


def test_averages_are_begun_with_where_they_were_kept(tmp_path):
    folder = workdir_of(tmp_path, VRT, ema={"mix/bias": jnp.full(3, 7.0)})
    found = load_initial(config_of(folder), MODEL, ABSTRACT["vrt"])
    assert_same(found.params, {**VRT, "mix": {"bias": np.full(3, 7.0, np.float32)}})


def test_vrt_alone_becomes_the_vrt_of_a_model_with_spikes(tmp_path):
    folder = workdir_of(tmp_path, VRT)
    found = load_initial(config_of(folder), MODEL, ABSTRACT["spike"])
    assert_same(found.params, {"vrt": VRT})
    assert found.describe(11).endswith("; the other 4 are random")


def test_a_file_of_spynet_becomes_the_spynet_of_the_model(tmp_path, monkeypatch):
    path = tmp_path / "spynet.pth"
    path.touch()
    spynet = {"spynet": VRT["spynet"]}
    monkeypatch.setattr(initial_weights, "load_pretrained", lambda *_: spynet)
    found = load_initial(config_of(path), MODEL, ABSTRACT["vrt"])
    assert_same(found.params, spynet)
    found = load_initial(config_of(path), MODEL, ABSTRACT["spike"])
    assert_same(found.params, {"vrt": spynet})


def test_a_group_is_kept_only_where_some_of_its_weights_are_given(
    tmp_path, monkeypatch
):
    path = tmp_path / "spynet.pth"
    path.touch()
    spynet = {"spynet": VRT["spynet"]}
    monkeypatch.setattr(initial_weights, "load_pretrained", lambda *_: spynet)
    config = config_of(path, head=3).unlock()
    config.optimizer.groups = (("vrt/mix/.*", "head"), (".*", "main"))
    with pytest.raises(ValueError, match="'head' as it is for 3 steps.*holds none"):
        load_initial(config, MODEL, ABSTRACT["spike"])
    # As vrt_kair.py has it: SpyNet is given, what is kept beside it may be random.
    config.optimizer.groups = (("vrt/.*", "head"), (".*", "main"))
    assert load_initial(config, MODEL, ABSTRACT["spike"]) is not None


def test_a_file_without_pytorch_is_one_sentence(tmp_path, monkeypatch):
    def without(*_):
        raise ModuleNotFoundError("reading it needs PyTorch; install it.")

    path = tmp_path / "vrt.pth"
    path.touch()
    monkeypatch.setattr(initial_weights, "load_pretrained", without)
    with pytest.raises(ValueError, match="train.pretrained: reading it needs PyTorch"):
        load_initial(config_of(path), MODEL, ABSTRACT["vrt"])


@pytest.mark.parametrize(
    ("params", "model", "sentence"),
    [
        ({"spynet": VRT["spynet"], "mix": VRT["spynet"]}, "vrt", r"'mix/"),
        ({"spynet": VRT["spynet"], "mixer": VRT["mix"]}, "vrt", r"2 differ"),
        (
            {**VRT, "more": {"bias": jnp.ones(2)}},
            "spike",
            r"'vrt/more/bias'.*absent in",
        ),
        (SPIKE, "vrt", r"'encoder/kernel', with the shape \(4,\) there and absent"),
        ({"vrt": VRT, "decoder": SPIKE["encoder"]}, "spike", r"2 differ"),
        # A part of VRT alone is a mistake, unless it is SpyNet.
        ({"mix": VRT["mix"]}, "spike", r"'vrt/spynet/kernel'.*absent there"),
    ],
)
def test_other_parameters_are_refused(tmp_path, params, model, sentence):
    folder = workdir_of(tmp_path, params)
    with pytest.raises(ValueError, match=sentence) as error:
        load_initial(config_of(folder), MODEL, ABSTRACT[model])
    assert str(error.value).startswith(f"train.pretrained is {folder}")
    assert "\n" not in str(error.value)


def test_they_are_put_into_a_state_and_into_its_averages():
    place = sharding.replicated(sharding.make_mesh())
    zeros = jax.tree.map(lambda x: jax.device_put(jnp.zeros_like(x), place), SPIKE)
    state = TrainState(0, zeros, (), ema={"vrt/mix/bias": zeros["vrt"]["mix"]["bias"]})
    found = with_params(state, {"vrt": VRT})
    assert_same(found.params, {**zeros, "vrt": VRT})
    np.testing.assert_array_equal(found.ema["vrt/mix/bias"], VRT["mix"]["bias"])
    # Given up separately.
    assert found.ema["vrt/mix/bias"] is not found.params["vrt"]["mix"]["bias"]
