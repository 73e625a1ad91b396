"""Loading a recording: the right spikes for each frame, and errors with the flags."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from data_pipeline import spike_dat, spike_sidecar
from data_pipeline.recording import Recording, load_spikes
from data_pipeline.representations import voxel_grid
from data_pipeline.spike_camera import simulate
from data_pipeline.spike_input import SpikeInput

VOXELS = SpikeInput("voxel", {"num_bins": 4})
LIGHT = SpikeInput("voxel", {"num_bins": 4}, normalisation="log")
EXPOSURE = [[2.0, 11.0], [14.0, 23.0], [26.5, 34.25]]


@pytest.fixture
def spikes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (40, 6, 10), np.uint8)


@pytest.fixture
def dat(tmp_path: Path, spikes: np.ndarray) -> Path:
    path = tmp_path / "a.dat"
    spike_dat.write_dat(path, spikes, flip=True)
    return path


def describe(dat: Path, **changes: Any) -> None:
    facts = {
        "height": 6,
        "width": 10,
        "flip": True,
        "spike_rate": 1000.0,
        "threshold": 1.0,
        "gain": 1.0,
        "spike_scale": 2,
        "exposure": EXPOSURE,
    }
    spike_sidecar.write_sidecar(dat, facts | changes)


def load(dat: Path, **options: Any) -> np.ndarray:
    arguments = {"num_frames": 3, "height": 12, "width": 20, "spike_input": VOXELS}
    return load_spikes(dat, **(arguments | options))


def test_each_frame_gets_the_bins_of_its_own_exposure(
    dat: Path, spikes: np.ndarray
) -> None:
    describe(dat)
    grids = load(dat)
    assert grids.shape == (3, 4, 6, 10)
    assert grids.dtype == np.float32
    for grid, (start, end) in zip(grids, EXPOSURE, strict=True):
        expected = voxel_grid(spikes, 4, start=start, end=end)
        np.testing.assert_allclose(grid, expected, rtol=1e-5, atol=1e-6)


def test_arguments_alone_are_enough_and_must_not_contradict_the_sidecar(
    dat: Path, spikes: np.ndarray
) -> None:
    arguments = {
        "spike_height": 6,
        "spike_width": 10,
        "flip": True,
        "exposure": (1, 5, 7),
    }
    grids = load(dat, **arguments)
    np.testing.assert_allclose(grids[1], voxel_grid(spikes[8:13], 4), rtol=1e-5)
    describe(dat, flip=False)
    turned = load(dat, exposure=(1, 5, 7))  # exposures may be others
    np.testing.assert_allclose(turned[:, :, ::-1], grids)
    with pytest.raises(ValueError, match="says flip False, but True was given"):
        load(dat, flip=True)


def test_without_a_sidecar_the_missing_flags_are_named(dat: Path) -> None:
    with pytest.raises(
        ValueError, match="no a.json .*--spike_width, --spike_flip .*--exposure="
    ):
        load(dat, spike_height=6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 4}, "lists 3 exposures, but the video has 4 frames"),
        ({"height": 13}, "must be 1, 2 or 4 times"),
        ({"height": 18, "width": 30}, "must be 1, 2 or 4 times"),
        ({"exposure": (0, 9, 16)}, r"holds 40 spike frames.* 3 video .*ends at 41"),
        ({"exposure": (0, 9, 8)}, "between 1 and the period"),
        ({"spike_height": 10, "spike_width": 6}, "height 6, but 10 was given"),
        (
            {"spike_height": 7, "spike_width": 10, "height": 7, "width": 10},
            "says height 6, but 7 was given",
        ),
        ({"height": 20, "width": 12}, "Were height and width swapped"),
        (
            {"spike_input": SpikeInput(margin=3)},
            "a.dat has no margin of 3 .* or a margin of 2 at most",
        ),
        ({"spike_input": LIGHT}, "the blurred video, which is missing"),
        ({"spike_scale": 1}, "covers 2 RGB pixels each way, but the model was trained"),
    ],
)
def test_what_does_not_fit_is_refused(
    dat: Path, options: dict[str, Any], message: str
) -> None:
    describe(dat)
    with pytest.raises(ValueError, match=message):
        load(dat, **options)


def test_a_stream_without_a_spike_is_refused_and_one_is_enough(
    dat: Path, spikes: np.ndarray
) -> None:
    describe(dat)
    spike_dat.write_dat(dat, np.zeros_like(spikes))
    with pytest.raises(ValueError, match="a.dat holds no spike in any of its 40"):
        load(dat)
    spikes[:39] = 0
    spike_dat.write_dat(dat, spikes)
    assert not load(dat).any()


def test_swapped_height_and_width_are_named_and_may_be_insisted_on(
    tmp_path: Path,
) -> None:
    light = np.random.default_rng(0).random((1, 40)) * np.linspace(0.2, 1, 32)[:, None]
    still = np.broadcast_to(light, (50, 32, 40)).astype(np.float32)
    spikes = simulate(still, threshold=1, gain=1, rng=np.random.default_rng(1))
    path = tmp_path / "still.dat"
    spike_dat.write_dat(path, spikes)
    said: dict[str, Any] = {"flip": True, "exposure": (0, 9, 16)}
    load(path, height=32, width=40, spike_height=32, spike_width=40, **said)
    swapped = said | {"spike_height": 40, "spike_width": 32, "height": 40, "width": 32}
    with pytest.raises(ValueError, match="like 32x40 .*--spike_trust_size=true"):
        load(path, **swapped)
    load(path, **swapped, trust_size=True)


@pytest.mark.parametrize("kind", [".npy", ".npz", ".h5"])
def test_other_files_know_their_size_and_give_the_same(
    dat: Path, spikes: np.ndarray, kind: str
) -> None:
    describe(dat)
    expected = load(dat)
    other = dat.with_name(f"b{kind}")
    key = None if kind == ".npy" else "second"
    if kind == ".npy":
        np.save(other, spikes)
    elif kind == ".npz":
        np.savez(other, first=1 - spikes, second=spikes)
    else:
        with h5py.File(other, "w") as file:
            file["first"], file["second"] = 1 - spikes, spikes
    with pytest.raises(ValueError, match="no b.json beside it; pass --exposure"):
        load(other, key=key)
    found = load(other, exposure=(2, 9, 12), key=key)
    np.testing.assert_array_equal(found[:2], expected[:2])
    describe(other, flip=False)
    np.testing.assert_array_equal(load(other, key=key), expected)
    turned = load(other, exposure=(2, 9, 12), key=key)
    np.testing.assert_array_equal(turned[:2], expected[:2])
    with pytest.raises(ValueError, match="says flip False, but True was given"):
        load(other, flip=True, key=key)
    with pytest.raises(ValueError, match="says height 6, but 10 was given"):
        load(other, spike_height=10, key=key)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no spike file"):
        load(tmp_path / "none.dat")


def test_slices_are_those_of_the_whole(dat: Path) -> None:
    describe(dat)
    recording = Recording(dat, num_frames=3, height=12, width=20, spike_input=VOXELS)
    assert recording.shape == (3, 4, 6, 10)
    whole = load(dat)
    for start, stop in ((0, 2), (1, 3), (0, 1), (2, 9)):
        np.testing.assert_array_equal(recording[start:stop], whole[start:stop])


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
@pytest.mark.parametrize(
    "spike_input",
    [
        LIGHT,
        SpikeInput("time_surface", {"num_instants": 4, "tau": 9.0}, margin=2),
        SpikeInput("tfp", {"windows": (3, 7)}, normalisation="gain_match"),
        SpikeInput("voxel", {"num_bins": 4}, 2, "gain_match", low_light=True),
    ],
)
def test_a_recording_is_represented_as_its_whole_clip(
    tmp_path: Path, spike_input: SpikeInput, transfer: str
) -> None:
    """One gain and one set of noise maps, however it is read."""
    rng = np.random.default_rng(4)
    rates = np.linspace(0, 0.5, 60).reshape(6, 10)
    spikes = (rng.random((110, 6, 10)) < rates).astype(np.uint8)
    dat = tmp_path / "a.dat"
    spike_dat.write_dat(dat, spikes, flip=True)
    exposure = [[2 + 12 * n, 11 + 12 * n] for n in range(9)]
    describe(dat, exposure=exposure, transfer=transfer)
    blur = rng.integers(0, 256, (9, 12, 20, 3), np.uint8)
    recording = Recording(
        dat, num_frames=9, height=12, width=20, spike_input=spike_input, blur=blur
    )
    # All that maps are estimated from: the exposures with their margin.
    margin = spike_input.margin
    seen = spikes[2 - margin : 107 + margin]
    expected = spike_input.of_clip(
        seen, np.array(exposure) - 2 + margin, blur=blur, transfer=transfer
    )
    assert recording.shape == expected.shape
    for start, stop in ((0, 9), (3, 5)):
        found = recording[start:stop]
        np.testing.assert_allclose(found, expected[start:stop], rtol=1e-5, atol=1e-6)
