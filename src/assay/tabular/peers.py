"""Other libraries' answers to the tabular question, as methods of the same board; each where it is installed.

A peer has the settings that assay's method of the same family has, with the same defaults, so that a board
compares implementations at equal settings. The libraries are imported when a peer is fitted.
"""

from assay.tabular.peers_boosting import (
    DMLCXGBoostClassifier,
    DMLCXGBoostRegressor,
    LightGBMClassifier,
    LightGBMRegressor,
)
from assay.tabular.peers_catboost import CatBoostClassifier, CatBoostRegressor
from assay.tabular.peers_sklearn import (
    SklearnAdaBoostClassifier,
    SklearnAdaBoostRegressor,
    SklearnBaggingClassifier,
    SklearnBaggingRegressor,
    SklearnCARTClassifier,
    SklearnCARTRegressor,
    SklearnGBDTClassifier,
    SklearnGBDTRegressor,
    SklearnHistGBDTClassifier,
    SklearnHistGBDTRegressor,
    SklearnRandomForestClassifier,
    SklearnRandomForestRegressor,
)

__all__ = [
    "CatBoostClassifier",
    "CatBoostRegressor",
    "DMLCXGBoostClassifier",
    "DMLCXGBoostRegressor",
    "LightGBMClassifier",
    "LightGBMRegressor",
    "SklearnAdaBoostClassifier",
    "SklearnAdaBoostRegressor",
    "SklearnBaggingClassifier",
    "SklearnBaggingRegressor",
    "SklearnCARTClassifier",
    "SklearnCARTRegressor",
    "SklearnGBDTClassifier",
    "SklearnGBDTRegressor",
    "SklearnHistGBDTClassifier",
    "SklearnHistGBDTRegressor",
    "SklearnRandomForestClassifier",
    "SklearnRandomForestRegressor",
]
