"""The weighted quantile sketch keeps every rank within the stated error, however it was merged and pruned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.data.table import Column, Table
from assay.tabular import sketch as sketch_module
from assay.tabular.bins import Bins
from assay.tabular.sketch import FINER, Summary, propose_cuts, sketch

WEIGHTS = ("ones", "heavy tail", "needles", "log-normal", "increasing")


def weights_of(kind: str, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = len(values)
    if kind == "heavy tail":
        return rng.pareto(0.5, size) + 1e-9
    if kind == "needles":
        return np.where(rng.random(size) < 0.05, 1e6, 1e-6)
    if kind == "log-normal":
        return np.exp(rng.normal(0, 10, size))
    if kind == "increasing":
        return 2.0 ** (np.argsort(np.argsort(values)) % 40)
    return np.ones(size)


def drawn(seed: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=rng.integers(1, 300)).round(rng.integers(0, 4))
    return values, weights_of(kind, values, rng), rng


def assert_within(summary: Summary, values: np.ndarray, weights: np.ndarray, error: float) -> None:
    """Checks the bounds of every value, and of points between and outside, against exact ranks."""
    total = weights.sum()
    slack = 1e-9 * total
    points = np.concatenate([values, values + 1e-5, [-1e9, 1e9]])
    below = np.array([weights[values < point].sum() for point in points])
    up_to = np.array([weights[values <= point].sum() for point in points])
    rank_min, rank_max, at = summary.bounds(points)
    assert (rank_min <= below + slack).all()
    assert (up_to <= rank_max + slack).all()
    assert (at <= up_to - below + slack).all()
    assert (rank_max - rank_min - at <= error * total + slack).all()
    assert summary.error <= error + 1e-9
    assert summary.total == pytest.approx(total)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(WEIGHTS))
def test_the_initial_summary_is_exact(seed: int, kind: str) -> None:
    values, weights, _ = drawn(seed, kind)
    assert_within(Summary.of(values, weights), values, weights, 0.0)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(WEIGHTS))
def test_ranks_stay_within_the_sum_of_what_the_prunes_add(seed: int, kind: str) -> None:
    values, weights, rng = drawn(seed, kind)
    shares = np.array_split(rng.permutation(len(values)), rng.integers(1, 9))
    parts = [(Summary.of(values[share], weights[share]), 0.0) for share in shares]
    while len(parts) > 1:
        first, first_error = parts.pop(rng.integers(len(parts)))
        second, second_error = parts.pop(rng.integers(len(parts)))
        merged, error = first.merge(second), max(first_error, second_error)
        if rng.random() < 0.7:
            size = int(rng.integers(2, 30))
            error += 1 / size
            merged = merged.prune(size)
            assert len(merged) <= size + 1
        parts.append((merged, error))
    assert_within(parts[0][0], values, weights, parts[0][1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(WEIGHTS))
def test_merging_whole_summaries_is_summarising_the_whole(seed: int, kind: str) -> None:
    values, weights, rng = drawn(seed, kind)
    left = rng.random(len(values)) < 0.5
    merged = Summary.of(values[left], weights[left]).merge(Summary.of(values[~left], weights[~left]))
    whole = Summary.of(values, weights)
    np.testing.assert_array_equal(merged.values, whole.values)
    for name in ("rank_min", "rank_max", "weights"):
        np.testing.assert_allclose(
            getattr(merged, name), getattr(whole, name), rtol=1e-9, atol=1e-9 * whole.total
        )


def naive_query(summary: Summary, rank: float) -> int:
    """Algorithm 4, word for word."""
    middle = (summary.rank_min + summary.rank_max) / 2
    if rank < middle[0]:
        return 0
    if rank >= middle[-1]:
        return len(summary) - 1
    i = next(i for i in range(len(summary)) if middle[i] <= rank < middle[i + 1])
    first = summary.rank_min[i] + summary.weights[i]
    second = summary.rank_max[i + 1] - summary.weights[i + 1]
    return i if 2 * rank < first + second else i + 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(WEIGHTS))
def test_a_query_is_algorithm_4(seed: int, kind: str) -> None:
    values, weights, rng = drawn(seed, kind)
    summary = Summary.of(values, weights).prune(20)
    ranks = rng.random(50) * summary.total
    assert summary.query(ranks).tolist() == [naive_query(summary, rank) for rank in ranks]


def test_missing_and_weightless_rows_do_not_count() -> None:
    values, weights = np.array([3.0, np.nan, 1.0, 2.0]), np.array([1.0, 5.0, 2.0, 0.0])
    summary = Summary.of(values, weights)
    assert summary.values.tolist() == [1.0, 3.0]
    assert summary.total == 3.0
    empty = Summary.of(np.array([np.nan]))
    assert empty.total == empty.error == len(empty) == 0
    assert empty.merge(summary).rank_max.tolist() == [2.0, 3.0]
    assert len(sketch(np.array([]), None, 0.1)) == 0


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("order", ["random", "ascending", "descending"])
def test_a_column_of_many_blocks_is_sketched_within_the_error(
    kind: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sketch_module, "BLOCK_ROWS", 64)
    rng = np.random.default_rng(7)
    values = rng.normal(size=64 * 11 + 5)
    if order != "random":
        values = np.sort(values)[:: 1 if order == "ascending" else -1]
    weights = weights_of(kind, values, rng)
    summary = sketch(values, weights, 0.05)
    assert_within(summary, values, weights, 0.05)
    if kind == "ones":
        assert len(summary) < len(values) / 2


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(WEIGHTS), max_bins=st.integers(2, 20))
def test_no_bin_between_cuts_outweighs_a_share(seed: int, kind: str, max_bins: int) -> None:
    values, weights, _ = drawn(seed, kind)
    table = Table((Column("x", "numeric", values),))
    (cuts,) = propose_cuts(table, weights, max_bins)
    assert (np.diff(cuts) > 0).all()
    assert set(cuts.tolist()) <= set(values.tolist())
    assert len(cuts) < max_bins
    if len(cuts):
        assert cuts[-1] < values.max()
    for low, high in zip([-np.inf, *cuts], [*cuts, np.inf], strict=True):
        # Eq. (9): but for the value at its end, a bin holds a share of the weight and the error of its ends.
        inside = (values > low) & (values <= high)
        strictly = inside & (values < values[inside].max())
        assert weights[strictly].sum() <= weights.sum() / max_bins * (1 + 2 / FINER) * (1 + 1e-9)


def test_few_distinct_values_are_all_parted_and_categories_are_not_cut() -> None:
    codes = np.array([0, 1, 0, 1], np.int32)
    table = Table(
        (Column("x", "numeric", np.array([2.0, 1.0, 3.0, 2.0])), Column("c", "category", codes, ("a", "b")))
    )
    cuts = propose_cuts(table, None, 8)
    assert [c.tolist() for c in cuts] == [[1.0, 2.0], []]
    assert Bins.from_cuts(table, cuts).encode(table).columns.tolist() == [[1, 0, 2, 1], [0, 1, 0, 1]]
