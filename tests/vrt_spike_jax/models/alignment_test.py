"""Alignment over several frames: composed flows, moved dots, clips that end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vrt_spike_jax.models.alignment import (
    FlowPair,
    align_features,
    align_images,
    beside_neighbours,
    compose_hops,
    estimate_flows,
)
from vrt_spike_jax.models.warping import flow_warp

RNG = np.random.default_rng(19)
FRAMES, HEIGHT, WIDTH = 5, 12, 14


def constant(shift: tuple[float, float]) -> jax.Array:
    """The same flow everywhere, for every pair of neighbours."""
    return jnp.broadcast_to(
        jnp.array(shift, jnp.float32).reshape(1, 1, 1, 1, 2),
        (1, FRAMES - 1, HEIGHT, WIDTH, 2),
    )


def test_hops_over_a_constant_motion_are_its_multiples():
    hops = compose_hops(FlowPair(constant((1.5, -1)), constant((-1.5, 1))), 3)
    assert len(hops) == 3
    inside = (0, slice(None), slice(2, -2), slice(3, -3))
    for i, flows in enumerate(hops, 1):
        for found, motion in zip(flows, ([1.5, -1], [-1.5, 1]), strict=True):
            assert found.shape == (1, FRAMES - i, HEIGHT, WIDTH, 2)
            error = np.asarray(found[inside]) - np.multiply(i, motion)
            np.testing.assert_allclose(error, 0, atol=1e-6)


@pytest.mark.parametrize("times", [1, 4, 5])
def test_features_stand_between_those_of_the_aligned_neighbours(times):
    """Frame t shows a picture moved by 2 t to the right; its times are weighted."""
    picture = RNG.random((HEIGHT, WIDTH + 2 * FRAMES))
    weights = np.arange(1, times + 1)[:, None, None]
    clip = np.stack(
        [
            weights * picture[:, 2 * (FRAMES - t) : 2 * (FRAMES - t) + WIDTH]
            for t in range(FRAMES)
        ]
    )[None, ..., None].astype(np.float32)
    # What is at a pixel is in the next frame 2 pixels to the right of it.
    flows = FlowPair(constant((2, 0)), constant((-2, 0)))
    silent = jnp.zeros((1, FRAMES), bool)
    found = np.asarray(beside_neighbours(jnp.asarray(clip), flows, silent=silent))
    assert found.shape == (1, FRAMES, times + 2, HEIGHT, WIDTH, 1)
    np.testing.assert_array_equal(found[:, :, 1:-1], clip)
    middle = weights.mean() * clip[:, :, 0]  # of the picture as this frame has it
    inside = (slice(None), slice(2, -2))
    for frame in range(FRAMES):
        before, after = found[0, frame, 0, ..., 0], found[0, frame, -1, ..., 0]
        own = middle[0, frame, ..., 0]
        expected = own if frame > 0 else 0 * own
        np.testing.assert_allclose(before[inside], expected[inside], atol=1e-5)
        expected = own if frame < FRAMES - 1 else 0 * own
        np.testing.assert_allclose(after[inside], expected[inside], atol=1e-5)
    silent = silent.at[0, 2].set(True)
    told = np.array(beside_neighbours(jnp.asarray(clip), flows, silent=silent))
    assert not told[0, 1, -1].any() and not told[0, 3, 0].any()
    told[0, 1, -1], told[0, 3, 0] = found[0, 1, -1], found[0, 3, 0]
    np.testing.assert_array_equal(told, found)


def test_hops_chain_the_flows_of_the_frames_between():
    # A motion of its own for every pair and direction, whole pixels: sums are exact.
    onward = jnp.arange(1.0, FRAMES).reshape(1, -1, 1, 1, 1) * constant((1, 0))
    back = jnp.arange(1.0, FRAMES).reshape(1, -1, 1, 1, 1) * constant((0, -1))
    _, two, three = compose_hops(FlowPair(onward, back), 3)
    middle = (0, slice(None), 10, 1)
    assert two.backward[middle][:, 0].tolist() == [3, 5, 7]
    assert three.backward[middle][:, 0].tolist() == [6, 9]
    assert two.forward[middle][:, 1].tolist() == [-3, -5, -7]
    assert three.forward[middle][:, 1].tolist() == [-6, -9]


def test_hops_warp_the_second_flow_to_the_place_the_first_points_to():
    flows = jnp.asarray(RNG.normal(0, 2, (2, 1, 3, HEIGHT, WIDTH, 2)), jnp.float32)
    single = FlowPair(flows[0], flows[1])
    _, two = compose_hops(single, 2)
    for pair in range(2):
        first, second = single.backward[:, pair], single.backward[:, pair + 1]
        expected = first + flow_warp(second, first)
        np.testing.assert_allclose(two.backward[:, pair], expected, atol=1e-6)
        # Forward flows go from the later frame to the earlier one.
        first, second = single.forward[:, pair + 1], single.forward[:, pair]
        expected = first + flow_warp(second, first)
        np.testing.assert_allclose(two.forward[:, pair], expected, atol=1e-6)


def test_a_moving_dot_is_moved_back_onto_each_frame():
    places = [(4, 3 + 2 * t) for t in range(FRAMES)]
    frames = np.zeros((1, FRAMES, HEIGHT, WIDTH, 3), np.float32)
    for t, (row, column) in enumerate(places):
        frames[0, t, row, column] = t + 1
    flows = FlowPair(constant((2, 0)), constant((-2, 0)))
    backward, forward = align_images(jnp.asarray(frames), flows)
    for t, (row, column) in enumerate(places):
        # All four nearest pixels are the same one, as the flow is whole-numbered.
        following, preceding = np.zeros((2, HEIGHT, WIDTH, 12))
        following[row, column] = 0 if t == FRAMES - 1 else t + 2
        preceding[row, column] = t
        np.testing.assert_array_equal(backward[0, t], following)
        np.testing.assert_array_equal(forward[0, t], preceding)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_features_are_zero_exactly_where_a_neighbour_is_missing(hops):
    x = jnp.asarray(1 + RNG.random((1, FRAMES, HEIGHT, WIDTH, 4)), jnp.float32)
    flows = compose_hops(FlowPair(0 * constant((1, 0)), 0 * constant((1, 0))), hops)
    seen = []

    def first_source(sources, target, flows):
        seen.extend([len(sources), len(flows)])
        return sources[0]

    def last_source(sources, target, flows):
        return sources[-1]

    backward, forward = align_features(first_source, x, flows)
    assert seen == [hops] * 2
    np.testing.assert_array_equal(backward[:, :-1], x[:, 1:])
    np.testing.assert_array_equal(forward[:, 1:], x[:, :-1])
    assert not np.any(backward[:, -1]) and not np.any(forward[:, 0])

    backward, forward = align_features(last_source, x, flows)
    np.testing.assert_array_equal(backward[:, :-hops], x[:, hops:])
    np.testing.assert_array_equal(forward[:, hops:], x[:, :-hops])
    assert not np.any(backward[:, -hops:]) and not np.any(forward[:, :hops])


def test_features_keep_the_clips_and_their_frames_apart():
    x = jnp.asarray(RNG.random((2, FRAMES, HEIGHT, WIDTH, 4)), jnp.float32)
    flow = jnp.asarray(RNG.normal(0, 1, (2, 2, 4, HEIGHT, WIDTH, 2)), jnp.float32)

    def deform(sources, target, flows):
        return flow_warp(sources[0], flows[0]) + 10 * target

    together = align_features(deform, x, [FlowPair(flow[0], flow[1])])
    for b in range(2):
        for t in range(FRAMES - 1):
            following = flow_warp(x[b : b + 1, t + 1], flow[0, b : b + 1, t])
            preceding = flow_warp(x[b : b + 1, t], flow[1, b : b + 1, t])
            np.testing.assert_allclose(
                together[0][b, t], following[0] + 10 * x[b, t], atol=1e-5
            )
            np.testing.assert_allclose(
                together[1][b, t + 1], preceding[0] + 10 * x[b, t + 1], atol=1e-5
            )


def test_flows_are_asked_of_every_pair_in_both_directions():
    frames = jnp.arange(2.0 * FRAMES).reshape(2, FRAMES, 1, 1, 1)
    frames = jnp.broadcast_to(frames, (2, FRAMES, HEIGHT, WIDTH, 3))

    def both_values(reference, neighbour):
        return [jnp.stack([reference[..., 0], neighbour[..., 0]], -1)]

    (flows,) = estimate_flows(both_values, frames)
    for b in range(2):
        for t in range(FRAMES - 1):
            here, there = b * FRAMES + t, b * FRAMES + t + 1
            assert flows.backward[b, t, 0, 0].tolist() == [here, there]
            assert flows.forward[b, t, 0, 0].tolist() == [there, here]
