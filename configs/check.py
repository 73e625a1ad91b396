"""Checks a configuration as a whole, before anything expensive starts."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from configs.check_data import check_data
from configs.check_loss import check_loss
from configs.check_train import check_train
from configs.require import at, choice, require, takes_spikes

DTYPES = ("float32", "bfloat16")
TILINGS = ("blended", "official")
# Where spikes are fused, as vrt_spike_jax has it.
FUSION_PLACES = ("encoder", "skips", "both")
# What aligns neighbouring frames, as vrt_spike_jax has it.
ALIGNMENTS = ("spynet", "spikes_on_spynet", "spikes")
# What an evaluation can measure, as vrt_spike_jax has it.
METRICS = (
    *("psnr", "ssim", "psnr_moving", "ssim_moving", "psnr_y", "ssim_y"),
    *("ssim_volumetric", "ms_ssim", "lpips", "lpips_vgg", "hf_psnr", "edge_psnr"),
    *("tof", "tlp", "e_warp", "e_warp_sharp"),
)

# Smallest value of each number; every number of a configuration stands in one table.
_AT_LEAST = {
    "seed": 0,
    "data.spikes.voxel.num_bins": 1,
    "data.spikes.time_surface.num_instants": 1,
    "data.spikes.raw.num_frames": 32,
    "data.spikes.tfi.num_instants": 1,
    "data.spikes.charge.num_bins": 1,
    "data.spikes.margin": 0,
    "data.spikes.dropout": 0,
    "data.batch_size": 1,
    "data.jitter.misaligned_pixels": 0,
    "data.jitter.misaligned_frames": 0,
    "data.embedded.train_clips": 1,
    "data.embedded.test_clips": 1,
    "data.embedded.period": 1,
    "data.embedded.seed": 0,
    "data.embedded.sharp_instants": 1,
    "data.embedded.read_noise": 0,
    "data.embedded.photons": 0,
    "data.embedded.threshold_spread": 1,
    "data.embedded.light_spread": 1,
    "optimizer.warmup_steps": 0,
    "optimizer.start_factor": 0,
    "optimizer.end_factor": 0,
    "optimizer.weight_decay": 0,
    "optimizer.b1": 0,
    "optimizer.b2": 0,
    "train.steps": 1,
    "train.accumulate": 1,
    "train.ema_decay": 0,
    "model.max_chunk": 1,
    "model.temporal_blocks": 0,
    "train.log_every": 1,
    "train.checkpoint_every": 1,
    "train.keep_checkpoints": 1,
    "train.picture_every": 0,
    "train.eval_every": 0,
    "eval.tfp_window": 1,
    "mesh.fsdp": 1,
}
_ABOVE_ZERO = (
    "data.spikes.time_surface.tau",
    "optimizer.learning_rate",
    "optimizer.grad_clip_norm",
    "data.embedded.threshold",
    "data.embedded.gain",
    "data.embedded.max_blur",
    "data.embedded.rgb_gain",
)
_SEEDS = ("seed", "data.embedded.seed")


def check(
    config: Any,
    *,
    variants: Mapping[str, int],
    fusions: Sequence[str],
    stages: Sequence[str],
    device_count: int | None,
    process_count: int = 1,
) -> None:
    """Raises ValueError with one sentence for the first thing that cannot work.

    Args:
      config: the ConfigDict of a run.
      variants: the models there are, each with its smallest height and width.
      fusions: names of the fusions there are, `none` among them.
      stages: names that model.remat may hold.
      device_count: devices of all processes together; None where nothing is trained.
      process_count: processes that share the run.
    """
    choice("model.variant", config.model.variant, tuple(variants))
    smallest_size = variants[config.model.variant]
    choice("model.fusion", config.model.fusion, fusions)
    choice("model.fusion_places", config.model.fusion_places, FUSION_PLACES)
    choice("model.alignment", config.model.alignment, ALIGNMENTS)
    for stage in config.model.remat:
        require(
            isinstance(stage, str) and "," not in stage,
            f"model.remat holds {stage!r}; it must hold names of stages, as in "
            "--config.model.remat=\"('stage1','stage2')\"",
        )
        choice("a stage in model.remat", stage, stages)
    choice("model.dtype", config.model.dtype, DTYPES)
    choice("eval.tiling", config.eval.tiling, TILINGS)
    for key, smallest in _AT_LEAST.items():
        value = at(config, key)
        require(value >= smallest, f"{key} is {value}; it must be at least {smallest}")
    for key in _ABOVE_ZERO:
        value = at(config, key)
        require(value > 0, f"{key} is {value}; it must be above 0")
    for key in _SEEDS:
        value = at(config, key)
        # Generators take 32 bits: of a larger seed the rest would be dropped.
        require(value < 2**32, f"{key} is {value}; it must be below {2**32}")
    _check_spike_options(config.model, config.data)
    check_data(config, smallest_size)
    check_loss(config)
    check_train(config)
    exposure = None if config.data.sets else config.data.embedded.exposure
    _check_evaluation(config.eval, smallest_size, exposure)
    _check_metrics(config.eval)
    if device_count is not None:
        _check_devices(config, device_count, process_count)


def unknown_key(key: str, keys: Sequence[str]) -> str:
    """One sentence for a configuration key that does not exist."""
    matches = difflib.get_close_matches(key, keys, n=1, cutoff=0.0)
    group = key.rpartition(".")[0]
    siblings = [k for k in keys if k.rpartition(".")[0] == group and group]
    listed = f" The keys of {group} are {', '.join(siblings)}." if siblings else ""
    return f"there is no config key {key!r}; did you mean {matches[0]!r}?{listed}"


def flat_items(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields ('optimizer.learning_rate', value) for every key that holds a value."""
    for key, value in config.items():
        if hasattr(value, "items"):
            for name, leaf in flat_items(value):
                yield f"{key}.{name}", leaf
        else:
            yield key, value


