"""The experiments behind the claims of `claims.py`: each measures named quantities for a seed and a scale.

Errors are reported as errors, so that "A - B > 0" between two of them says that B is better.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.core.run import Run, Scale
from assay.data.table import Column, Table
from assay.tabular import metrics
from assay.tabular.adaboost import AdaBoostClassifier
from assay.tabular.cart import CARTClassifier
from assay.tabular.contract import TabularData
from assay.tabular.gbdt import GBDTRegressor
from assay.tabular.noise import Noise
from assay.tabular.random_forest import RandomForestClassifier
from assay.tabular.stacking import StackingClassifier
from assay.tabular.task import task
from assay.tabular.xgboost import XGBoostClassifier, XGBoostRegressor

Quantities = Mapping[str, float]


def _halves(name: str, seed: int, scale: Scale) -> tuple[TabularData, TabularData]:
    return task.split(task.load(name, scale=scale), seed)


def _fitted(method: Any, train: TabularData, seed: int) -> Any:
    return task.fit(method, train, Run(seed=seed))


def _rounds(scale: Scale, wanted: int) -> int:
    """So many rounds as the experiment wants, or few that only show that it runs."""
    return 20 if scale == "smoke" else wanted


# -- forests -------------------------------------------------------------------------------------------------


def growing_forest(seed: int, scale: Scale) -> Quantities:
    """Returns the test accuracy of the first tree of a forest, of the first ten, fifty and two hundred."""
    train, test = _halves("adult", seed, scale)
    forest = _fitted(RandomForestClassifier(n_estimators=200), train, seed)
    stages = enumerate(forest.staged_predict_proba(test.features), start=1)
    accuracy = {trees: metrics.accuracy(p, test.target, test.weight) for trees, p in stages}
    return {f"{trees} trees": accuracy[trees] for trees in (1, 10, 50, 200)}


# -- AdaBoost ------------------------------------------------------------------------------------------------


def exponential_bound(errors: np.ndarray) -> np.ndarray:
    """Returns the bound on the training error of two classes after each round, from the weighted errors."""
    return np.cumprod(2 * np.sqrt(errors * (1 - errors)))  # Freund and Schapire 1997, Theorem 6


def adaboost_bound(seed: int, scale: Scale) -> Quantities:
    """Returns the least distance of the training error from its bound over all rounds, and where both end."""
    train, _ = _halves("adult", seed, scale)
    model = _fitted(AdaBoostClassifier(n_estimators=_rounds(scale, 200)), train, seed)
    labels = train.labels
    wrong = np.array([np.mean(said != labels) for said in model.staged_predict(train.features)])
    bound = exponential_bound(model.estimator_errors_)
    return {"least slack": (bound - wrong).min(), "final error": wrong[-1], "final bound": bound[-1]}


def twonorm(rows: int, rng: np.random.Generator) -> tuple[Table, np.ndarray]:
    """Returns twenty features and labels of two normal classes, as Breiman (1996, 1998) draws them.

    The means are (a, ..., a) and (-a, ..., -a) with a = 2 / sqrt(20), the covariances the identity.
    """
    labels = rng.integers(0, 2, rows)
    features = rng.normal(size=(rows, 20)) + np.where(labels == 1, 1, -1)[:, None] * 2 / np.sqrt(20)
    return Table.of(features), labels


def boosted_margins(seed: int, scale: Scale) -> Quantities:
    """Returns smallest margin and test error when the training error reaches zero, and at the last round."""
    rng = np.random.default_rng([seed, 1])
    (X, y), (X_test, y_test) = twonorm(300, rng), twonorm(5000, rng)
    model = AdaBoostClassifier(
        estimator=CARTClassifier(max_depth=3), n_estimators=10 * _rounds(scale, 100), random_state=seed
    )
    model.fit(X, y)
    sign = np.where(y == 1, 1, -1)
    # The votes for the true class less those against it, over all votes; the function is twice that.
    margins = [(sign * f).min() / 2 for f in model.staged_decision_function(X)]
    wrong = [float(np.mean(said != y)) for said in model.staged_predict(X)]
    test = [float(np.mean(said != y_test)) for said in model.staged_predict(X_test)]
    first = wrong.index(0.0)
    return {
        "rounds to zero error": first + 1,
        "margin then": margins[first],
        "margin at the end": margins[-1],
        "test error then": test[first],
        "test error at the end": test[-1],
    }


# -- gradient boosting ---------------------------------------------------------------------------------------


def _chosen_rmse(methods: Mapping[str, Any], seed: int, scale: Scale) -> Quantities:
    """Returns each method's test RMSE after as many of its rounds as are best for held-out training rows."""
    train, test = _halves("california_housing", seed, scale)
    train, held = task.split(train, seed)

    def errors(model: Any, part: TabularData) -> list[float]:
        return [metrics.rmse(p, part.target, part.weight) for p in model.staged_predict(part.features)]

    models = {label: _fitted(method, train, seed) for label, method in methods.items()}
    return {label: errors(m, test)[int(np.argmin(errors(m, held)))] for label, m in models.items()}


def shrinkage(seed: int, scale: Scale) -> Quantities:
    """Returns the test RMSE of three learning rates with the same number of rounds to choose from."""
    options: dict[str, Any] = {"max_depth": None, "max_leaf_nodes": 11, "n_estimators": _rounds(scale, 500)}
    rates = (1.0, 0.25, 0.06)
    return _chosen_rmse({f"rate {v}": GBDTRegressor(learning_rate=v, **options) for v in rates}, seed, scale)


