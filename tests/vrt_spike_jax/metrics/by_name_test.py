"""Every metric by its name: the values of its function, a frame each, in batches."""

import numpy as np
import pytest

from random_features import random_linear_state_dict, random_torchvision_state_dict
from vrt_spike_jax import metrics
from vrt_spike_jax.feature_weights import convert_features, convert_lpips_linear
from vrt_spike_jax.metrics import LPIPSWeights, Protocol, optical_flow, temporal
from vrt_spike_jax.metrics.by_name import (
    BATCH,
    MAIN,
    METRICS,
    Reference,
    measure,
    metrics_named,
    require_measurable,
)
from vrt_spike_jax.metrics.lpips import CHANNELS, feature_network

FRAMES = BATCH + 3  # the last batch has to be filled up
SHAPE = (FRAMES, 48, 56, 3)


@pytest.fixture(scope="module")
def clip():
    """Restored frames, sharp ones that move by a pixel, and which pixels move."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (48, 56 + FRAMES, 3), np.uint8)
    sharp = np.stack([scene[:, t : t + 56] for t in range(FRAMES)])
    sharp = sharp.astype(np.float32) / 255
    noise = rng.normal(0, 0.05, SHAPE).astype(np.float32)
    moving = rng.random(SHAPE[:3]) < 0.3
    moving[[2, FRAMES - 1]] = False
    return np.clip(sharp + noise, 0, 1), sharp, moving


def test_frames_have_their_values_also_in_a_last_batch_that_is_filled_up(clip):
    restored, sharp, moving = clip

    def expected_of(function, **options):
        """Of the same frames in two batches that are full, and share one."""
        first, second = slice(BATCH), slice(FRAMES - BATCH, None)
        parts = []
        for part in (first, second):
            mask = {"mask": moving[part]} if "mask" in options else {}
            parts.append(function(restored[part], sharp[part], **(options | mask)))
        return np.concatenate([parts[0], parts[1][2 * BATCH - FRAMES :]])

    expected = {
        "psnr": expected_of(metrics.frame_psnr),
        "ssim": expected_of(metrics.frame_ssim),
        "psnr_moving": expected_of(metrics.frame_psnr, mask=moving),
        "psnr_y": expected_of(metrics.frame_psnr, protocol=Protocol(colour="y")),
        "hf_psnr": expected_of(metrics.frame_high_frequency_psnr),
        "edge_psnr": expected_of(metrics.frame_edge_psnr),
    }
    found = measure(
        metrics_named(list(expected)), restored, Reference(sharp, moving=moving)
    )
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert np.isnan(found["psnr_moving"]).nonzero()[0].tolist() == [2, FRAMES - 1]


def test_pairs_of_frames_stand_at_their_first(clip):
    restored, sharp, _ = clip
    found = measure(
        metrics_named(["tof", "e_warp", "e_warp_sharp"]), restored, Reference(sharp)
    )
    dropped = temporal.DROPPED
    tof = found["tof"]
    pairs = temporal.tof(restored, sharp)
    np.testing.assert_array_equal(tof[dropped : dropped + len(pairs)], pairs)
    assert np.isnan(tof).sum() == FRAMES - len(pairs) == 2 * dropped + 1
    flows = [optical_flow.clip_flow(sharp, backward=back) for back in (False, True)]
    for name, frames in (("e_warp", restored), ("e_warp_sharp", sharp)):
        pairs = metrics.pair_warping_error(frames, *flows)
        np.testing.assert_array_equal(found[name][:-1], pairs)
        assert np.isnan(found[name][-1])


def test_moving_pixels_are_left_out_where_nobody_knows_them(clip):
    restored, sharp, _ = clip
    found = measure(metrics_named(MAIN), restored, Reference(sharp))
    assert list(found) == ["psnr", "ssim"]


def test_lpips_takes_the_weights_that_it_is_given(clip):
    restored, sharp, _ = clip
    network = feature_network("alex")
    weights = LPIPSWeights(
        "alex",
        convert_features(random_torchvision_state_dict(network), network),
        convert_lpips_linear(
            random_linear_state_dict(CHANNELS["alex"]), CHANNELS["alex"]
        ),
    )
    reference = Reference(sharp, lpips={"alex": weights})
    found = measure(metrics_named(["lpips"]), restored, reference)["lpips"]
    expected = metrics.frame_lpips(restored, sharp, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'ms_ssim'"):
        metrics_named(["psnr", "ms_sim"])


@pytest.mark.parametrize("name", METRICS)
def test_what_a_metric_needs_is_what_its_function_needs(name):
    """Below it the function refuses, or has no value; the sentence names the clip."""
    metric = METRICS[name]
    shape = (metric.fewest, metric.smallest, metric.smallest, 3)
    require_measurable({name: metric}, "street", shape)
    if metric.fewest > 1:
        with pytest.raises(ValueError, match=f"street has .* the metric {name} needs"):
            require_measurable({name: metric}, "street", (metric.fewest - 1, 999, 999))
    if metric.smallest > 1:
        narrow = (metric.fewest, 999, metric.smallest - 1)
        with pytest.raises(ValueError, match=f"{metric.smallest}x{metric.smallest}"):
            require_measurable({name: metric}, "street", narrow)


def test_the_limits_of_tecogans_metrics_are_those_of_their_functions():
    assert METRICS["tof"].fewest == METRICS["tlp"].fewest == 2 * temporal.DROPPED + 2
    side, count = METRICS["tof"].smallest, METRICS["tof"].fewest
    frames = np.zeros((count, side, side, 3), np.uint8)
    assert len(temporal.tof(frames, frames)) == 1
    with pytest.raises(ValueError, match="at least 48x48"):
        temporal.tof(frames[:, 1:], frames[:, 1:])


def test_protocols_say_what_is_compared():
    for name in MAIN:
        assert Protocol().describe() in METRICS[name].protocol
    assert Protocol(colour="y").describe() in METRICS["psnr_y"].protocol
