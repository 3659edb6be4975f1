"""Boards for the tests of the report, made without running anything."""

import numpy as np

from assay.core.board import Board, Row
from assay.core.task import Metric
from assay.core.trial import Cost, Result

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'


def result(score, seconds=1.0, curve=()):
    cost = Cost(
        fit_wall=seconds,
        fit_cpu=seconds,
        predict_wall=0.01,
        predict_cpu=0.02,
        peak_memory=5_000_000,
        model_size=None,
    )
    return Result(status="ok", metrics={"AUC": score, "log-loss": 1 - score}, cost=cost, curve=tuple(curve))


def row(name, scores, *, seconds=1.0, peer=False, curve=False, settings=None):
    results = {}
    for seed, score in enumerate(scores):
        points = [(t, score - 0.2 / t) for t in range(1, 30)] if curve else ()
        results[seed] = result(score, seconds, points)
    return Row(name, peer, settings if settings is not None else {"max_depth": None}, results)


def failed(name, status="error", error="ValueError: no"):
    return Row(name, False, {}, {seed: Result(status=status, error=error) for seed in range(3)})


def board(*rows, **changes):
    rng = np.random.default_rng(0)
    split = rng.normal(0, 0.01, 3)  # What a seed does to all methods alike.
    rows = rows or (
        row("tree", 0.8 + split, seconds=0.1),
        row("forest", 0.9 + split + [0, 0.001, -0.001], seconds=5, curve=True),
        row("boosting", 0.9 + split, seconds=2, curve=True, settings={"rate": 0.1, "rounds": 100}),
        row("rival", 0.85 + split, seconds=30, peer=True, curve=True),
        failed("broken", "timeout", "not finished after 60 s"),
    )
    content = {
        "task": "tabular",
        "question": "Which method predicts this column of a table best?",
        "data": {
            "name": "people.csv",
            "fingerprint": "0123456789abcdef" * 4,
            "rows": 48842,
            "target": "income",
            "note": "",
            "columns": [
                {"name": "age", "kind": "numeric", "missing": 0},
                {"name": "work", "kind": "category", "missing": 2799, "note": "odd"},
            ],
        },
        "metrics": (Metric("AUC", "higher"), Metric("log-loss", "lower", "nats")),
        "rows": rows,
        "seeds": (0, 1, 2),
        "budget": None,
        "scale": "default",
        "threads": 1,
        "curve_axis": "round",
        "environment": {"python": "3.11", "memory": 8_000_000_000, "libraries": {"numpy": "2.0"}},
    }
    return Board(**(content | changes))
