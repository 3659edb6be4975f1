import numpy as np
import pytest
from estimation_worlds import Exact, Normal, Sequence, mean_of, observations, tanh, values

from assay.core.run import Run
from assay.estimation.constant_step import ConstantStep
from assay.estimation.experiment import Experiment


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 1.9])
def test_it_is_the_exponentially_weighted_mean(alpha):
    experiment = mean_of(Normal(2, 1), start=-3.0, samples=40, runs=3)
    x = observations(experiment)
    w = np.full(3, -3.0)
    for k in range(40):
        w = (1 - alpha) * w + alpha * x[k]
    assert values(ConstantStep(alpha=alpha), experiment) == pytest.approx(w, rel=1e-10)


@pytest.mark.parametrize(("alpha", "k"), [(0.1, 1), (0.1, 20), (0.5, 4), (1.0, 3)])
def test_the_start_fades_geometrically(alpha, k):
    experiment = mean_of(Sequence([0.0] * k), start=8.0, samples=k)
    assert values(ConstantStep(alpha=alpha), experiment) == pytest.approx([8 * (1 - alpha) ** k], abs=1e-12)


def test_it_never_settles_and_says_so():
    fitted = ConstantStep(alpha=0.1).fit(mean_of(Normal(), samples=3000, runs=2000), run=Run())
    late = fitted.samples >= 100
    assert fitted.trace[late].var(axis=1) == pytest.approx(0.1 / 1.9, rel=0.15)
    assert "sum a_k^2 is infinite for steps 0.1" in fitted.notes[0]


def test_it_follows_what_drifts_where_a_mean_stays_behind():
    from assay.estimation.incremental_mean import IncrementalMean

    drifting = np.linspace(0, 10, 500)
    experiment = mean_of(Sequence(drifting), samples=500)
    assert abs(values(ConstantStep(alpha=0.2), experiment)[0] - 10) < 0.1
    assert values(IncrementalMean(), experiment)[0] == pytest.approx(5)


def test_it_finds_any_root_that_its_steps_do_not_jump_over():
    experiment = Experiment(oracle=Exact(tanh), start=3.0, samples=300)
    assert values(ConstantStep(alpha=0.3), experiment) == pytest.approx([1.0], abs=1e-12)


@pytest.mark.parametrize("alpha", [0.0, -0.1, 2.0, float("nan")])
def test_steps_that_nothing_stands_are_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 2\)"):
        ConstantStep(alpha=alpha)
