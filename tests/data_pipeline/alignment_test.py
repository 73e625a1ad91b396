"""A moving dot is in the same place in all modalities, whatever a batch is drawn from.

Footage of a dot on a straight path goes the way of all data: both cameras, records,
batches. There the blurred, the sharp and the spikes' dot of a frame must have one
centre, and the bins of an exposure must follow the path between the frames.
"""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data_pipeline import jitter as jitters
from data_pipeline import pipeline, prepare
from data_pipeline.jitter import Jitter
from data_pipeline.spike_input import SpikeInput
from data_pipeline.video_files import write_video

HEIGHT, WIDTH, CROP = 64, 72, 56
FRAMES, EXPOSURE, PERIOD, BINS = 3, 49, 52, 5
LENGTH = 192  # spike frames of the footage
# RGB pixels per spike frame, down and right. Signs and sizes differ, so that a path
# tells how it was turned; the last is that of the test clip.
SPEEDS = ((0.12, 0.055), (-0.09, 0.115), (0.06, -0.1), (0.1, 0.1))
SEED = 5
VOXELS = SpikeInput("voxel", {"num_bins": BINS})

Samples = list[dict[str, np.ndarray]]


def draw_dot(speed: tuple[float, float]) -> np.ndarray:
    """Footage (F, H, W, 3) of a soft dot that is in the middle at half time."""
    time = np.arange(LENGTH)[:, None, None] - LENGTH / 2
    down = np.arange(HEIGHT)[:, None] - (HEIGHT / 2 + speed[0] * time)
    right = np.arange(WIDTH) - (WIDTH / 2 + speed[1] * time)
    light = np.exp(-(down**2 + right**2) / (2 * 1.9**2))
    return np.rint(250 * light[..., None] * [1, 0.8, 0.6]).astype(np.uint8)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    for index, speed in enumerate(SPEEDS):
        write_video(folder / f"dot{index}", draw_dot(speed), fps=float("nan"))
    return folder


@pytest.fixture(scope="module", params=[1, 2, 4])
def data(
    request: pytest.FixtureRequest,
    footage: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, int]:
    """A data set of the dots, and its RGB pixels per spike pixel."""
    arguments = {
        "source": "video",
        "layout": "records",
        "input": footage,
        "output": tmp_path_factory.mktemp("records"),
        "spikes_per_frame": 1,
        "exposure": EXPOSURE,
        "period": PERIOD,
        "num_frames": FRAMES,
        "test_clips": 1,
        "spike_scale": request.param,
        "gain": 1.0,
    }
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert prepare.main([f"--{k}={v}" for k, v in arguments.items()]) == 0
    return output.getvalue().splitlines()[-1], request.param


def take(
    directory: str,
    count: int,
    jitter: Jitter,
    frames: int = FRAMES,
    spike_input: SpikeInput = VOXELS,
) -> Samples:
    """The first samples of a training, one a batch."""
    batches = pipeline.train_batches(
        directory,
        num_frames=frames,
        crop_size=CROP,
        spike_input=spike_input,
        batch_size=1,
        seed=SEED,
        start_step=0,
        jitter=jitter,
    )
    return [
        {name: value[0] for name, value in next(batches).items()} for _ in range(count)
    ]


def centres(images: np.ndarray) -> np.ndarray:
    """The centre of light (..., 2) of images (..., n, n), in RGB pixels of the crop."""
    size = images.shape[-1]
    places = (np.arange(size) + 0.5) * CROP / size
    total = images.sum((-2, -1))
    down = (images.sum(-1) * places).sum(-1) / total
    right = (images.sum(-2) * places).sum(-1) / total
    return np.stack([down, right], -1)


def blurred(sample: dict[str, np.ndarray]) -> np.ndarray:
    return centres(sample["blur"].mean(-1))


def speed_of(sample: dict[str, np.ndarray]) -> np.ndarray:
    """RGB pixels per spike frame, as the blurred frames of a sample show it."""
    return np.diff(blurred(sample), axis=0).mean(0) / PERIOD


