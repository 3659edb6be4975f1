import numpy as np
import pytest
from estimation_worlds import Exact, Normal, mean_of, observations, values

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.metrics import gradient_noise_scale, relative_gradient_error
from assay.estimation.populations import Square
from assay.estimation.robbins_monro import RobbinsMonro
from assay.estimation.sgd import SGD


@pytest.mark.parametrize(("c", "power"), [(1.0, 1.0), (0.5, 0.7), (0.05, 0.0)])
def test_it_is_torchs_sgd_on_the_same_samples(c, power):
    torch = pytest.importorskip("torch")
    experiment = mean_of(Square(), start=np.array([20.0, -7.0]), samples=60, runs=3)
    x = torch.from_numpy(observations(experiment))
    w = torch.tensor([[20.0, -7.0]] * 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=c)
    plain = w.detach().clone()
    for k in range(60):
        optimizer.param_groups[0]["lr"] = c / (k + 1) ** power
        optimizer.zero_grad()
        (0.5 * (w - x[k]) ** 2).sum().backward()
        optimizer.step()
        plain = plain - c / (k + 1) ** power * (plain - x[k])
    found = values(SGD(c=c, power=power), experiment)
    assert np.array_equal(found, plain.numpy())  # Bit for bit by torch's own arithmetic;
    # its optimizer multiplies and adds in one operation, and so rounds once where others round twice.
    assert found == pytest.approx(w.detach().numpy(), rel=1e-13, abs=1e-14)


def test_it_minimises_a_quadratic_of_many_variables():
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    oracle = Exact(lambda w: w @ matrix - [1.0, 2.0], noise=0.5, shape=(2,))
    found = values(SGD(c=2), Experiment(oracle=oracle, start=np.zeros(2), samples=4000, runs=200))
    assert found.mean(axis=0) == pytest.approx(np.linalg.solve(matrix, [1.0, 2.0]), abs=0.02)


def test_steps_that_do_not_converge_are_noted_and_not_refused():
    fitted = SGD(c=0.1, power=0).fit(mean_of(Normal(), samples=5), run=Run())
    assert "sum a_k^2 is infinite" in fitted.notes[0]
    assert SGD().fit(mean_of(Normal(), samples=5), run=Run()).notes == ()
    with pytest.raises(ValueError, match="c must be above 0"):
        SGD(c=0)


def test_it_is_robbins_monro_on_the_gradient():
    experiment = mean_of(Normal(3, 2), samples=100, runs=5)
    assert np.array_equal(
        values(SGD(c=2, power=0.8), experiment), values(RobbinsMonro(c=2, power=0.8), experiment)
    )


def test_gradients_are_nearly_exact_when_far_and_mostly_noise_when_near():
    x = Square().draw(1, 20_000, np.random.default_rng(0))[0]
    distances = np.array([0.1, 1.0, 10.0, 100.0])
    errors, scales = [], []
    for distance in distances:
        w = np.broadcast_to([distance, 0.0], x.shape)
        relative = relative_gradient_error(w - x, w)
        assert np.allclose(relative, np.linalg.norm(x, axis=1) / distance, rtol=1e-9, atol=0)
        errors.append(np.sqrt(np.mean(relative**2)))
        scales.append(gradient_noise_scale(w - x))
    slope = np.polyfit(np.log(distances), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=1e-9)
    assert scales[1:] == pytest.approx(200 / 3 / distances[1:] ** 2, rel=0.05)


def test_the_start_does_not_matter_when_the_first_step_is_one():
    found = [values(SGD(), mean_of(Normal(5, 1), start=start, samples=30, runs=4)) for start in (0.0, 1e5)]
    assert found[0] == pytest.approx(found[1], rel=1e-9)
