"""Saved estimators: equal after loading, replaced whole, and never trusted when damaged or foreign."""

import copy
import json
import pickle

import numpy as np
import pytest

from assay.tabular.adaboost import AdaBoostClassifier
from assay.tabular.bagging import BaggingClassifier
from assay.tabular.cart import CARTClassifier, CARTRegressor
from assay.tabular.estimator import Estimator, clone
from assay.tabular.random_forest import RandomForestClassifier, RandomForestRegressor

FITTED = [
    CARTClassifier(max_depth=3),
    BaggingClassifier(estimator=CARTClassifier(class_weight={"yes": 2.0}), n_estimators=3, random_state=0),
    BaggingClassifier(
        estimator=RandomForestClassifier(n_estimators=2), n_estimators=2, max_features=1, random_state=0
    ),
    RandomForestClassifier(n_estimators=3, oob_score=True, random_state=np.random.default_rng(0)),
    AdaBoostClassifier(n_estimators=3),
]


@pytest.mark.filterwarnings("ignore:.*out-of-bag")
@pytest.mark.parametrize("model", FITTED, ids=lambda model: type(model).__name__)
def test_copies_pickles_and_files_predict_the_same(model, people, tmp_path):
    table, y = people
    model = clone(model).fit(table, y)
    expected = model.predict_proba(table)
    model.save(tmp_path / "model")
    copies = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        type(model).load(tmp_path / "model"),
        Estimator.load(tmp_path / "model"),
    ]
    for found in copies:
        assert type(found) is type(model)
        assert found.classes_.dtype == model.classes_.dtype
        assert found.schema_ == model.schema_
        np.testing.assert_array_equal(found.predict_proba(table), expected)
    loaded = {name: value for name, value in copies[2].get_params().items() if name != "random_state"}
    assert {name: repr(value) for name, value in loaded.items()} == {
        name: repr(value) for name, value in model.get_params().items() if name in loaded
    }


def test_saving_replaces_what_was_there(people, tmp_path):
    table, y = people
    CARTClassifier(max_depth=1).fit(table, y).save(tmp_path / "model")
    RandomForestRegressor(n_estimators=2).fit(table, np.arange(120.0)).save(tmp_path / "model")
    assert Estimator.load(tmp_path / "model").n_estimators == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_saving_a_stranger_is_an_error_and_leaves_nothing(people, tmp_path):
    linear = pytest.importorskip("sklearn.linear_model")
    model = BaggingClassifier(estimator=linear.LogisticRegression(), n_estimators=2).fit(
        [[0.0], [1.0]] * 9, [0, 1] * 9
    )
    with pytest.raises(TypeError, match=r"BaggingClassifier\.estimator is a LogisticRegression"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_folders_are_refused(people, tmp_path):
    table, y = people
    folder = tmp_path / "model"
    with pytest.raises(ValueError, match="not a whole saved estimator"):
        Estimator.load(folder)
    CARTClassifier().fit(table, y).save(folder)
    with pytest.raises(ValueError, match="holds a CARTClassifier, expected a CARTRegressor"):
        CARTRegressor.load(folder)
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    for path, content in whole.items():
        for damage in (content[: len(content) // 2], b"", b"{}"):
            path.write_bytes(damage)
            with pytest.raises(ValueError, match="not a whole saved estimator"):
                Estimator.load(folder)
        path.write_bytes(content)
    record = json.loads((folder / "estimator.json").read_text())
    for change in (
        {"version": 99},
        {"estimator": {**record["estimator"], "class": "os:system"}},
        {"estimator": {"odd": 1}},
    ):
        (folder / "estimator.json").write_text(json.dumps(record | change))
        with pytest.raises(ValueError, match="not a whole saved estimator"):
            Estimator.load(folder)
