"""scikit-learn's own estimator checks on every tabular estimator."""

import pytest

from assay.tabular.adaboost import AdaBoostClassifier, AdaBoostRegressor
from assay.tabular.bagging import BaggingClassifier, BaggingRegressor
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.gbdt import GBDTClassifier, GBDTRegressor
from assay.tabular.random_forest import RandomForestClassifier, RandomForestRegressor
from assay.tabular.stacking import StackingClassifier, StackingRegressor
from assay.tabular.xgboost import XGBoostClassifier, XGBoostRegressor

checks = pytest.importorskip("sklearn.utils.estimator_checks")

ESTIMATORS = [
    CARTClassifier(),
    CARTRegressor(),
    BaggingClassifier(n_estimators=3),
    BaggingRegressor(n_estimators=3),
    RandomForestClassifier(n_estimators=3),
    RandomForestRegressor(n_estimators=3),
    AdaBoostClassifier(n_estimators=3),
    AdaBoostRegressor(n_estimators=3),
    GBDTClassifier(n_estimators=5),
    GBDTRegressor(n_estimators=5),
    XGBoostClassifier(n_estimators=5),
    XGBoostRegressor(n_estimators=5),
    StackingClassifier(estimators=[("tree", CARTClassifier(max_depth=5)), ("leafy", CARTClassifier())], cv=2),
    StackingRegressor(estimators=[("tree", CARTRegressor(max_depth=5)), ("leafy", CARTRegressor())], cv=2),
]

# Checks that an estimator fails, by class and check, each with the reason. There are none.
EXPECTED_FAILURES: dict[str, dict[str, str]] = {}


@pytest.mark.filterwarnings("ignore")
@checks.parametrize_with_checks(
    ESTIMATORS, expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator).__name__, {})
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
