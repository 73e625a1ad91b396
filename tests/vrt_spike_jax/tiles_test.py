"""The tiles of an axis cover it, have one size and blend to one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vrt_spike_jax.tiles import plan_axis


@st.composite
def requests(draw):
    unit = draw(st.sampled_from([1, 2, 8]))
    minimum = draw(st.integers(1, 9)) * unit
    tile = draw(st.integers(minimum // unit, minimum // unit + 12)) * unit
    overlap = draw(st.integers(0, tile - unit))
    size = draw(st.integers(1, 260))
    return {
        "size": size,
        "tile": tile,
        "overlap": overlap,
        "unit": unit,
        "minimum": minimum,
    }


@given(requests())
def test_tiles_cover_the_axis_within_the_limits(request):
    axis = plan_axis(**request)
    unit, size = request["unit"], request["size"]
    assert request["minimum"] <= axis.tile <= request["tile"]
    assert all(value % unit == 0 for value in (axis.tile, *axis.starts))
    assert axis.starts[0] == 0
    # Nothing past the first multiple of the unit that holds the video and the minimum.
    assert size <= axis.starts[-1] + axis.tile < max(size, request["minimum"]) + unit
    steps = np.diff(axis.starts)
    assert ((steps > 0) & (steps <= axis.tile - request["overlap"])).all()


@given(requests())
def test_weights_are_a_partition_of_unity(request):
    axis = plan_axis(**request)
    total = np.zeros(axis.starts[-1] + axis.tile)
    for start, weight in zip(axis.starts, axis.weights, strict=True):
        total[start : start + axis.tile] += weight
    assert (axis.weights >= 0).all()
    np.testing.assert_allclose(total, 1, atol=2e-7)


def test_a_small_video_gets_the_smallest_tile_that_holds_it():
    small = plan_axis(70, tile=256, overlap=32, unit=8, minimum=64)
    assert (small.tile, small.starts) == (72, (0,))
    tiny = plan_axis(1, tile=256, overlap=32, unit=8, minimum=64)
    assert (tiny.tile, tiny.starts) == (64, (0,))


def test_sizes_below_the_tile_share_buckets():
    tiles = {
        plan_axis(
            size, tile=248, overlap=32, unit=8, minimum=64, bucket=32, scale=4
        ).tile
        for size in range(1, 249)
    }
    assert tiles == {64, 96, 128, 160, 192, 224, 248}


def test_places_and_weights_are_of_the_restored_video():
    axis = plan_axis(70, tile=40, overlap=16, unit=8, minimum=8, scale=4)
    assert axis.starts == (0, 24, 32)
    assert axis.weights.shape == (3, 160)
    assert [axis.place(i) for i in range(3)] == [
        slice(0, 160),
        slice(96, 256),
        slice(128, 280),
    ]
    # The overlap of 64 rises over its inner half, at the scale of the output.
    assert np.abs(np.diff(axis.weights, axis=1)).max() <= np.pi / 2 / 32 * 2


def test_weights_change_smoothly_from_tile_to_tile():
    axis = plan_axis(400, tile=128, overlap=32, unit=8, minimum=64)
    # sin^2 over half of the overlap, 16 pixels, climbs by at most pi / 2 / 16 a pixel.
    assert np.abs(np.diff(axis.weights, axis=1)).max() <= np.pi / 32
    # The outer quarter of an overlap counts for nothing, the middle of a tile alone.
    assert (axis.weights[1, :8] == 0).all()
    assert (axis.weights[1, 32:96] == 1).all()


def test_without_overlap_the_tiles_touch():
    axis = plan_axis(24, tile=8, overlap=0, unit=8, minimum=8)
    assert axis.starts == (0, 8, 16)
    assert (axis.weights == 1).all()