def subsampling(seed: int, scale: Scale) -> Quantities:
    """Returns the test RMSE with all rows in every round, and with half of them."""
    rounds = _rounds(scale, 500)
    shares = {"all rows": 1.0, "half the rows": 0.5}
    methods = {
        label: GBDTRegressor(learning_rate=0.1, max_depth=6, subsample=share, n_estimators=rounds)
        for label, share in shares.items()
    }
    return _chosen_rmse(methods, seed, scale)


# -- XGBoost -------------------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False, repr=False)
class FirstOrderClassifier(XGBoostClassifier):
    """XGBoost that knows only how far the logistic loss bends at most, 1/4, instead of how far here."""

    def _curvature(self, loss: Any, hessian: np.ndarray) -> np.ndarray:
        return np.full_like(hessian, 0.25)


class NoNoise(Noise):
    """As if no gradient varied by chance."""

    def per_unit(self, loss: Any, gradient: Any, curvature: Any, hessian: Any) -> float:
        """Returns 0."""
        return 0.0


@dataclass(kw_only=True, eq=False, repr=False)
class GainAsItIsClassifier(XGBoostClassifier):
    """XGBoost that chooses splits of categories in two groups by their gain, chance included."""

    def _noise(self, rows: Any) -> Noise:
        return NoNoise(rows.table, rows.weight)


def groups_of_categories(seed: int, scale: Scale) -> Quantities:
    """Returns the test AUC where groups of categories pay for chance, where they do not, and without them."""
    whole = task.load("flights", scale=scale)
    some = np.random.default_rng([seed, 1]).permutation(len(whole))[:30_000]
    train, test = task.split(whole.take(np.sort(some)), seed)
    options: dict[str, Any] = {"learning_rate": 0.1, "n_estimators": _rounds(scale, 100)}
    methods = {
        "groups less chance": XGBoostClassifier(**options),
        "groups as they gain": GainAsItIsClassifier(**options),
        "one against the rest": XGBoostClassifier(max_cat_to_onehot=1000, **options),
    }
    return {
        label: metrics.auc(_late(method, train, test, seed), test.target == 1, test.weight)
        for label, method in methods.items()
    }


def _late(method: Any, train: TabularData, test: TabularData, seed: int) -> np.ndarray:
    return _fitted(method, train, seed).predict_proba(test.features)[:, 1]


def second_order(seed: int, scale: Scale) -> Quantities:
    """Returns how many rounds reach the test log-loss that the first order has after its last one."""
    train, test = _halves("adult", seed, scale)
    options: dict[str, Any] = {
        "learning_rate": 0.1,
        "min_child_weight": 0.0,
        "n_estimators": _rounds(scale, 100),
    }

    def losses(method: Any) -> list[float]:
        stages = _fitted(method, train, seed).staged_predict_proba(test.features)
        return [metrics.log_loss(p, test.target, test.weight) for p in stages]

    first, second = losses(FirstOrderClassifier(**options)), losses(XGBoostClassifier(**options))
    reached = [rounds for rounds, loss in enumerate(second, start=1) if loss <= first[-1]]
    return {
        "rounds of first order": len(first),
        "rounds of second order": min(reached, default=len(second) + 1),
        "log-loss of first order": first[-1],
        "log-loss of second order": second[-1],
    }


def _with_noise(data: TabularData, columns: int, seed: int) -> TabularData:
    """Returns the data with columns of standard normal noise."""
    noise = np.random.default_rng([seed, 2]).normal(size=(columns, len(data)))
    added = tuple(Column(f"noise {i}", "numeric", values) for i, values in enumerate(noise))
    features = dataclasses.replace(data.features, columns=(*data.features.columns, *added))
    return dataclasses.replace(data, features=features)


def column_sampling(seed: int, scale: Scale) -> Quantities:
    """Returns the test RMSE among columns of noise: trees see all, half the columns, or half the rows."""
    data = _with_noise(task.load("california_housing", scale=scale), 40, seed)
    train, test = task.split(data, seed)
    arms = {
        "everything": {},
        "half the columns": {"colsample_bytree": 0.5},
        "half the rows": {"subsample": 0.5},
    }
    errors = {}
    for label, arm in arms.items():
        method = XGBoostRegressor(learning_rate=0.1, n_estimators=_rounds(scale, 200), **arm)
        predicted = _fitted(method, train, seed).predict(test.features)
        errors[label] = metrics.rmse(predicted, test.target, test.weight)
    return errors


def approximation(seed: int, scale: Scale) -> Quantities:
    """Returns the test RMSE with every threshold looked at, and with so many buckets of equal hessian."""
    train, test = _halves("california_housing", seed, scale)
    arms: dict[str, dict[str, Any]] = {"exact": {"tree_method": "exact"}}
    arms |= {f"{n} buckets": {"tree_method": "approx", "max_bins": n} for n in (3, 20)}
    errors = {}
    for label, arm in arms.items():
        method = XGBoostRegressor(learning_rate=0.1, n_estimators=_rounds(scale, 100), **arm)
        predicted = _fitted(method, train, seed).predict(test.features)
        errors[label] = metrics.rmse(predicted, test.target, test.weight)
    return errors


# -- stacking ------------------------------------------------------------------------------------------------


def stacking(seed: int, scale: Scale) -> Quantities:
    """Returns the test AUC of the stack and of each of its base methods, fitted to all training rows."""
    train, test = _halves("adult", seed, scale)
    stack = _fitted(StackingClassifier(), train, seed)

    def auc(model: Any) -> float:
        return metrics.mean_auc(model.predict_proba(test.features), test.target, test.weight)

    bases = dict(zip(stack.base_names_, map(auc, stack.estimators_), strict=True))
    return {"stack": auc(stack), "best base": max(bases.values()), **bases}
