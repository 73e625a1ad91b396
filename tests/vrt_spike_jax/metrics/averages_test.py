"""Means over frames and clips from sums and counts, in any order of batches."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrt_spike_jax.metrics.averages import Averages

_CLIPS = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.floats(-50, 50), min_size=1, max_size=9),
    min_size=1,
)


@given(clips=_CLIPS, batch=st.integers(1, 4), data=st.data())
def test_batches_in_any_order_with_padding_give_the_exact_means(clips, batch, data):
    parts = []
    for name, values in clips.items():
        for start in range(0, len(values), batch):
            real = values[start : start + batch]
            # The last batch of a clip is filled up with what must not count.
            filled = np.array(real + [1e9] * (batch - len(real)))
            valid = np.arange(batch) < len(real)
            parts.append(Averages().add(name, filled, valid=valid))
    merged = Averages()
    for part in data.draw(st.permutations(parts)):
        merged = merged.merge(part)
    everything = [value for values in clips.values() for value in values]
    means = [np.mean(values) for values in clips.values()]
    assert merged.frames == len(everything)
    assert merged.over_frames() == pytest.approx(np.mean(everything), abs=1e-9)
    assert merged.over_clips() == pytest.approx(np.mean(means), abs=1e-9)
    for name, values in clips.items():
        assert merged.of_clip(name) == pytest.approx(np.mean(values), abs=1e-9)


def test_both_means_differ_by_the_lengths_of_the_clips():
    averages = Averages().add("long", [30.0] * 9).add("short", [20.0])
    assert averages.over_frames() == 29.0
    assert averages.over_clips() == 25.0


def test_frames_without_a_value_do_not_count():
    averages = Averages().add("a", [10.0, math.nan]).add("b", [math.nan])
    assert averages.frames == 1
    assert averages.over_frames() == averages.over_clips() == 10.0
    assert math.isnan(averages.of_clip("b"))
    assert math.isnan(Averages().over_frames())
    assert math.isnan(Averages().over_clips())


def test_identical_frames_make_the_mean_infinite():
    assert math.isinf(Averages().add("a", [30.0, math.inf]).over_frames())


def test_marks_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"one length; got \(2,\) and \(3,\)"):
        Averages().add("a", [1.0, 2.0], valid=np.ones(3, bool))
