"""What losses need is that of the very sample: of its place, direction and time."""

import contextlib
import itertools

import numpy as np
import pytest

from batches import OPTIONS, take
from data_pipeline.capture import capture
from data_pipeline.exposure import exposure_windows, sharp_times
from data_pipeline.jitter import Jitter
from data_pipeline.loss_fields import FIELDS, LossFields
from data_pipeline.records import Record, middle_sharp, unpack_spikes
from data_pipeline.representations import tfp
from data_pipeline.samples import Sampler
from data_pipeline.spike_input import SpikeInput
from moving_scene import moving_light
from vrt_spike_jax.losses.table import LOSSES, field_shapes

SPEED, PERIOD, EXPOSURE, SIZE, CROP = 0.25, 12, 9, (48, 64), 40
WINDOW = 5
MATCHED = SpikeInput("voxel", {"num_bins": 4}, 0, "gain_match")


@pytest.fixture(scope="module")
def moving() -> Record:
    """Two frames of a scene that moves to the right by 3 pixels a period."""
    light = moving_light(40, SIZE, speed=SPEED)
    exposure = exposure_windows(2, first_start=8, exposure=EXPOSURE, period=PERIOD)
    return capture(
        light,
        exposure,
        threshold=1.0,
        gain=1.0,
        spike_scale=1,
        rng=np.random.default_rng(0),
        name="moving",
        source="spots",
        licence="none",
        seed=0,
    )


def _cut(record: Record, turns: tuple[bool, ...], *, reverse: bool):
    sampler = Sampler(
        [record],
        num_frames=2,
        crop_size=CROP,
        spike_input=SpikeInput("voxel", {"num_bins": 4}),
        seed=0,
        jitter=Jitter(time_reversal=reverse),
    )
    draws = np.array([0.0, 0.5, 0.5, *(0.0 if turn else 0.9 for turn in turns)])
    cut = sampler.cut(record, 0, draws, np.zeros(6))
    assert tuple(cut.orientation) == turns and cut.is_reversed == reverse
    return cut


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("turns", list(itertools.product([False, True], repeat=3)))
def test_fields_turn_with_the_sample(moving: Record, turns, reverse) -> None:
    cut = _cut(moving, turns, reverse=reverse)
    fields = LossFields(FIELDS, WINDOW).of_sample(moving, cut)
    forward, backward, short, long, is_linear = fields
    mirror, upside_down, transpose = turns
    speed = np.array([SPEED * PERIOD, 0.0])
    speed[0] *= -1 if mirror else 1
    speed = speed[::-1] if transpose else speed
    speed = -speed if reverse else speed
    inner = (0, slice(8, -8), slice(8, -8))
    for flow, expected in ((forward, speed), (backward, -speed)):
        np.testing.assert_allclose(np.median(flow[inner], (0, 1)), expected, atol=0.15)
    # As the definition has it, in the whole record, cut out and turned afterwards.
    spikes = unpack_spikes(moving["spikes"], SIZE[1])
    row, column = cut.crop.place
    times, exposure = middle_sharp(moving)[1], moving["exposure"].astype(int)
    for found, rates in (
        (short, [tfp(spikes, int(time), WINDOW) for time in times]),
        (long, [spikes[start:end].mean(axis=0) for start, end in exposure]),
    ):
        expected = np.stack(rates)[:, row : row + CROP, column : column + CROP]
        expected = expected[:, :, ::-1] if mirror else expected
        expected = expected[:, ::-1] if upside_down else expected
        expected = expected.swapaxes(1, 2) if transpose else expected
        expected = expected[::-1] if reverse else expected
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert is_linear.shape == () and is_linear == (moving["transfer"] == "linear")


@pytest.mark.parametrize("spike_input", [OPTIONS["spike_input"], MATCHED])
def test_batches_have_the_fields_beside_what_they_had(directory, spike_input) -> None:
    options = {"spike_input": spike_input, "jitter": Jitter(time_reversal=True)}
    fields = LossFields(FIELDS, WINDOW)
    plain = take(directory, 2, **options)
    full = take(directory, 2, loss_fields=fields, **options)
    (later,) = take(directory, 1, loss_fields=fields, start_step=1, **options)
    for before, after in zip(plain, full, strict=True):
        assert set(after) == {*before, *FIELDS}
        for name, value in before.items():
            np.testing.assert_array_equal(after[name], value)
    for name in FIELDS:
        np.testing.assert_array_equal(later[name], full[1][name])
    on = {"weight": 1.0, "start_step": 0}
    shapes = field_shapes({name: on for name in LOSSES}, (2, 24, 24), 1)
    assert tuple(shapes) == FIELDS
    for name, shape in shapes.items():
        assert later[name].shape == (OPTIONS["batch_size"], *shape)
        assert later[name].dtype == np.float32


@pytest.mark.parametrize(
    ("window", "margin", "instants", "sentence"),
    [
        (5, 0, "random", r"take 3 at most, or a data\.spikes\.margin .* by 1\."),
        (9, 2, "random", r"take 7 at most, or a data\.spikes\.margin .* by 1\."),
        (11, 0, "middle", r"take 9 at most, or a data\.spikes\.margin .* by 1\."),
        (3, 0, "random", None),
        (5, 1, "random", None),
        (9, 0, "middle", None),
    ],
)
def test_a_clip_tells_whether_windows_fit_at_all_its_instants(
    moving: Record, window: int, margin: int, instants: str, sentence: str | None
) -> None:
    # Of exposures of 9 spike frames, instants that are 3 before and after the middle.
    times = sharp_times(moving["exposure"], 3)
    clip = moving | {"sharp_time": times, "sharp": moving["sharp"].repeat(3, axis=0)}
    options = {"num_frames": 2, "margin": margin, "instants": instants}
    refused = (
        pytest.raises(ValueError, match=sentence)
        if sentence
        else contextlib.nullcontext()
    )
    with refused:
        LossFields(("rate_short",), window).check_record(clip, **options)
    LossFields(("flow_forward",), window).check_record(clip, **options)


def test_one_sentence_for_what_cannot_be_measured(moving: Record) -> None:
    cut = _cut(moving, (False, False, False), reverse=False)
    with pytest.raises(ValueError, match=r"loss.tfp_window=11 .* reaches beyond"):
        LossFields(("rate_short",), 11).of_sample(moving, cut)
    with pytest.raises(ValueError, match="behind the colour filters rggb"):
        LossFields(("rate_long",)).of_sample(moving | {"cfa": "rggb"}, cut)
    with pytest.raises(ValueError, match="must be odd"):
        LossFields(("rate_long",), 4)
    with pytest.raises(ValueError, match="Did you mean 'flow_forward'"):
        LossFields(("flow_forwards",))