def check_aligned(samples: Samples, scale: int, threshold: float = 1) -> None:
    """Asserts that all modalities of each sample show one dot on one path.

    Args:
        samples: of batches.
        scale: RGB pixels per spike pixel.
        threshold: how many times as high as that of the recording.
    """
    # The larger their pixels and the higher the threshold, the fewer the spikes. One
    # more or less in a pixel then counts more, in proportion to both.
    noise = scale * threshold
    later = ((np.arange(BINS) + 0.5) / BINS - 0.5) * EXPOSURE
    offsets, paces = [], []
    for sample in samples:
        blur = blurred(sample)
        # The middle spike frame is on the mean of the path; 8 bits leave little.
        sharp = centres(sample["sharp"].mean(-1))
        np.testing.assert_allclose(sharp, blur, atol=0.05)
        offset = centres(sample["spikes"].mean(1)) - blur
        np.testing.assert_allclose(offset, 0, atol=0.12 * noise)
        speed = speed_of(sample)
        bins = centres(sample["spikes"])
        path = blur[:, None] + later[:, None] * speed
        np.testing.assert_allclose(bins, path, atol=0.45 * noise)
        # The pace of the line through the bins: 1 is that of the blurred frames.
        line = (bins * later[:, None]).sum(1) / (later @ later)
        paces.append(line @ speed / (speed @ speed))
        offsets.append(offset)
    # Noise turns with the samples; what is left was not turned with them.
    np.testing.assert_allclose(np.mean(offsets, axis=(0, 1)), 0, atol=0.01 * noise)
    assert np.mean(paces) == pytest.approx(1, abs=0.02 * noise)


def test_one_dot_on_one_path_in_all_modalities(data: tuple[str, int]) -> None:
    directory, scale = data
    places, paths = [], set()
    samples = take(directory, 40, Jitter())
    check_aligned(samples, scale)
    for sample in samples:
        places.append(blurred(sample)[1])
        paths.add(tuple(np.round(speed_of(sample), 2)))
    # Three dots, turned and mirrored in eight ways, at places all over the crop.
    assert len(paths) > 15
    assert np.ptp(places, axis=0).min() > 10


TURNS = {
    "mirrored": {"blur": (2,), "sharp": (2,), "spikes": (3,)},
    "upside down": {"blur": (1,), "sharp": (1,), "spikes": (2,)},
    "frames backwards": {"blur": (0,), "sharp": (0,), "spikes": (0,)},
    "bins backwards": {"spikes": (1,)},
}


@pytest.mark.parametrize("turn", TURNS)
def test_one_modality_turned_alone_would_be_found(
    data: tuple[str, int], turn: str
) -> None:
    directory, scale = data
    samples = take(directory, 40, Jitter(time_reversal=True))
    check_aligned(samples, scale)
    for name, axes in TURNS[turn].items():
        wrong = [s | {name: np.flip(s[name], axes)} for s in samples]
        with pytest.raises(AssertionError):
            check_aligned(wrong, scale)


@pytest.mark.parametrize("name", ["blur", "sharp", "spikes"])
def test_one_modality_transposed_or_shifted_alone_would_be_found(
    data: tuple[str, int], name: str
) -> None:
    directory, scale = data
    vertical = 2 if name == "spikes" else 1
    samples = take(directory, 40, Jitter())
    for change in (
        lambda x: np.swapaxes(x, vertical, vertical + 1),
        lambda x: np.roll(x, 1, vertical),
    ):
        wrong = [s | {name: change(s[name])} for s in samples]
        with pytest.raises(AssertionError):
            check_aligned(wrong, scale)


def test_windows_in_time_keep_each_frame_with_its_own_spikes(
    data: tuple[str, int],
) -> None:
    directory, scale = data
    samples = take(directory, 30, Jitter(), frames=2)
    check_aligned(samples, scale)
    first = {tuple(np.round(np.abs(blurred(s)[0] - CROP / 2))) for s in samples}
    assert len(first) > 15


def test_time_runs_backwards_inside_the_exposures_too(data: tuple[str, int]) -> None:
    directory, scale = data
    backwards = 0
    samples = take(directory, 24, Jitter(time_reversal=True))
    check_aligned(samples, scale)
    for plain, sample in zip(take(directory, 24, Jitter()), samples, strict=True):
        first, second = speed_of(plain), speed_of(sample)
        assert abs(first @ second) == pytest.approx(first @ first, rel=1e-3)
        backwards += first @ second < 0
        ways = [
            np.diff(centres(s["spikes"])[1], axis=0).sum(0) for s in (plain, sample)
        ]
        assert np.sign(ways[0] @ ways[1]) == np.sign(first @ second)
    assert 4 < backwards < 20


