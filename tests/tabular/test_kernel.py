"""The compiled kernel grows the same trees as its NumPy twin, for any number of threads."""

import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Table
from assay.tabular import kernel
from assay.tabular.bins import Bins, Codes
from assay.tabular.grower import Classes, Grown, Limits, Newton, grow
from assay.tabular.tree import Tree

needs_kernel = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")


@pytest.mark.parametrize("dtype", [np.float64, np.bool_, np.uint16])
def test_an_address_is_where_the_first_element_is(dtype):
    array = np.zeros((6, 5), dtype)
    read_only = array.copy()
    read_only.flags.writeable = False
    for some in (
        array,
        array[2:],
        array[:, 2:],
        array[::-1],
        array[:0],
        array.T,
        read_only,
        read_only[1:, 1:],
    ):
        assert kernel.address(some) == some.__array_interface__["data"][0]


@needs_kernel
def test_a_library_of_other_sources_is_refused(tmp_path, monkeypatch):
    for path in (*kernel.FOLDER.glob("*.[ch]"), kernel.LIBRARY):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(kernel, "FOLDER", tmp_path)
    monkeypatch.setattr(kernel, "LIBRARY", tmp_path / kernel.LIBRARY.name)
    load = kernel.library.__wrapped__
    assert load() is not None
    with open(tmp_path / "kernel.h", "a") as file:
        file.write("/* one function more */\n")
    with pytest.raises(ImportError, match=r"_kernel.so was built from other sources; build it again with"):
        load()
    monkeypatch.setenv("ASSAY_NO_KERNEL", "1")
    assert load() is None


def assert_same(a: Grown, b: Grown) -> None:
    for field in fields(Tree):
        x, y = getattr(a.tree, field.name), getattr(b.tree, field.name)
        assert x.dtype == y.dtype, field.name
        np.testing.assert_array_equal(x, y, err_msg=field.name)
    np.testing.assert_array_equal(a.leaf, b.leaf)


def random_codes(rng: np.random.Generator, num_rows: int, max_bins: int | None, missing: bool) -> Codes:
    """Columns of many shapes: continuous, tied, constant, all missing but one, few and many categories."""
    columns: dict[str, object] = {
        "normal": rng.normal(size=num_rows),
        "ties": rng.integers(0, 4, num_rows).astype(float),
        "constant": np.zeros(num_rows),
        "rare": np.where(np.arange(num_rows) == rng.integers(num_rows), 1.0, np.nan),
        "skewed": np.floor(np.exp(rng.normal(0, 2, num_rows))),
        "few": rng.integers(0, 3, num_rows).astype(str).astype(object),
        "many": rng.integers(0, 40, num_rows).astype(str).astype(object),
    }
    if missing:
        for name in ("normal", "ties", "skewed", "few", "many"):
            values = np.array(columns[name], object)
            values[rng.random(num_rows) < rng.choice([0.02, 0.3])] = None
            columns[name] = values.astype(float) if name in ("normal", "ties", "skewed") else values
    table = Table.of({name: list(values) for name, values in columns.items()})
    return Bins.fit(table, max_bins=max_bins).encode(table)


def random_target(rng: np.random.Generator, codes: Codes, kind: str) -> Newton | Classes:
    n = codes.num_rows
    signal = codes.columns[0].astype(float) / max(1, codes.bins.features[0].num_bins) + (codes.columns[6] % 2)
    weights = rng.choice(
        [rng.integers(0, 4, n).astype(float), rng.random(n), np.exp(rng.normal(0, 3, n)), np.ones(n)]
    )
    label = (signal + rng.normal(0, 0.5, n) > 1).astype(np.int32)
    if kind == "squared":
        noise = rng.choice([0.0, 0.05])
        return Newton(gradient=rng.normal(size=n) - signal, wide=bool(rng.integers(2)), noise=noise)
    if kind == "ties":
        return Newton(gradient=-weights * label, hessian=weights, wide=bool(rng.integers(2)))
    if kind == "newton":
        p = 1 / (1 + np.exp(-signal + rng.normal(0, 3, n)))
        return Newton(
            gradient=weights * (p - label),
            hessian=weights * p * (1 - p),
            l2=rng.choice([0.0, 1.0]),
            l1=rng.choice([0.0, 0.3]),
            max_delta_step=rng.choice([0.0, 0.5]),
            wide=bool(rng.integers(2)),
            noise=rng.choice([0.0, 0.1]),
        )
    k = int(rng.choice([1, 2, 3, 7]))
    labels = np.minimum(label + rng.integers(0, k, n), k - 1).astype(np.int32)
    return Classes(labels=labels, num_classes=k, weights=weights if rng.integers(2) else None, criterion=kind)  # type: ignore[arg-type]


