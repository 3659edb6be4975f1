"""Learners of a committee: what they fit and say, against the same estimators fitted by hand."""

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.learners import AnyLearner, TreeLearner, member_outputs, select


class Recorder:
    """Remembers what it is fitted to and predicts the label it saw most often; knows no weights."""

    def __init__(self, random_state: int | None = None):
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict:
        return {"random_state": self.random_state}

    def set_params(self, **params) -> "Recorder":
        self.random_state = params["random_state"]
        return self

    def fit(self, X, y) -> "Recorder":
        self.X, self.y = X, np.asarray(y)
        values, counts = np.unique(self.y, return_counts=True)
        self.common = values[counts.argmax()]
        return self

    def predict(self, X) -> np.ndarray:
        return np.full(len(X), self.common)


def as_array(estimator, table: Table) -> np.ndarray:
    return table.to_numpy()


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    return X, np.digitize(X[:, 0] + rng.normal(size=80), [-0.5, 0.5]), rng.integers(0, 3, 80).astype(float)


NAMES = np.array(["high", "low", "middle"])


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_tree_of_classes_says_what_cart_says(rows, num_classes):
    X, labels, weight = rows
    labels = np.minimum(labels, num_classes - 1).astype(np.int32)
    learner = TreeLearner(
        CARTClassifier(max_depth=3), Table.of(X), labels, NAMES[:num_classes], weight=None, wide=False
    )
    member = learner.fit(weight, np.random.default_rng(1))
    cart = CARTClassifier(max_depth=3).fit(X, NAMES[labels], sample_weight=weight)
    some = np.array([5, 0, 79, 5])
    np.testing.assert_allclose(learner.outputs(member, some), cart.predict_proba(X[some]), atol=1e-12)
    np.testing.assert_array_equal(NAMES[learner.predict(member)], cart.predict(X))


def test_a_tree_of_numbers_says_what_cart_says_of_rows_of_no_weight_too(rows):
    X, _, weight = rows
    y = X[:, 1] ** 2
    learner = TreeLearner(CARTRegressor(max_depth=3), Table.of(X), y, None, weight=None, wide=True)
    member = learner.fit(weight, np.random.default_rng(1))
    expected = CARTRegressor(max_depth=3).fit(X, y, sample_weight=weight).predict(X)
    assert (member.leaf[weight == 0] == -1).all()
    assert (weight == 0).any()
    np.testing.assert_allclose(learner.predict(member), expected, rtol=1e-12)
    np.testing.assert_allclose(learner.outputs(member, np.arange(80))[:, 0], expected, rtol=1e-12)
    assert (member.leaf[weight == 0] == -1).all()  # asking changes nothing


def test_a_tree_sees_only_its_features(rows):
    X, labels, weight = rows
    learner = TreeLearner(
        CARTClassifier(), Table.of(X), labels.astype(np.int32), NAMES, weight=None, wide=True
    )
    tree = learner.fit(weight, np.random.default_rng(1), np.array([2])).tree
    assert set(tree.feature.tolist()) == {-1, 2}


def test_trees_are_pruned_at_the_price_of_a_leaf(rows):
    X, labels, weight = rows
    priced = CARTClassifier(ccp_alpha=0.05)
    learner = TreeLearner(priced, Table.of(X), labels.astype(np.int32), NAMES, weight=None, wide=True)
    member = learner.fit(weight, np.random.default_rng(1))
    alone = CARTClassifier(ccp_alpha=0.05).fit(X, NAMES[labels], sample_weight=weight)
    whole = CARTClassifier().fit(X, NAMES[labels], sample_weight=weight)
    np.testing.assert_array_equal(NAMES[learner.predict(member)], alone.predict(X))
    assert (alone.predict(X) != whole.predict(X)).any()
    np.testing.assert_array_equal(member.leaf, member.tree.apply(Table.of(X)))


def test_any_estimator_that_takes_weights_gets_them(rows):
    X, labels, weight = rows
    base = CARTClassifier(max_depth=2)
    learner = AnyLearner(base, Table.of(X), labels, NAMES, view=as_array, vote=False)
    member = learner.fit(weight, np.random.default_rng(1))
    expected = CARTClassifier(max_depth=2).fit(X, NAMES[labels], sample_weight=weight)
    np.testing.assert_array_equal(learner.outputs(member, np.arange(80)), expected.predict_proba(X))
    assert not hasattr(base, "classes_")  # a clone was fitted


def test_an_estimator_without_weights_sees_rows_as_often_as_they_weigh(rows):
    X, labels, weight = rows
    learner = AnyLearner(Recorder(), Table.of(X), labels, NAMES, view=as_array, vote=False)
    estimator, features = learner.fit(weight, np.random.default_rng(1), np.array([2, 0]))
    repeat = np.repeat(np.arange(80), weight.astype(int))
    np.testing.assert_array_equal(estimator.X, X[repeat][:, [2, 0]])
    np.testing.assert_array_equal(estimator.y, NAMES[labels[repeat]])
    np.testing.assert_array_equal(features, [2, 0])


def test_every_clone_has_a_seed_of_its_own_that_follows_the_generator(rows):
    X, labels, weight = rows
    learner = AnyLearner(Recorder(), Table.of(X), labels, NAMES, view=as_array, vote=False)

    def seeds() -> list[int]:
        rng = np.random.default_rng(7)
        return [learner.fit(weight, rng)[0].random_state for _ in range(4)]

    assert seeds() == seeds()
    assert len(set(seeds())) == 4
    assert learner.estimator.random_state is None


def test_votes_are_one_hot_and_probabilities_stand_under_their_own_class(rows):
    X, labels, _ = rows
    known = labels > 0  # the member never saw the first class
    estimator = CARTClassifier(max_depth=2).fit(X[known], NAMES[labels[known]])
    table = Table.of(X)
    soft = member_outputs((estimator, None), table, NAMES, view=as_array, vote=False)
    hard = member_outputs((estimator, None), table, NAMES, view=as_array, vote=True)
    np.testing.assert_array_equal(soft[:, 0], 0)
    np.testing.assert_array_equal(soft[:, 1:], estimator.predict_proba(X))
    np.testing.assert_array_equal(hard, estimator.predict(X)[:, None] == NAMES)


def test_numbers_stand_in_one_column_and_predictions_are_codes(rows):
    X, labels, weight = rows
    numbers = AnyLearner(Recorder(), Table.of(X), np.full(80, 2.5), None, view=as_array, vote=False)
    member = numbers.fit(weight, np.random.default_rng(0))
    np.testing.assert_array_equal(numbers.outputs(member, np.arange(3)), [[2.5]] * 3)
    np.testing.assert_array_equal(numbers.predict(member), np.full(80, 2.5))
    of_classes = AnyLearner(Recorder(), Table.of(X), labels, NAMES, view=as_array, vote=True)
    member = of_classes.fit(weight, np.random.default_rng(0))
    np.testing.assert_array_equal(NAMES[of_classes.predict(member)], [member[0].common] * 80)


def test_selecting_keeps_the_order_that_is_asked_for():
    table = Table.of({"a": [1.0], "b": [2.0], "c": [3.0]})
    assert select(table, None) is table
    assert select(table, np.array([2, 0])).names == ("c", "a")
