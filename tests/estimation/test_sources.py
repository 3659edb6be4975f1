import math

import numpy as np
import pytest

from assay.data.table import ContractError
from assay.estimation.oracles import Mean, Quantile
from assay.estimation.populations import Column
from assay.estimation.sources import EXAMPLES, read_problem

CSV = "delay,name,late,when\n1.5,a,true,2020-01-01\n2.5,b,false,2020-01-02\n,c,true,\n9,d,false,2020-01-04\n"


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(CSV)
    return str(path)


def test_the_default_is_the_mean_arrival_delay_of_all_flights():
    problem = read_problem(scale="smoke")
    assert problem.name == "flights"
    assert problem.seeks == "the mean of 'arr_delay'"
    assert problem.answer == pytest.approx(6.8954, abs=1e-4)
    assert problem.experiment.rows == 327_346
    assert (problem.experiment.samples, problem.experiment.runs) == (200, 20)
    assert problem.noise == problem.experiment.scale == pytest.approx(44.633, abs=1e-3)
    assert problem.facts["correlation of neighbouring rows"] == pytest.approx(0.342, abs=1e-3)


@pytest.mark.parametrize(
    ("column", "answer", "missing"),
    [("delay", 13 / 3, 1), ("late", 0.5, 0), ("when", 1577836800 + (0 + 1 + 3) * 86400 / 3, 1)],
)
def test_any_column_of_numbers_of_a_file(csv, column, answer, missing):
    problem = read_problem(csv, column=column)
    assert problem.answer == pytest.approx(answer)
    assert problem.facts["missing rows left out"] == missing
    assert problem.facts["rows"] == 4 - missing
    assert problem.experiment.interval == pytest.approx(
        (problem.experiment.population.values.min(), problem.experiment.population.values.max())
    )


def test_numbers_in_memory():
    pandas = pytest.importorskip("pandas")
    numbers = [4.0, 1.0, 2.0]
    for source in (
        numbers,
        tuple(numbers),
        np.array(numbers),
        {"x": numbers},
        pandas.DataFrame({"x": numbers}),
    ):
        problem = read_problem(source)
        assert problem.answer == pytest.approx(7 / 3)
        assert isinstance(problem.experiment.oracle, Mean)
    assert read_problem([{"a": 1, "b": "x"}, {"a": 5, "b": "y"}]).answer == 3


def test_a_quantile_and_what_theory_needs_of_it():
    values = np.random.default_rng(0).normal(10, 2, 50_000)
    problem = read_problem(values, quantile=0.8)
    assert isinstance(problem.experiment.oracle, Quantile)
    assert problem.answer in values
    assert problem.answer == pytest.approx(np.quantile(values, 0.8), abs=1e-3)
    # sd of a sample's quantile: sqrt(q (1 - q)) / (density sqrt(n)).
    density = math.exp(-(0.8416**2) / 2) / math.sqrt(2 * math.pi) / 2
    assert problem.limit(10_000) == pytest.approx(0.4 / density / 100, rel=0.03)
    assert read_problem([1.0] * 50 + [2.0], quantile=0.2).limit(1) is None  # A jump has no slope.


@pytest.mark.parametrize(
    ("scale", "samples", "runs"), [("smoke", 200, 20), ("default", 10_000, 100), ("full", 100_000, 1000)]
)
def test_the_dial_sets_samples_and_runs_unless_they_are_given(scale, samples, runs):
    experiment = read_problem("coin", scale=scale).experiment
    assert (experiment.samples, experiment.runs) == (samples, runs)
    experiment = read_problem("coin", scale=scale, samples=7, runs=2).experiment
    assert (experiment.samples, experiment.runs) == (7, 2)
    assert read_problem([1.0, 2.0], scale=scale, order="given").experiment.runs == 1  # All would be the same.


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_answers_of_the_examples_are_their_roots(name):
    problem = read_problem(name)
    w = np.broadcast_to(problem.answer, (400_000, *problem.answer.shape))
    seen = problem.experiment.oracle.observe(w, np.random.default_rng(0))
    noise = seen - seen.mean(axis=0)
    assert np.abs(seen.mean(axis=0)).max() < 5 * seen.std() / math.sqrt(400_000)
    assert math.sqrt((noise**2).sum() / len(noise)) == pytest.approx(problem.noise, rel=0.01)
    h = 0.05
    ahead = problem.experiment.oracle.observe(w + h, np.random.default_rng(0))
    assert (ahead - seen).mean() / h == pytest.approx(problem.slope, rel=0.05)


