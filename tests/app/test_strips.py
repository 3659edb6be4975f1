import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.app.strips import Axis
from assay.core.statistics import Interval, interval

numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
intervals = st.lists(numbers, min_size=2, max_size=5).map(interval)


@settings(max_examples=100, deadline=None)
@given(st.lists(intervals, min_size=1, max_size=8), numbers)
def test_everything_lies_on_the_strip_in_order(found, anchor):
    axis = Axis.around(anchor, found)
    assert axis.low < axis.high
    for one in found:
        strip = axis.strip(one)
        assert 0 <= strip.ends[0] <= strip.dot <= strip.ends[1] <= 100
        assert strip.off == (one.mean > axis.high) - (one.mean < axis.low)
    assert 0 <= axis.place(anchor) <= 100


@settings(max_examples=100, deadline=None)
@given(numbers, st.floats(1e-6, 1e6))
def test_ticks_are_a_few_round_numbers_at_their_places(low, width):
    axis = Axis(low, low + width)
    assert 1 <= len(axis.ticks) <= 7
    for position, text in axis.ticks:
        assert axis.place(float(text)) == pytest.approx(position, abs=0.011 + 100e-6 * abs(low) / width)
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_ticks_of_a_known_axis():
    assert [text for _, text in Axis(0.801, 0.999).ticks] == ["0.85", "0.90", "0.95"]
    assert [text for _, text in Axis(-0.0101, 0.0001).ticks] == ["-0.010", "-0.005", "0.000"]
    assert [text for _, text in Axis(0, 300).ticks] == ["0", "100", "200", "300"]


def test_positions_are_proportional():
    axis = Axis(0.0, 10.0)
    assert axis.place(5.0) == 50
    assert axis.place(2.5) - axis.place(0.0) == pytest.approx(axis.place(10.0) - axis.place(7.5))


def test_what_is_far_from_the_leader_goes_off_the_scale_and_the_rest_stays_apart():
    near = [Interval(mean, mean - 0.001, mean + 0.001) for mean in (0.9, 0.899, 0.89)]
    far = Interval(0.5, 0.499, 0.501)
    axis = Axis.around(0.9, [*near, far])
    assert axis.strip(far).off == -1
    assert [axis.strip(one).off for one in near] == [0, 0, 0]
    assert axis.strip(near[0]).dot - axis.strip(near[1]).dot > 2  # per cent
    assert Axis.around(0.5, [*near, far]).strip(near[0]).off == 1


def test_single_values_and_equal_values_have_an_axis():
    nothing = Interval(0.7, math.nan, math.nan)
    axis = Axis.around(0.7, [nothing])
    assert axis.strip(nothing).ends is None
    assert axis.strip(nothing).dot == 50
    assert Axis.around(0.0, [Interval(0.0, 0.0, 0.0)]).place(0.0) == 50
