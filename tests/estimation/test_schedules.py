import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core import method as methods
from assay.estimation.schedules import Schedule, constant, harmonic, power


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        (harmonic(), [1, 1 / 2, 1 / 3, 1 / 4]),
        (harmonic(3), [3, 1.5, 1, 0.75]),
        (power(2, 0.5), [2, 2 / math.sqrt(2), 2 / math.sqrt(3), 1]),
        (constant(0.1), [0.1, 0.1, 0.1, 0.1]),
    ],
)
def test_steps_are_counted_from_one(schedule, steps):
    assert [schedule(k) for k in (1, 2, 3, 4)] == pytest.approx(steps, rel=1e-15)
    assert schedule(np.array([1, 2, 3, 4])) == pytest.approx(steps, rel=1e-15)


@pytest.mark.parametrize("k", [0, -1, np.array([1, 0])])
def test_a_step_before_the_first_is_refused_instead_of_dividing_by_zero(k):
    with pytest.raises(ValueError, match="counted from 1"):
        harmonic()(k)


@pytest.mark.parametrize(
    ("schedule", "diverges", "square_summable"),
    [
        (harmonic(), True, True),
        (power(1, 0.7), True, True),
        (power(1, 0.5), True, False),
        (power(1, 0.51), True, True),
        (power(1, 1.01), False, True),
        (power(1, 2), False, True),
        (constant(0.1), True, False),
    ],
)
def test_flags_of_the_two_conditions(schedule, diverges, square_summable):
    assert schedule.sum_diverges is diverges
    assert schedule.square_summable is square_summable
    text = " ".join(schedule.violations())
    assert ("sum a_k is finite" in text) is not diverges
    assert ("sum a_k^2 is infinite" in text) is not square_summable


@given(st.floats(0.01, 10), st.floats(0, 3))
def test_flags_agree_with_partial_sums(c, p):
    schedule = Schedule(c, p)
    steps = schedule(np.arange(1, 20_001))
    doubled = steps[10_000:].sum() / steps[5_000:10_000].sum()  # A p-series: 2^(1 - p) in the limit.
    assert doubled == pytest.approx(2 ** (1 - p), rel=1e-3)
    assert schedule.sum_diverges is (p <= 1)
    assert schedule.square_summable is (2 * p > 1)


@pytest.mark.parametrize(
    ("c", "p", "words"),
    [
        (0, 1, "c must be above 0"),
        (-1, 1, "c must be above 0"),
        (math.nan, 1, "c must be above 0"),
        (math.inf, 1, "c must be above 0"),
        (1, -0.1, "power must be at least 0"),
        (1, math.nan, "power must be at least 0"),
    ],
)
def test_what_is_no_schedule_is_refused(c, p, words):
    with pytest.raises(ValueError, match=words):
        Schedule(c, p)


def test_a_schedule_is_shown_and_written_as_data():
    assert str(harmonic(2)) == "2 / k^1"
    assert str(constant(0.1)) == "0.1"
    written = methods.spec(power(1, 0.7))
    assert written is not None
    assert methods.build(written) == power(1, 0.7)
