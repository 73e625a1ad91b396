import json
import re

import jax.numpy as jnp
import pytest

from configs.load import load_config
from vrt_spike_jax.checkpoint import Checkpoints
from vrt_spike_jax.saved_config import differences, require_same_config
from vrt_spike_jax.train_state import TrainState

CONFIG = "configs/cross_attn.py:tiny"


def config_of(*overrides):
    return load_config(CONFIG, [f"--config.{text}" for text in overrides]).to_dict()


def save(directory, config=None):
    state = TrainState(jnp.asarray(4, jnp.int32), {"x": jnp.ones(2)}, ())
    options = {} if config is None else {"config": config}
    with Checkpoints(directory, **options) as checkpoints:
        checkpoints.save(state, step=4, position=4)


def test_other_settings_are_named_with_both_values(tmp_path):
    require_same_config(tmp_path / "none", config_of())  # nothing was begun there
    save(tmp_path, config_of("train.steps=100"))
    require_same_config(tmp_path, config_of("train.steps=100"))
    new = config_of("train.steps=200", "model.remat=('stage1','stage2')")
    with pytest.raises(ValueError) as error:
        require_same_config(tmp_path, new)
    sentence = str(error.value)
    assert "train.steps (there 100, here 200)" in sentence
    assert "model.remat (there [], here ['stage1', 'stage2'])" in sentence
    assert "optimizer" not in sentence
    assert "another --workdir" in sentence


@pytest.mark.parametrize(
    "other",
    [
        ("mesh.data=2", "mesh.fsdp=4"),
        ("data.dir='elsewhere'",),
        ("train.log_every=7", "train.picture_every=0", "train.eval_every=5"),
        ("train.checkpoint_every=3", "train.keep_checkpoints=9"),
        ("eval.metrics=('psnr',)",),
    ],
)
def test_what_parameters_do_not_depend_on_is_no_other_training(tmp_path, other):
    save(tmp_path, config_of())
    require_same_config(tmp_path, config_of(*other))


def test_keys_of_one_side_alone_are_absent_on_the_other():
    there, here = {"a": {"old": 1, "x": (1, 2)}}, {"a": {"x": (1, 2), "new": None}}
    assert differences(there, here) == [
        "a.new (there no such key, here None)",
        "a.old (there 1, here no such key)",
    ]
    assert differences(json.loads(json.dumps(there)), there) == []


def test_checkpoint_without_a_configuration_is_not_trained_on(tmp_path):
    save(tmp_path)
    (tmp_path / "4" / "config").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match=re.escape("no configuration to continue")):
        require_same_config(tmp_path, config_of())
