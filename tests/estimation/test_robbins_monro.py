import math

import numpy as np
import pytest
from estimation_worlds import Exact, tanh, values

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.oracles import Quantile, Tanh
from assay.estimation.populations import Column
from assay.estimation.robbins_monro import RobbinsMonro

TABLE = {
    1: 3.0,
    2: 2.035972,
    3: 1.647826,
    4: 1.457758,
    5: 1.350694,
    6: 1.283296,
    7: 1.237304,
    8: 1.204026,
    9: 1.178870,
    10: 1.159205,
    11: 1.143418,
    12: 1.130469,
    16: 1.095818,
    21: 1.071916,
}


def test_the_textbooks_sequence_for_tanh_without_noise():
    w = 3.0
    for k in range(1, 21):
        if k in TABLE:
            assert w == pytest.approx(TABLE[k], abs=5e-7)
        w -= math.tanh(w - 1) / k
        found = values(RobbinsMonro(), Experiment(oracle=Exact(tanh), start=3.0, samples=k))
        assert found == pytest.approx([w], rel=1e-12)
        if k + 1 in TABLE:
            assert found == pytest.approx([TABLE[k + 1]], abs=5e-7)


def test_its_error_is_the_asymptotic_one():
    found = values(RobbinsMonro(), Experiment(oracle=Tanh(), start=3.0, samples=1000, runs=4000))
    assert found.std() == pytest.approx(0.0329, rel=0.05)  # And 0.0316 in the limit.
    assert abs(found.mean() - 1) < 0.01


def test_longer_steps_have_the_error_c_over_sqrt_of_2c_minus_1():
    for c, slope in ((2.0, 1.0), (0.5, 3.0)):
        oracle = Exact(lambda w, slope=slope: slope * (w - 2), noise=1.0)
        found = values(RobbinsMonro(c=c), Experiment(oracle=oracle, start=2.0, samples=1500, runs=3000))
        theory = c / math.sqrt((2 * c * slope - 1) * 1500)
        assert found.std() == pytest.approx(theory, rel=0.06)


def test_quantiles_are_roots_too():
    column = Column(np.random.default_rng(0).exponential(size=5000))
    for q in (0.2, 0.5, 0.8):
        experiment = Experiment(oracle=Quantile(column, q), samples=4000, runs=100)
        found = values(RobbinsMonro(c=4), experiment)
        assert found.mean() == pytest.approx(column.quantile(q), abs=0.05)


def test_a_quantile_follows_a_change_of_units():
    numbers = np.random.default_rng(1).gamma(2.0, size=400)
    for factor, shift in ((3.0, 0.0), (0.01, 5.0), (1e4, -7e4)):
        plain = Experiment(oracle=Quantile(Column(numbers), 0.7, 1.0), samples=300, runs=9)
        scaled = Quantile(Column(factor * numbers + shift), 0.7, factor)
        other = Experiment(oracle=scaled, samples=300, runs=9, scale=factor)
        expected = factor * values(RobbinsMonro(), plain) + shift
        assert values(RobbinsMonro(), other) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("power", "words"),
    [
        (2.0, "sum a_k is finite for steps 1 / k\\^2: the estimate may stop short"),
        (1.1, "sum a_k is finite"),
        (0.5, "sum a_k\\^2 is infinite for steps 1 / k\\^0.5: noise is never averaged out"),
        (0.0, "sum a_k\\^2 is infinite"),
    ],
)
def test_a_violated_condition_is_named(power, words):
    with pytest.raises(ValueError, match=words):
        RobbinsMonro(power=power)


def test_steps_of_no_length_are_refused():
    with pytest.raises(ValueError, match="c must be above 0"):
        RobbinsMonro(c=0)


def test_it_is_not_projected_unless_asked_for():
    fitted = RobbinsMonro().fit(
        Experiment(oracle=Exact(lambda w: w - 50), start=0.0, samples=10, interval=(-3, 3)), run=Run()
    )
    assert fitted.values == pytest.approx([50.0])
    assert fitted.notes == ()
