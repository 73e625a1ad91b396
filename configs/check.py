"""Checks a configuration as a whole, before anything expensive starts."""

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

DTYPES = ("float32", "bfloat16")
SCHEDULES = ("cosine", "constant")
TILINGS = ("blended", "official")
# Where spikes are fused, as vrt_spike_jax has it.
FUSION_PLACES = ("encoder", "skips", "both")
# What the cameras of data.embedded can be, as data_pipeline has them.
CAMERAS = {
    "transfer": ("gamma", "linear"),
    "sensor": ("ideal", "calibrated"),
    "cfa": ("none", "rggb", "bggr", "grbg", "gbrg"),
}
# What can become of the spikes, as data_pipeline has it.
SPIKES = {
    "representation": ("voxel", "time_surface", "raw", "tfp", "tfi"),
    "voxel.binning": ("hard", "bilinear"),
    "normalisation": ("none", "gain_match", "log", "standard", "log_standard"),
}
FROZEN = "frozen"

# Smallest value of each number; every number of a configuration stands in one table.
_AT_LEAST = {
    "seed": 0,
    "data.spikes.voxel.num_bins": 1,
    "data.spikes.time_surface.num_instants": 1,
    "data.spikes.raw.num_frames": 32,
    "data.spikes.tfi.num_instants": 1,
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
    "optimizer.end_factor": 0,
    "optimizer.weight_decay": 0,
    "optimizer.b1": 0,
    "optimizer.b2": 0,
    "train.steps": 1,
    "model.max_chunk": 1,
    "model.temporal_blocks": 0,
    "train.log_every": 1,
    "train.checkpoint_every": 1,
    "train.keep_checkpoints": 1,
    "train.picture_every": 0,
    "eval.tfp_short_window": 1,
    "mesh.fsdp": 1,
}
_ABOVE_ZERO = (
    "data.spikes.time_surface.tau",
    "loss.epsilon",
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
    _choice("model.variant", config.model.variant, tuple(variants))
    smallest_size = variants[config.model.variant]
    _choice("model.fusion", config.model.fusion, fusions)
    _choice("model.fusion_places", config.model.fusion_places, FUSION_PLACES)
    for stage in config.model.remat:
        _require(
            isinstance(stage, str) and "," not in stage,
            f"model.remat holds {stage!r}; it must hold names of stages, as in "
            "--config.model.remat=\"('stage1','stage2')\"",
        )
        _choice("a stage in model.remat", stage, stages)
    _choice("model.dtype", config.model.dtype, DTYPES)
    _choice("optimizer.schedule", config.optimizer.schedule, SCHEDULES)
    _choice("eval.tiling", config.eval.tiling, TILINGS)
    for key, smallest in _AT_LEAST.items():
        value = _at(config, key)
        _require(value >= smallest, f"{key} is {value}; it must be at least {smallest}")
    for key in _ABOVE_ZERO:
        value = _at(config, key)
        _require(value > 0, f"{key} is {value}; it must be above 0")
    for key in _SEEDS:
        value = _at(config, key)
        # Generators take 32 bits: of a larger seed the rest would be dropped.
        _require(value < 2**32, f"{key} is {value}; it must be below {2**32}")
    _check_spikes(config)
    _check_spike_options(config.model, config.data.spikes)
    _check_clips(config.data, smallest_size)
    _check_optimizer(config.optimizer, config.train.steps)
    exposure = None if config.data.sets else config.data.embedded.exposure
    _check_evaluation(config.eval, smallest_size, exposure)
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


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def _require(fulfilled: bool, sentence: str) -> None:
    if not fulfilled:
        raise ValueError(f"{sentence}.")


def _choice(key: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        folded = {choice.casefold(): choice for choice in choices}
        near = difflib.get_close_matches(value.casefold(), folded, n=1, cutoff=0.0)
        nearest = folded[near[0]]
        raise ValueError(
            f"{key} is {value!r}; did you mean {nearest!r}? "
            f"The choices are {', '.join(choices)}."
        )


def _check_spikes(config: Any) -> None:
    for name, choices in SPIKES.items():
        key = f"data.spikes.{name}"
        _choice(key, _at(config, key), choices)
    settings = config.data.spikes
    windows = settings.tfp.windows
    _require(
        bool(windows)
        and all(isinstance(n, int) and n >= 1 and n % 2 == 1 for n in windows),
        f"data.spikes.tfp.windows is {windows}; it must hold odd numbers of spike "
        "frames, as in --config.data.spikes.tfp.windows='(9,25)'",
    )
    _require(
        settings.dropout < 1,
        f"data.spikes.dropout is {settings.dropout}; it is a share of the spikes and "
        "must be below 1",
    )
    is_surface = settings.representation == "time_surface"
    _require(
        not is_surface or settings.normalisation in ("none", "standard"),
        f"data.spikes.normalisation is {settings.normalisation!r}, which matches the "
        "gain of rates, but a time_surface holds none; take none or standard",
    )
    _require(
        not settings.low_light or settings.representation in ("voxel", "raw"),
        "data.spikes.low_light corrects rates of parts of the exposure, which "
        f"data.spikes.representation={settings.representation} does not hold; take "
        "voxel or raw, or leave it off",
    )


def _check_spike_options(model: Any, spikes: Any) -> None:
    """What of the encoder and the inputs from spikes goes together."""
    strides = model.time_strides
    _require(
        bool(strides) and all(isinstance(n, int) and n >= 1 for n in strides),
        f"model.time_strides is {strides}; it must hold whole numbers of at least 1, "
        "as in --config.model.time_strides='(4,2)'",
    )
    for key in ("temporal_blocks", "dark_confidence"):
        _require(
            not model[key] or model.fusion != "none",
            f"model.{key} is {model[key]}, but model.fusion is none, which has no "
            "spike encoder; choose a fusion, or leave it out",
        )
    is_rate = spikes.representation != "time_surface" and spikes.normalisation == "none"
    _require(
        not model.dark_confidence or (is_rate and not spikes.low_light),
        "model.dark_confidence compares rates with that of the dark, so it needs a "
        "data.spikes.representation of rates, data.spikes.normalisation=none, and "
        "data.spikes.low_light=False, which brings a confidence of its own",
    )
    is_light = spikes.normalisation in ("none", "gain_match")
    _require(
        not model.closed_form_input
        or (spikes.representation == "voxel" and is_light and spikes.margin == 0),
        "model.closed_form_input compares the light of parts of the exposure, so it "
        "needs data.spikes.representation=voxel, data.spikes.normalisation=none or "
        "gain_match, and data.spikes.margin=0",
    )


def _check_clips(data: Any, smallest_size: int) -> None:
    thresholds = data.jitter.thresholds
    _require(
        len(thresholds) == 2
        and all(isinstance(factor, int | float) for factor in thresholds)
        and 1 <= thresholds[0] <= thresholds[1],
        f"data.jitter.thresholds is {tuple(thresholds)}; it must be the lowest and the "
        "highest factor, at least 1, as in --config.data.jitter.thresholds='(1,4)'",
    )
    _require(
        data.crop_size >= smallest_size and data.crop_size % 8 == 0,
        f"data.crop_size is {data.crop_size}; it must be a multiple of 8 and at least "
        f"{smallest_size}, for example "
        f"{max(smallest_size, round(data.crop_size / 8) * 8)}",
    )
    _require(
        data.num_frames >= 2,
        f"data.num_frames is {data.num_frames}; the model aligns neighbouring frames "
        "and needs at least 2",
    )
    _require(
        data.spike_scale in (1, 2, 4),
        f"data.spike_scale is {data.spike_scale}; it must be 1, 2 or 4",
    )
    if data.sets:
        _check_sets(data.sets)
    else:
        _check_embedded(data)


def _check_sets(sets: Any) -> None:
    example = "--config.data.sets=\"(('~/data/gopro', 2.0), ('~/data/reds', 1.0))\""
    for entry in sets:
        _require(
            isinstance(entry, tuple | list)
            and len(entry) == 2
            and isinstance(entry[0], str)
            and isinstance(entry[1], int | float)
            and not isinstance(entry[1], bool)
            and 0 < entry[1] < math.inf,
            f"data.sets holds {entry!r}; each entry must be (directory of a data set, "
            f"weight above 0), as in {example}; mind the comma behind a single one",
        )


def _check_embedded(data: Any) -> None:
    embedded = data.embedded
    _require(
        embedded.train_clips >= data.batch_size,
        f"data.embedded.train_clips is {embedded.train_clips}, which is fewer than the "
        f"{data.batch_size} clips of one data.batch_size",
    )
    _require(
        embedded.num_frames >= data.num_frames,
        f"data.embedded.num_frames is {embedded.num_frames}, which is shorter than a "
        f"training clip of data.num_frames={data.num_frames}",
    )
    for side in ("height", "width"):
        size = embedded[side]
        _require(
            size >= data.crop_size,
            f"data.embedded.{side} is {size}, which is smaller than the training crop "
            f"of data.crop_size={data.crop_size}",
        )
        _require(
            size % 8 == 0,
            f"data.embedded.{side} is {size}; it must be a multiple of 8, for example "
            f"{-(-size // 8) * 8}",
        )
    _require(
        embedded.exposure >= 1 and embedded.exposure % 2 == 1,
        f"data.embedded.exposure is {embedded.exposure}; it must be odd, so that one "
        f"spike frame is its middle, for example {max(1, embedded.exposure + 1)}",
    )
    _require(
        embedded.period >= embedded.exposure,
        f"data.embedded.period is {embedded.period}; it must be at least "
        f"data.embedded.exposure={embedded.exposure}, since one frame ends before the "
        "next begins",
    )
    _check_cameras(embedded)


def _check_cameras(embedded: Any) -> None:
    for name, choices in CAMERAS.items():
        _choice(f"data.embedded.{name}", embedded[name], choices)
    instants, exposure = embedded.sharp_instants, embedded.exposure
    _require(
        instants % 2 == 1 and instants <= exposure,
        f"data.embedded.sharp_instants is {instants}; it must be odd, so that one of "
        f"them is the middle of the exposure, and at most data.embedded.exposure="
        f"{exposure}, for example {min(instants + 1 - instants % 2, exposure)}",
    )
    _require(
        embedded.sensor != "ideal" or embedded.photons == 0,
        f"data.embedded.photons is {embedded.photons}, but the ideal sensor sees none; "
        "take data.embedded.sensor=calibrated, or leave them at 0",
    )


def _check_optimizer(optimizer: Any, steps: int) -> None:
    _require(
        optimizer.warmup_steps < steps,
        f"optimizer.warmup_steps is {optimizer.warmup_steps}; it must be less than "
        f"train.steps={steps}",
    )
    _require(
        optimizer.end_factor <= 1,
        f"optimizer.end_factor is {optimizer.end_factor}; it must be at most 1",
    )
    for key in ("b1", "b2"):
        _require(
            optimizer[key] < 1,
            f"optimizer.{key} is {optimizer[key]}; it must be less than 1",
        )
    trained = 0
    for entry in optimizer.groups:
        _require(
            isinstance(entry, tuple | list)
            and len(entry) == 2
            and all(isinstance(part, str) for part in entry),
            f"optimizer.groups holds {entry!r}; each entry must be (regular "
            "expression, group)",
        )
        pattern, group = entry
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"optimizer.groups holds {pattern!r}, which is no regular expression: "
                f"{error}."
            ) from error
        if group != FROZEN:
            trained += 1
            _choice(
                "the group in optimizer.groups", group, [*optimizer.factors, FROZEN]
            )
    _require(
        trained > 0, "optimizer.groups freezes every parameter; nothing would train"
    )
    for group, factor in optimizer.factors.items():
        _require(
            factor > 0,
            f"optimizer.factors.{group} is {factor}; it must be above 0 (the group "
            f"{FROZEN!r} is for parameters that are not trained)",
        )


def _check_evaluation(settings: Any, smallest_size: int, exposure: int | None) -> None:
    tile, overlap = settings.tile, settings.overlap
    window = settings.tfp_short_window
    _require(
        window % 2 == 1,
        f"eval.tfp_short_window is {window}; it must be odd, so that one spike "
        f"frame is its middle, for example {window + 1}",
    )
    _require(
        exposure is None or window <= exposure,
        f"eval.tfp_short_window is {window}; it must be at most "
        f"data.embedded.exposure={exposure}, of which it is a part",
    )
    for key, value in (("eval.tile", tile), ("eval.overlap", overlap)):
        _require(
            len(value) == 3 and all(isinstance(v, int) for v in value),
            f"{key} is {value!r}; it must be three whole numbers: frames, height, "
            "width",
        )
    _require(
        (tile[0] == 0 or tile[0] >= 2)
        and all(
            size == 0 or (size >= smallest_size and size % 8 == 0) for size in tile[1:]
        ),
        f"eval.tile is {tuple(tile)}; it must be at least 2 frames, and a height and "
        f"width that are multiples of 8 and at least {smallest_size}, or 0 for all",
    )
    _require(
        all(
            t == 0 or 0 <= o <= t - new
            for o, t, new in zip(overlap, tile, (1, 8, 8), strict=True)
        ),
        f"eval.overlap is {tuple(overlap)}; each number must be at least 0, and less "
        f"than that of eval.tile={tuple(tile)} by 1 frame and 8 pixels at least",
    )
    _require(
        settings.tiling != "official"
        or (tile[1] == tile[2] and overlap[1] == overlap[2]),
        f"eval.tiling is 'official', which has square patches, but eval.tile is "
        f"{tuple(tile)} and eval.overlap {tuple(overlap)}; make height and width of "
        "each equal",
    )


def _check_devices(config: Any, device_count: int, process_count: int) -> None:
    data, fsdp = config.mesh.data, config.mesh.fsdp
    _require(
        data == -1 or data >= 1,
        f"mesh.data is {data}; it must be -1 (all devices that are left) or at least 1",
    )
    fits = device_count % fsdp == 0 if data == -1 else data * fsdp == device_count
    _require(
        fits,
        f"mesh.data={data} times mesh.fsdp={fsdp} does not make the {device_count} "
        "device(s) found; leave mesh.data at -1 and give mesh.fsdp a divisor of "
        f"{device_count}",
    )
    batch = config.data.batch_size
    _require(
        batch % device_count == 0,
        f"data.batch_size is {batch}, which {device_count} devices cannot share "
        f"equally; the nearest that works is "
        f"{max(1, round(batch / device_count)) * device_count}",
    )
    _require(
        batch % process_count == 0,
        f"data.batch_size is {batch}, which {process_count} processes cannot share "
        "equally",
    )
