"""Data on which the details of second-order boosting matter."""

import numpy as np


def problem(num_classes: int = 0, seed: int = 0, n: int = 400):
    """Ties, gaps in several columns, a column of one value with gaps, one without, weights; all float32."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(size=n),
        rng.integers(0, 6, n),
        rng.normal(size=n).round(1),
        np.full(n, 3.0),
        np.full(n, -1.0),
        rng.normal(size=n),
        rng.integers(0, 2, n),
    ]
    X = np.column_stack(columns).astype(np.float32).astype(np.float64)
    for column, share in ((0, 0.2), (1, 0.3), (3, 0.1)):
        X[rng.random(n) < share, column] = np.nan
    y = np.nan_to_num(X[:, 0]) + (X[:, 2] > 0) * X[:, 5] + np.isnan(X[:, 1]) / 2 + rng.normal(size=n) / 2
    y = y.astype(np.float32).astype(np.float64)
    if num_classes:
        y = np.digitize(y, np.quantile(y, np.arange(1, num_classes) / num_classes))
    return X, y, (rng.integers(1, 4, n) / 2 + rng.random(n)).astype(np.float32).astype(np.float64)
