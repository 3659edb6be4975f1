import json
import sys

import numpy as np
import pytest

from assay.core.run import Run
from assay.estimation.full_batch import FullBatch
from assay.estimation.problem import Problem, importable
from assay.estimation.sources import EXAMPLES, read_problem

NUMBERS = [1.5, 2.5, 9.0, 4.0, 4.0]
SMALL = {"samples": 40, "runs": 3}

MODULE = """
import math
import numpy as np

def heat(w, rng):
    return math.atan(w - 21) + rng.normal()

def shifted(w, rng):
    return 2 * (w - [3.0, 4.0]) + rng.normal(size=np.shape(w))

class Meter:
    def read(self, w):
        return w - 2.0

meter = Meter()
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's module."""
    (tmp_path / "mine_estimation.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("mine_estimation", None)
    yield tmp_path / "mine_estimation.py"
    sys.modules.pop("mine_estimation", None)


def problems():
    yield from (read_problem(name, **SMALL) for name in EXAMPLES)
    yield read_problem(NUMBERS, **SMALL)
    yield read_problem(NUMBERS, order="shuffled", **SMALL)
    yield read_problem(NUMBERS, quantile=0.3, start=2.0, **SMALL)
    yield read_problem(NUMBERS, order="given", interval=(0, 20))


def same(one: Problem, two: Problem) -> None:
    assert one.name == two.name
    assert one.fingerprint() == two.fingerprint()
    assert one.describe() == two.describe()
    assert np.array_equal(one.answer, two.answer)
    fits = [FullBatch(steps=3).fit(problem.experiment, run=Run(seed=1)).values for problem in (one, two)]
    assert np.array_equal(*fits)


@pytest.mark.parametrize("problem", list(problems()), ids=lambda p: f"{p.name} {p.seeks}")
def test_it_is_written_and_read_to_the_same_problem(problem, tmp_path):
    assert not problem.live
    problem.save(tmp_path)
    same(Problem.open(tmp_path), problem)
    json.dumps(problem.describe(), allow_nan=False)


@pytest.mark.parametrize(
    ("name", "options"), [("heat", {"answer": 21}), ("shifted", {"start": [0.0, 0.0], "answer": [3, 4]})]
)
def test_a_function_of_a_module_is_found_again(mine, name, options, tmp_path):
    problem = read_problem(f"mine_estimation:{name}", **SMALL, **options)
    assert not problem.live
    (tmp_path / "data").mkdir()
    problem.save(tmp_path / "data")
    same(Problem.open(tmp_path / "data"), problem)


def test_the_fingerprint_changes_with_everything_that_matters(mine):
    def fingerprint(source, **options):
        return read_problem(source, **{"samples": 40, "runs": 3} | options).fingerprint()

    found = [
        fingerprint(NUMBERS),
        fingerprint([*NUMBERS, 1.0]),
        fingerprint(NUMBERS, quantile=0.5),
        fingerprint(NUMBERS, quantile=0.6),
        fingerprint(NUMBERS, order="shuffled"),
        fingerprint(NUMBERS, samples=41),
        fingerprint(NUMBERS, runs=4),
        fingerprint(NUMBERS, start=1.0),
        fingerprint(NUMBERS, interval=(0, 10)),
        fingerprint("tanh"),
        fingerprint("tanh", start=0.5),
        fingerprint("mine_estimation:heat", answer=21),
    ]
    assert len(set(found)) == len(found)
    assert fingerprint(np.array(NUMBERS)) == found[0]
    mine.write_text(MODULE + "\n# Changed.\n")
    assert fingerprint("mine_estimation:heat", answer=21) != found[-1]


def test_a_function_of_this_process_is_live_and_never_the_same_again(tmp_path):
    problem = read_problem(lambda w, rng: w - 1 + rng.normal(size=w.shape), **SMALL)
    assert problem.live
    assert problem.fingerprint() != problem.fingerprint()
    with pytest.raises(ValueError, match="cannot be imported elsewhere"):
        problem.save(tmp_path)


def test_what_can_be_imported(mine):
    import mine_estimation  # type: ignore[import-not-found]

    assert importable(mine_estimation.heat) == "mine_estimation:heat"
    assert importable(mine_estimation.meter.read) is None
    assert importable(np.sin) is None or importable(np.sin).startswith("numpy")
    assert importable(lambda: 0) is None
    here = type(lambda: 0)(importable.__code__, {}, "importable")
    here.__module__, here.__qualname__ = "assay.estimation.problem", "importable"
    assert importable(here) is None  # The name leads to another object.


def test_the_limit_is_known_where_slope_and_noise_are():
    assert read_problem("tanh").limit(100) == pytest.approx(0.1)
    assert read_problem("square").limit(1) == pytest.approx(np.sqrt(200 / 3))
    assert read_problem(NUMBERS).limit(4) == pytest.approx(np.std(NUMBERS) / 2)
    assert read_problem(NUMBERS, order="given").limit(4) is None
    assert read_problem(lambda w: w - 1.0, samples=10).limit(4) is None  # No noise, no limit.
