"""Every configuration key, its unit and default, and the recipes that size a run."""

import difflib

from ml_collections import ConfigDict

RECIPES = ("tiny", "deblur", "smoke")
CACHE = "~/.cache/vrt_spike_jax"


def get_config(recipe: str = "") -> ConfigDict:
    """Returns the unlocked defaults of one recipe.

    Args:
      recipe: `deblur`, the full model on a GPU or TPU; `tiny`, a laptop; `smoke`, a
        minute of tests; '' takes `tiny` where JAX finds only a CPU, else `deblur`.

    Raises:
      ValueError: the recipe is not known.
    """
    recipe = recipe or automatic_recipe()
    if recipe not in RECIPES:
        nearest = difflib.get_close_matches(recipe, RECIPES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"there is no recipe {recipe!r}; did you mean {nearest!r}? "
            f"The recipes are {', '.join(RECIPES)}."
        )
    config = _deblur()
    config.recipe = recipe
    if recipe != "deblur":
        _shrink_to_tiny(config)
    if recipe == "smoke":
        _shrink_to_smoke(config)
    return config


def get_fusion_config(fusion: str, recipe: str = "") -> ConfigDict:
    """Returns the defaults with one fusion, which is given the charge.

    Args:
      fusion: a name in vrt_spike_jax's FUSIONS; it names the configuration too.
      recipe: as for `get_config`.
    """
    config = get_config(recipe)
    config.name = config.model.fusion = fusion
    config.data.spikes.representation = "charge"
    config.optimizer.groups = (
        ("fusion_.*/proj/.*", "proj"),
        *config.optimizer.groups,
    )
    return config


def automatic_recipe() -> str:
    """The recipe for the hardware that JAX finds here."""
    import jax  # A named recipe is built without starting a backend.

    return "tiny" if jax.default_backend() == "cpu" else "deblur"