def test_examples_can_begin_elsewhere_and_report_their_conditions():
    problem = read_problem("cubic", start=1.0, interval=(0, 2))
    assert problem.experiment.start == 1.0
    assert problem.experiment.interval == (0, 2)
    broken = [c["name"] for c in read_problem("cubic").facts["conditions"] if not c["holds"]]
    assert broken == ["(a) slope at most c2"]
    assert read_problem("cubic").facts["gradient noise scale at the start"] == pytest.approx(1 / 25, rel=0.2)
    assert "conditions" not in read_problem("square").facts


def test_the_root_of_a_function_is_looked_for():
    problem = read_problem(lambda w, rng: np.tanh(w - 1) + rng.normal(size=w.shape), start=3.0)
    error = problem.facts["answer found to within (standard error)"]
    assert 0 < error < 0.01
    assert abs(problem.answer - 1) < 4 * error
    assert problem.slope == pytest.approx(1, rel=0.05)
    assert problem.noise == pytest.approx(1, rel=0.02)
    assert problem.experiment.interval is None
    known = read_problem(lambda w, rng: w - 2 + rng.normal(size=w.shape), answer=2)
    assert known.answer == 2
    assert "answer found to within (standard error)" not in known.facts
    inside = read_problem(lambda w, rng: np.log(w) + rng.normal(size=w.shape), start=1.0, interval=[0.5, 4])
    assert inside.answer == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ([1.0], {}, "expected different numbers in 'values', got 1 row of 1"),
        ([2.0, 2.0], {}, "got 2 rows of 2"),
        ([], {}, "expected numbers"),
        ([math.nan, math.nan], {}, "missing values only"),
        ([1.0, math.inf], {}, "expected finite numbers in 'values', got infinity in row 2"),
        (["a", "b"], {}, "expected numbers in 'values', got text such as 'a'|expected column="),
        (
            {"a": [1, 2], "b": [3, 4]},
            {},
            r"expected column=... to say which of its columns of numbers: 'a', 'b'",
        ),
        ({"a": [1, 2]}, {"column": "b"}, "no column 'b'"),
        ({"a": [1, 2], "b": ["x", "y"]}, {"column": "b"}, "got text such as 'x'"),
        ([1.0, 2.0], {"quantile": 1.0}, r"quantile must be in \(0, 1\)"),
        ([1.0, 2.0], {"order": "sorted"}, "order must be one of random, shuffled, given"),
        ([1.0, 2.0], {"answer": 1.5}, "a column has no option 'answer'"),
        ([1.0, 2.0], {"interval": 3}, "interval must be two numbers"),
        ([1.0, 2.0], {"interval": (3, 1)}, "low end below its high end"),
        ([1.0, 2.0], {"samples": 0}, "samples must be a whole number"),
        ([1.0, 2.0], {"start": [1, 2]}, "expected a start of shape"),
        ("tanh", {"quantile": 0.5}, "tanh has no option 'quantile'"),
        ("tanh", {"answer": 1.0}, "tanh has no option 'answer'"),
        ("nowhere:function", {}, "there is no module 'nowhere'"),
        ("math:nothing", {}, "has no 'nothing'"),
        ("nowhere.csv", {}, "nowhere.csv"),
        (math.tan, {"column": "a"}, "a function has no option 'column'"),
        (lambda w, rng: 1 - w + rng.normal(size=w.shape), {}, "return its negative"),
        (lambda w, rng: 1 + rng.normal(size=w.shape), {}, "no change from below zero"),
        (lambda w, rng: w, {"start": [[1.0]]}, "start must be a number or a list of numbers"),
        (lambda w, rng: w, {"start": [1.0, 2.0]}, "expected answer=..., since w is a vector"),
        (lambda w, rng: w, {"answer": [1.0, 2.0]}, "expected an answer of shape"),
    ],
)
def test_what_breaks_the_contract_is_named(source, options, words):
    with pytest.raises(ContractError, match=words):
        read_problem(source, **{"samples": 100, "runs": 2} | options)


def test_looks_at_a_problem_do_not_depend_on_when_it_is_read():
    values = np.random.default_rng(0).normal(size=500)
    assert read_problem(values).describe() == read_problem(values).describe()
    np.random.seed(3)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    read_problem(values)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_a_column_is_not_changed_and_an_order_is_kept():
    values = np.array([3.0, 1.0, 2.0])
    problem = read_problem(values, order="given")
    assert isinstance(problem.experiment.population, Column)
    assert problem.experiment.population.order == "given"
    assert values.tolist() == [3.0, 1.0, 2.0]
    widened = problem.facts["errors as many times wider than of independent rows"]
    correlation = problem.facts["correlation of neighbouring rows"]
    assert widened == pytest.approx(math.sqrt((1 + correlation) / (1 - correlation)))
