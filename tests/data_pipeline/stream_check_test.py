"""Streams without a spike, and height and width taken for each other."""

from pathlib import Path

import numpy as np
import pytest

from data_pipeline import spike_dat
from data_pipeline.bayer import colour_map
from data_pipeline.records import unpack_spikes
from data_pipeline.spike_camera import simulate
from data_pipeline.spike_deblur import open_split
from data_pipeline.spike_files import open_spikes
from data_pipeline.stream_check import require_size_as_said, require_spikes


def check(path: Path, height: int, width: int, **options: str) -> None:
    require_size_as_said(path, height, width, insist="insist", **options)


def written(folder: Path, spikes: np.ndarray, *, flip: bool = True) -> Path:
    path = folder / "a.dat"
    spike_dat.write_dat(path, spikes, flip=flip)
    return path


def is_refused(path: Path, height: int, width: int) -> bool:
    try:
        check(path, height, width)
    except ValueError as error:
        assert f"looks like {width}x{height} pixels" in str(error)
        assert f"not {height}x{width}" in str(error) and "insist" in str(error)
        return True
    return False


@pytest.mark.parametrize("name", ["203_part2", "203_part3"])
def test_swapped_recordings_made_by_others(shared: Path, name: str) -> None:
    (path,) = (shared / "data" / "s_reds").glob(f"{name}*.dat")
    check(path, 250, 400)
    assert is_refused(path, 400, 250)


@pytest.mark.parametrize("shape", [(160, 250), (250, 160), (200, 250)])
def test_swapped_real_low_light(
    shared: Path, tmp_path: Path, shape: tuple[int, int]
) -> None:
    height, width = shape
    stream = open_spikes(shared / "data" / "uhsr.npz")[:]
    path = written(tmp_path, stream[:, :height, :width])
    check(path, height, width)
    assert is_refused(path, width, height)


def test_swapped_scenes_of_the_simulator(directory: str, tmp_path: Path) -> None:
    for record in (*open_split(directory, "train"), *open_split(directory, "test")):
        for flip in (True, False):
            spikes = unpack_spikes(record["spikes"], 72)
            path = written(tmp_path, spikes, flip=flip)
            check(path, 48, 72)
            assert is_refused(path, 72, 48)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_evidence(tmp_path: Path, rate: float, seed: int) -> None:
    spikes = np.random.default_rng(seed).random((40, 32, 48)) < rate
    path = written(tmp_path, spikes)
    check(path, 32, 48)
    check(path, 48, 32)


PATTERNS = {
    "dark": np.zeros((40, 64)),
    "white": np.ones((40, 64)),
    "even": np.full((40, 64), 0.4),
    "rows": np.repeat(np.random.default_rng(0).random((40, 1)), 64, axis=1),
    "columns": np.repeat(np.random.default_rng(0).random((1, 64)), 40, axis=0),
    "ramp": np.repeat(np.linspace(0, 1, 40)[:, None], 64, axis=1),
    "half": np.repeat((np.arange(40) < 20)[:, None], 64, axis=1),
    "hot": (np.arange(40 * 64) % 400 == 7).reshape(40, 64),
    "cells": np.indices((40, 64)).sum(0) % 2,
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_scene_that_stands_still_is_accepted_as_it_is(
    tmp_path: Path, name: str
) -> None:
    light = np.broadcast_to(PATTERNS[name], (60, 40, 64)).astype(np.float32)
    rng = np.random.default_rng(1)
    path = written(tmp_path, simulate(light, threshold=1, gain=1, rng=rng))
    check(path, 40, 64)


def test_colour_filters_are_no_evidence(tmp_path: Path) -> None:
    # Red all over: every other row is dark, and rows of the other order are not.
    red = colour_map("rggb", 40, 64) == 0
    light = np.broadcast_to(np.where(red, 0.9, 0.1), (60, 40, 64)).astype(np.float32)
    rng = np.random.default_rng(1)
    path = written(tmp_path, simulate(light, threshold=1, gain=1, rng=rng))
    check(path, 40, 64)


def test_what_fits_one_order_only_is_not_judged(tmp_path: Path) -> None:
    steps = np.indices((64, 32))[0] % 8 / 8
    light = np.broadcast_to(steps, (30, 64, 32)).astype(np.float32)
    spikes = simulate(light, threshold=1, gain=1, rng=np.random.default_rng(1))
    path = tmp_path / "a.dat"
    spike_dat.write_dat(path, spikes, layout="gen1")
    check(path, 64, 32, layout="gen1")
    check(written(tmp_path, np.ones((3, 8, 8), np.uint8)), 8, 8)
    check(written(tmp_path, np.ones((3, 1, 2048), np.uint8)), 1, 2048)
    check(tmp_path / "a.dat", 2048, 1)


@pytest.mark.parametrize("at", [0, 1, 617, 999])
def test_one_spike_anywhere_is_enough(tmp_path: Path, at: int) -> None:
    spikes = np.zeros((1000, 12, 20), np.uint8)
    spikes[at, 5, 7] = 1
    path = written(tmp_path, spikes)
    size = {"height": 12, "width": 20, "flip": True}
    require_spikes(open_spikes(path, **size), "a")
    np.save(tmp_path / "a.npy", spikes)
    require_spikes(open_spikes(tmp_path / "a.npy"), "a")
    spikes[at] = 0
    for dark in (written(tmp_path, spikes), tmp_path / "b.npy"):
        np.save(tmp_path / "b.npy", spikes)
        options = size if dark.suffix == ".dat" else {}
        with pytest.raises(ValueError, match="holds no spike in any of its 1000"):
            require_spikes(open_spikes(dark, **options), dark)


def test_the_header_of_a_camera_is_no_spike(tmp_path: Path) -> None:
    rows = np.zeros((5, 4, 24), np.uint8)
    rows[..., 8:] = 1  # 16 header bits after 8 pixels
    spike_dat.write_dat(tmp_path / "a.dat", rows)
    stream = open_spikes(
        tmp_path / "a.dat", height=4, width=8, flip=True, layout="gen1"
    )
    with pytest.raises(ValueError, match="holds no spike"):
        require_spikes(stream, "a.dat")


def test_spikes_are_looked_for_between_the_samples(tmp_path: Path) -> None:
    # 12 GB, of which nothing is on the disk but one byte far from every sample.
    path = tmp_path / "long.dat"
    with path.open("wb") as file:
        file.seek(1_000_000 * 12_500 - 1)
        file.write(b"\0")
        file.seek(36_000 * 12_500)
        file.write(b"\1")
    stream = open_spikes(path, height=250, width=400, flip=True)
    require_spikes(stream, "long.dat")
