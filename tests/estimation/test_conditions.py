import numpy as np
import pytest
from estimation_worlds import Exact, Normal

from assay.data.table import ContractError
from assay.estimation.conditions import check_rises, conditions, look, looks
from assay.estimation.oracles import Cubic, Mean, Oracle, Quantile, Tanh
from assay.estimation.populations import Column
from assay.estimation.schedules import constant, harmonic, power

BELOW, ABOVE, STEPS, NOISE = (
    "(a) slope at least c1 > 0",
    "(a) slope at most c2",
    "(b) step sizes",
    "(c) noise of bounded variance",
)


def judged(oracle, centre=0.0, schedule=None, interval=None, scale=1.0, seed=0):
    """Each condition's name, with whether it holds."""
    rng = np.random.default_rng(seed)
    seen = looks(oracle, centre, scale=scale, interval=interval, rng=rng)
    found = conditions(seen, schedule, confined=interval is not None)
    return {condition.name: condition for condition in found}


def broken(*given, **options):
    return [name for name, condition in judged(*given, **options).items() if not condition.holds]


@pytest.mark.parametrize("seed", range(5))
def test_a_mean_keeps_every_condition(seed):
    assert broken(Mean(Normal(3, 2)), 3.0, harmonic(), seed=seed) == []
    assert broken(Exact(lambda w: 0.01 * w, noise=5.0), seed=seed) == []


@pytest.mark.parametrize("seed", range(3))
def test_the_slope_of_the_cubic_has_no_upper_bound(seed):
    assert broken(Cubic(), 0.0, seed=seed) == [ABOVE]
    assert "explode" in judged(Cubic())[ABOVE].why
    assert broken(Cubic(), interval=(-3.0, 3.0)) == []  # In an interval it has one.


@pytest.mark.parametrize("seed", range(3))
def test_a_function_that_saturates_has_no_lower_bound(seed):
    assert broken(Tanh(), 3.0, seed=seed) == [BELOW]
    assert "almost flat" in judged(Tanh(), 3.0)[BELOW].why
    normal = Column(np.random.default_rng(1).standard_normal(5000))
    assert BELOW in broken(Quantile(normal, 0.5), 0.0, seed=seed)


def test_a_falling_function_is_seen():
    falling = Exact(lambda w: -(w - 1), noise=1.0)
    assert BELOW in broken(falling)
    assert "falls somewhere" in judged(falling)[BELOW].why
    seen = looks(falling, 0.0, rng=np.random.default_rng(0))
    with pytest.raises(ContractError, match=r"mine: expected a function that rises.*return its negative"):
        check_rises(seen, "mine")
    check_rises(looks(Tanh(), 0.0, rng=np.random.default_rng(0)), "mine")


def test_noise_that_grows_with_the_distance_is_seen():
    growing = type(
        "Growing", (Oracle,), {"observe": lambda self, w, rng: w + w * rng.standard_normal(w.shape)}
    )
    assert NOISE in broken(growing(), 1.0)
    assert NOISE not in broken(Exact(lambda w: w, noise=100.0))


@pytest.mark.parametrize(
    ("schedule", "holds", "why"),
    [
        (harmonic(), True, "infinite and sum a_k^2 finite"),
        (power(1, 2), False, "sum a_k is finite"),
        (constant(0.1), False, "sum a_k^2 is infinite"),
    ],
)
def test_step_sizes_are_judged_with_the_rest(schedule, holds, why):
    found = judged(Mean(Normal()), schedule=schedule)
    assert list(found) == [BELOW, ABOVE, STEPS, NOISE]
    assert found[STEPS].holds is holds
    assert why in found[STEPS].why


def test_a_look_is_mean_and_error_of_what_was_seen():
    rng = np.random.default_rng(0)
    found = look(Mean(Normal(3.0, 2.0)), 5.0, 10_000, rng)
    assert found is not None
    assert found.at == 5
    assert found.mean == pytest.approx(2.0, abs=0.1)
    assert found.deviation == pytest.approx(2.0, rel=0.05)
    assert found.error == pytest.approx(found.deviation / 100)
    assert found.sign == 1
    near = look(Mean(Normal(3.0, 2.0)), 3.0, 10_000, rng)
    assert near is not None
    assert near.sign == 0


def test_places_where_the_function_is_not_defined_are_left_out():
    seen = looks(Exact(np.log), 1.0, rng=np.random.default_rng(0))
    assert [found.at for found in seen] == [1.0, 2.0, 11.0, 101.0]
    assert look(Exact(lambda w: 1 / 0), 1.0, 10, np.random.default_rng(0)) is None
    with pytest.raises(ValueError, match="three points or more"):
        conditions(seen[:2])


def test_looks_span_the_interval_or_go_far_out():
    rng = np.random.default_rng(0)
    assert [found.at for found in looks(Tanh(), 9.0, interval=(-3.0, 3.0), rng=rng)] == [
        -3,
        -2,
        -1,
        0,
        1,
        2,
        3,
    ]
    far = looks(Tanh(), 9.0, scale=2.0, rng=rng)
    assert [found.at for found in far] == [-191, -11, 7, 9, 11, 29, 209]