def random_limits(rng: np.random.Generator) -> Limits:
    limits = Limits()
    for name, values in {
        "max_depth": (0, 1, 4),
        "max_leaves": (1, 2, 9),
        "min_samples_split": (5,),
        "min_samples_leaf": (2, 7),
        "min_weight_leaf": (0.5, 3.0),
        "min_gain": (-1.0, 0.2, -np.inf),
        "max_features": (1, 3),
        "features_per_level": (0.5,),
        "features_per_node": (0.3, 0.8),
        "random_thresholds": (True,),
        "max_categories_onehot": (0, 100),
    }.items():
        if rng.random() < 0.25:
            limits = replace(limits, **{name: values[rng.integers(len(values))]})
    return limits


@needs_kernel
@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_rows=st.sampled_from([1, 2, 3, 10, 60, 300, 900]),
    max_bins=st.sampled_from([2, 6, 255, 300, None]),
    missing=st.booleans(),
    kind=st.sampled_from(["squared", "ties", "newton", "gini", "entropy"]),
    wider=st.sampled_from([np.uint8, np.uint16, np.uint32]),
)
def test_kernel_equals_its_twin(seed, num_rows, max_bins, missing, kind, wider):
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, num_rows, max_bins, missing)
    dtype = np.promote_types(codes.columns.dtype, wider)  # as if some other column had more values
    codes = replace(codes, columns=codes.columns.astype(dtype))
    target, limits = random_target(rng, codes, kind), random_limits(rng)
    chosen = {}
    if rng.random() < 0.3:
        chosen["rows"] = rng.permutation(num_rows)[: rng.integers(1, num_rows + 1)]
    if rng.random() < 0.3:
        chosen["features"] = rng.permutation(7)[: rng.integers(1, 8)]
    seed = int(rng.integers(-(2**63), 2**63))
    weight = target.weights if isinstance(target, Classes) else target.hessian
    if weight is not None and not np.any(weight[chosen.get("rows", slice(None))]):
        with pytest.raises(ValueError, match="non-zero weight"):
            grow(codes, target, limits, seed=seed, reference=True, **chosen)
        return
    twin = grow(codes, target, limits, seed=seed, reference=True, **chosen)
    assert_same(grow(codes, target, limits, seed=seed, **chosen), twin)


@needs_kernel
@pytest.mark.parametrize("kind", ["squared", "ties", "newton", "gini"])
def test_nodes_of_few_rows_equal_those_of_the_twin(kind):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        codes = random_codes(rng, int(rng.integers(2, 20)), None, missing=bool(seed % 2))
        target = random_target(rng, codes, kind)
        weight = target.weights if isinstance(target, Classes) else target.hessian
        if weight is not None and not weight.any():
            continue
        for limits in (
            Limits(max_categories_onehot=100),
            Limits(max_features=2, max_categories_onehot=100, min_gain=-1.0),
            Limits(max_features=1, max_leaves=4),
        ):
            twin = grow(codes, target, limits, seed=seed, reference=True)
            assert_same(grow(codes, target, limits, seed=seed), twin)


@needs_kernel
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["number", "two classes", "five classes", "nineteen classes"]),
    num_rows=st.sampled_from([2, 3, 5, 9, 16, 17, 40, 64, 65, 150]),
    max_bins=st.sampled_from([2, 20, 255, 300]),
    heaviest=st.sampled_from([2, 9, 600, 2**12, 2**25]),
    missing=st.booleans(),
    max_features=st.sampled_from([1, 3, None]),
    min_samples_leaf=st.sampled_from([1, 2]),
)
def test_nodes_of_few_rows(seed, kind, num_rows, max_bins, heaviest, missing, max_features, min_samples_leaf):
    """Bootstrap counts, trees of full depth, categories one against the rest: what forests grow."""
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, num_rows, max_bins, missing)
    weights = rng.integers(0, heaviest, num_rows).astype(float)
    weights[rng.integers(num_rows)] = 1
    target: Newton | Classes
    if kind == "number":
        target = Newton(gradient=-weights * rng.integers(-3, 4, num_rows), hessian=weights)
    else:
        count = {"two classes": 2, "five classes": 5, "nineteen classes": 19}[kind]
        labels = rng.integers(0, count, num_rows).astype(np.int32)
        target = Classes(labels=labels, num_classes=count, weights=weights)
    limits = Limits(
        min_gain=-1.0,
        max_features=max_features,
        min_samples_leaf=min_samples_leaf,
        max_categories_onehot=int(rng.choice([2, 1000])),
    )
    twin = grow(codes, target, limits, seed=seed, reference=True)
    assert_same(grow(codes, target, limits, seed=seed), twin)


