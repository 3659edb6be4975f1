import numpy as np
import pytest
from estimation_worlds import Exact

from assay.data.table import ContractError
from assay.estimation.conditions import looks
from assay.estimation.oracles import Cubic, Tanh
from assay.estimation.reference import find_root


def found(oracle, centre=0.0, interval=None, count=20_000, seed=0):
    rng = np.random.default_rng(seed)
    return find_root(oracle, looks(oracle, centre, interval=interval, rng=rng), count, rng, "mine")


@pytest.mark.parametrize(
    ("oracle", "centre", "root", "slope"),
    [
        (Tanh(), 3.0, 1.0, 1.0),
        (Cubic(), 0.0, 5 ** (1 / 3), 3 * 5 ** (2 / 3)),
        (Exact(lambda w: 2 * (w - 50), noise=1.0), 0.0, 50.0, 2.0),
        (Exact(lambda w: np.exp(w) - 1, noise=0.1), 0.5, 0.0, 1.0),
    ],
)
def test_the_root_is_within_its_errors(oracle, centre, root, slope):
    roots = [found(oracle, centre, count=100_000, seed=seed) for seed in range(4)]
    off = np.array([(r.at - root) / r.error for r in roots])
    assert np.abs(off).max() < 4
    assert np.mean([r.slope for r in roots]) == pytest.approx(slope, rel=0.03)
    noise = getattr(oracle, "noise", 1.0)
    assert np.mean([r.noise for r in roots]) == pytest.approx(noise, rel=0.05)


def test_more_observations_find_it_more_closely():
    errors = [found(Tanh(), 3.0, count=count).error for count in (1000, 100_000)]
    assert errors[1] < errors[0] / 5


def test_without_noise_it_is_found_to_rounding():
    root = found(Exact(lambda w: np.tanh(w - 1)), 3.0, count=10)
    assert root.at == pytest.approx(1.0, abs=1e-9)
    assert root.noise == 0
    assert found(Exact(lambda w: w - 1.0), 0.0, count=10).at == 1.0


def test_a_jump_is_found_too():
    root = found(Exact(lambda w: np.where(w < 0.3, -1.0, 1.0), noise=0.5), count=1000)
    assert root.at == pytest.approx(0.3, abs=1e-6)


def test_a_function_without_a_root_in_sight_is_named():
    for oracle in (
        Exact(lambda w: np.ones_like(w)),
        Exact(lambda w: w**2 + 1),
        Exact(lambda w: w * 0, noise=1.0),
    ):
        with pytest.raises(ContractError, match=r"mine: expected a root.*from w = -100 to 100"):
            found(oracle)
    with pytest.raises(ContractError, match="from w = 2 to 3"):
        found(Tanh(noise=0.1), interval=(2.0, 3.0))


def test_a_hole_on_the_way_is_named():
    holed = Exact(lambda w: np.where(np.abs(w - 0.5) < 0.1, np.nan, w - 0.55))
    with pytest.raises(ContractError, match=r"expected finite numbers at w = 0\.5"):
        found(holed, count=10)
