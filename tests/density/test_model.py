"""What must hold for every family: normalisation, samples, conditionals, saving, the contract's errors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from random_densities import ALL, all_vectors, random_model

from assay.data.table import ContractError
from assay.density.likelihood import negative_log_likelihood
from assay.density.model import DensityModel

MEMBERS = [(family, 1) for family in ALL] + [("eonade", 3), ("made", 3), ("deep-made", 3)]


def frequencies(x):
    return np.bincount(x @ (1 << np.arange(x.shape[1])[::-1]), minlength=1 << x.shape[1]) / len(x)


def same_distribution(x, p, *, sigmas=5.0):
    """Whether the draws' frequencies of every vector agree with their probabilities."""
    error = np.abs(frequencies(x) - p)
    return bool(np.all(error <= sigmas * np.sqrt(p * (1 - p) / len(x)) + 2 / len(x)))


@pytest.mark.parametrize(("family", "members"), MEMBERS)
class TestEveryModel:
    @pytest.mark.parametrize(("D", "seed"), [(1, 0), (3, 0), (3, 1), (8, 0), (8, 1), (8, 2)])
    def test_probabilities_of_all_vectors_sum_to_one(self, family, members, D, seed):
        model = random_model(family, D, seed, members=members)
        assert np.exp(model.log_prob(all_vectors(D))).sum() == pytest.approx(1, abs=1e-10)

    def test_samples_have_the_models_probabilities(self, family, members):
        model = random_model(family, 4, members=members)
        p = np.exp(model.log_prob(all_vectors(4)))
        assert same_distribution(model.sample(40_000, np.random.default_rng(1)), p)

    def test_samples_are_as_likely_as_the_model_expects(self, family, members):
        """By the order array in place of its inverse, or by probabilities in place of bits, they are not."""
        model = random_model(family, 10, members=members)
        everything = model.log_prob(all_vectors(10))
        entropy = -float(np.exp(everything) @ everything)
        scores = -model.log_prob(model.sample(20_000, np.random.default_rng(2)))
        assert abs(scores.mean() - entropy) < 4 * scores.std() / np.sqrt(len(scores))

    def test_in_painting_keeps_what_is_observed(self, family, members):
        model = random_model(family, 12, members=members)
        rng = np.random.default_rng(3)
        x, observed = rng.integers(0, 2, (50, 12)), rng.random((50, 12)) < 0.5
        painted = model.in_paint(x, observed, rng)
        assert painted.dtype == np.uint8
        assert painted.shape == x.shape
        assert np.array_equal(painted[observed], x[observed])

    def test_in_painting_ignores_what_is_not_observed(self, family, members):
        model = random_model(family, 9, members=members)
        observed = np.arange(9) % 2 == 0
        x = np.random.default_rng(4).integers(0, 2, (30, 9))
        painted = [
            model.in_paint(values, observed, np.random.default_rng(5))
            for values in (x, np.where(observed, x, 1 - x), np.where(observed, x, np.nan))
        ]
        assert np.array_equal(painted[0], painted[1])
        assert np.array_equal(painted[0], painted[2])

    def test_everything_observed_is_given_back(self, family, members):
        model = random_model(family, 5, members=members)
        x = all_vectors(5)
        assert np.array_equal(model.in_paint(x, np.ones(5, bool), np.random.default_rng(0)), x)

    def test_samples_depend_on_the_generator_alone(self, family, members):
        model = random_model(family, 6, members=members)
        np.random.seed(0)  # noqa: NPY002
        one = model.sample(20, np.random.default_rng(7))
        np.random.seed(1)  # noqa: NPY002
        assert np.array_equal(one, model.sample(20, np.random.default_rng(7)))
        assert not np.array_equal(one, model.sample(20, np.random.default_rng(8)))
        assert model.sample(0, np.random.default_rng(0)).shape == (0, 6)

    def test_is_saved_and_loaded(self, family, members, tmp_path):
        model = replace(random_model(family, 6, members=members), picture=(2, 3))
        model.save(tmp_path)
        again = DensityModel.load(tmp_path)
        assert type(again) is type(model)
        assert again.picture == (2, 3)
        x = all_vectors(6)
        assert np.array_equal(again.log_prob(x), model.log_prob(x))
        assert np.array_equal(
            again.sample(9, np.random.default_rng(0)), model.sample(9, np.random.default_rng(0))
        )

    def test_what_is_no_bit_is_named(self, family, members):
        model = random_model(family, 4, members=members)
        with pytest.raises(ContractError, match=r"row 2, column 3: expected 0 or 1, got 0.5"):
            model.log_prob(np.array([[0, 1, 0, 1], [0, 1, 0.5, 1]]))
        with pytest.raises(ContractError, match="missing value"):
            model.log_prob(np.array([[0, np.nan, 0, 1]]))
        with pytest.raises(ContractError, match="expected 4 columns, got 5"):
            model.log_prob(np.zeros((1, 5)))

    def test_input_is_not_changed(self, family, members):
        model = random_model(family, 5, members=members)
        x = all_vectors(5).astype(np.float64)
        before = x.copy()
        weights = {name: np.array(w) for name, w in model.weights.items()}
        model.log_prob(x)
        model.in_paint(x, np.arange(5) < 2, np.random.default_rng(0))
        assert np.array_equal(x, before)
        assert all(np.array_equal(w, weights[name]) for name, w in model.weights.items())


