"""Latent instants: target, instant and spikes of a sample tell of one moment.

Footage of a dot on a straight path goes the way of all data. Where the blurred frame
shows the middle of the path, the sharp frame of an instant shows the dot as far along
as the instant says, and so do the spikes around it.
"""

import contextlib
import io
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline import jitter, latent_instants, pipeline, prepare
from data_pipeline.latent_clips import LatentClips
from data_pipeline.loss_fields import LossFields
from data_pipeline.mixing import JoinedRecords
from data_pipeline.spike_input import SpikeInput
from data_pipeline.video_files import write_video
from vrt_spike_jax.models.latent_instant import around_instant

SIZE, CROP, FRAMES, EXPOSURE, PERIOD, BINS = (56, 64), 48, 3, 49, 52, 8
LENGTH = 192  # spike frames of the footage
STEP = 16  # spike frames between the three instants of an exposure
SPEEDS = ((0.12, 0.055), (-0.09, 0.115), (0.1, 0.1))  # down and right, in a spike frame
VOXELS = SpikeInput("voxel", {"num_bins": BINS})
MATCHED = SpikeInput("voxel", {"num_bins": BINS}, 0, "gain_match")
# What is made of single spikes, in the graph.
DROPPED = SpikeInput("voxel", {"num_bins": BINS}, dropout=1e-6)


def dot(speed):
    """Footage (F, H, W, 3) of a soft dot that is in the middle at half time."""
    time = np.arange(LENGTH)[:, None, None] - LENGTH / 2
    down = np.arange(SIZE[0])[:, None] - (SIZE[0] / 2 + speed[0] * time)
    right = np.arange(SIZE[1]) - (SIZE[1] / 2 + speed[1] * time)
    light = np.exp(-(down**2 + right**2) / (2 * 1.9**2))
    return np.rint(250 * light[..., None] * [1, 0.8, 0.6]).astype(np.uint8)