def _check_spike_options(model: Any, data: Any) -> None:
    """What of the encoder and the inputs from spikes goes together."""
    spikes = data.spikes
    strides = model.time_strides
    require(
        bool(strides) and all(isinstance(n, int) and n >= 1 for n in strides),
        f"model.time_strides is {strides}; it must hold whole numbers of at least 1, "
        "as in --config.model.time_strides='(4,2)'",
    )
    for key in ("temporal_blocks", "dark_confidence", "aligned_spikes"):
        require(
            not model[key] or model.fusion != "none",
            f"model.{key} is {model[key]}, but model.fusion is none, which has no "
            "spike encoder; choose a fusion, or leave it out",
        )
    is_rate = spikes.representation != "time_surface" and spikes.normalisation == "none"
    require(
        not model.dark_confidence or (is_rate and not spikes.low_light),
        "model.dark_confidence compares rates with that of the dark, so it needs a "
        "data.spikes.representation of rates, data.spikes.normalisation=none, and "
        "data.spikes.low_light=False, which brings a confidence of its own",
    )
    for key, usual in (("fill_saturated", False), ("matches_gain", True)):
        require(
            model[key] == usual or takes_spikes(model),
            f"model.{key} is {model[key]}, but the model takes no spikes (model.fusion "
            "is none); choose a fusion, or leave it out",
        )
    require(
        model.matches_gain or spikes.normalisation == "none",
        f"model.matches_gain is False, but data.spikes.normalisation is "
        f"{spikes.normalisation!r}, which brings the gain match itself or none; it is "
        "for normalisation=none alone",
    )
    require(
        not model.fill_saturated
        or (
            spikes.representation in ("voxel", "charge")
            and (spikes.representation != "voxel" or spikes.voxel.binning == "hard")
            and spikes.normalisation == "none"
            and model.matches_gain
        ),
        "model.fill_saturated shares the light of the blurred frame among parts of the "
        "exposure, so it needs data.spikes.representation=charge or hard voxel bins, "
        "data.spikes.normalisation=none, and model.matches_gain",
    )
    require(
        not model.fill_saturated
        or bool(data.sets)
        or data.embedded.transfer == "gamma",
        "model.fill_saturated takes the light of the frames for that of the spikes, "
        "which data.embedded.transfer=linear tells apart; take gamma, or leave it out",
    )
    is_light = spikes.normalisation == "gain_match" or (
        spikes.normalisation == "none" and model.matches_gain
    )
    require(
        not model.closed_form_input
        or (spikes.representation in ("voxel", "charge") and is_light),
        "model.closed_form_input compares the light of parts of the exposure, so it "
        "needs data.spikes.representation=charge or voxel, and "
        "data.spikes.normalisation=none with model.matches_gain, or gain_match",
    )


