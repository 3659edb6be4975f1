"""The compiled passes over rows equal their NumPy twin, pass by pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.tabular import fixed_point_passes as passes
from assay.tabular import fixed_point_reference as twin
from assay.tabular import kernel

pytestmark = pytest.mark.skipif(kernel.library() is None, reason="no compiled kernel")


def some_values(rng: np.random.Generator, n: int) -> np.ndarray:
    values = rng.normal(size=n) * np.exp(rng.normal(0, 4, n))
    values[rng.random(n) < 0.2] = 0
    return np.rint(values) if rng.random() < 0.3 else values


def same(found: Any, expected: Any, rows: np.ndarray) -> None:
    """Equal, arrays where they are defined."""
    if isinstance(expected, tuple) and not hasattr(expected, "_fields"):
        for one, other in zip(found, expected, strict=True):
            same(one, other, rows)
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found[rows], expected[rows])
    else:
        assert found == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.sampled_from([1, 5, 16, 33, 1000]), every=st.booleans())
def test_every_pass_equals_its_twin(seed, n, every):
    rng = np.random.default_rng(seed)
    gradient, weight = some_values(rng, n), np.abs(some_values(rng, n))
    labels = rng.integers(0, 2, n).astype(np.int32)
    chosen = np.arange(n) if every else np.sort(rng.permutation(n)[: rng.integers(1, n + 1)])
    rows = chosen.astype(np.int32)
    room = 14 - int(np.frexp(max(gradient.max(), -gradient.min(), weight.max(), 1e-9))[1])
    for name, arguments in (
        ("extent", (gradient, rows, room)),
        ("extent", (gradient, rows, 40)),  # beyond 31 bits
        ("all_whole", (gradient, rows)),
        ("pack", (gradient, weight, rows, (room, room))),
        ("pack", (gradient, None, rows, (room, 0))),
        ("pack_classes", (labels, weight, rows, room)),
        ("pack_classes", (labels, None, rows, 0)),
    ):
        compiled: Callable[..., Any] = getattr(passes, name)
        same(compiled(*arguments), getattr(twin, name)(*arguments), rows)
    assert passes.scaled_squares(gradient, room) == twin.scaled_squares(gradient, room)
    np.testing.assert_array_equal(
        passes.not_zero(gradient, weight, rows), twin.not_zero(gradient, weight, rows)
    )
    for is_weight, values in ((False, gradient), (True, weight)):
        same(
            passes.quantise(values, rows, room, is_weight=is_weight),
            twin.quantise(values, rows, room, is_weight=is_weight),
            rows,
        )


def test_without_rows_the_extent_is_of_all():
    assert passes.extent(np.array([1.5, -3.0, 0.0, -0.0]), None, 0) == (3.0, 2, 2, 0, 4)
    assert passes.extent(np.array([1.0, np.inf]), None, 0).top == np.inf


def test_where_nothing_is_compiled_the_twin_runs(monkeypatch):
    monkeypatch.setattr(passes, "_compiled", lambda: None)
    values, rows = np.array([0.5, -2.0, 0.0]), np.arange(3, dtype=np.int32)
    assert passes.extent(values, None, 2) == (2.0, 1, 1, 2, 10)
    assert passes.scaled_squares(values, 2) == 4 + 64
    assert not passes.all_whole(values, rows)
    assert passes.not_zero(values, values, rows).tolist() == [0, 1]
    assert passes.quantise(values, rows, 0, is_weight=False).tolist() == [0, -2, 0]
