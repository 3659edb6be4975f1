import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from assay.attention.methods import Fitted
from assay.attention.problem import Problem
from assay.attention.task import task
from assay.core import method as methods
from assay.core.comparison import compare
from assay.core.run import Run, within
from assay.data.table import ContractError

OURS = [name for name in task.methods if name != "triton"]


@dataclass(frozen=True, kw_only=True)
class Values:
    """A user's own method: it is fast, and wrong."""

    def fit(self, problem, *, run):
        return lambda q, k, v: v


class TestLoad:
    def test_default_at_every_scale(self):
        assert task.load().name == "1x12x1024x64 causal"
        assert task.load(scale="smoke").name == "1x2x64x64 causal"
        assert task.load(scale="full").name == "1x32x4096x128 8 kv heads causal"

    def test_a_shape_as_data_or_as_an_option_with_settings(self):
        wanted = Problem(batch=4, heads=16, length=4096, dim=64, causal=True)
        assert (
            task.load("4x16x4096x64", causal=True) == wanted == task.load(shape="4x16x4096x64", causal=True)
        )
        assert task.load(wanted) is wanted
        assert not task.load("gpt2", causal=False).causal
        assert task.load("1x4x8x2", kv_heads=2, keys=3, left=1, dtype="fp64", gradients=True).num_keys == 3

    def test_mistakes(self):
        with pytest.raises(ContractError, match="expected one shape, got 'gpt2' and '1x1x1x1'"):
            task.load("gpt2", shape="1x1x1x1")
        with within(Run(device="cuda")), pytest.raises(ContractError, match="there is no GPU here"):
            task.load()
        with pytest.raises(ContractError, match="such as 4x16x4096x64"):
            task.load("data.csv")

    def test_saved_and_opened(self, tmp_path):
        data = task.load("1x4x8x2", causal=True, keys=9)
        task.save_data(data, tmp_path)
        assert task.open_data(tmp_path) == data


class TestMethods:
    def test_unknown_settings_are_named(self):
        with pytest.raises(ValueError, match="flash2 has no setting 'row'; it has columns, rows"):
            task.method("flash2", task.load(), {"row": 1})
        with pytest.raises(ValueError, match="sdpa has no setting 'rows'; it has none"):
            task.method("sdpa", task.load(), {"rows": 1})

    def test_who_answers(self, monkeypatch):
        monkeypatch.delenv("TRITON_INTERPRET", raising=False)
        window = task.load("1x1x8x4", left=2)
        assert task.answers("sdpa", window) == "it has no window"
        assert "aligns the first query" in str(
            task.answers("sdpa", task.load("1x1x8x4", keys=9, causal=True))
        )
        assert task.answers("triton", window) == "it runs on a GPU"
        assert task.available("triton") in ("a GPU", "the package triton")
        assert all(task.answers(name, task.load()) is None for name in OURS)

    @pytest.mark.parametrize("name", OURS)
    def test_one_query_and_one_key(self, name):
        data = task.load("1x1x1x1")
        model = task.fit(task.method(name, data, {}), data, Run())
        outcome = task.predict(model, data, Run())
        scores = task.score(outcome, data)
        assert list(scores) == [metric.name for metric in task.metrics(data)]
        assert scores["max error"] == 0
        assert scores["GFLOP/s"] == pytest.approx(4e-6 / scores["time"])

    @pytest.mark.parametrize("name", OURS)
    def test_saved_deterministic_and_described(self, name, tmp_path):
        data = task.load(scale="smoke")
        train, test = task.split(data, 4)
        assert train == test == Problem(**json.loads(json.dumps(vars(data))) | {"seed": 4})
        method = task.method(name, data, {}, "smoke")
        assert methods.build(str(methods.spec(method))) == method
        model = task.fit(method, train, Run())
        one, two = (np.asarray(task.predict(model, test, Run())) for _ in range(2))
        assert np.array_equal(one, two)
        assert task.save_model(model, tmp_path)
        assert np.array_equal(np.asarray(task.predict(task.load_model(tmp_path), test, Run())), one)
        assert task.score(task.predict(model, test, Run()), test)["max error"] < 3

    def test_the_curve_is_over_parts_of_the_length(self):
        data = task.load("1x1x32x4", keys=64)
        model = task.fit(task.method("flash2", data, {}), data, Run())
        points = task.curve(model, data)
        assert [length for length, _ in points] == [4, 8, 16, 32]
        assert task.curve_axis() == "length"
        assert task.curve(Fitted(lambda q, k, v: q, 1), task.load("1x1x1x4"))[0][0] == 1

    @pytest.mark.parametrize("threads", [1, 2])
    def test_scores_and_curve_are_measured_on_the_threads_of_the_run(self, threads):
        seen = []

        class Watching:
            def fit(self, problem, *, run):
                return lambda q, k, v: (seen.append(torch.get_num_threads()), v)[1]

        data, run = task.load("1x1x8x4"), Run(threads=threads)
        model = task.fit(Watching(), data, run)
        task.predict(model, data, run)
        task.curve(model, data)
        assert set(seen) == {threads}


def test_a_board_with_a_users_own_method(tmp_path):
    board = compare(
        task,
        "1x2x128x16",
        methods=["naive", "flash2", "sdpa", Values()],
        seeds=2,
        runs=tmp_path,
        progress=False,
    )
    assert [row.status for row in board.rows] == ["ok"] * 4
    errors = {row.name: max(row.values("max error")) for row in board.rows}
    assert errors["Values"] > 1e5 > 3 > max(errors[name] for name in ("naive", "flash2", "sdpa"))
    figures = board.figures
    assert [figure.title for figure in figures] == ["Time against length", "Memory against length"]
    lines = {line["name"]: line for line in figures[0].plotly["data"]}
    assert set(lines) == {"naive", "flash2", "sdpa", "Values"}
    assert lines["flash2"]["x"] == [16, 32, 64, 128]
    json.dumps(board.to_json())