@needs_kernel
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_classes=st.sampled_from([3, 9]),
    criterion=st.sampled_from(["gini", "entropy"]),
    weights=st.sampled_from([None, "whole", "long", "real"]),
    max_features=st.sampled_from([1, 3, None]),
    min_samples_leaf=st.sampled_from([1, 3]),
)
def test_nodes_of_few_of_the_classes(seed, num_classes, criterion, weights, max_features, min_samples_leaf):
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, 150, 255, missing=True)
    labels = np.minimum(rng.geometric(0.5, 150) - 1, num_classes - 1)  # two classes soon remain, or one
    weight = {
        None: None,
        "whole": rng.integers(0, 4, 150) + 0.0,
        "long": rng.integers(0, 2**17, 150) + 0.0,
        "real": rng.random(150),
    }
    target = Classes(
        labels=labels if rng.integers(2) else num_classes - 1 - labels,
        num_classes=num_classes,
        weights=weight[weights],
        criterion=criterion,
    )
    limits = Limits(max_features=max_features, min_samples_leaf=min_samples_leaf)
    twin = grow(codes, target, limits, seed=seed, reference=True)
    assert_same(grow(codes, target, limits, seed=seed), twin)


def large_problem() -> tuple[Codes, Newton]:
    """Rows enough for several threads to find work."""
    rng = np.random.default_rng(5)
    codes = random_codes(rng, 40_000, 255, missing=True)
    target = random_target(rng, codes, "newton")
    assert isinstance(target, Newton)
    return codes, replace(target, wide=False)


@needs_kernel
@pytest.mark.parametrize("kind", ["number", "two classes", "five classes"])
def test_a_tree_is_the_same_if_no_other_follows(kind):
    """Its memory is given back while it is copied: it has more nodes than are kept together."""
    rng = np.random.default_rng(3)
    codes = random_codes(rng, 9000, 255, missing=True)
    if kind == "number":
        target: Newton | Classes = Newton(gradient=rng.normal(size=9000), wide=True)
    else:
        count = 2 if kind == "two classes" else 5
        target = Classes(labels=rng.integers(0, count, 9000).astype(np.int32), num_classes=count)
    limits = Limits(min_gain=-1.0, max_categories_onehot=100)
    kept = grow(codes, target, limits)
    assert kept.tree.num_nodes > 5000
    assert_same(grow(codes, target, limits, alone=True), kept)
    assert_same(grow(codes, target, limits), kept)


@needs_kernel
@pytest.mark.parametrize("min_samples_leaf", [1, 4])
def test_hessians_of_one_need_not_be_given(min_samples_leaf):
    rng = np.random.default_rng(4)
    codes = random_codes(rng, 500, None, missing=True)
    gradient, limits = rng.normal(size=500), Limits(min_samples_leaf=min_samples_leaf)
    without = grow(codes, Newton(gradient=gradient, wide=True), limits)
    assert_same(without, grow(codes, Newton(gradient=gradient, hessian=np.ones(500), wide=True), limits))
    assert_same(without, grow(codes, Newton(gradient=gradient, wide=True), limits, reference=True))


@needs_kernel
@pytest.mark.parametrize("limits", [Limits(max_depth=6), Limits(max_leaves=31)], ids=["depth", "leaves"])
def test_any_number_of_threads_grows_the_same_tree(limits):
    codes, target = large_problem()
    alone = grow(codes, target, limits, threads=1)
    for threads in (2, 3, 8):
        assert_same(grow(codes, target, limits, threads=threads), alone)


@needs_kernel
def test_trees_grow_side_by_side():
    codes, target = large_problem()
    limits = Limits(max_depth=5, max_features=3)
    expected = [grow(codes, target, limits, seed=seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda seed: grow(codes, target, limits, seed=seed, threads=2), range(6))
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)


def _depth_in_child(sender) -> None:
    codes, target = large_problem()
    sender.send(grow(codes, target, Limits(max_depth=6), threads=2).tree.num_nodes)


@needs_kernel
def test_a_forked_process_starts_threads_of_its_own():
    codes, target = large_problem()
    here = grow(
        codes, target, Limits(max_depth=6), threads=2
    ).tree.num_nodes  # starts threads before the fork
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_depth_in_child, args=(sender,))
    child.start()
    assert receiver.poll(60), "the forked process hangs"
    assert receiver.recv() == here
    child.join()
    assert child.exitcode == 0


def test_without_the_compiled_library_the_twin_serves():
    code = (
        "from assay.tabular import kernel; from assay.tabular.cart import CARTClassifier;"
        "print(kernel.library(), CARTClassifier().fit([[0.0], [1.0]], [0, 1]).predict([[1.0]]))"
    )
    environment = {**os.environ, "ASSAY_NO_KERNEL": "1"}
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert output.split() == ["None", "[1]"]
