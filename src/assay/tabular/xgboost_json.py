"""The xgboost package's JSON models, written from ours and read as ours.

The format keeps numbers in float32 and sends a row left when float32(x) < condition. Our rule is x <=
threshold in float64, so thresholds are moved to the place that separates the same float32 numbers, which
makes the way back and forth exact.

Reference:
    The xgboost package 3.2: "Introduction to Model IO" and the JSON schema in its documentation.
    Implements: gradient-boosted trees ("gbtree") of the objectives of `xgboost.py`, category splits,
        category names, intercepts of one output or many, in the older and the newer writing, models stopped
        early.
    Departs: the format has no row counts, so ``Tree.count`` is 0 in a model that was read; class names
        travel in the model's attributes, which the package keeps and does not use.
    Omits: DART, linear boosters, vector leaves, UBJSON (save as ".json").
    Verified: predictions of the package and ours, both ways, equal to the last bit of a float32 sum.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.table import Field, Schema
from assay.tabular.ensemble import Ensemble
from assay.tabular.slopes import sigmoid
from assay.tabular.tree import Tree
from assay.tabular.xgboost import POISSON_STEP, XGBoost, XGBoostClassifier, XGBoostRegressor

Array = np.ndarray
NO_PARENT = 2**31 - 1
LARGEST = float(np.finfo(np.float32).max)
CLASSES = "assay.classes"  # the attribute that holds the class names


@dataclass(frozen=True)
class Link:
    """How the package writes the margin that trees start from: by default as it is."""

    to_score: Callable[[Array], Array] = lambda margin: margin
    to_margin: Callable[[Array], Array] = lambda score: score


LOGIT = Link(sigmoid, lambda p: -np.log(1 / np.clip(p, np.float32(1e-6), np.float32(1 - 1e-6)) - 1))
LOG = Link(np.exp, np.log)
LINKS = {"binary:logistic": LOGIT, "reg:logistic": LOGIT, "count:poisson": LOG}


def write_model(model: XGBoost, path: str | PathLike[str]) -> None:
    """Write a fitted model as a file that ``xgboost.Booster(model_file=path)`` reads.

    Args:
        model: fitted. Rows that float32 represents get the same leaves there as here; leaf values are
            rounded.
        path: where to; should end in ".json".

    Raises:
        ValueError: the model is not fitted.
    """
    model._check_fitted()
    outputs = len(model.base_score_)
    trees = model.ensemble_.trees
    objective = _objective(model)
    attributes = {}
    if isinstance(model, XGBoostClassifier):
        attributes[CLASSES] = json.dumps(model.classes_.tolist())
    score = LINKS.get(objective["name"], Link()).to_score(model.base_score_)
    learner = {
        "attributes": attributes,
        "feature_names": list(model.schema_.names) if hasattr(model, "feature_names_in_") else [],
        "feature_types": [
            {"category": "c", "boolean": "i"}.get(field.kind, "float") for field in model.schema_
        ],
        "gradient_booster": {
            "model": {
                "cats": _encode_categories(model.schema_),
                "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                "iteration_indptr": list(range(0, len(trees) + 1, outputs)),
                "tree_info": [index % outputs for index in range(len(trees))],
                "trees": [_encode_tree(tree, index, model.schema_) for index, tree in enumerate(trees)],
            },
            "name": "gbtree",
        },
        "learner_model_param": {
            "base_score": "[" + ",".join(map(repr, _shortest(score))) + "]",
            "boost_from_average": "1",
            "num_class": str(outputs) if outputs > 1 else "0",
            "num_feature": str(len(model.schema_)),
            "num_target": "1",
        },
        "objective": objective,
    }
    text = json.dumps({"learner": learner, "version": [3, 2, 0]}, allow_nan=False)
    Path(path).write_text(text, encoding="utf-8")


def read_model(path: str | PathLike[str]) -> XGBoostClassifier | XGBoostRegressor:
    """Return the model in a file that ``xgboost.Booster.save_model`` wrote as JSON.

    Classes are those that `write_model` noted, or else 0, 1, 2, ...; of a model that stopped early, the
    rounds up to its best are kept, as the package's scikit-learn interface predicts.

    Args:
        path: a JSON file of xgboost 1.6 or later.

    Raises:
        ValueError: the file is not such a model, or uses what this reader omits.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        return _decode(record["learner"])
    except (UnicodeDecodeError, json.JSONDecodeError) as error:  # the bytes of the file
        raise ValueError(f"{path}: expected a model saved by xgboost as JSON: {error}") from error
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path}: not a whole xgboost model: {type(error).__name__} {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


# -- thresholds ----------------------------------------------------------------------------------------------


def conditions(thresholds: Array) -> Array:
    """Return the smallest float32 above each threshold.

    So for any float32 x, x <= threshold exactly when x < condition.
    """
    rounded = np.clip(thresholds, -LARGEST, LARGEST).astype(np.float32)
    with np.errstate(over="ignore"):
        above = np.where(rounded <= thresholds, np.nextafter(rounded, np.float32(np.inf)), rounded)
    return np.minimum(above, np.float32(LARGEST))  # infinity has no JSON


def thresholds(conditions: Array) -> Array:
    """Return where float64 numbers begin to be rounded to a float32 at or above the condition.

    So for any float64 x, x <= threshold exactly when float32(x) < condition.
    """
    condition = np.asarray(conditions, np.float32)
    below = np.nextafter(condition, np.float32(-np.inf))
    middle = (below.astype(np.float64) + condition.astype(np.float64)) / 2
    # The middle itself is rounded to the one of both whose last bit is zero.
    return np.where(middle.astype(np.float32) < condition, middle, np.nextafter(middle, -np.inf))


# -- writing -------------------------------------------------------------------------------------------------


def _objective(model: XGBoost) -> dict[str, Any]:
    if isinstance(model, XGBoostClassifier):
        if len(model.base_score_) > 1:
            parameters = {"num_class": str(len(model.base_score_))}
            return {"name": "multi:softprob", "softmax_multiclass_param": parameters}
        parameters = {"scale_pos_weight": str(model.scale_pos_weight)}
        return {"name": "binary:logistic", "reg_loss_param": parameters}
    assert isinstance(model, XGBoostRegressor)
    parameters = {
        "reg:squarederror": {"reg_loss_param": {"scale_pos_weight": "1"}},
        "reg:absoluteerror": {},
        "reg:quantileerror": {"quantile_loss_param": {"quantile_alpha": f"[{model.quantile_alpha}]"}},
        "count:poisson": {
            "poisson_regression_param": {"max_delta_step": str(model.max_delta_step or POISSON_STEP)}
        },
    }
    return {"name": model.objective, **parameters[model.objective]}


def _shortest(values: Array) -> list[float]:
    """Return the shortest decimals that are read as the same float32 numbers."""
    return [float(text) for text in np.asarray(values, np.float32).astype(str)]


def _encode_tree(tree: Tree, index: int, schema: Schema) -> dict[str, Any]:
    inner = tree.feature >= 0
    parents = np.full(tree.num_nodes, NO_PARENT)
    parents[tree.left[inner]] = parents[tree.left[inner] + 1] = np.flatnonzero(inner)
    by_category = np.flatnonzero(inner & np.isnan(tree.threshold))
    # The format lists the categories that go right.
    right = [
        np.setdiff1d(
            np.arange(len(schema[tree.feature[node]].categories)), tree.categories_left(node)
        ).tolist()
        for node in by_category.tolist()
    ]
    ends = np.cumsum([0, *map(len, right)]).tolist()
    split_type = np.zeros(tree.num_nodes, int)
    split_type[by_category] = 1
    condition = tree.value[:, 0].astype(np.float32)
    numeric = np.flatnonzero(inner & ~np.isnan(tree.threshold))
    condition[numeric] = conditions(tree.threshold[numeric])
    condition[by_category] = 0
    return {
        "base_weights": _shortest(tree.value[:, 0]),
        "categories": list(chain.from_iterable(right)),
        "categories_nodes": by_category.tolist(),
        "categories_segments": ends[:-1],
        "categories_sizes": list(map(len, right)),
        "default_left": (tree.missing_left & inner).astype(int).tolist(),
        "id": index,
        "left_children": tree.left.tolist(),
        "loss_changes": _shortest(tree.gain),
        "parents": parents.tolist(),
        "right_children": tree.right.tolist(),
        "split_conditions": _shortest(condition),
        "split_indices": np.maximum(tree.feature, 0).tolist(),
        "split_type": split_type.tolist(),
        "sum_hessian": _shortest(tree.weight),
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(len(schema)),
            "num_nodes": str(tree.num_nodes),
            "size_leaf_vector": "1",
        },
    }


