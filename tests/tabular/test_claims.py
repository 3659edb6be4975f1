"""The quantities of the claims that are ours to compute are computed right."""

import math

import numpy as np
import pytest

from assay.core import claim as core
from assay.core.run import Run
from assay.tabular import experiments
from assay.tabular.adaboost import AdaBoostClassifier
from assay.tabular.claims import claims
from assay.tabular.losses import Logistic
from assay.tabular.task import task

BY_NAME = {claim.name: claim for claim in claims}


def test_a_claim_is_judged_from_its_own_processes(tmp_path):
    record = core.claim(
        BY_NAME["tabular/adaboost-bound"], seeds=2, scale="smoke", runs=tmp_path, jobs=1, progress=False
    )
    assert record.verdict == "supported"
    written = core.Record.read(record.write(tmp_path / "records"))
    assert written.values == record.values
    assert len(written.values["least slack"]) == 2


def naive_bounds_and_errors(errors, votes, outputs, labels):
    """Round by round: the product of 2 sqrt(e (1 - e)), and the error of the vote, in plain Python."""
    bound, bounds, wrong = 1.0, [], []
    total = [0.0] * len(labels)
    for error, vote, said in zip(errors, votes, outputs, strict=True):
        bound *= 2 * math.sqrt(error * (1 - error))
        bounds.append(bound)
        total = [t + vote * (1 if s == 1 else -1) for t, s in zip(total, said, strict=True)]
        wrong.append(sum((t > 0) != (y == 1) for t, y in zip(total, labels, strict=True)) / len(labels))
    return bounds, wrong


def test_the_bound_is_the_theorems_and_holds_with_weak_learners_of_our_own():
    train, _ = task.split(task.load("adult", scale="smoke"), 3)
    model = task.fit(AdaBoostClassifier(n_estimators=15), train, Run(seed=3))
    outputs = []
    for tree in model.ensemble_.trees:
        # A kept tree's leaves hold its vote, signed; its own word is the sign.
        outputs.append((tree.predict(train.features)[:, 0] > 0).astype(int))
    labels = train.target
    distribution = np.full(len(labels), 1 / len(labels))
    for said, error, vote in zip(outputs, model.estimator_errors_, model.estimator_weights_, strict=True):
        assert error == pytest.approx(distribution[said != labels].sum(), abs=1e-9)
        distribution *= np.exp(vote * (said != labels))
        distribution /= distribution.sum()
    bounds, wrong = naive_bounds_and_errors(
        model.estimator_errors_, model.estimator_weights_, outputs, labels
    )
    assert np.allclose(experiments.exponential_bound(model.estimator_errors_), bounds, rtol=1e-12)
    staged = [np.mean(said != train.labels) for said in model.staged_predict(train.features)]
    assert np.allclose(staged, wrong, atol=1e-12)
    assert all(e <= b + 1e-9 for e, b in zip(wrong, bounds, strict=True))
    # It is the mean exponential loss of half the votes, which is what bounds the error.
    half = 0.5 * sum(v * (2 * s - 1) for v, s in zip(model.estimator_weights_, outputs, strict=True))
    assert np.mean(np.exp(-(2 * labels - 1) * half)) == pytest.approx(bounds[-1], rel=1e-6)


def test_twonorm_is_two_normal_classes():
    table, labels = experiments.twonorm(20_000, np.random.default_rng(0))
    X = table.to_numpy()
    assert X.shape == (20_000, 20)
    for label, sign in ((0, -1), (1, 1)):
        assert np.allclose(X[labels == label].mean(axis=0), sign * 2 / math.sqrt(20), atol=0.06)
        assert np.allclose(np.cov(X[labels == label].T), np.eye(20), atol=0.06)
    # The best rule is the sign of the sum; it errs with probability Phi(-2).
    assert np.mean((X.sum(axis=1) > 0) != labels) == pytest.approx(0.0228, abs=0.004)


def test_first_order_knows_no_hessian():
    y, margins = np.array([0.0, 1.0, 1.0]), np.array([[3.0, -2.0, 0.0]])
    _, hessian = Logistic().derivatives(y, margins)
    assert hessian.max() <= 0.25
    first = experiments.FirstOrderClassifier()._curvature(Logistic(), hessian[0])
    assert np.array_equal(first, np.full(3, 0.25))


def test_noise_columns_are_new_for_a_seed_and_leave_the_rest():
    data = task.load("california_housing", scale="smoke")
    one, two = (experiments._with_noise(data, 3, seed) for seed in (0, 1))
    assert one.features.names[-3:] == ("noise 0", "noise 1", "noise 2")
    assert one.features.names[:-3] == data.features.names
    assert not np.array_equal(one.features["noise 0"].values, two.features["noise 0"].values)
    assert np.array_equal(one.target, data.target)
