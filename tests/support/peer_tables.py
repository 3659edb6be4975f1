"""Small mixed tables for the peers of the tabular wing, and the same data as the libraries take it."""

import numpy as np
import pytest

from assay.data.table import Table
from assay.tabular import peers
from assay.tabular.estimator import Classifier

PROBLEMS = ("two classes", "three classes", "regression")


def peer(name, problem, **options):
    cls = getattr(peers, name + ("Regressor" if problem == "regression" else "Classifier"))
    for module in cls.imports:
        pytest.importorskip(module)
    options = {"random_state": 0} | options
    return cls(**options, **({"n_estimators": 5} if hasattr(cls, "n_estimators") else {}))


def problem_of(problem, rows=160, seed=0):
    """A table of numbers, categories and truth values with gaps, a target and weights."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    color = rng.choice(["red", "green", "blue", "cyan", "pink", "grey"], rows)
    score = x[:, 0] + 2 * (color == "red") + x[:, 1] * (color == "blue") + 0.1 * rng.normal(size=rows)
    x[rng.random(x.shape) < 0.1] = np.nan
    columns = {"x": x[:, 0], "y": x[:, 1], "flag": rng.random(rows) < 0.5}
    columns["color"] = np.where(rng.random(rows) < 0.1, None, color).tolist()
    target = {
        "two classes": np.where(score > 0.3, "yes", "no"),
        "three classes": np.digitize(score, [-0.3, 1.0]) * 10,
        "regression": score,
    }[problem]
    return Table.of(columns), target, rng.integers(1, 4, rows).astype(float)


def outputs(model, table):
    return model.predict_proba(table) if isinstance(model, Classifier) else model.predict(table)


def direct_frame(table):
    return table.to_pandas().astype({"flag": float})


def direct_outputs(model, X, problem):
    return model.predict(X) if problem == "regression" else model.predict_proba(X)