@pytest.mark.parametrize(("family", "members"), MEMBERS)
@pytest.mark.parametrize(("D", "seed"), [(12, 0), (12, 1), (12, 2), (16, 0)])
def test_sums_to_one_over_many_bits_in_every_order(family, members, D, seed):
    model = random_model(family, D, seed, members=members)
    assert np.exp(model.log_prob(all_vectors(D))).sum() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("family", ["bernoulli", "mixture", "fvsbn", "nade", "made"])
def test_conditionals_are_exact_where_they_are_said_to_be(family):
    D = 5
    model = random_model(family, D, seed=3)
    x = all_vectors(D)
    p = np.exp(model.log_prob(x))
    observed = np.array([True, False, True, False, False])
    if "orders" in model.structure:
        observed = model.structure["orders"][0] < 2
    assert model.in_paints_exactly(observed)
    given = np.array([1, 0, 1, 1, 0])
    fits = (x[:, observed] == given[observed]).all(axis=1)
    conditional = np.where(fits, p, 0) / p[fits].sum()
    drawn = model.in_paint(np.tile(given, (30_000, 1)), observed, np.random.default_rng(0))
    assert same_distribution(drawn, conditional)


@pytest.mark.parametrize(("family", "members"), [("fvsbn", 1), ("nade", 1), ("made", 1), ("made", 3)])
def test_weighted_draws_come_near_the_conditional(family, members):
    """Of the last bits given, a plain draw would know nothing."""
    D = 5
    model = random_model(family, D, seed=1, members=members)
    x = all_vectors(D)
    p = np.exp(model.log_prob(x))
    observed = model.structure["orders"][0] >= 2
    assert not model.in_paints_exactly(observed)
    given = np.array([0, 1, 1, 0, 1])
    fits = (x[:, observed] == given[observed]).all(axis=1)
    conditional = np.where(fits, p, 0) / p[fits].sum()
    rows = np.tile(given, (1500, 1))
    distance = {}
    for particles in (1, 150):
        drawn = model.in_paint(rows, observed, np.random.default_rng(0), particles=particles)
        distance[particles] = np.abs(frequencies(drawn) - conditional).sum() / 2
    assert distance[150] < 0.06
    assert distance[1] > 2 * distance[150]


def test_eonade_completes_any_bits_in_an_order_that_begins_with_the_observed():
    D = 3
    model = random_model("eonade", D, seed=2)
    observed = np.array([False, True, False])
    given = np.tile([0, 1, 0], (30_000, 1))
    x = all_vectors(D)
    conditional = np.zeros(8)
    for order in ([1, 0, 2], [2, 0, 1]):  # Variable 1 first, then the others either way.
        alone = replace(model, structure={"orders": np.array([order])})
        p = np.exp(alone.log_prob(x)) * (x[:, 1] == 1)
        conditional += p / p.sum() / 2
    drawn = model.in_paint(given, observed, np.random.default_rng(0))
    # All rows of a call share one order, so several calls are needed to see both.
    parts = [model.in_paint(given[:300], observed, np.random.default_rng(s)) for s in range(200)]
    assert same_distribution(np.concatenate(parts), conditional, sigmas=9)  # Rows of one call are alike.
    assert (drawn[:, 1] == 1).all()
    assert not model.in_paints_exactly(observed)


def test_all_half_model_has_exactly_d_log_two():
    model = replace(random_model("bernoulli", 7), weights={"b": np.zeros(7)})
    assert negative_log_likelihood(model.log_prob(all_vectors(7))) == pytest.approx(7 * np.log(2), abs=1e-14)


def test_predict_reads_files(tmp_path):
    model = random_model("mixture", 3)
    x = all_vectors(3)
    np.save(tmp_path / "x.npy", x)
    assert np.array_equal(model.predict(str(tmp_path / "x.npy")), model.log_prob(x))


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a density model"):
        DensityModel.load(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"family": "os:system", "picture": None}))
    with pytest.raises(ValueError, match="expected a density model, got KeyError"):
        DensityModel.load(tmp_path)