def _check_evaluation(settings: Any, smallest_size: int, exposure: int | None) -> None:
    tile, overlap = settings.tile, settings.overlap
    window = settings.tfp_window
    require(
        window % 2 == 1,
        f"eval.tfp_window is {window}; it must be odd, so that one spike "
        f"frame is its middle, for example {window + 1}",
    )
    require(
        exposure is None or window <= exposure,
        f"eval.tfp_window is {window}; it must be at most "
        f"data.embedded.exposure={exposure}, of which it is a part",
    )
    for key, value in (("eval.tile", tile), ("eval.overlap", overlap)):
        require(
            len(value) == 3 and all(isinstance(v, int) for v in value),
            f"{key} is {value!r}; it must be three whole numbers: frames, height, "
            "width",
        )
    require(
        (tile[0] == 0 or tile[0] >= 2)
        and all(
            size == 0 or (size >= smallest_size and size % 8 == 0) for size in tile[1:]
        ),
        f"eval.tile is {tuple(tile)}; it must be at least 2 frames, and a height and "
        f"width that are multiples of 8 and at least {smallest_size}, or 0 for all",
    )
    require(
        all(
            t == 0 or 0 <= o <= t - new
            for o, t, new in zip(overlap, tile, (1, 8, 8), strict=True)
        ),
        f"eval.overlap is {tuple(overlap)}; each number must be at least 0, and less "
        f"than that of eval.tile={tuple(tile)} by 1 frame and 8 pixels at least",
    )
    require(
        settings.tiling != "official"
        or (tile[1] == tile[2] and overlap[1] == overlap[2]),
        f"eval.tiling is 'official', which has square patches, but eval.tile is "
        f"{tuple(tile)} and eval.overlap {tuple(overlap)}; make height and width of "
        "each equal",
    )


def _check_metrics(settings: Any) -> None:
    example = "as in --config.eval.metrics=\"('psnr','ssim','e_warp')\""
    for name in settings.metrics:
        require(
            isinstance(name, str) and "," not in name,
            f"eval.metrics holds {name!r}; it must hold names, {example}",
        )
        choice("a metric in eval.metrics", name, METRICS)
    missing = [name for name in ("psnr", "ssim") if name not in settings.metrics]
    require(
        not missing,
        f"eval.metrics lacks {' and '.join(missing)}, which every table has; add to "
        f"them, {example}",
    )
    for key in ("lpips_alex", "lpips_vgg"):
        files = settings[key]
        require(
            len(files) in (0, 2) and all(isinstance(file, str) for file in files),
            f"eval.{key} is {tuple(files)}; it must be two files, the network and its "
            f"linear layers, as in --config.eval.{key}=\"('network.pth','alex.pth')\"",
        )


def _check_devices(config: Any, device_count: int, process_count: int) -> None:
    data, fsdp = config.mesh.data, config.mesh.fsdp
    require(
        data == -1 or data >= 1,
        f"mesh.data is {data}; it must be -1 (all devices that are left) or at least 1",
    )
    fits = device_count % fsdp == 0 if data == -1 else data * fsdp == device_count
    require(
        fits,
        f"mesh.data={data} times mesh.fsdp={fsdp} does not make the {device_count} "
        "device(s) found; leave mesh.data at -1 and give mesh.fsdp a divisor of "
        f"{device_count}",
    )
    batch, parts = config.data.batch_size, config.train.accumulate
    smallest = device_count * parts
    in_parts = f" in train.accumulate={parts} micro-batches" if parts > 1 else ""
    require(
        batch % smallest == 0,
        f"data.batch_size is {batch}, which {device_count} devices cannot share "
        f"equally{in_parts}; the nearest that works is "
        f"{max(1, round(batch / smallest)) * smallest}",
    )
    require(
        batch % process_count == 0,
        f"data.batch_size is {batch}, which {process_count} processes cannot share "
        "equally",
    )
