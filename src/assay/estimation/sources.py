"""Reads what a user brings: a column of a table, a function, or the name of a textbook's example."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from assay.core.method import locate
from assay.core.run import Scale
from assay.data import datasets
from assay.data.table import Column as TableColumn
from assay.data.table import ContractError, Table
from assay.estimation.conditions import Look, check_rises, conditions, looks
from assay.estimation.experiment import Experiment
from assay.estimation.metrics import gradient_noise_scale
from assay.estimation.moments import neighbour_correlation, widening
from assay.estimation.oracles import Cubic, Mean, Oracle, Quantile, Tanh, function_oracle
from assay.estimation.populations import Coin, Column, Order, Square
from assay.estimation.problem import Problem
from assay.estimation.reference import find_root

DEFAULT = "flights"
_DEFAULT_COLUMNS = {"flights": "arr_delay", "california_housing": "MedHouseVal"}

_SAMPLES: Mapping[Scale, int] = {"smoke": 200, "default": 10_000, "full": 100_000}
_RUNS: Mapping[Scale, int] = {"smoke": 20, "default": 100, "full": 1000}
_REFERENCE = 20  # A reference takes so many times a method's samples for every look,
_LEAST_REFERENCE = 100_000  # but at least so many.
_TRIED = 1000  # observations at the start, for the noise scale

EXAMPLES: Mapping[str, Problem] = {
    "coin": Problem(
        name="coin",
        seeks="the mean of a fair coin, +1 or -1",
        experiment=Experiment(oracle=Mean(Coin()), interval=(-1.0, 1.0)),
        answer=np.array(0.0),
        slope=1.0,
        noise=1.0,
    ),
    "square": Problem(
        name="square",
        seeks="the mean of points spread evenly over a square of side 20",
        experiment=Experiment(
            oracle=Mean(Square()), start=np.array([20.0, 20.0]), scale=20.0, interval=(-10.0, 10.0)
        ),
        answer=np.zeros(2),
        slope=1.0,
        noise=float(np.sqrt(2 * 20.0**2 / 12)),
    ),
    "tanh": Problem(
        name="tanh",
        seeks="the root of tanh(w - 1), seen with standard normal noise",
        experiment=Experiment(oracle=Tanh(), start=3.0, interval=(-3.0, 5.0)),
        answer=np.array(1.0),
        slope=1.0,
        noise=1.0,
    ),
    "cubic": Problem(
        name="cubic",
        seeks="the root of w^3 - 5, seen with standard normal noise",
        experiment=Experiment(oracle=Cubic(), start=0.0, interval=(-3.0, 3.0)),
        answer=np.array(5.0 ** (1 / 3)),
        slope=3 * 5.0 ** (2 / 3),
        noise=1.0,
    ),
}
"""The examples of the textbook: flips of a coin, Figure 6.5, and the two functions of section 6.2."""


def read_problem(
    source: Any = None,
    *,
    scale: Scale = "default",
    column: str | None = None,
    quantile: float | None = None,
    order: Order | None = None,
    start: Any = None,
    answer: Any = None,
    interval: Sequence[float] | None = None,
    samples: int | None = None,
    runs: int | None = None,
) -> Problem:
    """The problem of `source`.

    Args:
        source: None for the arrival delays of the flights; "coin", "square", "tanh" or "cubic"; a function
            or the text "module:function" that names one; a sequence of numbers; or anything `Table.of` takes.
        scale: samples and runs, unless they are given: 200 and 20, 10,000 and 100, or 100,000 and 1,000.
        column: whose mean or quantile is sought; needed when the table has several columns of numbers.
        quantile: which quantile of the column is sought, in (0, 1); None for the mean.
        order: how rows are drawn, see `Column`; None for "random".
        start: where every run begins; None for a function's 0, and for a row of the column.
        answer: a function's root where it is known; None to find a reference.
        interval: ends between which the root lies; a column has its least and largest value.
        samples: that each run takes when no budget says so.
        runs: independent repetitions.

    Raises:
        ContractError: the source is none of these, or an option does not go with it.
    """
    columns = {"column": column, "quantile": quantile, "order": order}
    common: dict[str, Any] = {
        "samples": _SAMPLES[scale] if samples is None else samples,
        "runs": (1 if order == "given" else _RUNS[scale]) if runs is None else runs,
    }
    if interval is not None:
        common["interval"] = _interval(interval)
    try:
        if isinstance(source, str) and source in EXAMPLES:
            _refuse(source, columns | {"answer": answer})
            if start is not None:
                common["start"] = start
            return _example(EXAMPLES[source], common)
        if isinstance(source, str) and ":" in source and not Path(source).exists():
            source = locate(source)
        if callable(source):
            _refuse("a function", columns)
            return _function(source, 0.0 if start is None else start, answer, common)
        _refuse("a column", {"answer": answer})
        return _column(source, column, quantile, order or "random", common | {"start": start})
    except ContractError:
        raise
    except ValueError as error:
        raise ContractError(str(error)) from None


def _refuse(what: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if value is not None:
            raise ContractError(f"{what} has no option {name!r}, got {name}={value!r}")


def _interval(given: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = given
        return float(low), float(high)
    except (TypeError, ValueError):
        raise ContractError(f"interval must be two numbers such as (-3, 3), got {given!r}") from None


def _example(example: Problem, common: Mapping[str, Any]) -> Problem:
    experiment = dataclasses.replace(example.experiment, **common)
    centre = experiment.start if experiment.start is not None else example.answer
    facts: dict[str, Any] = {}
    if np.ndim(centre) == 0:
        rng = np.random.default_rng(0)
        facts = _conditions(looks(experiment.oracle, float(centre), scale=experiment.scale, rng=rng))
    return dataclasses.replace(example, experiment=experiment, facts=facts | _noise_scale(experiment))


# A column


def _column(
    source: Any, column: str | None, quantile: float | None, order: Order, common: Mapping[str, Any]
) -> Problem:
    if order not in get_args(Order):
        raise ContractError(f"order must be one of {', '.join(get_args(Order))}, got {order!r}")
    if quantile is not None and not 0 < quantile < 1:
        raise ContractError(f"quantile must be in (0, 1), got {quantile!r}")
    source = DEFAULT if source is None else source
    if isinstance(source, str) and source in datasets.DATASETS:
        table, column = datasets.DATASETS[source].load(), column or _DEFAULT_COLUMNS.get(source)
    else:
        table = Table.of(source if not _is_sequence(source) else {"values": source})
    chosen = _chosen(table, column)
    values, missing = _numbers(table.name, chosen)
    population = Column(values, order)
    deviation = population.deviation()
    if not np.isfinite(deviation) or deviation == 0:
        raise ContractError(
            f"{table.name}: expected different numbers in {chosen.name!r}, got {len(values)} "
            f"row{'s' if len(values) != 1 else ''} of {values[0]:g}"
        )
    correlation = neighbour_correlation(values)
    facts: dict[str, Any] = {
        "rows": len(values),
        "missing rows left out": missing,
        "order": order,
        "mean": population.mean(),
        "standard deviation": deviation,
        "correlation of neighbouring rows": correlation,
    }
    if order == "given":
        facts["errors as many times wider than of independent rows"] = widening(correlation)
    oracle: Oracle
    if quantile is None:
        oracle, answer = Mean(population), population.mean()
        seeks, slope, noise = f"the mean of {chosen.name!r}", 1.0, deviation
    else:
        oracle, answer = Quantile(population, quantile, deviation), population.quantile(quantile)
        seeks = f"the {quantile:g}-quantile of {chosen.name!r}"
        slope = deviation * population.density(quantile)
        noise = deviation * float(np.sqrt(quantile * (1 - quantile)))
    common = {"interval": (float(values.min()), float(values.max())), **common}
    experiment = Experiment(oracle=oracle, scale=deviation, **common)
    known = order == "random" and np.isfinite(slope)
    seen = looks(dataclasses.replace(oracle, population=Column(values)), answer, scale=deviation, rng=_rng())
    return Problem(
        name=table.name,
        seeks=seeks,
        experiment=experiment,
        answer=np.array(answer),
        slope=slope if known else None,
        noise=noise if known else None,
        facts=facts | _conditions(seen) | _noise_scale(experiment),
    )


def _is_sequence(source: Any) -> bool:
    if isinstance(source, np.ndarray):
        return source.ndim == 1
    return isinstance(source, (list, tuple)) and not any(isinstance(item, Mapping) for item in source)


def _chosen(table: Table, name: str | None) -> TableColumn:
    if name is not None:
        return table[name]
    numbers = [column for column in table if column.kind != "category"]
    if len(numbers) != 1:
        there = ", ".join(repr(column.name) for column in numbers[:10]) or "none"
        raise ContractError(
            f"{table.name}: expected column=... to say which of its columns of numbers: {there}"
        )
    return numbers[0]


def _numbers(table: str, column: TableColumn) -> tuple[np.ndarray, int]:
    """The numbers of a column, and how many rows have none."""
    if column.kind == "category":
        example = next((column.categories[code] for code in column.values if code >= 0), "")
        raise ContractError(f"{table}: expected numbers in {column.name!r}, got text such as {example!r}")
    values = np.ascontiguousarray(column.values[~column.missing], np.float64)
    if not len(values):
        raise ContractError(f"{table}: expected numbers in {column.name!r}, got missing values only")
    infinite = np.isinf(column.values)
    if infinite.any():
        row = int(infinite.argmax()) + 1
        raise ContractError(f"{table}: expected finite numbers in {column.name!r}, got infinity in row {row}")
    return values, len(column.values) - len(values)


# A function


def _function(function: Callable[..., Any], start: Any, answer: Any, common: Mapping[str, Any]) -> Problem:
    name = getattr(function, "__qualname__", type(function).__name__)
    start = np.asarray(start, np.float64)
    if start.ndim > 1:
        raise ContractError(f"start must be a number or a list of numbers, got shape {start.shape}")
    oracle = function_oracle(function, start)
    experiment = Experiment(oracle=oracle, start=start, **common)
    rng, facts = _rng(), _noise_scale(experiment)
    slope = noise = None
    if start.ndim == 0:
        seen = looks(oracle, float(start), interval=experiment.interval, rng=rng)
        check_rises(seen, name)
        facts |= _conditions(seen, confined=experiment.interval is not None)
        if answer is None:
            count = max(_REFERENCE * experiment.samples, _LEAST_REFERENCE)
            root = find_root(oracle, seen, count if oracle.elementwise else _LEAST_REFERENCE, rng, name)
            answer, slope, noise = root.at, root.slope, root.noise
            facts["answer found to within (standard error)"] = root.error
    if answer is None:
        raise ContractError(f"{name}: expected answer=..., since w is a vector and no reference is sought")
    answer = np.asarray(answer, np.float64)
    if answer.shape != start.shape:
        raise ContractError(f"expected an answer of shape {start.shape} like start, got {answer.shape}")
    return Problem(
        name=name,
        seeks=f"the root of {name}",
        experiment=experiment,
        answer=answer,
        slope=slope,
        noise=noise,
        facts=facts,
    )


def _conditions(seen: Sequence[Look], *, confined: bool = False) -> dict[str, Any]:
    if len(seen) < 3:
        return {}
    return {"conditions": [dataclasses.asdict(found) for found in conditions(seen, confined=confined)]}


def _noise_scale(experiment: Experiment) -> dict[str, Any]:
    """A guide to batch sizes, where there is one place at which all runs start."""
    if experiment.start is None:
        return {}
    w = np.broadcast_to(experiment.start, (_TRIED, *experiment.oracle.shape))
    seen = experiment.oracle.observe(w, _rng())
    return {"gradient noise scale at the start": gradient_noise_scale(seen)}


def _rng() -> np.random.Generator:
    """Looks at a problem are the same whenever it is read."""
    return np.random.default_rng(0)
