"""What an ablation consists of: variants, seeds, and one budget for all."""

from pathlib import Path

import pytest

from configs import loss_study
from configs.ablation import VARIANTS
from configs.ablation_runs import load_ablation
from configs.check import flat_items
from vrt_spike_jax.losses.table import LOSSES, active

ROOT = Path(__file__).resolve().parents[2]
SMOKE = f"{ROOT}/configs/ablation.py:smoke"
ABLATION = "--config.ablation."


def test_every_variant_is_trained_with_every_seed_on_one_budget():
    budget = ["--config.train.steps=7", "--config.data.dir=/d"]
    runs = load_ablation(SMOKE, budget).runs
    assert [(run.variant, run.seed) for run in runs] == [
        (variant, seed) for seed in (0, 1, 2) for variant in VARIANTS
    ]
    shared = [
        {
            key: value
            for key, value in flat_items(run.config)
            if key.startswith(("train.", "data.", "eval.", "loss.", "mesh."))
            and not key.startswith("data.spikes.")
        }
        for run in runs
    ]
    assert all(settings == shared[0] for settings in shared)
    assert shared[0]["train.steps"] == 7
    assert shared[0]["data.dir"] == "/d"
    assert [run.config.seed for run in runs] == [run.seed for run in runs]
    assert {run.config.recipe for run in runs} == {"smoke"}


def test_the_arguments_of_a_run_make_its_configuration():
    from configs.load import load_config

    for run in load_ablation(SMOKE, [f"{ABLATION}seeds=(5,)"]).runs:
        file, *overrides = run.arguments
        again = load_config(file.removeprefix("--config="), overrides)
        assert again.to_dict() == run.config.to_dict()
        assert again.seed == 5


def test_the_baseline_sees_no_spikes_and_the_others_do():
    for run in load_ablation(SMOKE, [f"{ABLATION}seeds=(0,)"]).runs:
        model = run.config.model
        sees = model.fusion != "none" or model.get("alignment", "spynet") != "spynet"
        assert sees == (run.variant != "baseline")


def test_variants_are_chosen_added_and_changed_by_configuration():
    plan = load_ablation(
        SMOKE,
        [
            f"{ABLATION}seeds=(3,)",
            f"{ABLATION}variants=('film','long film model.temporal_blocks=1 "
            "optimizer.learning_rate=0.001')",
            f"{ABLATION}table.film=film model.fusion_places=skips",
            f"{ABLATION}baseline=long",
        ],
    )
    runs = plan.runs
    assert plan.config.ablation.baseline == "long"
    assert [run.variant for run in runs] == ["film", "long"]
    assert runs[0].config.model.fusion_places == "skips"
    assert runs[1].config.model.temporal_blocks == 1
    assert runs[1].config.optimizer.learning_rate == 0.001


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([f"{ABLATION}variants=('flim',)"], "no variant 'flim'; did you mean 'film'?"),
        ([f"{ABLATION}variants=()"], "ablation.variants is empty"),
        ([f"{ABLATION}variants=('film','film')"], "film twice"),
        ([f"{ABLATION}seeds=(1,1)"], "twice with one seed"),
        ([f"{ABLATION}seeds=()"], "must hold whole numbers"),
        ([f"{ABLATION}seeds=('a',)"], "must hold whole numbers"),
        ([f"{ABLATION}baseline=basline"], "did you mean 'baseline'?"),
        ([f"{ABLATION}sedes=(1,)"], "did you mean 'ablation.seeds'?"),
        (["--config.seed=3"], "set --config.ablation.seeds"),
        (["--config.model.fusion=film"], "--config.ablation.variants instead"),
        ([f"{ABLATION}variants=('x film train.steps=9',)"], "sets train.steps=9, but"),
        ([f"{ABLATION}variants=('x/y film',)"], "needs a name of letters"),
        ([f"{ABLATION}variants=('x film model.fusoin=a',)"], "'model.fusion'?"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(overrides, sentence):
    with pytest.raises(ValueError) as error:
        load_ablation(SMOKE, overrides)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_variant_of_no_file_names_the_nearest():
    overrides = [f"{ABLATION}variants=('x flim model.temporal_blocks=1',)"]
    with pytest.raises(FileNotFoundError, match="did you mean .*film.py"):
        load_ablation(SMOKE, overrides)


def test_one_training_is_no_ablation():
    with pytest.raises(ValueError, match="one training and compares nothing"):
        load_ablation(f"{ROOT}/configs/film.py:smoke", [])


def test_the_loss_study_adds_one_loss_to_charbonnier_at_a_time():
    plan = load_ablation(
        f"{ROOT}/configs/loss_study.py:tiny", [f"{ABLATION}seeds=(0,)"]
    )
    assert plan.config.ablation.baseline == "charbonnier"
    (first, *others) = plan.runs
    assert first.variant == "charbonnier"
    # All that needs no file of weights.
    names = [name for name in LOSSES if name not in ("charbonnier", "perceptual")]
    assert [run.variant for run in others] == names
    for run in others:
        differing = {
            key.rpartition(".")[0]
            for (key, value), (_, usual) in zip(
                flat_items(run.config), flat_items(first.config), strict=True
            )
            if value != usual
        }
        assert differing - {"loss.charbonnier"} == {f"loss.{run.variant}"}
        kept = "l1" if run.variant == "l1" else "charbonnier"
        assert list(active(run.config.loss)) == list(dict.fromkeys([kept, run.variant]))
        weight = loss_study.ADDED.get(run.variant, 1.0)
        assert run.config.loss[run.variant].weight == weight
