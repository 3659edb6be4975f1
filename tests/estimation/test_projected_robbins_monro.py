import numpy as np
import pytest
from estimation_worlds import Exact, cubic, values
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.oracles import Cubic, Mean
from assay.estimation.populations import Square
from assay.estimation.projected_robbins_monro import ProjectedRobbinsMonro


def test_the_textbooks_cubic_converges_within_an_interval():
    experiment = Experiment(oracle=Cubic(), start=0.0, samples=1000, runs=4000)
    found = values(ProjectedRobbinsMonro(low=-3, high=3), experiment)
    assert found.mean() == pytest.approx(1.70988, abs=5e-4)
    assert found.std() == pytest.approx(0.00784, rel=0.05)
    theory = 1 / np.sqrt((2 * 3 * 5 ** (2 / 3) - 1) * 1000)
    assert theory == pytest.approx(0.00777, abs=5e-6)
    assert found.std() == pytest.approx(theory, rel=0.06)


@settings(max_examples=30, deadline=None)
@given(st.floats(-4, 1), st.floats(0.1, 5), st.floats(0.2, 3), st.floats(0.55, 1), st.integers(0, 1000))
def test_it_is_the_plain_loop_and_stays_inside(low, width, c, power, seed):
    high = low + width
    experiment = Experiment(oracle=Cubic(), start=0.0, samples=40, runs=3)
    fitted = ProjectedRobbinsMonro(c=c, power=power, low=low, high=high).fit(experiment, run=Run(seed=seed))
    rng, w = Run(seed=seed).rng("samples"), np.zeros(3)
    for k in range(1, 41):
        w = np.array([min(max(x, low), high) for x in w - c / k**power * Cubic().observe(w, rng)])
    assert fitted.values == pytest.approx(w, rel=1e-9, abs=1e-9)
    inside = fitted.trace[1:]
    assert (inside >= low).all()
    assert (inside <= high).all()


def test_the_interval_is_the_methods_or_else_the_experiments():
    experiment = Experiment(oracle=Exact(lambda w: w - 9), start=0.0, samples=5, interval=(-2, 4))
    assert values(ProjectedRobbinsMonro(), experiment) == [4.0]  # Its root is outside: it ends at the end.
    assert values(ProjectedRobbinsMonro(high=6), experiment) == [6.0]
    assert values(ProjectedRobbinsMonro(low=-8, high=8), experiment) == [8.0]
    with pytest.raises(ValueError, match="needs an interval"):
        values(ProjectedRobbinsMonro(low=0), Experiment(oracle=Exact(cubic), start=0.0))


def test_vectors_are_projected_onto_a_box():
    start = np.array([20.0, -20.0])
    experiment = Experiment(oracle=Mean(Square()), start=start, samples=3, runs=50)
    fitted = ProjectedRobbinsMonro(low=-1, high=2).fit(experiment, run=Run())
    assert fitted.trace[1:].min() == -1
    assert fitted.trace[1:].max() == 2


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="low must be below high, got 3 and 3"):
        ProjectedRobbinsMonro(low=3, high=3)
    with pytest.raises(ValueError, match="sum a_k is finite"):
        ProjectedRobbinsMonro(power=2)
