import re

import pytest

from configs import base, check, check_train

VARIANTS = {"tiny": 32, "deblur": 64}
FUSIONS = ("none", "cross_attn")
STAGES = ("stage1", "stage2")
_CONFIDENT = {"model.fusion": "cross_attn", "model.dark_confidence": True}
_CLOSED_FORM = {"model.closed_form_input": True}
_FILLED = {"model.fusion": "cross_attn", "model.fill_saturated": True}
_INSTANTS = {
    "model.fusion": "cross_attn",
    "data.instants": "random",
    "data.embedded.sharp_instants": 5,
}
_PERCEPTUAL = {"loss.perceptual.weight": 0.1}
_ADVERSARIAL = {"loss.adversarial.weight": 0.1}
_ALONE = {"loss.focal_frequency.weight": 0.0}  # Charbonnier
_REBLUR = {"loss.reblur.weight": 0.1}


def checked(changes, *, device_count=1, process_count=1, recipe="tiny"):
    config = base.get_config(recipe)
    config.update_from_flattened_dict(changes)
    check.check(
        config,
        variants=VARIANTS,
        fusions=FUSIONS,
        stages=STAGES,
        device_count=device_count,
        process_count=process_count,
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.variant": "tyni"}, "did you mean 'tiny'?"),
        ({"model.fusion": "cross"}, "did you mean 'cross_attn'?"),
        ({"model.remat": ("stage1", "stag2")}, "did you mean 'stage2'?"),
        ({"model.remat": (1,)}, "must hold names of stages"),
        ({"model.remat": ("stage1,stage2",)}, "('stage1','stage2')"),
        ({"model.dtype": "bf16"}, "did you mean 'bfloat16'?"),
        ({"model.fusion_places": "skip"}, "did you mean 'skips'?"),
        ({"model.time_strides": ()}, "whole numbers of at least 1"),
        ({"model.time_strides": (4, 0)}, "whole numbers of at least 1"),
        ({"model.temporal_blocks": -1}, "at least 0"),
        ({"data.spikes.charge.num_bins": 0}, "charge.num_bins is 0"),
        ({"model.temporal_blocks": 1}, "no spike encoder"),
        ({"model.dark_confidence": True}, "no spike encoder"),
        ({**_CONFIDENT, "data.spikes.low_light": True}, "a confidence of its own"),
        ({**_CONFIDENT, "data.spikes.normalisation": "log"}, "normalisation=none"),
        ({"model.aligned_spikes": True}, "no spike encoder"),
        ({"model.fill_saturated": True}, "the model takes no spikes"),
        ({"model.matches_gain": False}, "the model takes no spikes"),
        ({**_FILLED, "data.spikes.representation": "raw"}, "charge or hard voxel"),
        ({**_FILLED, "data.spikes.voxel.binning": "bilinear"}, "charge or hard voxel"),
        ({**_FILLED, "data.spikes.normalisation": "log"}, "normalisation=none"),
        ({**_FILLED, "model.matches_gain": False}, "and model.matches_gain"),
        ({**_FILLED, "data.embedded.transfer": "linear"}, "take gamma"),
        (
            {**_FILLED, "model.fill_saturated": False, "model.matches_gain": False}
            | {"data.spikes.normalisation": "gain_match"},
            "for normalisation=none alone",
        ),
        (
            {**_CLOSED_FORM, "data.spikes.representation": "raw"},
            "representation=charge",
        ),
        ({"optimizer.schedule": "cos"}, "did you mean 'cosine'?"),
        ({"data.instants": "randm"}, "did you mean 'random'?"),
        ({"model.time_code": True}, "take data.instants=random"),
        ({"data.instants": "random"}, "model takes none"),
        ({**_INSTANTS, "data.embedded.sharp_instants": 1}, "take 3 or more"),
        (
            {**_INSTANTS, "data.spikes.representation": "raw"},
            "take voxel, tfi or charge",
        ),
        (
            {**_INSTANTS, "model.fusion": "none", "model.alignment": "spikes"}
            | {"model.time_code": True},
            "no spike encoder",
        ),
        ({"data.crop_size": 60}, "for example 64"),
        ({"data.crop_size": 24}, "at least 32, for example 32"),
        ({"data.crop_size": 56, "model.variant": "deblur"}, "for example 64"),
        ({"data.crop_size": 100}, "for example 96"),
        ({"data.num_frames": 1}, "at least 2"),
        ({"data.num_frames": 60}, "shorter than a training clip"),
        ({"data.crop_size": 512}, "smaller than the training crop"),
        ({"data.batch_size": 0}, "at least 1"),
        ({"data.embedded.train_clips": 1}, "fewer than the 2 clips"),
        ({"data.embedded.width": 164}, "for example 168"),
        ({"data.embedded.exposure": 48}, "for example 49"),
        ({"data.embedded.period": 20}, "at least data.embedded.exposure"),
        ({"data.jitter.thresholds": (1, 2, 4)}, "the lowest and the highest factor"),
        ({"data.jitter.thresholds": (0.5, 2)}, "at least 1 and at most 1024"),
        ({"data.jitter.light": (0.5, 2.0)}, "at least 1/16 and at most 1"),
        ({"data.jitter.light": (1.0, 0.5)}, "data.jitter.light='(0.25,1)'"),
        ({"data.sets": ("~/data", 1.0)}, "mind the comma behind a single one"),
        ({"data.sets": (("~/data", -1.0),)}, "weight above 0"),
        ({"data.spike_scale": 3}, "1, 2 or 4"),
        ({"data.embedded.threshold": 0.0}, "above 0"),
        ({"data.embedded.max_blur": 0.0}, "above 0"),
        ({"data.embedded.transfer": "lin"}, "did you mean 'linear'?"),
        ({"data.embedded.sensor": "real"}, "The choices are ideal, calibrated"),
        ({"data.embedded.cfa": "RGGB"}, "did you mean 'rggb'?"),
        ({"data.embedded.sharp_instants": 2}, "for example 3"),
        ({"data.embedded.sharp_instants": 51}, "for example 49"),
        ({"data.embedded.rgb_gain": 0.0}, "above 0"),
        ({"data.embedded.read_noise": -1.0}, "at least 0"),
        ({"data.embedded.photons": 9.0}, "the ideal sensor sees none"),
        ({"data.embedded.light_spread": 0.5}, "at least 1"),
        ({"data.spikes.representation": "voxels"}, "did you mean 'voxel'?"),
        ({"data.spikes.normalisation": "gain"}, "did you mean 'gain_match'?"),
        ({"data.spikes.voxel.binning": "linear"}, "did you mean 'bilinear'?"),
        ({"data.spikes.voxel.num_bins": 0}, "at least 1"),
        ({"data.spikes.raw.num_frames": 31}, "at least 32"),
        ({"data.spikes.time_surface.tau": 0.0}, "above 0"),
        ({"data.spikes.tfp.windows": (9, 4)}, "odd numbers of spike frames"),
        ({"data.spikes.margin": -1}, "at least 0"),
        ({"data.spikes.dropout": 1.0}, "must be below 1"),
        (
            {
                "data.spikes.representation": "time_surface",
                "data.spikes.normalisation": "log",
            },
            "take none or standard",
        ),
        (
            {"data.spikes.representation": "tfp", "data.spikes.low_light": True},
            "take voxel or raw",
        ),
        ({"seed": -1}, "at least 0"),
        ({"seed": 2**32}, "below 4294967296"),
        ({"data.embedded.seed": 2**70}, "below 4294967296"),
        ({"loss.charbonnier.epsilon": 0.0}, "epsilon is 0.0; it must be above 0"),
        ({"loss.l1.weight": -1.0}, "loss.l1.weight is -1.0; it must be at least 0"),
        ({"loss.l1.weight": float("nan")}, "at least 0"),
        ({"loss.frequency.boost": -1.0}, "at least 0"),
        ({"loss.sobel.start_step": 280}, "less than train.steps=280"),
        ({**_ALONE, "loss.charbonnier.weight": 0.0}, "nothing would train"),
        (
            {**_ALONE, "loss.charbonnier.weight": 0.0, **_ADVERSARIAL},
            "nothing would train",
        ),
        ({"loss.adversarial.form": "hing"}, "did you mean 'hinge'?"),
        ({"loss.adversarial.width": 0}, "at least 1"),
        ({"loss.adversarial.learning_rate": 0.0}, "must be above 0"),
        ({"loss.adversarial.b2": 1.0}, "less than 1"),
        ({**_ALONE, "loss.charbonnier.start_step": 5}, "nothing would train"),
        ({**_PERCEPTUAL, "loss.perceptual.layers": ("conv5_4", 1.0)}, "'conv5_4',1.0"),
        ({**_REBLUR, "loss.tfp_window": 24}, "for example 25"),
        ({**_REBLUR, "loss.tfp_window": 51}, "data.embedded.exposure=49"),
        ({**_REBLUR, "data.jitter.misaligned_frames": 2}, "leave one of them off"),
        ({**_REBLUR, "data.embedded.cfa": "rggb"}, "has colour filters"),
        ({"optimizer.b2": 1.0}, "less than 1"),
        ({"optimizer.end_factor": 2.0}, "at most 1"),
        ({"optimizer.warmup_steps": 280}, "less than train.steps=280"),
        ({"optimizer.groups": (("(", "main"),)}, "no regular expression"),
        ({"optimizer.groups": (".*", "main")}, "must be (regular expression, group)"),
        ({"optimizer.groups": ((".*", "mian"),)}, "did you mean 'main'?"),
        ({"optimizer.groups": ((".*", "frozen"),)}, "nothing would train"),
        ({"optimizer.factors.main": 0.0}, "above 0"),
        ({"optimizer.start_factor": 2.0}, "at most 1"),
        ({"optimizer.frozen_steps.main": -1}, "a whole number of steps, at least 0"),
        ({"optimizer.frozen_steps.main": 280}, "less than train.steps=280"),
        ({"optimizer.frozen_steps.flow": 5}, "names the group 'flow'; the groups"),
        (
            {"optimizer.frozen_steps.main": 5, "optimizer.frozen_steps.head": 4},
            "every group for the first 4 steps",
        ),
        ({"train.steps": 0}, "at least 1"),
        ({"train.accumulate": 0}, "at least 1"),
        ({"train.accumulate": 3}, "a batch_size of 3 can"),
        ({"train.ema_decay": 1.0}, "less than 1, such as 0.999"),
        ({"train.ema_decay": -0.1}, "at least 0"),
        ({"eval.tile": (6, 100, 128)}, "multiples of 8"),
        ({"eval.tile": (6, 128)}, "three whole numbers"),
        ({"eval.overlap": (6, 8, 8)}, "less than that of eval.tile"),
        ({"eval.overlap": (2, 121, 8)}, "by 1 frame and 8 pixels"),
        ({"eval.tiling": "offical"}, "did you mean 'official'?"),
        ({"eval.tiling": "official"}, "square patches, but eval.tile is (6, 128, 160)"),
        ({"eval.tile": (1, 128, 128)}, "at least 2 frames"),
        ({"eval.tfp_window": 8}, "for example 9"),
        ({"eval.tfp_window": 51}, "at most data.embedded.exposure=49"),
        ({"mesh.fsdp": 2}, "does not make the 1 device(s)"),
        ({"mesh.data": 0}, "mesh.data is 0"),
    ],
)
def test_what_cannot_work_is_one_sentence_with_a_way_out(changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        checked(changes)
    assert "\n" not in str(error.value)


def test_batch_is_shared_equally_by_the_devices():
    checked({"data.batch_size": 8}, device_count=8)
    with pytest.raises(ValueError, match="the nearest that works is 8"):
        checked({"data.batch_size": 6}, device_count=8)


def test_micro_batches_are_shared_equally_too():
    checked({"data.batch_size": 16, "train.accumulate": 2}, device_count=8)
    sentence = "equally in train.accumulate=2 micro-batches; the nearest that works is"
    with pytest.raises(ValueError, match=f"{sentence} 16"):
        checked({"data.batch_size": 8, "train.accumulate": 2}, device_count=8)


def test_a_group_of_frozen_steps_is_one_of_the_factors():
    config = base.get_config("tiny")
    config.optimizer.frozen_steps.hed = 4
    with pytest.raises(ValueError, match="did you mean 'head'"):
        check_train.check_train(config)


def test_a_tile_of_0_is_all_there_is():
    checked({"eval.tile": (0, 0, 0), "eval.overlap": (2, 20, 20)})
    checked({"eval.tile": (0, 128, 128), "eval.tiling": "official"})


def test_devices_do_not_matter_where_nothing_is_trained():
    checked({"data.batch_size": 6}, device_count=None)


def test_mesh_of_the_devices():
    checked({"mesh.fsdp": 2, "data.batch_size": 8}, device_count=8)
    checked({"mesh.data": 4, "mesh.fsdp": 2, "data.batch_size": 8}, device_count=8)


def test_unknown_key_names_the_nearest_and_its_neighbours():
    keys = [key for key, _ in check.flat_items(base.get_config("tiny"))]
    sentence = check.unknown_key("train.step", keys)
    assert "did you mean 'train.steps'?" in sentence
    assert "train.log_every" in sentence
    assert "model.variant" not in sentence


def test_flat_items_reach_every_value():
    assert dict(check.flat_items({"a": {"b": 1, "c": {"d": (2,)}}, "e": 3})) == {
        "a.b": 1,
        "a.c.d": (2,),
        "e": 3,
    }
