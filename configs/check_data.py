"""Checks what a configuration says of the data: sets, clips, spikes, cameras."""

import math
from typing import Any

from configs.require import at, choice, require, takes_spikes

# What the cameras of data.embedded can be, as data_pipeline has them.
CAMERAS = {
    "transfer": ("gamma", "linear"),
    "sensor": ("ideal", "calibrated"),
    "cfa": ("none", "rggb", "bggr", "grbg", "gbrg"),
}
# What can become of the spikes, as data_pipeline has it.
SPIKES = {
    "representation": ("voxel", "time_surface", "raw", "tfp", "tfi", "charge"),
    "voxel.binning": ("hard", "bilinear"),
    "normalisation": ("none", "gain_match", "log", "standard", "log_standard"),
}
# Which sharp frames are restored, as data_pipeline has it.
INSTANTS = ("middle", "random")


def check_data(config: Any, smallest_size: int) -> None:
    """Raises a ValueError unless the keys of `data` go together.

    Args:
      config: the ConfigDict of a run.
      smallest_size: height and width of the smallest crop that the model takes.
    """
    _check_spikes(config)
    _check_instants(config)
    _check_clips(config.data, smallest_size)


def _check_spikes(config: Any) -> None:
    for name, choices in SPIKES.items():
        key = f"data.spikes.{name}"
        choice(key, at(config, key), choices)
    settings = config.data.spikes
    windows = settings.tfp.windows
    require(
        bool(windows)
        and all(isinstance(n, int) and n >= 1 and n % 2 == 1 for n in windows),
        f"data.spikes.tfp.windows is {windows}; it must hold odd numbers of spike "
        "frames, as in --config.data.spikes.tfp.windows='(9,25)'",
    )
    require(
        settings.dropout < 1,
        f"data.spikes.dropout is {settings.dropout}; it is a share of the spikes and "
        "must be below 1",
    )
    is_surface = settings.representation == "time_surface"
    require(
        not is_surface or settings.normalisation in ("none", "standard"),
        f"data.spikes.normalisation is {settings.normalisation!r}, which matches the "
        "gain of rates, but a time_surface holds none; take none or standard",
    )
    require(
        not settings.low_light or settings.representation in ("voxel", "raw"),
        "data.spikes.low_light corrects rates of parts of the exposure, which "
        f"data.spikes.representation={settings.representation} does not hold; take "
        "voxel or raw, or leave it off",
    )


def _check_instants(config: Any) -> None:
    """What a model needs that can be asked for any instant of an exposure."""
    data, model = config.data, config.model
    choice("data.instants", data.instants, INSTANTS)
    if data.instants == "middle":
        require(
            not model.time_code,
            "model.time_code is True, but data.instants=middle has one instant alone; "
            "take data.instants=random, or leave it out",
        )
        return
    require(
        takes_spikes(model),
        "data.instants=random asks for instants that spikes alone can tell, but the "
        "model takes none (model.fusion is none); choose a fusion, or take middle",
    )
    require(
        not model.time_code or model.fusion != "none",
        "model.time_code is True, but model.fusion is none, which has no spike "
        "encoder; choose a fusion, or leave it out",
    )
    spikes = data.spikes
    require(
        spikes.representation in ("voxel", "tfi", "charge"),
        "data.instants=random moves a window in equal parts of the exposure, which "
        f"data.spikes.representation={spikes.representation} does not have; take "
        "voxel, tfi or charge",
    )
    several = data.embedded.sharp_instants
    require(
        bool(data.sets) or several > 1,
        f"data.instants=random draws among several sharp frames of each exposure, but "
        f"data.embedded.sharp_instants is {several}; take 3 or more",
    )


def _check_clips(data: Any, smallest_size: int) -> None:
    for key, lowest, highest, words, example in (
        ("thresholds", 1, 2**10, "at least 1 and at most 1024", "(1,4)"),
        ("light", 2**-4, 1, "at least 1/16 and at most 1", "(0.25,1)"),
    ):
        factors = data.jitter[key]
        require(
            len(factors) == 2
            and all(isinstance(factor, int | float) for factor in factors)
            and lowest <= factors[0] <= factors[1] <= highest,
            f"data.jitter.{key} is {tuple(factors)}; it must be the lowest and the "
            f"highest factor, {words}, as in --config.data.jitter.{key}='{example}'",
        )
    require(
        data.crop_size >= smallest_size and data.crop_size % 8 == 0,
        f"data.crop_size is {data.crop_size}; it must be a multiple of 8 and at least "
        f"{smallest_size}, for example "
        f"{max(smallest_size, round(data.crop_size / 8) * 8)}",
    )
    require(
        data.num_frames >= 2,
        f"data.num_frames is {data.num_frames}; the model aligns neighbouring frames "
        "and needs at least 2",
    )
    require(
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
        require(
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
    require(
        embedded.train_clips >= data.batch_size,
        f"data.embedded.train_clips is {embedded.train_clips}, which is fewer than the "
        f"{data.batch_size} clips of one data.batch_size",
    )
    require(
        embedded.num_frames >= data.num_frames,
        f"data.embedded.num_frames is {embedded.num_frames}, which is shorter than a "
        f"training clip of data.num_frames={data.num_frames}",
    )
    for side in ("height", "width"):
        size = embedded[side]
        require(
            size >= data.crop_size,
            f"data.embedded.{side} is {size}, which is smaller than the training crop "
            f"of data.crop_size={data.crop_size}",
        )
        require(
            size % 8 == 0,
            f"data.embedded.{side} is {size}; it must be a multiple of 8, for example "
            f"{-(-size // 8) * 8}",
        )
    require(
        embedded.exposure >= 1 and embedded.exposure % 2 == 1,
        f"data.embedded.exposure is {embedded.exposure}; it must be odd, so that one "
        f"spike frame is its middle, for example {max(1, embedded.exposure + 1)}",
    )
    require(
        embedded.period >= embedded.exposure,
        f"data.embedded.period is {embedded.period}; it must be at least "
        f"data.embedded.exposure={embedded.exposure}, since one frame ends before the "
        "next begins",
    )
    _check_cameras(embedded)


def _check_cameras(embedded: Any) -> None:
    for name, choices in CAMERAS.items():
        choice(f"data.embedded.{name}", embedded[name], choices)
    instants, exposure = embedded.sharp_instants, embedded.exposure
    require(
        instants % 2 == 1 and instants <= exposure,
        f"data.embedded.sharp_instants is {instants}; it must be odd, so that one of "
        f"them is the middle of the exposure, and at most data.embedded.exposure="
        f"{exposure}, for example {min(instants + 1 - instants % 2, exposure)}",
    )
    require(
        embedded.sensor != "ideal" or embedded.photons == 0,
        f"data.embedded.photons is {embedded.photons}, but the ideal sensor sees none; "
        "take data.embedded.sensor=calibrated, or leave them at 0",
    )
