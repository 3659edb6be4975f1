"""Models in the xgboost package's JSON: both ways, to the last bit of what the format can hold."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Column, Table
from assay.tabular.xgboost import XGBoostClassifier, XGBoostRegressor
from assay.tabular.xgboost_json import conditions, read_model, thresholds, write_model

NAMES = ("aa", "b", "c d", "é")  # the package cuts names beyond ASCII that it reads from pandas
ASCII = ("aa", "b", "c d", "e")


def mixed_table(n: int = 400, seed: int = 0, names: tuple[str, ...] = ASCII) -> Table:
    """Two numbers in float32, with ties and gaps, a truth value and categories."""
    rng = np.random.default_rng(seed)
    tied = rng.normal(size=n).round(1).astype(np.float32).astype(np.float64)
    tied[rng.random(n) < 0.2] = np.nan
    return Table(
        (
            Column("tied", "numeric", tied),
            Column("smooth", "numeric", rng.normal(size=n).astype(np.float32).astype(np.float64)),
            Column("flag", "boolean", rng.integers(0, 2, n).astype(float)),
            Column("kind", "category", rng.integers(-1, 4, n).astype(np.int32), names),
        )
    )


def target(table: Table, num_classes: int = 0) -> np.ndarray:
    y = np.nan_to_num(table["tied"].values, nan=2.0) + (table["kind"].values % 2) * table["smooth"].values
    return np.digitize(y, np.quantile(y, np.arange(1, num_classes) / num_classes)) if num_classes else y


def numbers(table: Table) -> np.ndarray:
    return table.select(["tied", "smooth", "flag"]).to_numpy()


def float32_sums(model, table) -> np.ndarray:
    """The margins as the package adds them up: in float32, tree by tree, from the base score on."""
    leaves = model.ensemble_.leaves(table)
    outputs = len(model.base_score_)
    margins = np.repeat(model.base_score_.astype(np.float32)[None], table.num_rows, axis=0)
    for index, tree in enumerate(model.ensemble_.trees):
        margins[:, index % outputs] += tree.value[leaves[:, index], 0].astype(np.float32)
    return margins


def assert_equal_margins(model, booster, table: Table, data) -> None:
    theirs = booster.predict(data, output_margin=True).reshape(table.num_rows, -1)
    ours = float32_sums(model, table)
    # The logarithm of the base score may differ in its last bit; it moves every row alike.
    shift = model.base_score_.astype(np.float32) - booster_base(booster)
    assert np.abs(shift).max(initial=0) <= np.spacing(np.float32(4))
    if not shift.any():
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def booster_base(booster) -> np.ndarray:
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    score = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float32)
    if learner["objective"]["name"] == "binary:logistic":
        return -np.log(1 / score - 1)
    return np.log(score) if learner["objective"]["name"] == "count:poisson" else score


# -- ours in the package -------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [0, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"tree_method": "exact", "gamma": 0.5}, {"max_bins": 7}], ids=str)
def test_our_numbers_predict_the_same_in_the_package(tmp_path, num_classes, settings):
    package = pytest.importorskip("xgboost")
    table = mixed_table()
    X, y = numbers(table), target(table, num_classes)
    model = (XGBoostClassifier if num_classes else XGBoostRegressor)(n_estimators=6, **settings).fit(X, y)
    write_model(model, tmp_path / "model.json")
    booster = package.Booster(model_file=str(tmp_path / "model.json"))
    rows = Table.of(X)
    assert_equal_margins(model, booster, rows, package.DMatrix(X))
    np.testing.assert_array_equal(
        booster.predict(package.DMatrix(X), pred_leaf=True).reshape(len(X), -1), model.ensemble_.leaves(rows)
    )


@pytest.mark.parametrize("objective", ["reg:absoluteerror", "reg:quantileerror", "count:poisson"])
def test_our_objectives_are_named_for_the_package(tmp_path, objective):
    package = pytest.importorskip("xgboost")
    X, y = numbers(mixed_table()), np.floor(np.abs(target(mixed_table())) * 3)
    model = XGBoostRegressor(objective=objective, quantile_alpha=0.3, n_estimators=5).fit(X, y)
    write_model(model, tmp_path / "model.json")
    booster = package.Booster(model_file=str(tmp_path / "model.json"))
    np.testing.assert_allclose(booster.predict(package.DMatrix(X)), model.predict(X), rtol=1e-5, atol=1e-5)
    assert objective in booster.save_config()


@pytest.mark.parametrize("max_cat_to_onehot", [2, 9])
def test_our_categories_and_gaps_predict_the_same_in_the_package(tmp_path, max_cat_to_onehot):
    package = pytest.importorskip("xgboost")
    pytest.importorskip("pandas")
    table = mixed_table()
    model = XGBoostClassifier(n_estimators=6, max_cat_to_onehot=max_cat_to_onehot).fit(
        table, target(table, 2)
    )
    assert any(len(tree.categories) for tree in model.ensemble_.trees)
    write_model(model, tmp_path / "model.json")
    booster = package.Booster(model_file=str(tmp_path / "model.json"))
    frame = table.to_pandas().astype({"flag": bool})
    data = package.DMatrix(frame, enable_categorical=True)
    assert_equal_margins(model, booster, table, data)
    # The package translates other codes of the same names.
    frame["kind"] = frame["kind"].cat.reorder_categories(list(ASCII[::-1]))
    assert_equal_margins(model, booster, table, package.DMatrix(frame, enable_categorical=True))


# -- the package's in ours -----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [0, 2, 3])
@pytest.mark.parametrize(
    "settings",
    [{}, {"tree_method": "exact", "gamma": 0.5, "max_depth": 4}, {"num_parallel_tree": 2}],
    ids=str,
)
def test_the_packages_numbers_predict_the_same_here(tmp_path, num_classes, settings):
    package = pytest.importorskip("xgboost")
    table = mixed_table()
    X, y = numbers(table), target(table, num_classes)
    theirs = (package.XGBClassifier if num_classes else package.XGBRegressor)(
        n_jobs=1, n_estimators=6, **settings
    )
    theirs.fit(X, y).save_model(tmp_path / "model.json")
    model = read_model(tmp_path / "model.json")
    np.testing.assert_allclose(
        model.predict_proba(X) if num_classes else model.predict(X),
        theirs.predict_proba(X) if num_classes else theirs.predict(X),
        atol=1e-6,
    )
    if "num_parallel_tree" not in settings:  # those are added up in another order
        assert_equal_margins(model, theirs.get_booster(), Table.of(X), package.DMatrix(X))


@pytest.mark.parametrize("max_cat_to_onehot", [2, 9])
@pytest.mark.parametrize("labels", ["text", "ints"])
def test_the_packages_categories_predict_the_same_here(tmp_path, max_cat_to_onehot, labels):
    package = pytest.importorskip("xgboost")
    pandas = pytest.importorskip("pandas")
    table = mixed_table()
    frame = table.to_pandas().astype({"flag": bool})
    shown = {"text": list("zyab"), "ints": [30, 4, 100, 2]}[labels]  # not in the order of their codes
    frame["kind"] = pandas.Categorical.from_codes(table["kind"].values, shown)
    theirs = package.XGBRegressor(
        n_estimators=6, enable_categorical=True, max_cat_to_onehot=max_cat_to_onehot
    )
    theirs.fit(frame, target(table)).save_model(tmp_path / "model.json")
    model = read_model(tmp_path / "model.json")
    assert model.schema_[3].categories == tuple(sorted(map(str, shown)))
    rows = Table.of(frame.astype({"kind": pandas.CategoricalDtype(shown)}))
    if labels == "ints":
        rows = Table.of(frame.assign(kind=frame["kind"].cat.rename_categories(str)))
    np.testing.assert_allclose(model.predict(rows), theirs.predict(frame), atol=1e-5)
    assert_equal_margins(
        model,
        theirs.get_booster(),
        rows.align(model.schema_),
        package.DMatrix(frame, enable_categorical=True),
    )


def test_a_model_that_stopped_early_keeps_its_best_rounds(tmp_path):
    package = pytest.importorskip("xgboost")
    table = mixed_table()
    X, y = numbers(table), target(table, 2)
    theirs = package.XGBClassifier(n_jobs=1, n_estimators=60, learning_rate=1.0, early_stopping_rounds=4)
    theirs.fit(X[:200], y[:200], eval_set=[(X[200:], y[200:])], verbose=False)
    theirs.save_model(tmp_path / "model.json")
    model = read_model(tmp_path / "model.json")
    assert model.n_estimators_ == theirs.best_iteration + 1 < len(theirs.get_booster().get_dump())
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


def test_models_before_version_3_1_have_one_intercept(tmp_path):
    package = pytest.importorskip("xgboost")
    table = mixed_table()
    X, y = numbers(table), target(table, 3)
    theirs = package.XGBClassifier(n_jobs=1, n_estimators=2, base_score=0.5).fit(X, y)
    record = json.loads(bytes(theirs.get_booster().save_raw("json")))
    record["learner"]["learner_model_param"]["base_score"] = "5E-1"
    del record["learner"]["gradient_booster"]["model"]["cats"]
    (tmp_path / "old.json").write_text(json.dumps(record))
    model = read_model(tmp_path / "old.json")
    np.testing.assert_array_equal(model.base_score_, [0.5, 0.5, 0.5])
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-6)


def test_categories_without_names_are_numbered(tmp_path):
    package = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 12, 500).astype(float)
    data = package.DMatrix(
        codes[:, None], np.isin(codes, [1, 3, 10]), feature_types=["c"], enable_categorical=True
    )
    booster = package.train({"max_cat_to_onehot": 2, "max_depth": 3}, data, 4)
    booster.save_model(tmp_path / "model.json")
    model = read_model(tmp_path / "model.json")
    rows = {"x0": [str(int(code)) for code in codes]}
    np.testing.assert_allclose(model.predict(rows), booster.predict(data), atol=1e-6)


# -- there and back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", [0, 2, 3])
def test_reading_what_was_written_and_writing_what_was_read(tmp_path, num_classes):
    table = mixed_table(names=NAMES)
    y = target(table, num_classes)
    y = np.array(["low", "mid", "top"])[y] if num_classes else y
    model = (XGBoostClassifier if num_classes else XGBoostRegressor)(n_estimators=5).fit(table, y)
    write_model(model, tmp_path / "first.json")
    back = read_model(tmp_path / "first.json")
    write_model(back, tmp_path / "second.json")
    first, second = ((tmp_path / name).read_text() for name in ("first.json", "second.json"))
    assert first == second
    np.testing.assert_array_equal(back.predict(table), model.predict(table)) if num_classes else None
    np.testing.assert_allclose(back._margins(table), model._margins(table), atol=1e-5)
    np.testing.assert_array_equal(back.ensemble_.leaves(table), model.ensemble_.leaves(table))
    np.testing.assert_allclose(back.feature_importances_, model.feature_importances_, rtol=1e-5)
    back.save(tmp_path / "saved")
    again = type(back).load(tmp_path / "saved")
    np.testing.assert_array_equal(again.predict(table), back.predict(table))


def test_the_packages_trees_survive_a_round_trip_through_ours(tmp_path):
    package = pytest.importorskip("xgboost")
    table = mixed_table()
    X, y = numbers(table), target(table, 3)
    theirs = package.XGBClassifier(n_jobs=1, n_estimators=4).fit(X, y)
    theirs.save_model(tmp_path / "theirs.json")
    write_model(read_model(tmp_path / "theirs.json"), tmp_path / "ours.json")
    booster = package.Booster(model_file=str(tmp_path / "ours.json"))
    data = package.DMatrix(X)
    np.testing.assert_array_equal(
        booster.predict(data, output_margin=True), theirs.get_booster().predict(data, output_margin=True)
    )


@settings(max_examples=200, deadline=None)
@given(st.floats(-(2.0**100), 2.0**100, width=32), st.integers(-40, 40))
def test_a_condition_and_its_threshold_send_every_number_the_same_way(condition, ulps):
    condition = np.float32(condition)
    threshold = thresholds(np.array([condition]))[0]
    x = threshold
    for _ in range(abs(ulps)):
        x = np.nextafter(x, np.inf if ulps > 0 else -np.inf)
    assert (x <= threshold) == (np.float32(x) < condition)
    assert conditions(np.array([threshold]))[0] == condition


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e30, 1e30), st.floats(-(2.0**100), 2.0**100, width=32))
def test_a_threshold_and_its_condition_send_float32_numbers_the_same_way(threshold, x):
    near = np.float32(threshold)
    for value in (
        np.float32(x),
        near,
        np.nextafter(near, np.float32(9e37)),
        np.nextafter(near, np.float32(-9e37)),
    ):
        assert (float(value) <= threshold) == (value < conditions(np.array([threshold]))[0])


def test_a_split_of_known_from_missing_has_a_finite_condition():
    assert conditions(np.array([np.inf]))[0] == np.finfo(np.float32).max


# -- errors --------------------------------------------------------------------------------------------------


def written(tmp_path, change) -> None:
    model = XGBoostRegressor(n_estimators=1).fit([[1.0], [2.0]], [0.0, 1.0])
    write_model(model, tmp_path / "model.json")
    record = json.loads((tmp_path / "model.json").read_text())
    change(record["learner"])
    (tmp_path / "model.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda learner: learner["gradient_booster"].update(name="dart"), "dart"),
        (lambda learner: learner["objective"].update(name="rank:ndcg"), "rank:ndcg"),
        (lambda learner: learner["learner_model_param"].update(num_target="2"), "one target"),
        (lambda learner: learner.pop("objective"), "objective"),
        (
            lambda learner: learner["gradient_booster"]["model"]["trees"][0]["tree_param"].update(
                size_leaf_vector="3"
            ),
            "one value per leaf",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, change, message):
    written(tmp_path, change)
    with pytest.raises(ValueError, match=message) as error:
        read_model(tmp_path / "model.json")
    assert "model.json" in str(error.value)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "model.ubj").write_bytes(b"\x80\x02binary\xff")
    with pytest.raises(ValueError, match="JSON"):
        read_model(tmp_path / "model.ubj")
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "none.json")
    with pytest.raises(ValueError, match="not fitted"):
        write_model(XGBoostRegressor(), tmp_path / "model.json")


def test_names_that_the_package_cuts_are_refused(tmp_path):
    def change(learner):
        learner["feature_types"] = ["c"]
        cut = {"offsets": [0, 2, 3], "values": [97, 98, -61]}  # the first byte of a letter of two
        learner["gradient_booster"]["model"]["cats"] = {"enc": [cut]}

    written(tmp_path, change)
    with pytest.raises(ValueError, match="'x0': category names beyond ASCII"):
        read_model(tmp_path / "model.json")
