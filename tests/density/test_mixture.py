import numpy as np
import pytest
from random_densities import all_vectors, random_model, two_prototypes

from assay.core.budget import Budget
from assay.core.run import Run
from assay.density.bernoulli import Bernoulli
from assay.density.mixture import Mixture, MixtureModel, log_joint, maximised, responsibilities


def naive_joint(x, log_pi, p):
    joint = np.zeros((len(x), len(p)))
    for n, row in enumerate(x):
        for k in range(len(p)):
            joint[n, k] = log_pi[k]
            for d, bit in enumerate(row):
                joint[n, k] += np.log(p[k, d] if bit else 1 - p[k, d])
    return joint


def test_joint_is_the_loops():
    model = random_model("mixture", 5)
    x = all_vectors(5)
    p = 1 / (1 + np.exp(-model.weights["logits"]))
    expected = naive_joint(x, model.weights["log_pi"], p)
    assert log_joint(x, model.weights) == pytest.approx(expected, abs=1e-10)
    shares = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    assert responsibilities(log_joint(x, model.weights)) == pytest.approx(shares, abs=1e-10)


def test_joint_of_some_bits_is_the_sum_over_the_others():
    model = random_model("mixture", 4)
    everything = all_vectors(4)
    observed = np.array([True, False, True, False])
    row = np.array([[1, 0, 0, 1]])
    fits = (everything[:, observed] == row[:, observed]).all(axis=1)
    expected = np.log(np.exp(log_joint(everything[fits], model.weights)).sum(axis=0))
    found = log_joint(row, model.weights, observed[None])
    assert found[0] == pytest.approx(expected, abs=1e-12)


def test_m_step_is_the_loops():
    rng = np.random.default_rng(0)
    x, shares = rng.integers(0, 2, (9, 3)), rng.dirichlet(np.ones(2), 9)
    weights = maximised(x, shares)
    for k in range(2):
        size = sum(shares[n, k] for n in range(9))
        assert np.exp(weights["log_pi"][k]) == pytest.approx((size + 1) / (9 + 2), abs=1e-10)
        for d in range(3):
            ones = sum(shares[n, k] for n in range(9) if x[n, d])
            p = (ones + 0.5) / (size + 1)
            assert 1 / (1 + np.exp(-weights["logits"][k, d])) == pytest.approx(p, abs=1e-10)


def test_one_component_is_the_columns_shares():
    x = two_prototypes().x
    weights = maximised(x, np.ones((len(x), 1)))
    p = (x.sum(axis=0) + 0.5) / (len(x) + 1)
    assert 1 / (1 + np.exp(-weights["logits"][0])) == pytest.approx(p, abs=1e-12)


def test_tables_of_known_classes_are_those_of_naive_bayes():
    naive_bayes = pytest.importorskip("sklearn.naive_bayes")
    rng = np.random.default_rng(1)
    x, labels = rng.integers(0, 2, (50, 6)), rng.integers(0, 3, 50)
    weights = maximised(x, np.eye(3)[labels])
    reference = naive_bayes.BernoulliNB(alpha=0.5, class_prior=np.exp(weights["log_pi"])).fit(x, labels)
    assert log_joint(x, weights) == pytest.approx(reference.predict_joint_log_proba(x), abs=1e-10)


def test_likelihood_never_falls():
    """Of the smoothed likelihood, which is what the smoothed M step maximises."""
    x = two_prototypes().x
    weights = maximised(x, np.random.default_rng(0).dirichlet(np.ones(3), len(x)))
    previous = -np.inf
    for _ in range(25):
        joint = log_joint(x, weights)
        logits = weights["logits"]
        prior = weights["log_pi"].sum() - 0.5 * (np.logaddexp(0, logits) + np.logaddexp(0, -logits)).sum()
        objective = np.logaddexp.reduce(joint, axis=1).sum() + prior
        assert objective >= previous - 1e-9
        previous = objective
        weights = maximised(x, responsibilities(joint))


def test_finds_two_prototypes():
    model = Mixture(num_components=2).fit(two_prototypes(2000), run=Run())
    p = 1 / (1 + np.exp(-model.weights["logits"]))
    p = p[np.argsort(model.weights["log_pi"])]
    assert np.exp(model.weights["log_pi"]).min() == pytest.approx(0.3, abs=0.05)
    assert p[0] == pytest.approx([0.95, 0.9, 0.1, 0.05, 0.9], abs=0.06)
    assert p[1] == pytest.approx([0.1, 0.05, 0.9, 0.8, 0.2], abs=0.06)


def test_budgets_stop_it():
    data = two_prototypes()
    for budget, epochs in ((Budget(3, "epochs"), 3), (Budget(2, "steps"), 2)):
        model = Mixture(num_components=3).fit(data, run=Run(budget=budget))
        assert model.history[-1].epoch == epochs
    assert len(Mixture(num_components=3, max_epochs=4).fit(data, run=Run()).history) <= 4


def test_settings_are_checked():
    for settings in ({"num_components": 0}, {"max_epochs": 0}, {"patience": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            Mixture(**settings)


def test_mixture_beats_its_floor():
    data = two_prototypes(2000)
    test = two_prototypes(1000, seed=1)
    floor = Bernoulli().fit(data, run=Run()).log_prob(test.x).mean()
    model = Mixture(num_components=2).fit(data, run=Run())
    assert isinstance(model, MixtureModel)
    assert model.log_prob(test.x).mean() > floor + 0.3