def test_higher_thresholds_leave_the_dot_where_it_is(data: tuple[str, int]) -> None:
    directory, scale = data
    for factor in (2, 4) if scale < 4 else (2,):
        varied = Jitter(time_reversal=True, thresholds=(factor, factor))
        check_aligned(take(directory, 30, varied), scale, factor)


# With how far off the dot may be, as a multiple of that of voxels.
INPUTS = {
    "bilinear": (SpikeInput("voxel", {"num_bins": BINS, "binning": "bilinear"}), 1.5),
    "matched": (SpikeInput("voxel", {"num_bins": BINS}, 4, "gain_match"), 1),
    "raw": (SpikeInput("raw", {"num_frames": EXPOSURE}), 1),
    "tfp": (SpikeInput("tfp", {"windows": (EXPOSURE,)}), 1),
    "tfi": (SpikeInput("tfi", {"num_instants": 4}, 9), 4),
    "charge": (SpikeInput("charge", {"num_bins": BINS}, 9), 2),
    "surface": (SpikeInput("time_surface", {"num_instants": 2, "tau": 9.0}, 9), 4),
}


@pytest.mark.parametrize("name", INPUTS)
def test_every_representation_has_the_dot_in_its_place(
    data: tuple[str, int], name: str
) -> None:
    directory, scale = data
    spike_input, far = INPUTS[name]
    varied = Jitter(time_reversal=True)
    samples = take(directory, 24, varied, spike_input=spike_input)
    ahead = []
    for sample in samples:
        if name == "charge":  # whose dark pixels may have gathered half a spike
            seen = sample["spikes"]
            sample = {**sample, "spikes": np.where(seen < 0.05, 0, seen)}
        found = centres(sample["spikes"].mean(1))
        np.testing.assert_allclose(found, blurred(sample), atol=0.12 * far * scale)
        half = max(1, sample["spikes"].shape[1] // 2)
        first, last = sample["spikes"][:, :half], sample["spikes"][:, -half:]
        way = centres(last.mean(1)) - centres(first.mean(1))
        ahead.append((way @ speed_of(sample)).mean())
    if name != "tfp":  # whose one channel has no order
        assert np.min(ahead) > 0


def test_misaligned_spikes_are_off_by_what_was_drawn(data: tuple[str, int]) -> None:
    directory, scale = data
    most = Jitter(misaligned_pixels=1 if scale == 4 else 2, misaligned_frames=4)
    exact = 0
    count = 40
    for position, (plain, sample) in enumerate(
        zip(take(directory, count, Jitter()), take(directory, count, most), strict=True)
    ):
        np.testing.assert_array_equal(sample["blur"], plain["blur"])
        np.testing.assert_array_equal(sample["sharp"], plain["sharp"])
        speed = speed_of(plain)
        axes = turned(speed)
        draws = jitters.draw(SEED, tf.constant(position, tf.int64)).numpy()
        shift = jitters.draw_shift(most, draws)
        # Spikes from further down show the dot further up; later ones, further on.
        moved = centres(sample["spikes"].mean(1)) - centres(plain["spikes"].mean(1))
        found = -(moved - shift.later * speed) @ axes / scale
        drawn = np.array([shift.down, shift.right])
        off = np.abs(found - drawn).max()
        if off < 0.25:
            exact += 1
            continue
        # At the border of the record a shift goes as far as there are spikes.
        cut = found.mean(0)
        np.testing.assert_allclose(cut, np.rint(cut), atol=0.25)
        assert (np.rint(cut) * np.sign(drawn) >= 0).all()
        assert (np.abs(np.rint(cut)) <= np.abs(drawn)).all()
    assert exact > 0.5 * count


def turned(speed: np.ndarray) -> np.ndarray:
    """The matrix (2, 2) whose rows are the footage's down and right in the sample."""
    swaps = [np.eye(2), np.eye(2)[::-1]]
    signs = [np.diag([a, b]) for a in (1, -1) for b in (1, -1)]
    ways = [sign @ swap for swap in swaps for sign in signs]
    errors = [
        (float(np.abs(way @ original - speed).max()), index)
        for original in SPEEDS[:-1]
        for index, way in enumerate(ways)
    ]
    return ways[min(errors)[1]]
