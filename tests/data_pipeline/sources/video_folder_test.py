"""Footage becomes clips: the right light, whole clips, and clear refusals."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from record_checksum import record_checksum

from data_pipeline.records import check_record, unpack_spikes
from data_pipeline.representations import voxel_grid
from data_pipeline.sources import video_folder as source
from data_pipeline.spike_camera import grey
from data_pipeline.video_files import write_video

SETTINGS: dict[str, Any] = {
    "spikes_per_frame": 4,
    "in_between": "linear",
    "exposure": 9,
    "period": 12,
    "spike_scale": 2,
    "threshold": 1.0,
    "gain": 1.0,
    "seed": 0,
}


def footage(count: int, height: int = 16, width: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(
        0, 256, (count, height, width, 3), np.uint8
    )


def test_light_runs_through_every_frame_and_is_linear_in_between() -> None:
    frames = footage(4)
    light = np.stack(
        list(source.interpolate_light(frames, 4, 0, 13, in_between="linear"))
    )
    np.testing.assert_allclose(light[::4] * 255, frames, atol=1e-3)
    middle = (frames[1].astype(float) + frames[2]) / 2
    np.testing.assert_allclose(light[6] * 255, middle, atol=1e-3)
    part = np.stack(
        list(source.interpolate_light(frames, 4, 3, 9, in_between="linear"))
    )
    np.testing.assert_array_equal(part, light[3:9])


@pytest.mark.parametrize("spikes_per_frame", [1, 3, 4])
def test_every_sharp_frame_is_a_frame_of_the_footage(spikes_per_frame: int) -> None:
    frames = footage(80)
    settings = SETTINGS | {"spikes_per_frame": spikes_per_frame}
    record = source.make_clip(frames, settings, name="a", fps=100.0)
    check_record(record)
    assert record["spike_rate"] == 100 * spikes_per_frame
    assert len(record["spikes"]) == 79 * spikes_per_frame + 1
    for sharp, time in zip(record["sharp"], record["sharp_time"], strict=True):
        np.testing.assert_array_equal(sharp, frames[int(time) // spikes_per_frame])
    spikes = unpack_spikes(record["spikes"], 12)
    pool = record["blur"].reshape(-1, 8, 2, 12, 2, 3).mean(axis=(2, 4))
    for blur, (start, end) in zip(pool, record["exposure"].tolist(), strict=True):
        rate = voxel_grid(spikes, 1, start=start, end=end)[0]
        assert np.abs(rate - grey(blur / 255)).max() < 1 / 9 + 1 / 255


def test_ideal_cameras_give_the_bytes_they_always_gave() -> None:
    """The checksum of the code before it knew other cameras than ideal ones."""
    settings = SETTINGS | {"gain": 0.6}
    record = source.make_clip(footage(17), settings, name="a", fps=25.0, num_frames=3)
    assert record_checksum(record).startswith("0593f0891b64793fd651ff4356014e7c")


@pytest.mark.parametrize("count", [3, 5])
def test_several_sharp_instants_are_frames_of_the_footage(count: int) -> None:
    frames = footage(80)
    settings = SETTINGS | {"exposure": 19, "period": 20, "sharp_instants": count}
    settings |= {"transfer": "linear"}
    record = source.make_clip(frames, settings, name="a", fps=100.0)
    assert len(record["sharp"]) == count * len(record["blur"])
    assert record["transfer"] == "linear"
    for sharp, time in zip(record["sharp"], record["sharp_time"], strict=True):
        assert int(time) % 4 == 0
        np.testing.assert_array_equal(sharp, frames[int(time) // 4])


def test_the_cameras_of_the_settings_record_the_footage() -> None:
    plain = source.make_clip(footage(40), SETTINGS, name="a", fps=25.0)
    settings = SETTINGS | {"sensor": "calibrated", "threshold_spread": 2.0}
    settings |= {"rgb_gain": 0.5, "cfa": "gbrg"}
    record = source.make_clip(footage(40), settings, name="a", fps=25.0)
    check_record(record)
    assert record["cfa"] == "gbrg" and 0.5 <= record["threshold"] <= 2
    np.testing.assert_allclose(record["blur"], plain["blur"] / 2, atol=1)


def test_footage_too_small_for_the_flow_is_refused_at_once() -> None:
    settings = source.check_video_settings(SETTINGS | {"in_between": "flow"})
    source.check_footage("a.mp4", 32, 64, settings)
    with pytest.raises(ValueError, match=r"a.mp4 is 16x64; take in_between=linear"):
        source.check_footage("a.mp4", 16, 64, settings)
    # Where nothing is in between, nothing has to flow.
    source.check_footage("a.mp4", 16, 64, settings | {"spikes_per_frame": 1})


def test_clips_follow_each_other_without_sharing_an_exposure() -> None:
    frames = footage(100)
    available = source.count_clips(100, 3, SETTINGS)
    whole = source.make_clip(frames, SETTINGS, name="a", fps=25.0)
    assert available == len(whole["blur"]) // 3
    for index in range(available):
        clip = source.make_clip(
            frames, SETTINGS, name="a", fps=25.0, index=index, num_frames=3
        )
        np.testing.assert_array_equal(
            clip["blur"], whole["blur"][3 * index : 3 * index + 3]
        )
    with pytest.raises(ValueError, match="has 100 frames, but one clip takes"):
        source.make_clip(
            frames, SETTINGS, name="a", fps=25.0, index=available, num_frames=3
        )


def test_the_frames_that_an_error_asks_for_are_enough() -> None:
    with pytest.raises(ValueError, match="one clip takes 17 of them"):
        source.make_clip(footage(16), SETTINGS, name="a", fps=25.0, num_frames=3)
    source.make_clip(footage(17), SETTINGS, name="a", fps=25.0, num_frames=3)


def test_footage_that_the_scale_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="17x24, which spike_scale=2 does not divide"):
        source.make_clip(footage(60, 17, 24), SETTINGS, name="a", fps=25.0)


def test_videos_are_found_in_every_layout(tmp_path: Path) -> None:
    film = tmp_path / "b.mp4"
    write_video(film, footage(3), fps=25)
    assert source.find_videos(film) == [film]
    write_video(tmp_path / "a", footage(3), fps=25)
    assert source.find_videos(tmp_path) == [tmp_path / "a", film]
    assert source.find_videos(tmp_path / "a") == [tmp_path / "a"]
    cv2.imwrite(str(tmp_path / "0.png"), footage(1)[0])
    with pytest.raises(ValueError, match="holds pictures and videos"):
        source.find_videos(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no video file"):
        source.find_videos(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no video or folder"):
        source.find_videos(tmp_path / "none")


def test_videos_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("take.1", "take.2"):  # a folder keeps its whole name
        write_video(tmp_path / "plain", footage(3), fps=25)
        (tmp_path / "plain").rename(tmp_path / name)
    assert [source.video_name(p) for p in source.find_videos(tmp_path)] == [
        "take.1",
        "take.2",
    ]
    write_video(tmp_path / "a.mp4", footage(3), fps=25)
    (tmp_path / "a.mov").write_bytes((tmp_path / "a.mp4").read_bytes())
    with pytest.raises(ValueError, match=r"a.mov and .*a.mp4 are both called a,"):
        source.find_videos(tmp_path)


@pytest.mark.parametrize(("exposure", "period"), [(9, 12), (9, 40), (9, 44), (3, 4)])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_clips_with_enough_between_share_no_frame(
    exposure: int, period: int, num_frames: int
) -> None:
    settings = SETTINGS | {"exposure": exposure, "period": period}
    seen: list[set[int]] = []

    class Watched:
        """Notes which frames a clip asks for."""

        shape = (400, 16, 24, 3)

        def __getitem__(self, index: int) -> np.ndarray:
            seen[-1].add(index)
            return np.full((16, 24, 3), index % 251, np.uint8)

    for index in range(12):
        seen.append(set())
        source.make_clip(
            Watched(),  # type: ignore[arg-type]
            settings,
            name="a",
            fps=25.0,
            index=index,
            num_frames=num_frames,
        )
        frames = source.clip_frames(index, num_frames, settings)
        assert seen[-1] == set(frames)
    between = source.clips_between(num_frames, settings)
    assert seen[0].isdisjoint(seen[between + 1])
    assert not between or not seen[0].isdisjoint(seen[between])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exposure": 8}, "odd number"),
        ({"period": 8}, "period must be at least"),
        ({"period": 13}, "period must be a multiple of spikes_per_frame"),
        ({"in_between": "flwo"}, "Unknown in_between 'flwo'.*'flow'"),
        ({"spikes_per_frame": 0}, "spikes_per_frame must be above 0"),
        ({"threshold": 0.0}, "threshold must be above 0"),
        ({"spike_scale": 8}, "spike_scale must be one of"),
        ({"sharp_instants": 5}, "has room for 3 sharp instants, 4 apart"),
        ({"sensor": "real"}, "Unknown sensor 'real'"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source.check_video_settings(SETTINGS | change)
