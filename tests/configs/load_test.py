import json
import re
from pathlib import Path

import pytest

from configs.check import flat_items
from configs.load import load_config, override, read_config, write_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = f"{ROOT}/configs/cross_attn.py:tiny"


def test_overrides_take_the_type_of_their_key():
    config = load_config(
        CONFIG,
        [
            "--config.train.steps=5",
            "--config.loss.charbonnier.epsilon=1",
            "--config.data.dir=a b",
            "--config.eval.tile=(4, 64, 72)",
            "--config.optimizer.groups=(('a.*', 'frozen'), ('.*', 'main'))",
            "--config.train.steps=7",
        ],
    )
    assert config.train.steps == 7
    assert config.loss.charbonnier.epsilon == 1.0
    assert isinstance(config.loss.charbonnier.epsilon, float)
    assert config.data.dir == "a b"
    assert config.eval.tile == (4, 64, 72)
    assert config.optimizer.groups == (("a.*", "frozen"), (".*", "main"))
    assert config.is_locked


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (
            "--config.optimzer.learning_rate=1",
            "did you mean 'optimizer.learning_rate'?",
        ),
        ("--config.train.step=1", "did you mean 'train.steps'?"),
        ("--config.train=1", "there is no config key 'train'"),
        ("--config.train.steps=x", "is not of the type int"),
        ("--config.train.steps=1.5", "is not of the type int"),
        ("--config.train.steps", "needs a value"),
        ("--config.seed=", "is not of the type int"),
    ],
)
def test_bad_override_is_one_sentence(option, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        load_config(CONFIG, [option])
    assert "\n" not in str(error.value)


def test_missing_file_names_the_nearest():
    with pytest.raises(FileNotFoundError, match="did you mean .*configs/cross_attn.py"):
        load_config("configs/cros_attn.py")


def test_only_configurations_are_proposed():
    with pytest.raises(FileNotFoundError) as error:
        load_config("configs/comand_line.py")
    listed = str(error.value).partition("There are ")[2].rstrip(".").split(", ")
    assert {Path(path).stem for path in listed} >= {"baseline", "cross_attn"}
    for path in listed:
        load_config(f"{path}:smoke")


def test_file_that_is_no_configuration_is_refused(tmp_path):
    file = tmp_path / "empty.py"
    file.write_text("")
    with pytest.raises(ValueError, match="defines no get_config"):
        load_config(str(file))
    text = tmp_path / "notes.txt"
    text.write_text("")
    with pytest.raises(ValueError, match="must be a Python file"):
        load_config(str(text))


def test_key_that_nothing_reads_is_refused_in_a_file_too(tmp_path):
    file = tmp_path / "mine.py"
    start = "from configs import base\ndef get_config(recipe=''):\n"
    lines = (
        "    config = base.get_config('tiny')\n    config.{} = 0.5\n    return config\n"
    )
    file.write_text(start + lines.format("optimizer.learning_rat"))
    with pytest.raises(ValueError, match="did you mean 'optimizer.learning_rate'"):
        load_config(str(file))
    file.write_text(start + lines.format("optimizer.factors.encoder"))
    assert load_config(str(file)).optimizer.factors.encoder == 0.5


def test_written_configuration_returns_as_it_was(tmp_path):
    path = tmp_path / "run" / "config.json"
    config = load_config(CONFIG)
    write_config(path, config)
    assert read_config(path) == config
    assert read_config(path).is_locked
    assert [p.name for p in path.parent.iterdir()] == ["config.json"]
    # What was read can be set anew, types included.
    assert override(read_config(path), ["--config.eval.tile=2,64,64"]).eval.tile == (
        2,
        64,
        64,
    )


def test_directory_without_a_training_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing was trained there"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is no JSON file"):
        read_config(tmp_path / "config.json")


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"model": {}}', '{"model": 1}'])
def test_json_that_is_no_configuration_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="lacks .* settings, such as "):
        read_config(tmp_path / "config.json")


def test_configuration_of_an_older_version_names_what_it_lacks(tmp_path):
    config = load_config(CONFIG).to_dict()
    del config["model"]["remat"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"lacks 1 settings, such as model\.remat"):
        read_config(tmp_path / "config.json")


def test_configuration_from_before_data_spikes_names_both(tmp_path):
    config = load_config(CONFIG).to_dict()
    del config["data"]["spikes"]
    config["data"]["num_bins"] = 32
    (tmp_path / "config.json").write_text(json.dumps(config))
    message = r"such as data\.spikes\..*, and has others, such as data\.num_bins; use"
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / "config.json")


WEIGHTS = {
    "name": "vrt",
    "recipe": "006",
    "model": {"variant": "006", "fusion": "none", "dtype": "float32"},
    "eval": {"tile": [6, 128, 128], "overlap": [2, 32, 32]},
    "weights": {"file": "006.pth", "sha256": "0", "task": "006"},
}


def test_directory_made_from_weights_is_completed(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(WEIGHTS))
    config = read_config(path)
    assert config.is_locked
    assert (config.model.variant, config.model.dtype) == ("006", "float32")
    assert config.eval.tile == (6, 128, 128)
    # What the weights do not decide is that of the full recipe.
    defaults = load_config(f"{ROOT}/configs/baseline.py:deblur")
    assert config.data == defaults.data
    # But the temporaries are as large as the hardware here likes them.
    assert (
        config.model.max_chunk
        == load_config(f"{ROOT}/configs/baseline.py").model.max_chunk
    )
    assert config.eval.tfp_window == defaults.eval.tfp_window
    keys = {key for key, _ in flat_items(config)}
    assert keys == {key for key, _ in flat_items(defaults)} | {
        f"weights.{key}" for key in WEIGHTS["weights"]
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": {"varaint": "006"}}, "did you mean 'model.variant'?"),
        ({"model": 1}, "there is no config key 'model'"),
        ({"weights": "006.pth"}, "there is no config key 'weights'"),
        ({"seed": "one"}, "holds a value of a wrong type"),
    ],
)
def test_directory_made_from_weights_is_checked(tmp_path, change, sentence):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(WEIGHTS | change))
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_config(path)
