"""What must hold for every autoregressive family, in every order: who depends on whom, and averages."""

from dataclasses import replace

import numpy as np
import pytest
from random_densities import AUTOREGRESSIVE, all_vectors, random_model

from assay.density.autoregressive import Sweep, draw_orders, natural_order
from assay.density.likelihood import log_likelihood, log_mean_exp
from assay.density.made import MADEModel

MEMBERS = [(family, 1) for family in AUTOREGRESSIVE] + [("eonade", 3), ("made", 3), ("deep-made", 3)]
D = 7


def dependencies(model, member):
    """Whether flipping bit j (column) ever changes logit i (row)."""
    x = all_vectors(model.num_variables).astype(float)
    logits = model.logits(x, member)
    found = np.zeros((model.num_variables,) * 2, bool)
    for j in range(model.num_variables):
        flipped = x.copy()
        flipped[:, j] = 1 - flipped[:, j]
        found[:, j] = (model.logits(flipped, member) != logits).any(axis=0)
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("family", "members"), MEMBERS)
class TestEveryOrder:
    def test_a_bit_depends_on_exactly_those_before_it(self, family, members, seed):
        model = random_model(family, D, seed, members=members, hidden=30)
        for member, order in enumerate(model.structure["orders"]):
            earlier = order[None, :] < order[:, None]
            found = dependencies(model, member)
            assert not (found & ~earlier).any()
            # With sigmoids and thirty units every earlier bit is really seen.
            assert np.array_equal(found, earlier)

    def test_the_jacobian_is_strictly_triangular(self, family, members, seed):
        model = random_model(family, D, seed, members=members, hidden=30)
        x = np.random.default_rng(seed).random((1, D))  # Between the bits, where derivatives are.
        for member, order in enumerate(model.structure["orders"]):
            jacobian = np.zeros((D, D))
            for j in range(D):
                moved = np.repeat(x, 2, axis=0)
                moved[:, j] += (1e-5, -1e-5)
                plus, minus = model.logits(moved, member)
                jacobian[:, j] = (plus - minus) / 2e-5
            inverse = np.argsort(order)
            assert (np.triu(jacobian[inverse][:, inverse]) == 0).all()

    def test_the_first_bit_depends_on_nothing(self, family, members, seed):
        model = random_model(family, D, seed, members=members)
        for member, order in enumerate(model.structure["orders"]):
            first = int(np.flatnonzero(order == 0)[0])
            logit = model.logits(all_vectors(D).astype(float), member)[:, first]
            assert (logit == logit[0]).all()

    def test_bit_by_bit_and_in_one_pass_are_the_same(self, family, members, seed):
        model = random_model(family, D, seed, members=members)
        x = all_vectors(D).astype(float)
        for member in range(model.num_members):
            sweep = Sweep(x.copy(), np.ones(x.shape, bool), np.random.default_rng(0))
            model.complete(sweep, member)
            assert np.array_equal(sweep.x, x)
            expected = log_likelihood(model.logits(x, member), x)
            assert sweep.log_weight == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("family", "members"), MEMBERS)
class TestEveryEnsemble:
    def test_each_member_alone_sums_to_one(self, family, members):
        model = random_model(family, D, members=members)
        x = all_vectors(D).astype(float)
        for member in range(model.num_members):
            p = np.exp(log_likelihood(model.logits(x, member), x))
            assert p.sum() == pytest.approx(1, abs=1e-10)

    def test_the_average_is_of_probabilities(self, family, members):
        model = random_model(family, D, members=members)
        x = all_vectors(D).astype(float)
        each = [np.exp(log_likelihood(model.logits(x, k), x)) for k in range(model.num_members)]
        assert np.exp(model.log_prob(x)) == pytest.approx(np.mean(each, axis=0), abs=1e-14)

    def test_the_average_is_no_worse_than_the_members_are_on_average(self, family, members):
        model = random_model(family, D, members=members)
        x = all_vectors(D).astype(float)
        each = np.stack([log_likelihood(model.logits(x, k), x) for k in range(model.num_members)])
        assert (model.log_prob(x) >= each.mean(axis=0) - 1e-12).all()

    def test_large_inputs_are_taken_in_parts(self, family, members, monkeypatch):
        from assay.density import autoregressive

        model = random_model(family, D, members=members)
        x = all_vectors(D)
        whole = model.log_prob(x)
        monkeypatch.setattr(autoregressive, "_ROWS_AT_ONCE", 10)
        assert model.log_prob(x) == pytest.approx(whole, abs=1e-12)