def build(folder, **options):
    """A data set of the dots; the last of them is the test clip."""
    for index, speed in enumerate(SPEEDS):
        write_video(folder / "dots" / f"{index}", dot(speed), fps=float("nan"))
    arguments = {
        "source": "video",
        "layout": "records",
        "input": folder / "dots",
        "output": folder / "records",
        "spikes_per_frame": 1,
        "exposure": EXPOSURE,
        "period": PERIOD,
        "num_frames": FRAMES,
        "test_clips": 1,
        "gain": 1.0,
        **options,
    }
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert prepare.main([f"--{k}={v}" for k, v in arguments.items()]) == 0
    return output.getvalue().splitlines()[-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent")
    (folder / "dots").mkdir()
    return build(folder, sharp_instants=3)


def take(directory, count, **options):
    """The first samples of a training, one a batch."""
    settings = {
        "num_frames": 2,
        "crop_size": CROP,
        "spike_input": VOXELS,
        "batch_size": 1,
        "seed": 5,
        "start_step": 0,
        "instants": "random",
        **options,
    }
    batches = pipeline.train_batches(directory, **settings)
    return [
        {name: value[0] for name, value in batch.items()}
        for batch in itertools.islice(batches, count)
    ]


def centres(images):
    """The centre of light (..., 2) of images (..., n, n), in pixels."""
    places = np.arange(images.shape[-1]) + 0.5
    total = images.sum((-2, -1))
    down = (images.sum(-1) * places).sum(-1) / total
    right = (images.sum(-2) * places).sum(-1) / total
    return np.stack([down, right], -1)


REVERSED = jitter.Jitter(time_reversal=True)


@pytest.mark.parametrize("spike_input", [VOXELS, MATCHED, DROPPED])
def test_target_instant_and_spikes_show_one_moment(data, spike_input):
    seen = set()
    samples = take(data, 24, spike_input=spike_input, jitter=REVERSED)
    for sample in samples:
        blur, sharp = (centres(sample[name].mean(-1)) for name in ("blur", "sharp"))
        instant = sample["instant"]
        speed = (blur[1] - blur[0]) / PERIOD
        later = instant[:, None] * EXPOSURE / 2
        np.testing.assert_allclose(sharp, blur + later * speed, atol=0.06)
        grids = around_instant(
            *map(jnp.asarray, (sample["spikes"][None], instant[None]))
        )[0]
        around = np.asarray(grids)[:, 3:5].mean(1)
        np.testing.assert_allclose(centres(around), sharp, atol=0.3)
        assert np.ptp(instant) < 1e-6
        seen.add(
            (round(float(instant[0]) * EXPOSURE / 2), *np.sign(np.round(speed, 3)))
        )
    assert {key[0] for key in seen} == {-STEP, 0, STEP}
    assert len(seen) > 6  # and each of them in several directions


def test_reversal_negates_the_instant_and_keeps_the_picture(data):
    turned = 0
    plain = take(data, 24)
    for sample, twin in zip(plain, take(data, 24, jitter=REVERSED), strict=True):
        if np.array_equal(sample["blur"], twin["blur"]):
            np.testing.assert_array_equal(sample["instant"], twin["instant"])
            continue
        turned += 1
        np.testing.assert_array_equal(sample["instant"], -twin["instant"][::-1])
        np.testing.assert_array_equal(sample["sharp"], twin["sharp"][::-1])
        np.testing.assert_array_equal(sample["blur"], twin["blur"][::-1])
    assert 4 < turned < 20


def test_the_draw_changes_target_and_instant_alone(data):
    differing = 0
    for sample, middle in zip(
        take(data, 12), take(data, 12, instants="middle"), strict=True
    ):
        assert set(middle) == {"blur", "sharp", "spikes"}
        for name in ("blur", "spikes"):
            np.testing.assert_array_equal(sample[name], middle[name])
        same = np.array_equal(sample["sharp"], middle["sharp"])
        assert same == (not sample["instant"].any())
        differing += not same
    assert 4 < differing < 12


def test_a_sample_is_a_function_of_seed_and_position(data):
    graph = take(data, 6, spike_input=MATCHED)
    resumed = take(data, 2, start_step=4)
    for sample, twin in zip(take(data, 6), graph, strict=True):
        np.testing.assert_array_equal(sample["instant"], twin["instant"])
    np.testing.assert_array_equal(graph[4]["sharp"], resumed[0]["sharp"])
    np.testing.assert_array_equal(graph[5]["instant"], resumed[1]["instant"])
    draws = [latent_instants.draw(3, position) for position in range(400)]
    assert np.histogram(draws, bins=4, range=(0, 1))[0].min() > 70
    assert draws != [latent_instants.draw(4, position) for position in range(400)]


def test_clips_show_the_first_and_the_last_instant_beside_the_middle(data):
    options = {"spike_input": VOXELS, "tfp_window": 13}
    records = JoinedRecords(data, "test")
    clip = LatentClips(records, **options)[0]
    plain = pipeline.TestClips(records, **options)[0]
    for name, value in plain.items():
        np.testing.assert_array_equal(clip[name], value)
    assert [shown["at"] for shown in clip["latent"]] == ["first", "last"]
    blur = centres(clip["blur"].mean(-1)[:, :56, :56])
    for shown, sign in zip(clip["latent"], (-1, 1), strict=True):
        np.testing.assert_allclose(shown["instant"], sign * 2 * STEP / EXPOSURE)
        later = shown["instant"][:, None] * EXPOSURE / 2
        expected = blur + later * np.array(SPEEDS[-1])
        sharp = centres(shown["sharp"].mean(-1)[:, :56, :56])
        np.testing.assert_allclose(sharp, expected, atol=0.06)
        short = centres(shown["tfp_short"][:, :56, :56])
        np.testing.assert_allclose(short, expected, atol=0.3)
        assert shown["moving"].shape == clip["moving"].shape
        assert shown["moving"].any()
    with pytest.raises(ValueError, match="take 49 at most"):
        LatentClips(records, spike_input=VOXELS, tfp_window=51)


def test_rates_that_cannot_be_measured_at_some_instant_are_said_at_once(data):
    # 16 spike frames from the middle of 49, 8 are left to the end of the exposure.
    options = {"num_frames": 2, "crop_size": CROP, "spike_input": VOXELS}
    options |= {"batch_size": 1, "seed": 5, "start_step": 0, "instants": "random"}
    with pytest.raises(ValueError, match=r"loss.tfp_window=19 .* take 17 at most"):
        pipeline.train_batches(
            data, loss_fields=LossFields(("rate_short",), 19), **options
        )
    seen = {
        sample["instant"][0].round(3)
        for sample in take(data, 16, loss_fields=LossFields(("rate_short",), 17))
    }
    assert len(seen) == 3


def test_one_sharp_frame_leaves_nothing_to_draw(tmp_path):
    (tmp_path / "dots").mkdir()
    directory = build(tmp_path)
    with pytest.raises(ValueError, match="sharp_instants=3 or more"):
        take(directory, 1)
    with pytest.raises(ValueError, match="sharp_instants=3 or more"):
        records = JoinedRecords(directory, "test")
        LatentClips(records, spike_input=VOXELS, tfp_window=13)
    with pytest.raises(ValueError, match="Did you mean 'random'"):
        take(directory, 1, instants="randon")