def _encode_categories(schema: Schema) -> dict[str, Any]:
    """Return the names of categories: UTF-8 as signed bytes, one name after the other."""
    if not any(field.kind == "category" for field in schema):
        return {"enc": [], "feature_segments": [], "sorted_idx": []}
    encoded = []
    for field in schema:
        names = [name.encode() for name in field.categories]
        ends = np.cumsum([0, *map(len, names)]).tolist() if field.kind == "category" else []
        encoded.append({"offsets": ends, "values": np.frombuffer(b"".join(names), np.int8).tolist()})
    sizes = [len(field.categories) for field in schema]
    order = list(chain.from_iterable(range(size) for size in sizes))  # ours are sorted already
    return {"enc": encoded, "feature_segments": np.cumsum([0, *sizes]).tolist(), "sorted_idx": order}


# -- reading -------------------------------------------------------------------------------------------------


def _decode(learner: dict[str, Any]) -> XGBoostClassifier | XGBoostRegressor:
    booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
    if booster["name"] != "gbtree":
        raise ValueError(f"expected a booster of trees, 'gbtree', got {booster['name']!r}")
    trees, groups = booster["model"]["trees"], booster["model"]["tree_info"]
    names = learner.get("feature_names") or [f"x{i}" for i in range(int(parameters["num_feature"]))]
    kinds = learner.get("feature_types") or ["float"] * len(names)
    order = _category_order(booster["model"], names, kinds, trees)
    model = _empty_model(learner, parameters)
    model.schema_ = Schema(
        Field(name, "category", tuple(sorted(found)))
        if kind == "c"
        else Field(name, "boolean" if kind == "i" else "numeric")
        for name, kind, found in zip(names, kinds, order, strict=True)
    )
    model.n_features_in_ = len(names)
    if learner.get("feature_names"):
        model.feature_names_in_ = np.array(names, dtype=object)
    # Ours take turns in the outputs; a round of the package may hold several trees for each.
    ranks = [{code: rank for rank, code in enumerate(np.argsort(found))} for found in map(np.array, order)]
    outputs = len(model.base_score_)
    by_output = [
        [tree for tree, group in zip(trees, groups, strict=True) if group == k] for k in range(outputs)
    ]
    rounds = int(learner["attributes"].get("best_iteration", NO_PARENT)) + 1
    per_round = int(booster["model"]["gbtree_model_param"].get("num_parallel_tree", 1))
    kept = [part[: rounds * per_round] for part in by_output]
    decoded = [_decode_tree(tree, ranks) for turn in zip(*kept, strict=True) for tree in turn]
    model.ensemble_ = Ensemble(decoded, model.schema_).pack()
    model.n_estimators = model.n_estimators_ = len(kept[0])
    return model


