import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.core.statistics import Interval, interval, more_seeds_to_settle, paired, student_t

values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


@given(values)
@settings(max_examples=50, deadline=None)
def test_interval_equals_scipys(sample):
    found = interval(sample)
    if np.std(sample) < 1e-9:
        assert found.high - found.low == pytest.approx(0, abs=1e-6)
        return
    expected = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(sample), abs=1e-9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)


def test_five_seeds_by_hand():
    # Mean 3, s = sqrt(2.5), t(4) = 2.7764451052: half-width 1.963243.
    found = interval([1, 2, 3, 4, 5])
    assert found == pytest.approx((3, 3 - 1.9632432, 3 + 1.9632432))
    assert student_t(4) == pytest.approx(2.776445105198)


def test_t_interval_covers_the_mean_as_often_as_it_says():
    samples = np.random.default_rng(1).normal(size=(4000, 5))
    covered = np.mean([(i := interval(list(s))).low <= 0 <= i.high for s in samples])
    assert covered == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


def test_one_value_has_no_interval_and_decides_nothing():
    found = interval([2.0])
    assert found.mean == 2
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.excludes(0)


def test_excludes():
    assert Interval(2, 1, 3).excludes(0)
    assert Interval(-2, -3, -1).excludes(0)
    assert not Interval(0.5, -1, 2).excludes(0)
    assert not Interval(1, 0, 2).excludes(0)  # A bound at zero is not beyond it.


def test_paired_is_narrower_than_unpaired_when_seeds_are_hard_together():
    hard = np.array([0.1, 0.5, 0.3, 0.9, 0.7])
    first, second = list(hard + 0.02), list(hard + np.array([0.001, -0.001, 0.0, 0.001, -0.001]))
    assert paired(first, second).excludes(0)
    wide = interval(first)
    assert wide.low < np.mean(second) < wide.high


def test_paired_needs_equal_counts():
    with pytest.raises(ValueError, match="equal counts, got 2 and 1"):
        paired([1, 2], [1])
    with pytest.raises(ValueError, match="at least one value"):
        interval([])


@given(values)
@settings(max_examples=50, deadline=None)
def test_more_seeds_is_the_least_number_that_would_settle(sample):
    more = more_seeds_to_settle(sample)
    mean, spread = np.mean(sample), np.std(sample, ddof=1)

    def settled(n):
        return stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n) < abs(mean) * (1 - 1e-9)

    if more is None:
        assert abs(mean) < 1e-12 or not settled(9_000)
    elif more > 0:
        assert settled(len(sample) + more) or more > 5_000
        assert not settled(len(sample) + more - 1) or interval(sample).low <= 0 <= interval(sample).high


def test_more_seeds_by_hand():
    assert more_seeds_to_settle([1.0]) is None
    assert more_seeds_to_settle([1.0, -1.0]) is None
    assert more_seeds_to_settle([1.0, 1.0]) == 0
    assert more_seeds_to_settle([1.0, 1.1, 0.9]) == 0
    assert more_seeds_to_settle([1e-9, 1.0, -1.0]) is None
