"""Every shipped configuration, in every recipe, builds, is checked and is all read."""

import ast
import importlib
from inspect import signature
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from configs import base, check, check_data, check_loss, check_train, loss_study
from configs.load import load_config
from data_pipeline.represent import REPRESENTATIONS
from data_pipeline.representations import BINNINGS
from data_pipeline.spike_input import NORMALISATIONS, SpikeInput
from vrt_spike_jax import VARIANTS, create_model, optimizer
from vrt_spike_jax.losses.adversarial import FORMS
from vrt_spike_jax.losses.table import LOSSES, active
from vrt_spike_jax.models.fusion import FUSIONS
from vrt_spike_jax.models.vrt import STAGES
from vrt_spike_jax.models.vrt_spike import PLACES
from vrt_spike_jax.optimizer import label_parameters
from vrt_spike_jax.train_state import SpikeShape, abstract_params

ROOT = Path(__file__).resolve().parents[2]
NO_RUNS = {
    "__init__",
    "ablation_runs",
    "base",
    "check",
    "check_data",
    "check_loss",
    "check_train",
    "command_line",
    "distributed",
    "eval_options",
    "load",
    "process",
    "require",
}
RUNS = sorted({p.stem for p in (ROOT / "configs").glob("*.py")} - NO_RUNS)


@pytest.mark.parametrize("recipe", base.RECIPES)
@pytest.mark.parametrize("name", RUNS)
def test_configuration_builds_is_locked_and_passes_the_check(name, recipe):
    config = load_config(str(ROOT / "configs" / f"{name}.py") + f":{recipe}")
    assert (config.name, config.recipe) == (name, recipe)
    assert config.is_locked
    check.check(
        config,
        variants={name: create_model(name).min_size for name in VARIANTS},
        fusions=("none", *FUSIONS),
        stages=STAGES,
        device_count=1,
    )


@pytest.mark.parametrize("recipe", ("tiny", "deblur"))
@pytest.mark.parametrize("name", RUNS)
def test_groups_cover_the_parameters_of_the_model(name, recipe):
    config = load_config(str(ROOT / "configs" / f"{name}.py") + f":{recipe}")
    settings = config.model
    guided = settings.alignment != "spynet"
    model = create_model(
        settings.variant,
        fusion=settings.fusion,
        dtype=jnp.dtype(settings.dtype),
        **({"alignment": settings.alignment} if guided else {}),
    )
    shape = SpikeShape(num_channels=32, spike_scale=1)
    labels = label_parameters(abstract_params(model, shape), config.optimizer.groups)
    assert set(labels.values()) == set(dict(config.optimizer.groups).values())
    assert set(config.optimizer.frozen_steps) <= set(config.optimizer.factors)
    assert set(labels.values()) <= {*config.optimizer.factors, "frozen"}


@pytest.mark.parametrize("name", RUNS)
def test_without_a_recipe_the_hardware_decides(name, monkeypatch):
    module = importlib.import_module(f"configs.{name}")
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert module.get_config().recipe == "tiny"
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    config = module.get_config()
    assert config.recipe == "deblur"
    assert config.model.dtype == "bfloat16"
    assert (config.data.num_frames, config.data.crop_size) == (6, 256)


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'smoke'"):
        base.get_config("smok")


def test_recipes_share_their_keys():
    keys = [
        [key for key, _ in check.flat_items(base.get_config(recipe))]
        for recipe in base.RECIPES
    ]
    assert keys[0] == keys[1] == keys[2]


def test_every_key_is_read_outside_the_configurations():
    """A key that no code names is a switch without a wire."""
    read = set()
    sources = [ROOT / "launch.py", *(ROOT / "vrt_spike_jax").rglob("*.py")]
    sources += (ROOT / "data_pipeline").rglob("*.py")
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                read.add(node.value)
    config = base.get_config("tiny")
    # What is told of each group of parameters is read as a whole, by their names.
    leaves = {
        key: key.split(".")[1]
        if key.startswith(("optimizer.factors.", "optimizer.frozen_steps."))
        else key.rpartition(".")[2]
        for key, _ in check.flat_items(config)
    }
    # So are the options of each representation of spikes.
    for name, representation in REPRESENTATIONS.items():
        options = config.data.spikes[name]
        assert set(options) == set(signature(representation.count).parameters)
        read |= set(options)
    assert not [key for key, leaf in leaves.items() if leaf not in read]


def test_schedules_are_those_of_the_optimizer():
    assert check_train.SCHEDULES == optimizer.SCHEDULES
    assert check_train.FROZEN == optimizer.FROZEN


def test_every_loss_of_the_table_has_its_settings():
    settings = base.get_config("tiny").loss
    for name, loss in LOSSES.items():
        assert {"weight", "start_step", *loss.options} <= set(settings[name])
        assert set(loss.shared) <= set(settings)
    assert sorted(check_loss.loss_names(settings)) == sorted(LOSSES)


def test_the_forms_of_the_adversarial_loss_are_those_of_the_loss():
    assert check_loss.FORMS == FORMS


def test_by_default_what_the_study_found_is_trained_on():
    for recipe in base.RECIPES:
        settings = base.get_config(recipe).loss
        assert list(active(settings)) == ["charbonnier", "focal_frequency"]
        assert settings.focal_frequency.weight == loss_study.ADDED["focal_frequency"]
        own = settings.charbonnier
        assert (own.weight, own.start_step, own.epsilon) == (1.0, 0, 1e-3)


def test_the_places_of_fusions_are_those_of_the_model():
    assert tuple(PLACES) == check.FUSION_PLACES


def test_the_choices_for_spikes_are_those_of_the_data_pipeline():
    assert check_data.SPIKES == {
        "representation": tuple(REPRESENTATIONS),
        "voxel.binning": BINNINGS,
        "normalisation": NORMALISATIONS,
    }


@pytest.mark.parametrize("recipe", base.RECIPES)
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_every_representation_has_options_that_the_model_takes(name, recipe):
    settings = base.get_config(recipe).data.spikes.to_dict()
    spikes = SpikeInput.from_settings(settings | {"representation": name})
    model = create_model("tiny", fusion="cross_attn")
    abstract_params(model, SpikeShape(spikes.num_channels, spike_scale=1))


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_the_documented_options_of_spikes_are_the_defaults(name):
    text = (ROOT / "docs" / "spike_representations.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` (")]
    for option, value in base.get_config("tiny").data.spikes[name].items():
        number = isinstance(value, int | float)
        said = f"{option}={value:g}" if number else option
        assert f"`{said}" in row
