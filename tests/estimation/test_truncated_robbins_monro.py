import numpy as np
import pytest
from estimation_worlds import Exact, cubic, values
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.oracles import Cubic, Tanh
from assay.estimation.robbins_monro import RobbinsMonro
from assay.estimation.truncated_robbins_monro import TruncatedRobbinsMonro


def loop(oracle, start, radius, c, count, rng):
    """One run, written out: a step that leads too far leads to the start, and the bound doubles."""
    w, bound, truncations = np.full(1, start), radius, 0
    for k in range(1, count + 1):
        moved = w - c / k * oracle.observe(w, rng)
        if abs(moved[0] - start) > bound:
            w, bound, truncations = np.full(1, start), 2 * bound, truncations + 1
        else:
            w = moved
    return w[0], truncations


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([Cubic(), Tanh()]),
    st.floats(-2, 2),
    st.floats(0.1, 20),
    st.floats(0.2, 3),
    st.integers(0, 1000),
)
def test_it_is_the_plain_loop(oracle, start, radius, c, seed):
    experiment = Experiment(oracle=oracle, start=start, samples=60)
    found = values(TruncatedRobbinsMonro(radius=radius, c=c), experiment, seed=seed)
    expected, _ = loop(oracle, start, radius, c, 60, Run(seed=seed).rng("samples"))
    assert found == pytest.approx([expected], rel=1e-9, abs=1e-9)


def test_the_cubic_that_explodes_converges_without_knowing_where_its_root_is():
    experiment = Experiment(oracle=Cubic(), start=0.0, samples=1000, runs=1000)
    for radius in (0.5, 10.0, 100.0):
        found = values(TruncatedRobbinsMonro(radius=radius), experiment)
        assert found.mean() == pytest.approx(1.70998, abs=0.002)
        assert found.std() == pytest.approx(0.00777, rel=0.1)
    _, truncations = loop(Exact(cubic), 0.0, 0.5, 1.0, 1000, np.random.default_rng(0))
    assert 0 < truncations < 10


def test_within_its_bounds_it_is_robbins_monro():
    experiment = Experiment(oracle=Tanh(), start=3.0, samples=200, runs=20)
    assert np.array_equal(
        values(TruncatedRobbinsMonro(radius=1e3), experiment), values(RobbinsMonro(), experiment)
    )


def test_the_radius_is_in_scales_of_the_experiment():
    experiment = Experiment(oracle=Exact(lambda w: w - 50), start=0.0, samples=1)
    assert values(TruncatedRobbinsMonro(radius=10), experiment) == [0.0]
    wide = Experiment(oracle=experiment.oracle, start=0.0, samples=1, scale=10.0)
    assert values(TruncatedRobbinsMonro(radius=10), wide) == [50.0]


def test_runs_are_truncated_one_by_one():
    class Apart(Tanh):
        def observe(self, w, rng):
            return w - np.array([1.0, 100.0])

    experiment = Experiment(oracle=Apart(), start=0.0, samples=1, runs=2)
    assert values(TruncatedRobbinsMonro(), experiment).tolist() == [1.0, 0.0]


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="radius must be above 0"):
        TruncatedRobbinsMonro(radius=0)
    with pytest.raises(ValueError, match="sum a_k\\^2 is infinite"):
        TruncatedRobbinsMonro(power=0.5)