def _deblur() -> ConfigDict:
    """All keys, with the values of the full recipe."""
    return ConfigDict(
        {
            "name": "base",  # with the recipe, names the default work directory
            "recipe": "deblur",
            "seed": 0,  # of initialisation, data order, augmentation and dropout
            "model": {
                "variant": "deblur",  # a name in vrt_spike_jax.VARIANTS
                # none, concat, cross_attn, channel_attn or film, of spikes and frames
                "fusion": "none",
                "fusion_places": "both",  # encoder, skips or both
                # Of neighbouring frames: spynet, spikes_on_spynet or, in its place,
                # spikes.
                "alignment": "spynet",
                "time_strides": (4, 2),  # of the spike encoder, in the exposure
                # Transformer blocks along the exposure at each scale of the encoder,
                # for long streams of spikes.
                "temporal_blocks": 0,
                # Whether the fusion also sees the spikes of the neighbouring frames,
                # warped by the flows that align these.
                "aligned_spikes": False,
                # Whether the gain of rates is matched with the frames; off, they are
                # taken as they come, which holds for one threshold and light alone.
                "matches_gain": True,
                # Whether the light of spikes that fire in every spike frame is told by
                # the blurred frame.
                "fill_saturated": False,
                # Whether the encoder is told how far each rate is above the dark.
                "dark_confidence": False,
                # Whether the first layer is told Blur x TFP_short / TFP_long.
                "closed_form_input": False,
                # Whether the encoder is told the instant, where data.instants draws it.
                "time_code": False,
                "dtype": "bfloat16",  # of the computation; parameters are float32
                # Stages that the backward pass computes again: less memory, more time.
                "remat": tuple(f"stage{i}" for i in range(1, 9)),
                # Numbers that a layer's temporaries (logits, hidden features, samples)
                # hold at once; what is left of the memory are the features themselves.
                "max_chunk": 2**26,
            },
            "data": {
                "dir": f"{CACHE}/data",  # prepared data sets; ~ is the home directory
                # Data sets of data_pipeline.prepare to train on, and their weights, as
                # in (("~/data/gopro", 2.0), ("~/data/reds", 1.0)); (): the embedded.
                "sets": (),
                "spike_scale": 1,  # RGB pixels per spike pixel, each way: 1, 2 or 4
                "num_frames": 6,  # frames of a training clip
                "crop_size": 256,  # RGB pixels, height and width
                "batch_size": 8,  # clips a step, over all devices
                # Sharp frames to restore: those of the middle of each exposure, or
                # random ones of the sharp_instants: docs/latent_instants.md.
                "instants": "middle",
                "jitter": {  # what training varies beside window, crop and flips
                    "time_reversal": False,  # half of the clips run backwards
                    # Lowest and highest factor of the spike camera's, at least 1.
                    "thresholds": (1.0, 1.0),
                    # Lowest and highest factor of the light on both, at most 1.
                    "light": (1.0, 1.0),
                    "misaligned_pixels": 0,  # spike pixels off the frames, at most
                    "misaligned_frames": 0,  # spike frames off the exposure, at most
                },
                "spikes": {  # what becomes of them: docs/spike_representations.md
                    # voxel, time_surface, raw, tfp, tfi or charge, with its options
                    "representation": "voxel",
                    "voxel": {
                        "num_bins": 32,  # of one exposure
                        "binning": "hard",  # hard or bilinear
                    },
                    "time_surface": {
                        "num_instants": 16,  # of one exposure, two channels each
                        "tau": 16.0,  # spike frames in which it decays to 1 / e
                    },
                    "raw": {"num_frames": 32},  # around the middle of an exposure
                    # Odd, in spike frames around the middle of an exposure.
                    "tfp": {"windows": (3, 7, 13, 19, 25, 31, 37, 49)},
                    "tfi": {"num_instants": 32},  # of one exposure
                    "charge": {"num_bins": 32},  # of one exposure
                    "margin": 0,  # spike frames looked at beside an exposure
                    # none, gain_match, log, standard or log_standard
                    "normalisation": "none",
                    "low_light": False,  # whether the sensor's noise is suppressed
                    "dropout": 0.0,  # share of the spikes that training leaves out
                },
                "embedded": {  # the built-in data set: photographs set in motion
                    "train_clips": 512,
                    "test_clips": 8,
                    "num_frames": 12,  # frames of a clip
                    "height": 320,  # RGB pixels
                    "width": 384,  # RGB pixels
                    "exposure": 49,  # spike frames the shutter is open, odd
                    "period": 56,  # spike frames from one exposure to the next
                    "threshold": 1.0,  # accumulated light that fires a spike
                    "gain": 0.6,  # accumulated light per spike frame at white
                    "max_blur": 16.0,  # RGB pixels of camera motion in one exposure
                    "seed": 0,
                    # What both cameras are like: docs/data_preparation.md, "Cameras".
                    "transfer": "gamma",  # gamma or linear light, of blur and spikes
                    "sharp_instants": 1,  # sharp frames of each exposure, odd
                    "rgb_gain": 1.0,  # brightness of the frames; white saturates
                    "read_noise": 0.0,  # of the blurred frames, in 255ths of white
                    "sensor": "ideal",  # ideal or calibrated, of the spikes
                    "photons": 0.0,  # a spike frame at white; 0: no shot noise
                    "threshold_spread": 1.0,  # factor that a clip's is off, at most
                    "light_spread": 1.0,  # likewise, of the light on the spikes
                    "cfa": "none",  # colour filters of the spikes: none, rggb, ...
                },
            },
            # Each counts `weight` times, from `start_step` on: docs/losses.md.
            "loss": {
                # epsilon in units of white: from there down, it is quadratic.
                "charbonnier": {"weight": 1.0, "start_step": 0, "epsilon": 1e-3},
                "l1": {"weight": 0.0, "start_step": 0},
                "perceptual": {
                    "weight": 0.0,
                    "start_step": 0,
                    "path": "",  # of torchvision's VGG-19, vgg19-dcbb9e9d.pth
                    "layers": (  # and what the distance of their features weighs
                        ("conv1_2", 0.1),
                        ("conv2_2", 0.1),
                        ("conv3_4", 1.0),
                        ("conv4_4", 1.0),
                        ("conv5_4", 1.0),
                    ),
                },
                "ms_ssim": {"weight": 0.0, "start_step": 0},
                # relative: to what the sharp frames change along their motion.
                "temporal": {"weight": 0.0, "start_step": 0, "relative": True},
                "tof": {"weight": 0.0, "start_step": 0},
                # boost: what the highest frequency weighs more than the mean's 1.
                "frequency": {"weight": 0.0, "start_step": 0, "boost": 1.0},
                "focal_frequency": {
                    "weight": 9.0,  # worth 1 dB in the study of docs/losses.md
                    "start_step": 0,
                    "alpha": 1.0,  # how far hard frequencies are preferred
                    "boost": 0.0,
                },
                "reblur": {"weight": 0.0, "start_step": 0},
                "spike_rate": {"weight": 0.0, "start_step": 0},
                "sobel": {"weight": 0.0, "start_step": 0},
                "laplacian": {"weight": 0.0, "start_step": 0},
                # The discriminator that learns beside the model.
                "adversarial": {
                    "weight": 0.0,
                    "start_step": 0,
                    "warmup_steps": 500,  # that it learns alone before start_step
                    "form": "hinge",  # hinge or relativistic
                    "r1_weight": 1.0,  # of the penalty on its slope at sharp clips
                    "width": 32,  # channels of its first layer
                    "dtype": "bfloat16",  # of its computation, but for the penalty
                    "learning_rate": 1e-4,  # of its own Adam, constant
                    "b1": 0.0,
                    "b2": 0.99,
                },
                # Spike frames around the sharp instant, of reblur and spike_rate.
                "tfp_window": 25,
            },
            "optimizer": {
                "learning_rate": 4e-4,  # at the peak of the schedule
                # Steps of rise to the peak; again, of what begins to train later.
                "warmup_steps": 1000,
                "schedule": "cosine",  # cosine, one_cycle or constant
                "start_factor": 0.04,  # first / peak learning rate, of one_cycle
                "end_factor": 0.01,  # last learning rate / peak learning rate
                "weight_decay": 1e-4,  # of matrices and kernels alone
                "b1": 0.9,
                "b2": 0.99,
                "grad_clip_norm": 1.0,  # global norm over all trained parameters
                # (regular expression, group): the first that matches the whole name of
                # a parameter decides; the group 'frozen' is not trained.
                "groups": (
                    ("(.*/)?(spynet|pa_deform)/.*", "flow"),
                    (".*", "main"),
                ),
                # Learning rate of a group / learning_rate.
                "factors": {"main": 1.0, "flow": 0.125, "proj": 10.0, "head": 0.01},
                # Steps for which a group is frozen at first: docs/training.md.
                "frozen_steps": {"main": 0, "flow": 0, "proj": 0, "head": 0},
            },
            "train": {
                "steps": 300_000,
                # Weights to begin with: a .pth file of the official VRT or of SpyNet,
                # or a work directory; '': random ones.
                "pretrained": "",
                # Micro-batches that data.batch_size is taken in, one after the other.
                "accumulate": 1,
                # Of the averages of the parameters, such as 0.999; 0: none are kept.
                "ema_decay": 0.0,
                "log_every": 100,  # steps
                "checkpoint_every": 1000,  # steps
                "keep_checkpoints": 3,  # newest ones, beside the best of eval_every
                # Steps from one PSNR of the held-out clips to the next; 0: none.
                "eval_every": 5000,
                "picture_every": 5000,  # steps; 0: no pictures
            },
            "eval": {
                "ema": True,  # whether the averages are taken, where they were kept
                "tile": (12, 256, 256),  # frames, height, width at once; 0: all
                "overlap": (2, 32, 32),  # frames, height, width shared by tiles
                "tiling": "blended",  # blended, or official: the public code's, seams
                "tfp_window": 25,  # spike frames of the closed form's sharp light
                # What is measured, psnr and ssim at least: docs/evaluation.md.
                "metrics": ("psnr", "ssim", "psnr_moving", "ssim_moving"),
                # Files of lpips and tlp: torchvision's AlexNet, and its linear layers.
                "lpips_alex": (),
                "lpips_vgg": (),  # of lpips_vgg: torchvision's VGG-16, likewise
            },
            "mesh": {
                "data": -1,  # devices that share the batch; -1: all that are left
                "fsdp": 1,  # devices that share each parameter (and the batch)
            },
        }
    )