def _empty_model(learner: dict[str, Any], parameters: dict[str, str]) -> XGBoostClassifier | XGBoostRegressor:
    """Return the model without its trees: objective, classes and base score."""
    objective = learner["objective"]["name"]
    scores = np.array(json.loads(f"[{parameters['base_score'].strip('[]')}]"), np.float32)
    num_classes = int(parameters["num_class"])
    if int(parameters.get("num_target", 1)) > 1:
        raise ValueError("expected a model of one target")
    model: XGBoostClassifier | XGBoostRegressor
    if objective in ("binary:logistic", "multi:softprob", "multi:softmax"):
        model = XGBoostClassifier()
        num_classes = max(2, num_classes)
        noted = learner["attributes"].get(CLASSES)
        model.classes_ = np.arange(num_classes) if noted is None else np.array(json.loads(noted))
        scale = learner["objective"].get("reg_loss_param", {}).get("scale_pos_weight", 1)
        model.scale_pos_weight = float(scale)
    elif objective in ("reg:squarederror", "reg:absoluteerror", "reg:quantileerror", "count:poisson"):
        model = XGBoostRegressor(objective=objective)
        alpha = learner["objective"].get("quantile_loss_param", {}).get("quantile_alpha", "0.5")
        model.quantile_alpha = float(alpha.strip("[]"))
    else:
        raise ValueError(f"expected an objective of classes or numbers, got {objective!r}")
    margins = LINKS.get(objective, Link()).to_margin(scores).astype(np.float64)
    # Before 3.1 the intercept was one number, also for many classes.
    model.base_score_ = np.resize(margins, num_classes if num_classes > 2 else 1)
    return model


