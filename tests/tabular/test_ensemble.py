"""Every row ends where a walk down each tree by the rule ends, on every path of the code."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Column, ContractError, Schema, Table
from assay.tabular import kernel, packing, predict_reference
from assay.tabular.ensemble import STAGED_TREES, Ensemble
from assay.tabular.packing import NEVER, pack
from assay.tabular.tree import Tree

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")


def mixed(rng: np.random.Generator, num_rows: int, num_categories: int = 5, decimals: int = 1) -> Table:
    """Numbers with ties, missing values and infinities, truth values, dates, and categories."""
    x = rng.normal(size=(num_rows, 3)).round(decimals)
    x[rng.random((num_rows, 3)) < 0.1] = np.nan
    x[rng.random((num_rows, 3)) < 0.02] = np.inf
    x[rng.random((num_rows, 3)) < 0.02] = -0.0
    names = tuple(f"{i:06d}" for i in range(num_categories))
    codes = rng.integers(-1, num_categories, num_rows).astype(np.int32)
    return Table(
        (
            *(Column(f"x{i}", "numeric", x[:, i].copy()) for i in range(3)),
            Column("c", "category", codes, names),
            Column("b", "boolean", rng.choice([0.0, 1.0, np.nan], num_rows)),
            Column("d", "date", np.floor(rng.random(num_rows) * 5) * 86400),
        )
    )


def tree_of(nodes: Sequence[dict], value: np.ndarray) -> Tree:
    """A tree from one dict per node: feature, threshold or categories, left, missing_left."""
    listed = [sorted(node.get("categories", [])) for node in nodes]
    size = len(nodes)
    return Tree(
        feature=np.array([node.get("feature", -1) for node in nodes], np.int32),
        threshold=np.array([node.get("threshold", np.nan) for node in nodes], np.float64),
        left=np.array([node.get("left", -1) for node in nodes], np.int32),
        missing_left=np.array([node.get("missing_left", False) for node in nodes], bool),
        categories=np.array([code for codes in listed for code in codes], np.int32),
        category_offsets=np.cumsum([0, *map(len, listed)]).astype(np.int64),
        gain=np.arange(size, dtype=float),
        weight=np.ones(size),
        count=np.ones(size, np.int64),
        value=value,
    )


def random_tree(
    rng: np.random.Generator,
    table: Table,
    leaves: int,
    *,
    outputs: int = 1,
    deep: bool = False,
    features: Sequence[int] | None = None,
) -> Tree:
    """A tree with random splits at values of the table; `deep` always splits the newest leaf."""
    nodes: list[dict] = [{}]
    pending = [0]
    while len(pending) < leaves:
        node = nodes[pending.pop(-1 if deep else rng.integers(len(pending)))]
        feature = int(rng.choice(features if features is not None else len(table.columns)))
        column = table.columns[feature]
        node.update(feature=feature, left=len(nodes), missing_left=rng.random() < 0.5)
        if column.kind == "category":
            size = len(column.categories)
            node["categories"] = rng.choice(size, rng.integers(0, size + 1), replace=False).tolist()
        else:
            known = column.values[~np.isnan(column.values)]
            node["threshold"] = rng.choice([*rng.choice(known, 4), np.inf]) if len(known) else 0.0
        for child in (node["left"], node["left"] + 1):
            pending.append(child)
            nodes.append({})
    return tree_of(nodes, rng.normal(size=(len(nodes), outputs)))


def walk(tree: Tree, table: Table, row: int) -> int:
    node = 0
    while tree.feature[node] >= 0:
        column = table.columns[tree.feature[node]]
        x = column.values[row]
        if column.missing[row]:
            left = tree.missing_left[node]
        elif column.kind == "category":
            left = x in tree.categories_left(node)
        else:
            left = x <= tree.threshold[node]
        node = int(tree.left[node] if left else tree.right[node])
    return node


def assert_predicts(trees: Sequence[Tree], table: Table, groups: int = 1) -> Ensemble:
    """Checks leaves and sums against the walk, the NumPy twin, and predictions of few rows at a time."""
    ensemble = Ensemble(trees, table.schema)
    expected = np.array(
        [[walk(tree, table, row) for tree in trees] for row in range(table.num_rows)], np.int32
    )
    expected = expected.reshape(table.num_rows, len(trees))
    leaves = ensemble.leaves(table)
    assert leaves.dtype == np.int32
    np.testing.assert_array_equal(leaves, expected)
    np.testing.assert_array_equal(predict_reference.leaves(ensemble._packed, table), expected)

    sums = np.zeros((table.num_rows, groups, ensemble.outputs))
    for index, tree in enumerate(trees):
        sums[:, index % groups] += tree.value[expected[:, index]]
    sums = sums.reshape(table.num_rows, groups * ensemble.outputs)
    np.testing.assert_array_equal(ensemble.sum(table, groups=groups), sums)
    for start in range(0, table.num_rows, 7):  # too few rows for the path that takes 64 at once
        part = table.take(np.arange(start, min(start + 7, table.num_rows)))
        np.testing.assert_array_equal(ensemble.sum(part, groups=groups), sums[start : start + 7])
        np.testing.assert_array_equal(ensemble.leaves(part), expected[start : start + 7])
    return ensemble


# -- the walk ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_rows=st.sampled_from([0, 1, 31, 33, 64, 130]),
    outputs=st.integers(1, 3),
    groups=st.integers(1, 3),
    num_categories=st.sampled_from([1, 5, 31, 32, 40]),
)
def test_rows_end_where_a_walk_ends(
    seed: int, num_rows: int, outputs: int, groups: int, num_categories: int
) -> None:
    rng = np.random.default_rng(seed)
    table = mixed(rng, num_rows, num_categories)
    training = mixed(rng, 60, num_categories)
    trees = [
        random_tree(rng, training, int(rng.integers(1, 40)), outputs=outputs, deep=bool(rng.random() < 0.3))
        for _ in range(rng.integers(1, 6))
    ]
    assert_predicts(trees, table, groups)


@pytest.mark.parametrize("leaves", [1, 2, 64, 65, 66, 128, 129, 130, 255, 256, 257, 400])
@pytest.mark.parametrize("deep", [False, True])
def test_trees_of_every_size_class(leaves: int, deep: bool) -> None:
    rng = np.random.default_rng(leaves)
    table = mixed(rng, 150, 40, decimals=2)
    assert_predicts([random_tree(rng, table, leaves, deep=deep) for _ in range(2)], table)


def test_many_thresholds_take_several_slots_or_wider_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    table = Table((Column("x", "numeric", rng.normal(size=3000)), Column("y", "numeric", rng.random(3000))))
    trees = [random_tree(rng, table, 500) for _ in range(4)]
    some = table.take(np.arange(200))
    packed = assert_predicts(trees, some)._packed
    assert packed.dtype == np.uint8
    assert len(packed.slots) > 4
    assert all(len(slot.coding[0]) <= 255 for slot in packed.slots)
    monkeypatch.setattr(packing, "BYTE_SLOTS", 0)
    packed = assert_predicts(trees, some)._packed
    assert packed.dtype == np.uint16
    assert len(packed.slots) == 4  # two features, two sides


def test_more_thresholds_than_two_bytes_count() -> None:
    size = NEVER + 500
    spans, nodes = [(0, size)], []
    for low, high in spans:  # each node parts its span, which grows the list, in the middle
        if low < high:
            middle, left = (low + high) // 2, len(spans)
            nodes.append({"feature": 0, "threshold": float(middle), "left": left})
            spans += [(low, middle), (middle + 1, high)]
        else:
            nodes.append({})
    tree = tree_of(nodes, np.arange(len(nodes), dtype=float)[:, None])
    x = np.append(np.random.default_rng(1).choice(size, 60), [0, size - 1, size, NEVER, NEVER + 1, np.nan])
    packed = assert_predicts([tree], Table((Column("x", "numeric", x.astype(float)),)))._packed
    assert [len(slot.coding[0]) for slot in packed.slots] == [NEVER, 500]


def test_more_features_than_the_wide_path_takes() -> None:
    rng = np.random.default_rng(0)
    table = Table(tuple(Column(f"x{i}", "numeric", rng.normal(size=100).round(1)) for i in range(90)))
    packed = assert_predicts([random_tree(rng, table, 120) for _ in range(3)], table)._packed
    assert len(packed.slots) > 64


@pytest.mark.parametrize("num_categories", [254, 255, 256, 300, 1000])
def test_many_categories(num_categories: int) -> None:
    rng = np.random.default_rng(num_categories)
    table = mixed(rng, 200, num_categories)
    assert_predicts([random_tree(rng, table, 20) for _ in range(3)], table)
    packed = pack([random_tree(rng, table, 8, features=[3])], table.schema)
    assert packed.dtype == np.uint8  # seven splits tell at most 128 categories apart
    _, classes, missing = packed.slots[-1].coding
    assert classes is not None
    assert num_categories < 256 or max(classes.max(), missing) < 128


def test_more_categories_told_apart_than_a_byte_counts() -> None:
    rng = np.random.default_rng(0)
    table = mixed(rng, 200, 300)
    packed = assert_predicts([random_tree(rng, table, 200) for _ in range(3)], table)._packed
    assert packed.dtype == np.uint16


def test_strided_columns_are_read_in_place() -> None:
    rng = np.random.default_rng(0)
    table = mixed(rng, 100)
    spread = [
        np.repeat(c.values, 2)[::2] if i % 2 else c.values[::-1].copy()[::-1] for i, c in enumerate(table)
    ]
    strided = Table(tuple(replace(c, values=v) for c, v in zip(table, spread, strict=True)))
    assert not any(c.values.flags.c_contiguous for c in strided)
    assert_predicts([random_tree(rng, table, 30) for _ in range(3)], strided)


def test_categories_alone_and_trees_that_ask_nothing() -> None:
    rng = np.random.default_rng(0)
    table = mixed(rng, 100)
    assert_predicts([random_tree(rng, table, 9, features=[3]) for _ in range(3)], table)
    assert_predicts([random_tree(rng, table, 1) for _ in range(3)], table)
    empty = Ensemble((), table.schema)
    assert empty.sum(table, groups=2).tolist() == [[0.0, 0.0]] * 100
    assert empty.leaves(table).shape == (100, 0)


def test_a_threshold_of_infinity_parts_known_from_missing() -> None:
    nodes = [{"feature": 0, "threshold": np.inf, "left": 1}, {}, {}]
    tree = tree_of(nodes, np.array([[0.0], [1.0], [2.0]]))
    table = Table((Column("x", "numeric", np.array([np.inf, -np.inf, 0.0, np.nan])),))
    assert_predicts([tree, replace(tree, missing_left=np.array([True, False, False]))], table)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=2, max_size=40))
def test_every_float_is_on_the_side_that_a_comparison_says(values: list[float]) -> None:
    x = np.array(values)
    known = x[~np.isnan(x)]
    with np.errstate(over="ignore"):
        thresholds = np.concatenate([known, np.nextafter(known, -np.inf), np.nextafter(known, np.inf)])
    stumps = [
        tree_of(
            [{"feature": 0, "threshold": t, "left": 1, "missing_left": i % 2 == 0}, {}, {}],
            np.array([[0.0], [1.0], [2.0]]),
        )
        for i, t in enumerate(thresholds)
        if not np.isnan(t)
    ]
    assert_predicts(stumps, Table((Column("x", "numeric", x),)))


# -- invariances ---------------------------------------------------------------------------------------------


@needs_kernel
def test_predictions_do_not_depend_on_threads_or_on_neighbouring_rows() -> None:
    rng = np.random.default_rng(0)
    table = mixed(rng, 20_000)
    ensemble = Ensemble([random_tree(rng, table, 30, outputs=2) for _ in range(8)], table.schema)
    sums, leaves = ensemble.sum(table, groups=2), ensemble.leaves(table)
    for threads in (2, 3):
        np.testing.assert_array_equal(ensemble.sum(table, groups=2, threads=threads), sums)
        np.testing.assert_array_equal(ensemble.leaves(table, threads=threads), leaves)
    order = rng.permutation(20_000)
    np.testing.assert_array_equal(ensemble.sum(table.take(order), groups=2), sums[order])
    np.testing.assert_array_equal(predict_reference.leaves(ensemble._packed, table), leaves)


def test_a_table_is_aligned_to_the_schema() -> None:
    rng = np.random.default_rng(0)
    table = mixed(rng, 80)
    ensemble = Ensemble([random_tree(rng, table, 20) for _ in range(4)], table.schema)
    codes, names = table["c"].values, table["c"].categories
    renamed = Column("c", "category", np.where(codes < 0, 0, codes + 1).astype(np.int32), ("!new", *names))
    columns = [renamed if c.name == "c" else c for c in reversed(table.columns)]
    moved = Table((*columns, Column("unused", "numeric", np.zeros(80))))
    np.testing.assert_array_equal(ensemble.sum(moved), ensemble.sum(table))
    with pytest.raises(ContractError, match="x1"):
        ensemble.sum(table.drop(["x1"]))


@pytest.mark.parametrize(("groups", "num_trees"), [(1, 5), (3, 12), (2, 2 * STAGED_TREES + 4), (2, 5)])
def test_stages_are_the_sums_of_the_first_rounds(groups: int, num_trees: int) -> None:
    rng = np.random.default_rng(0)
    table = mixed(rng, 40)
    trees = [random_tree(rng, table, 5) for _ in range(num_trees)]
    stages = list(Ensemble(trees, table.schema).staged(table, groups=groups))
    assert len(stages) == -(-num_trees // groups)
    for index, stage in enumerate(stages):
        first = Ensemble(trees[: (index + 1) * groups], table.schema)
        np.testing.assert_array_equal(stage, first.sum(table, groups=groups))


def test_predicting_changes_neither_trees_nor_table() -> None:
    rng = np.random.default_rng(0)
    table = mixed(rng, 70)
    trees = [random_tree(rng, table, 20) for _ in range(3)]
    before = [{f.name: getattr(tree, f.name).copy() for f in fields(Tree)} for tree in trees]
    fingerprint = table.fingerprint()
    Ensemble(trees, table.schema).sum(table)
    assert table.fingerprint() == fingerprint
    for tree, copies in zip(trees, before, strict=True):
        for name, copy in copies.items():
            np.testing.assert_array_equal(getattr(tree, name), copy)


def test_lightgbm_predicts_the_same_from_the_same_trees() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    table = mixed(rng, 600, 8)
    matrix = np.nan_to_num(table.to_numpy(), nan=np.nan, posinf=3.0)
    table = Table(
        tuple(
            c if c.kind == "category" else replace(c, values=v)
            for c, v in zip(table.columns, matrix.T, strict=True)
        )
    )
    target = np.nansum(matrix, axis=1) % 3 + (matrix[:, 3] % 2)
    booster = lightgbm.train(
        {"verbose": -1, "num_threads": 1, "num_leaves": 40, "min_data_in_leaf": 3, "max_cat_to_onehot": 1},
        lightgbm.Dataset(matrix, target, categorical_feature=[3], params={"verbose": -1}),
        12,
    )

    def fill(index: int, found: dict, nodes: list[dict]) -> None:
        nodes[index] = {"value": found.get("leaf_value", 0.0)}
        if "split_feature" in found:
            node = {"feature": found["split_feature"]}
            if found["decision_type"] == "==":
                node["categories"] = [int(code) for code in found["threshold"].split("||")]
            else:
                node |= {"threshold": found["threshold"], "missing_left": found["default_left"]}
            nodes[index] |= node | {"left": len(nodes)}
            nodes += [{}, {}]
            for side, child in enumerate(("left_child", "right_child")):
                fill(nodes[index]["left"] + side, found[child], nodes)

    trees = []
    for info in booster.dump_model()["tree_info"]:
        nodes: list[dict] = [{}]
        fill(0, info["tree_structure"], nodes)
        trees.append(tree_of(nodes, np.array([[node["value"]] for node in nodes])))
    assert any(len(tree.categories) for tree in trees)
    np.testing.assert_array_equal(Ensemble(trees, table.schema).sum(table)[:, 0], booster.predict(matrix))


# -- files ---------------------------------------------------------------------------------------------------


def saved(folder: Path) -> tuple[Ensemble, Table, Path]:
    rng = np.random.default_rng(0)
    table = mixed(rng, 50)
    ensemble = Ensemble([random_tree(rng, table, 9, outputs=2) for _ in range(3)], table.schema)
    path = folder / "trees.safetensors"
    ensemble.save(path)
    return ensemble, table, path


def test_a_saved_ensemble_comes_back_equal(tmp_path: Path) -> None:
    ensemble, table, path = saved(tmp_path)
    ensemble.save(path)  # over itself
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    back = Ensemble.load(path)
    assert back.schema == ensemble.schema
    assert isinstance(back.schema, Schema)
    for ours, theirs in zip(ensemble.trees, back.trees, strict=True):
        for field in fields(Tree):
            a, b = getattr(ours, field.name), getattr(theirs, field.name)
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
    np.testing.assert_array_equal(back.sum(table), ensemble.sum(table))


def test_an_ensemble_without_trees_can_be_saved(tmp_path: Path) -> None:
    _, table, _ = saved(tmp_path)
    Ensemble((), table.schema).save(tmp_path / "none")
    back = Ensemble.load(tmp_path / "none")
    assert len(back) == 0
    assert back.schema == table.schema


def test_a_damaged_or_foreign_file_is_named(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    _, _, path = saved(tmp_path)
    whole = path.read_bytes()
    for size in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"trees\.safetensors is not a saved ensemble of trees"):
            Ensemble.load(path)
    path.write_bytes(whole.replace(b'"version":"2"', b'"version":"3"'))
    with pytest.raises(ValueError, match=r"trees\.safetensors .* version is '3'"):
        Ensemble.load(path)
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"trees\.safetensors .* its format is None"):
        Ensemble.load(path)
    with pytest.raises(OSError, match="absent"):
        Ensemble.load(tmp_path / "absent")


def test_flipped_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    """Whatever the arrays say, prediction stays within them."""
    _, table, path = saved(tmp_path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for at in rng.integers(len(whole) // 3, len(whole), 3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            back = Ensemble.load(path)
        except ValueError:
            refused += 1
        else:
            assert back.leaves(table).max() < max(tree.num_nodes for tree in back.trees)
    assert 0 < refused < 200


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": [0, 0, -1], "left": [1, 1, -1]}, "a child that is no later node"),
        ({"left": [0, -1, -1]}, "a child that is no later node"),
        ({"left": [2, -1, -1]}, "a child that is no later node"),
        ({"feature": [-1, -1, -1]}, "several parents or none"),
        ({"feature": [9, -1, -1]}, "a feature beyond the 6 known"),
        ({"threshold": [np.nan] * 3}, "no threshold"),
        (
            {"feature": [3, -1, -1], "categories": [5], "category_offsets": [0, 1, 1, 1]},
            "a category that is not known",
        ),
        ({"categories": [1], "category_offsets": [0, 1, 1, 1]}, "a category that is not known"),
    ],
)
def test_a_malformed_tree_is_refused(change: dict, message: str) -> None:
    schema = mixed(np.random.default_rng(0), 5).schema
    tree = tree_of([{"feature": 0, "threshold": 0.0, "left": 1}, {}, {}], np.zeros((3, 1)))
    arrays = {name: np.array(v, getattr(tree, name).dtype) for name, v in change.items()}
    with pytest.raises(ValueError, match=f"tree 1 is malformed: node [012] has {message}"):
        Ensemble([tree, replace(tree, **arrays)], schema).pack()


def test_category_offsets_must_part_the_categories() -> None:
    tree = tree_of([{}], np.zeros((1, 1)))
    with pytest.raises(ValueError, match="category_offsets do not part its categories"):
        Ensemble([replace(tree, category_offsets=np.array([0, 10**15]))], Schema(())).pack()


def test_trees_must_have_equally_many_outputs() -> None:
    leaf = tree_of([{}], np.zeros((1, 1)))
    with pytest.raises(ValueError, match=r"equally many outputs, got \[1, 2\]"):
        Ensemble([leaf, leaf.with_values(np.zeros((1, 2)))], Schema(())).pack()