def _shrink_to_tiny(config: ConfigDict) -> None:
    """A model and a data set that two CPU cores train in minutes."""
    config.model.update(variant="tiny", dtype="float32", remat=())
    # Crops fit into one chunk, so that the backward pass computes nothing again.
    config.model.max_chunk = 2**22
    config.loss.adversarial.update(width=16, dtype="float32")
    config.data.update(num_frames=3, crop_size=48, batch_size=2)
    config.data.embedded.update(
        train_clips=48, test_clips=4, num_frames=6, height=128, width=160, max_blur=12.0
    )
    config.optimizer.update(
        learning_rate=3e-3,
        warmup_steps=20,
        # From scratch the flow has to be learnt as fast as the rest. The last layer
        # keeps its first values until the fusions have learnt through them: faster, it
        # first silences all features, and what the spikes say with them.
        groups=(("(.*/)?conv_last/.*", "head"), (".*", "main")),
    )
    config.train.update(steps=280, log_every=10, checkpoint_every=40, picture_every=140)
    config.train.eval_every = 0
    config.eval.update(tile=(6, 128, 160), overlap=(2, 32, 32))


def _shrink_to_smoke(config: ConfigDict) -> None:
    """The tiny recipe, cut to what shows that every part runs."""
    config.data.update(num_frames=2, batch_size=1)
    config.data.embedded.update(
        train_clips=3, test_clips=1, num_frames=3, height=72, width=80
    )
    config.optimizer.warmup_steps = 2
    config.train.update(steps=6, log_every=2, checkpoint_every=2, picture_every=4)
    config.eval.update(tile=(3, 72, 80), overlap=(1, 8, 8))
