"""The methods that are measured, ours and the installed peers', at equal settings."""

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.core.method import locate

OURS = "assay"


@dataclass(frozen=True)
class Arm:
    """A method under its name, as "module:Class" without the ending, and its settings."""

    name: str
    path: str
    settings: Mapping[str, Any]

    def make(self, problem: str, threads: int) -> Any:
        """The estimator."""
        cls = locate(self.path + ("Regressor" if problem == "regression" else "Classifier"))
        known = {f.name for f in dataclasses.fields(cls)}
        extra = {"n_jobs": threads} if "n_jobs" in known else {}
        return cls(random_state=0, **extra, **self.settings)

    @property
    def installed(self) -> bool:
        """Whether its library is there."""
        cls = locate(self.path + "Classifier")
        modules = [module.partition(".")[0] for module in getattr(cls, "imports", ())]
        return all(importlib.util.find_spec(module) is not None for module in modules)


def boosted(rounds: int, *, depth: int | None = None, leaves: int | None = None) -> list[Arm]:
    """The gradient boosters: trees of a depth, level by level, or of so many leaves, best first."""
    common = {"n_estimators": rounds, "learning_rate": 0.1, "max_depth": depth}
    by_leaves = {} if leaves is None else {"max_leaves": leaves}
    guided = by_leaves | ({} if leaves is None else {"grow_policy": "lossguide"})
    nodes = {"max_leaf_nodes": leaves}
    arms = [
        Arm(f"{OURS} XGBoost", "assay.tabular.xgboost:XGBoost", common | guided),
        Arm(f"{OURS} GBDT", "assay.tabular.gbdt:GBDT", common | nodes),
        Arm("LightGBM", "assay.tabular.peers:LightGBM", common | by_leaves),
        Arm("xgboost", "assay.tabular.peers:DMLCXGBoost", common | guided),
        Arm("scikit-learn HGB", "assay.tabular.peers:SklearnHistGBDT", common | nodes),
    ]
    if leaves is None:
        arms.append(Arm("CatBoost", "assay.tabular.peers:CatBoost", common))
    return [arm for arm in arms if arm.installed]


def forests(trees: int) -> list[Arm]:
    """Random forests that look at three features in each split, whatever they predict."""
    settings = {"n_estimators": trees, "max_features": 3}
    return _pair("random_forest:RandomForest", "SklearnRandomForest", settings, settings)


def exact_trees() -> list[Arm]:
    """One tree of exact splits, grown to the end."""
    return _pair("cart:CART", "SklearnCART", {}, {})


def exact_baggings(members: int) -> list[Arm]:
    """So many trees of exact splits, on bootstrap samples."""
    settings = {"n_estimators": members}
    return _pair("bagging:Bagging", "SklearnBagging", settings, settings)


def adaboosts(rounds: int, depth: int) -> list[Arm]:
    """AdaBoost of trees of a depth."""
    from sklearn.tree import DecisionTreeClassifier

    from assay.tabular.cart import CARTClassifier

    ours = {"n_estimators": rounds, "estimator": CARTClassifier(max_depth=depth, max_bins=255)}
    theirs = {"n_estimators": rounds, "estimator": DecisionTreeClassifier(max_depth=depth)}
    return _pair("adaboost:AdaBoost", "SklearnAdaBoost", ours, theirs)


def _pair(ours: str, theirs: str, our_settings: Mapping, their_settings: Mapping) -> list[Arm]:
    arms = [
        Arm(OURS, f"assay.tabular.{ours}", our_settings),
        Arm("scikit-learn", f"assay.tabular.peers:{theirs}", their_settings),
    ]
    return [arm for arm in arms if arm.installed]
