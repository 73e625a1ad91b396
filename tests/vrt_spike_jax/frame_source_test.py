"""A stream of frames gives what it promises, forward only."""

import numpy as np
import pytest

from vrt_spike_jax.frame_source import FrameStream

FRAMES = np.arange(10, dtype=np.float32).reshape(10, 1, 1, 1).repeat(3, -1)


def test_slices_may_overlap_skip_and_end_early():
    stream = FrameStream(iter(FRAMES), FRAMES.shape)
    for start, stop in ((0, 4), (2, 6), (2, 7), (8, 20)):
        np.testing.assert_array_equal(stream[start:stop], FRAMES[start:stop])


def test_nothing_is_made_before_it_is_asked_for():
    made = []

    def frames():
        for index, frame in enumerate(FRAMES):
            made.append(index)
            yield frame

    stream = FrameStream(frames(), FRAMES.shape)
    assert made == []
    np.testing.assert_array_equal(stream[1:3], FRAMES[1:3])
    assert made == [0, 1, 2]
    np.testing.assert_array_equal(np.stack(list(stream)), FRAMES[1:])


def test_going_back_is_refused():
    stream = FrameStream(iter(FRAMES), FRAMES.shape)
    assert len(stream[4:6]) == 2
    with pytest.raises(ValueError, match="frame 3 was asked for after frame 4"):
        stream[3:5]
