"""The embedded clips: valid, seeded, honest, and disjoint between the splits."""

from typing import Any

import numpy as np
import pytest
from record_checksum import record_checksum

from data_pipeline.records import check_record, unpack_spikes
from data_pipeline.representations import voxel_grid
from data_pipeline.sources import embedded
from data_pipeline.spike_camera import grey
from data_pipeline.transfer import to_spike_space


def test_no_photograph_is_in_both_splits() -> None:
    train, test = (set(embedded.PHOTOGRAPHS[split]) for split in ("train", "test"))
    assert train and test and not train & test


def test_patches_come_from_the_photographs_of_the_same_split(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    load = embedded._photograph

    def watch(name: str) -> np.ndarray:
        used.append(name)
        return load(name)

    monkeypatch.setattr(embedded, "_photograph", watch)
    for split, names in embedded.PHOTOGRAPHS.items():
        used.clear()
        for index in range(2):
            embedded.make_clip(settings, split, index)
        assert len(set(used)) >= 2
        assert set(used) <= set(names)


def test_a_clip_is_a_function_of_seed_split_and_index(
    settings: dict[str, Any],
) -> None:
    first = embedded.make_clip(settings, "train", 1)
    again = embedded.make_clip(settings, "train", 1)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    others = [
        embedded.make_clip(settings, "train", 2),
        embedded.make_clip(settings, "test", 1),
        embedded.make_clip(settings | {"seed": 4}, "train", 1),
    ]
    for other in others:
        assert (other["sharp"] != first["sharp"]).mean() > 0.5


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
@pytest.mark.parametrize("spike_scale", [1, 2, 4])
def test_blur_spikes_and_sharp_belong_together(
    settings: dict[str, Any], spike_scale: int, transfer: str
) -> None:
    settings = settings | {"spike_scale": spike_scale, "exposure": 33, "period": 40}
    settings |= {"transfer": transfer}
    record = embedded.make_clip(settings, "test", 0)
    check_record(record)
    assert record["blur"].shape == (4, 48, 72, 3)
    spikes = unpack_spikes(record["spikes"], 72 // spike_scale)
    blurred, shown = (
        grey(to_spike_space(record[name], transfer)) for name in ("blur", "sharp")
    )
    level = (2.2 if transfer == "linear" else 1.0) / 255
    pool = (4, 48 // spike_scale, spike_scale, 72 // spike_scale, spike_scale)
    for frame, (start, end) in enumerate(record["exposure"].tolist()):
        rate = voxel_grid(spikes, 1, start=start, end=end)[0]
        expected = blurred.reshape(pool).mean(axis=(2, 4))[frame]
        assert np.abs(rate - expected).max() < 1 / 33 + level
    # There is motion to undo, and the blur is that of the frame that it hides.
    errors = ((blurred[:, None] - shown[None]) ** 2).mean(axis=(2, 3))
    assert (errors.diagonal() > 1e-5).all()
    assert (errors.argmin(axis=1) == np.arange(4)).all()


@pytest.mark.parametrize(
    ("split", "index", "spike_scale", "checksum"),
    [
        ("train", 0, 2, "8a4828b4c89d55102ddc785916811fff"),
        ("test", 1, 1, "90e22af411ea04dd0da606d3f6342322"),
    ],
)
def test_ideal_cameras_give_the_bytes_they_always_gave(
    settings: dict[str, Any], split: str, index: int, spike_scale: int, checksum: str
) -> None:
    """Checksums of the code before it knew other cameras than ideal ones."""
    settings |= {"num_frames": 2, "height": 32, "width": 40, "gain": 0.6}
    settings |= {"train_clips": 1, "test_clips": 1, "spike_scale": spike_scale}
    record = embedded.make_clip(settings, split, index)
    assert record_checksum(record).startswith(checksum)


@pytest.mark.parametrize("transfer", ["gamma", "linear"])
def test_all_camera_settings_reach_the_record(
    settings: dict[str, Any], transfer: str
) -> None:
    settings |= {
        "transfer": transfer,
        "sharp_instants": 3,
        "rgb_gain": 1.5,
        "read_noise": 2.0,
        "sensor": "calibrated",
        "photons": 500.0,
        "threshold_spread": 4.0,
        "light_spread": 2.0,
        "cfa": "rggb",
    }
    record = embedded.make_clip(settings, "train", 0)
    check_record(record)
    assert record["transfer"] == transfer and record["cfa"] == "rggb"
    assert record["blur_kind"].endswith("gain 1.5, read noise 2/255")
    assert record["blur_kind"].startswith("blur_gamma") == (transfer == "linear")
    assert record["sharp"].shape == (12, 48, 72, 3)
    assert record["sharp_time"].shape == (12,)
    assert record["threshold"] != 1 and record["gain"] != 1
    other = embedded.make_clip(settings, "train", 1)
    assert other["threshold"] != record["threshold"]
    again = embedded.make_clip(settings, "train", 0)
    assert record_checksum(again) == record_checksum(record)


def test_more_motion_is_more_blur(settings: dict[str, Any]) -> None:
    def error(max_blur: float) -> float:
        record = embedded.make_clip(settings | {"max_blur": max_blur}, "train", 0)
        return float(np.mean((record["blur"].astype(float) - record["sharp"]) ** 2))

    assert error(2.0) < 0.5 * error(6.0) < 0.5 * error(18.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exposure": 8}, "exposure must be an odd number"),
        ({"period": 7}, "period must be at least the exposure, 9"),
        ({"train_clips": 0}, "train_clips must be at least 1"),
        ({"height": 50}, "height must be a multiple of 8"),
        ({"width": 16}, "at least 32 pixels"),
        ({"spike_scale": 3}, "spike_scale must be one of"),
        ({"gain": 0.0}, "gain must be above 0"),
        ({"max_blur": -1.0}, "max_blur must be above 0"),
        ({"seed": -1}, "seed must not be negative"),
        ({"exposures": 9}, "Did you mean 'exposure'"),
        ({"transfer": "lin"}, "Did you mean 'linear'"),
        ({"sharp_instants": 11}, "has room for 9 sharp instants"),
        ({"cfa": "RGGB"}, "Did you mean 'rggb'"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        embedded.check_embedded_settings(settings | change)


def test_an_unknown_split_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Did you mean 'test'"):
        embedded.make_clip(settings, "tests", 0)