def _category_order(
    model: dict[str, Any], names: list[str], kinds: list[str], trees: list[Any]
) -> list[list[str]]:
    """Return the category names of every column in the order of the package's codes.

    Models that keep no names get "0", "1", ... up to the largest code that a split mentions.
    """
    encoded: list[Any] = model.get("cats", {}).get("enc") or [None] * len(names)
    order: list[list[str]] = []
    for index, (kind, entry) in enumerate(zip(kinds, encoded, strict=True)):
        if kind != "c":
            order.append([])
        elif entry is None:
            order.append([str(code) for code in range(_largest_code(trees, index) + 1)])
        elif "offsets" in entry:
            text = np.array(entry["values"], np.int8).tobytes()
            try:
                order.append([text[start:end].decode() for start, end in pairwise(entry["offsets"])])
            except (
                UnicodeDecodeError
            ):  # the package 3.2 counts letters, not bytes, of names in a pandas frame
                raise ValueError(f"column {names[index]!r}: category names beyond ASCII are cut") from None
        else:
            order.append([str(value) for value in entry["values"]])
    return order


def _largest_code(trees: list[Any], feature: int) -> int:
    codes = [-1]
    for tree in trees:
        segments = zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        )
        for node, start, size in segments:
            if tree["split_indices"][node] == feature:
                codes += tree["categories"][start : start + size]
    return max(codes)


def _decode_tree(record: dict[str, Any], ranks: list[dict[int, int]]) -> Tree:
    """Return a tree; nodes that pruning deleted are left out.

    Args:
        record: a tree of the package.
        ranks: for every column, our code of each of the package's.
    """
    if int(record["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise ValueError("expected trees of one value per leaf")
    left, right = record["left_children"], record["right_children"]
    kept = [0]
    for node in kept:  # grows while it is walked: children after parents
        if left[node] >= 0:
            kept += [left[node], right[node]]
    if all(left[node] < 0 or node < left[node] == right[node] - 1 for node in kept):
        kept.sort()  # their own numbers are in such an order already
    nodes = np.array(kept)
    position = {-1: -1} | {node: index for index, node in enumerate(kept)}
    inner = np.array(left)[nodes] >= 0
    by_category = (np.array(record.get("split_type", [0] * len(left)))[nodes] == 1) & inner
    condition = np.array(record["split_conditions"], np.float32)[nodes]
    feature = np.where(inner, np.array(record["split_indices"])[nodes], -1).astype(np.int32)
    segments = dict(zip(record.get("categories_nodes", []), range(len(left)), strict=False))
    listed = []
    for index, node in enumerate(kept):
        if by_category[index]:
            start = record["categories_segments"][segments[node]]
            size = record["categories_sizes"][segments[node]]
            goes_right = set(record["categories"][start : start + size])
            codes = ranks[feature[index]].items()
            listed.append(sorted(rank for code, rank in codes if code not in goes_right))
        else:
            listed.append([])
    return Tree(
        feature=feature,
        threshold=np.where(inner & ~by_category, thresholds(condition), np.nan),
        left=np.array([position[left[node]] for node in kept], np.int32),
        missing_left=np.array(record["default_left"], bool)[nodes] & inner,
        categories=np.array(list(chain.from_iterable(listed)), np.int32),
        category_offsets=np.cumsum([0, *map(len, listed)], dtype=np.int32),
        gain=np.where(inner, np.array(record["loss_changes"], np.float64)[nodes], 0.0),
        weight=np.array(record["sum_hessian"], np.float64)[nodes],
        count=np.zeros(len(kept), np.int32),
        value=np.where(inner, np.array(record["base_weights"], np.float32)[nodes], condition).astype(
            np.float64
        )[:, None],
    )
