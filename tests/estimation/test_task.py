import sys

import numpy as np
import pytest
from estimation_worlds import Normal, mean_of

import assay
from assay import catalog
from assay.app.cli import main
from assay.core.board import Board
from assay.core.run import Run
from assay.estimation.problem import Problem
from assay.estimation.task import task

MEANS = {"batch-mean", "incremental-mean"}


def board(source=None, tmp_path=None, **options) -> Board:
    given = {"seeds": 2, "scale": "smoke", "progress": False, "runs": tmp_path} | options
    return assay.compare("estimation", source, **given)


def names(source, **options):
    """The methods that answer."""
    problem = task.load(source, samples=100, repeats=2, **options)
    return {name for name in task.methods if task.answers(name, problem) is None}


def test_the_catalog_knows_it():
    assert catalog.task("estimation") is task
    assert task.default_data == "flights"


def test_every_method_answers_the_default_and_equals_are_equal(tmp_path):
    found = board(tmp_path=tmp_path)
    assert {row.name for row in found.rows} == set(task.methods)
    assert all(row.status == "ok" for row in found.rows)
    errors = {row.name: row.values("RMSE") for row in found.rows}
    same = MEANS | {"robbins-monro", "sgd", "mini-batch", "full-batch", "projected-robbins-monro"}
    assert {errors[name] for name in same} == {errors["batch-mean"]}  # One estimate by seven ways.
    assert found.winner is None
    assert min(errors["constant-step"]) > 2 * max(errors["batch-mean"])
    assert [metric.name for metric in found.metrics] == ["RMSE", "equivalent samples", "bias", "sd"]
    assert found.row("sgd").values("equivalent samples")[0] == pytest.approx(200, rel=0.9)
    curve = dict(found.row("sgd").results[0].curve)
    assert curve[200] == errors["sgd"][0]
    assert 0 not in curve


def test_who_answers_depends_on_the_question():
    everybody = set(task.methods)
    assert names([1.0, 2.0, 3.0]) == everybody
    assert names([1.0, 2.0, 3.0], quantile=0.5) == everybody - MEANS
    assert names("square") == everybody
    assert names("cubic") == everybody - MEANS
    assert names(lambda w, rng: w + rng.normal(size=w.shape)) == everybody - MEANS - {
        "projected-robbins-monro"
    }
    assert names(lambda w: w, interval=(-1, 1)) == everybody - MEANS - {"full-batch"}


def test_the_textbooks_cubic_leaves_only_those_who_can_hold_it(tmp_path):
    found = board("cubic", tmp_path, seeds=1)
    failed = {row.name for row in found.rows if row.status != "ok"}
    assert failed == {"robbins-monro", "polyak-ruppert", "sgd", "mini-batch"}
    assert "Diverged" in found.row("robbins-monro").error
    assert found.leader.name in {"full-batch", "projected-robbins-monro", "truncated-robbins-monro"}


def test_a_function_of_this_process_is_compared(tmp_path):
    shift = 2.5

    def mine(w, rng):
        return w - shift + rng.normal(size=w.shape)

    found = board(mine, tmp_path, methods=["robbins-monro", "constant-step"], answer=2.5)
    assert {row.status for row in found.rows} == {"ok"}
    assert found.data["name"].endswith("mine")
    assert np.mean(found.model("robbins-monro").predict()) == pytest.approx(2.5, abs=0.1)
    assert len(found.figures) == 2


def test_the_budget_is_the_same_for_all(tmp_path):
    found = board("coin", tmp_path, seeds=1, budget="60examples", methods=["sgd", "batch-mean", "full-batch"])
    assert [found.model(row.name).samples[-1] for row in found.rows] == [60, 60, 60]


class Median:
    """Somebody's own method: the middle of the samples."""

    def get_params(self, deep=True):
        return {}

    def fit(self, data, *, run):
        rng = run.rng("samples")
        self.values = np.median(data.population.draw(data.samples, data.runs, rng), axis=0)
        return self

    def predict(self, data=None):
        return self.values


def test_a_users_own_method_joins(tmp_path):
    found = board(tmp_path=tmp_path, seeds=1, methods=["batch-mean", Median()])
    assert found.row("Median").status == "ok"
    assert found.row("Median").values("RMSE") > found.row("batch-mean").values("RMSE")  # Delays are skewed.
    assert found.row("Median").results[0].curve == ()


def test_estimates_of_another_shape_are_refused():
    class Wrong:
        def predict(self, data=None):
            return np.zeros(3)

    problem = task.load("tanh", repeats=5)
    with pytest.raises(ValueError, match=r"expected estimates of shape \(5,\)"):
        task.predict(Wrong(), problem, Run())


def test_a_method_does_not_see_the_answer():
    seen = []

    class Curious:
        def fit(self, data, *, run):
            seen.append(data)

    task.fit(Curious(), task.load("tanh"), Run())
    assert not isinstance(seen[0], Problem)
    assert not hasattr(seen[0], "answer")
    assert seen[0] is not None


def test_settings_are_checked():
    problem = task.load("coin")
    assert task.method("robbins-monro", problem, {"c": 2}).c == 2
    with pytest.raises(ValueError, match="robbins-monro has no setting 'gamma'; it has c, power"):
        task.method("robbins-monro", problem, {"gamma": 1})
    with pytest.raises(ValueError, match="batch-mean has no setting 'block'; it has none"):
        task.method("batch-mean", problem, {"block": 1})
    with pytest.raises(ValueError, match="sum a_k is finite"):
        task.method("robbins-monro", problem, {"power": 3})


def test_without_noise_there_is_no_limit_to_compare_with():
    problem = task.load(lambda w: w - 1.0, samples=50, repeats=3)
    assert [metric.name for metric in task.metrics(problem)] == ["RMSE", "bias", "sd"]
    model = task.fit(task.method("robbins-monro", problem, {}), problem, Run())
    assert task.score(task.predict(model, problem, Run()), problem) == {"RMSE": 0, "bias": 0, "sd": 0}
    assert task.curve_axis() == "sample"


def test_the_command_line_takes_columns_options_and_functions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "d.csv").write_text("x,y\n1,a\n2,b\n6,c\n")
    (tmp_path / "my_oracle_here.py").write_text(
        "def heat(w, rng):\n    return w - 21 + rng.normal(size=w.shape)\n"
    )
    common = ["--seeds", "1", "--scale", "smoke", "--methods", "robbins-monro,polyak-ruppert"]
    assert main(["compare", "estimation", "--data", "d.csv", "--quantile", "0.5", *common]) == 0
    assert main(["compare", "estimation", "--data", "my_oracle_here:heat", "--answer", "21", *common]) == 0
    out = capsys.readouterr().out
    assert "d.csv" in out
    assert "heat" in out
    words = [
        "fit",
        "estimation",
        "incremental-mean",
        "--data",
        "d.csv",
        "--repeats",
        "1",
        "--out",
        "model",
    ]
    assert main([*words, "--samples", "5000"]) == 0
    assert main(["predict", "model", "--data", "d.csv"]) == 0
    [_, value] = capsys.readouterr().out.split()
    assert float(value) == pytest.approx(3, abs=0.2)


def test_experiments_need_no_task():
    fitted = task.method("incremental-mean", None, {}).fit(mean_of(Normal(3, 1), samples=400), run=Run())
    assert fitted.predict() == pytest.approx([3.0], abs=0.3)
