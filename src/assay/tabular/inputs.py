"""What `fit` and `predict` are given, checked and converted: features, target, weights, seeds, threads.

The messages begin as scikit-learn's do, which its estimator checks expect, and go on to name row and column.
"""

import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.data.table import Column, Table


def read_table(X: Any) -> tuple[Table, bool]:
    """Returns the features as a table, and whether its columns came with names.

    Raises:
        TypeError: X is sparse, or holds objects that are neither numbers nor text.
        ValueError: X is not two-dimensional, is empty or complex.
    """
    if type(X).__module__.startswith("scipy.sparse"):
        raise TypeError("Sparse data was passed for X, but dense data is required: use X.toarray().")
    named = (
        isinstance(X, (Table, Mapping, str, os.PathLike))
        or hasattr(X, "columns")
        or hasattr(X, "column_names")
        or (isinstance(X, list) and bool(X) and isinstance(X[0], Mapping))
    )
    table = Table.of(X if named else _dense(X))
    if not table.columns:
        raise ValueError(_too_few("feature", (table.num_rows, 0)))
    if not table.num_rows:
        raise ValueError(_too_few("sample", (0, len(table.columns))))
    return table, named


def _dense(X: Any) -> NDArray[np.float64] | dict[str, Any]:
    """Returns X as a matrix of numbers, or by column where it holds text."""
    array = np.asarray(X)
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: expected real numbers in X")
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead. Reshape your data: array.reshape(-1, 1) "
            "if it is a single feature, or array.reshape(1, -1) if it is a single row."
        )
    if 0 in array.shape:
        raise ValueError(_too_few("sample" if array.shape[0] == 0 else "feature", array.shape))
    try:
        return array.astype(np.float64, copy=False)
    except ValueError:  # Text: numbers stay numbers, column by column, and the rest are categories.
        return {f"x{i}": column.tolist() for i, column in enumerate(array.T)}


def _too_few(kind: str, shape: tuple[int, ...]) -> str:
    return f"Found array with 0 {kind}(s) (shape={shape}) while a minimum of 1 is required."


def read_target(y: Any) -> NDArray[Any]:
    """Returns the target as a one-dimensional array without missing values.

    Raises:
        ValueError: y is not one-dimensional, or contains missing, infinite or complex values.
    """
    if isinstance(y, Column):
        y = _decode(y)
    array = np.asarray(y)
    if array.dtype.kind == "c":
        raise ValueError("Complex data not supported: expected real numbers or labels in y")
    if array.ndim == 2 and array.shape[1] == 1:
        exceptions = sys.modules.get("sklearn.exceptions")
        category = UserWarning if exceptions is None else exceptions.DataConversionWarning
        message = "A column-vector y was passed when a 1d array was expected. Pass y.ravel() instead."
        warnings.warn(message, category, stacklevel=4)
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"y should be a 1d array, got an array of shape {array.shape} instead.")
    if array.dtype.kind == "f":
        missing, infinite = np.isnan(array), np.isinf(array)
        if infinite.any():
            raise ValueError(f"Input y contains infinity in row {int(np.flatnonzero(infinite)[0])}.")
    elif array.dtype.kind == "O":
        missing = np.array(
            [v is None or v != v or type(v).__name__ == "NAType" for v in array.tolist()], dtype=bool
        )
    else:
        missing = np.zeros(len(array), dtype=bool)
    if missing.any():
        raise ValueError(f"Input y contains NaN: row {int(np.flatnonzero(missing)[0])} has no target.")
    return array


def _decode(column: Column) -> NDArray[Any]:
    if column.kind == "boolean" and not column.missing.any():
        return column.values.astype(bool)
    if column.kind != "category":
        return column.values
    return np.array([*column.categories, None], dtype=object)[column.values]  # -1, missing, is the last.


def read_weights(sample_weight: ArrayLike, num_rows: int) -> NDArray[np.float64]:
    """Returns the weights of the rows, finite, not negative, and not all zero; the caller's are not touched.

    Raises:
        ValueError: a weight or their shape is not so.
    """
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (num_rows,):
        raise ValueError(f"Expected one sample weight for each of {num_rows} rows, got shape {weight.shape}")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError("Sample weights must be finite and not negative")
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight


def is_int(value: Any, low: int) -> bool:
    """Whether `value` is a whole number, not a bool, of at least `low`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= low)


def is_real(value: Any, low: float, high: float = np.inf) -> bool:
    """Whether `value` is a number, not a bool, in [low, high]."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return real and bool(low <= value <= high)


def as_generator(random_state: Any) -> np.random.Generator:
    """Returns the source of randomness that a `random_state` stands for.

    Args:
        random_state: None for fresh entropy, a whole number as seed, a Generator, used as it is, or a
            `RandomState`, from which a seed is drawn.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint32))
    if random_state is None or is_int(random_state, 0):
        return np.random.default_rng(random_state)
    raise ValueError(
        f"The 'random_state' parameter must be None, an int of at least 0, a Generator or a RandomState. "
        f"Got {random_state!r} instead."
    )


def num_threads(n_jobs: int | None) -> int:
    """Returns the threads that `n_jobs` asks for: None is 1, -1 all the process may use, -2 all but one.

    Raises:
        ValueError: it is 0 or not a whole number.
    """
    if n_jobs is None:
        return 1
    if not is_int(n_jobs, -sys.maxsize) or n_jobs == 0:
        raise ValueError(
            f"The 'n_jobs' parameter must be None or an int other than 0. Got {n_jobs!r} instead."
        )
    if n_jobs > 0:
        return int(n_jobs)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, available + 1 + int(n_jobs))