def test_averaged_logits_are_no_distribution():
    """Conditionals of different orders see each other's future: their mean is no conditional."""
    pairs = np.array([[0.0, 6.0], [6.0, 0.0]])
    weights = {"direct": pairs, "b": np.array([-3.0, -3.0])}
    model = MADEModel(weights=weights, structure={"orders": np.array([[0, 1], [1, 0]])})
    x = all_vectors(2).astype(float)
    logits = np.mean([model.logits(x, k) for k in range(2)], axis=0)
    assert np.exp(log_likelihood(logits, x)).sum() > 1.2
    assert np.exp(model.log_prob(x)).sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("family", ["fvsbn", "nade", "eonade"])
def test_other_orders_of_the_same_weights_are_other_distributions(family):
    model = random_model(family, 6)
    x = all_vectors(6)
    backwards = replace(model, structure={"orders": 5 - model.structure["orders"]})
    assert np.exp(backwards.log_prob(x)).sum() == pytest.approx(1, abs=1e-10)
    assert np.abs(backwards.log_prob(x) - model.log_prob(x)).max() > 0.1


class TestExactness:
    def test_one_order_is_exact_if_the_observed_come_first(self):
        model = random_model("fvsbn", 5)
        order = model.structure["orders"][0]
        for known in range(6):
            assert model.in_paints_exactly(order < known)
        assert not model.in_paints_exactly(order > 0)
        assert not model.in_paints_exactly(order == 2)

    def test_every_row_counts(self):
        model = random_model("nade", 4)
        order = model.structure["orders"][0]
        assert model.in_paints_exactly(np.stack([order < 1, order < 3]))
        assert not model.in_paints_exactly(np.stack([order < 1, order > 1]))

    def test_several_orders_are_not(self):
        model = random_model("made", 4, members=2)
        assert not model.in_paints_exactly(model.structure["orders"][0] < 2)


class TestSweep:
    def test_weights_are_of_the_observed_bits(self):
        x, observed = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[True, False], [False, True]])
        sweep = Sweep(x, observed, np.random.default_rng(0))
        sweep.visit(0, np.array([2.0, -50.0]))
        sweep.visit(1, np.array([50.0, -1.0]))
        assert sweep.x.tolist() == [[1, 1], [0, 1]]
        expected = [-np.log1p(np.exp(-2)), -np.log1p(np.exp(1))]
        assert sweep.log_weight == pytest.approx(expected, abs=1e-12)

    def test_draws_have_their_probability(self):
        nothing = np.zeros((50_000, 1))
        sweep = Sweep(nothing, nothing > 0, np.random.default_rng(0))
        drawn = sweep.visit(0, np.full(len(nothing), 0.7))
        p = 1 / (1 + np.exp(-0.7))
        assert abs(drawn.mean() - p) < 4 * np.sqrt(p * (1 - p) / len(drawn))
        assert (sweep.log_weight == 0).all()
        assert not nothing.any()


def test_orders_are_permutations():
    assert natural_order(4).tolist() == [[0, 1, 2, 3]]
    orders = draw_orders(5, 6, np.random.default_rng(0))
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    assert len(np.unique(orders, axis=0)) == 5


def test_log_mean_exp_does_not_overflow():
    values = np.array([[-5000.0, 3000.0, 0.0], [-5000.0, -3000.0, np.log(3)]])
    assert log_mean_exp(values) == pytest.approx([-5000, 3000 - np.log(2), np.log(2)], abs=1e-12)
