import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, EPISODIC

from assay.control.metrics import optimum
from assay.control.q_learning import QLearning
from assay.control.solution import Solution
from assay.control.task import Problem, task
from assay.control.value_iteration import ValueIteration
from assay.core.budget import Budget
from assay.core.comparison import compare
from assay.core.run import Run
from assay.core.task import Metric
from assay.data.table import ContractError


@dataclass(frozen=True, kw_only=True)
class Stay:
    """A user's own method: it stays, and knows no values."""

    action: int = 4

    def fit(self, data, *, run):
        return Lazy(self.action)


@dataclass(frozen=True)
class Lazy:
    action: int

    def predict(self, states):
        return np.full(len(states), self.action)


class TestData:
    def test_default_options_and_scales(self):
        assert task.load().fingerprint() == BOOK.mdp().fingerprint()
        assert task.load(scale="smoke").fingerprint() == task.load(scale="full").fingerprint()
        assert task.load(r_forbidden=-10, gamma=0.5).mdp.gamma == 0.5
        with pytest.raises(ContractError, match="no field 'r_forbiden'"):
            task.load(r_forbiden=-10)

    def test_saved_with_its_optimum(self, tmp_path):
        problem = Problem(CAREFUL.mdp())
        task.save_data(problem, tmp_path)
        again = task.open_data(tmp_path)
        assert again.fingerprint() == problem.fingerprint()
        assert "best" in vars(again)  # Read, not computed again.
        assert np.array_equal(again.best.v, optimum(CAREFUL.mdp()).v)
        assert np.array_equal(again.best.q, problem.best.q)

    def test_description_is_json_and_shows_small_optima(self):
        shown = json.loads(json.dumps(task.load().describe()))
        assert (shown["states"], shown["actions"], shown["transitions"], shown["gamma"]) == (25, 5, 125, 0.9)
        assert shown["grid"]["shape"] == [5, 5]
        assert shown["optimal values"][17] == 10
        large = task.load({"map": ["T" + "." * 1100]})
        assert large.describe()["optimal values"] is None

    def test_methods_do_not_see_the_optimum(self):
        seen = []

        class Spy:
            def fit(self, data, *, run):
                seen.append(data)
                return Lazy(0)

        train, test = task.split(task.load(), 0)
        task.fit(Spy(), train, Run())
        assert not hasattr(seen[0], "best")
        assert test.best.v.max() == pytest.approx(10)


class TestMethods:
    def test_smoke_scale_shortens_sampling(self):
        data = task.load()
        assert task.method("sarsa", data, {}, "smoke").steps == 20_000
        assert task.method("sarsa", data, {"steps": 7}, "smoke").steps == 7
        assert task.method("mc-exploring-starts", data, {}, "default").steps == 200_000

    def test_unknown_settings_and_refused_values(self):
        data = task.load()
        with pytest.raises(ValueError, match="sarsa has no setting 'alhpa'; it has alpha, episode_steps"):
            task.method("sarsa", data, {"alhpa": 1})
        with pytest.raises(ValueError, match="alpha must be in"):
            task.method("sarsa", data, {"alpha": 2})

    def test_budgets_in_other_units_are_refused(self):
        data = task.load()
        for unit in ("epochs", "examples"):
            with pytest.raises(ValueError, match=r"in steps \(pairs backed up or sampled\) or seconds"):
                task.fit(ValueIteration(), data, Run(budget=Budget(5, unit)))

    @pytest.mark.parametrize("name", task.methods)
    def test_every_method_keeps_a_budget_of_steps(self, name):
        data = task.load()
        method = task.method(name, data, {})
        run = Run(budget=Budget(3000, "steps"))
        model = task.fit(method, data, run)
        assert 0 < model.trace.steps[-1] <= 3000

    @pytest.mark.parametrize("name", task.methods)
    def test_one_state_is_enough(self, name):
        data = task.load({"next": [[0, 0]], "reward": [[1.0, 2.0]], "gamma": 0.5})
        model = task.fit(task.method(name, data, {}, "smoke"), data, Run())
        scores = task.score(task.predict(model, data, Run()), data)
        assert scores["regret"] == 0
        assert scores["optimal actions"] == 1

    @pytest.mark.parametrize("name", task.methods)
    def test_rewards_of_zero_everywhere(self, name):
        data = task.load(r_boundary=0, r_forbidden=0, r_target=0)
        model = task.fit(task.method(name, data, {}, "smoke"), data, Run())
        assert task.score(task.predict(model, data, Run()), data)["regret"] == 0

    @pytest.mark.parametrize("name", task.methods)
    def test_a_stochastic_process_with_terminal_states(self, name):
        pytest.importorskip("gymnasium")
        data = task.load("FrozenLake-v1")
        settings = {"iterations": 4} if name == "mc-basic" else {}
        model = task.fit(task.method(name, data, settings, "smoke"), data, Run())
        scores = task.score(task.predict(model, data, Run()), data)
        assert np.isfinite(list(scores.values())).all()
        assert scores["regret"] < 0.5297  # A uniformly random policy.


class TestScores:
    def test_a_model_without_values_gets_those_of_its_policy(self):
        data = task.load(r_forbidden=-10)
        outputs = task.predict(Lazy(4), data, Run())
        scores = task.score(outputs, data)
        assert scores["regret"] == pytest.approx(0.9**10 * 10)
        assert scores["value sup error"] > 1
        assert [metric.name for metric in task.metrics(data)] == list(scores)
        assert task.metrics(data)[0] == Metric("regret", "lower", "reward")

    def test_wrong_shapes_are_named(self):
        data = task.load()

        class Short:
            q = np.zeros((25, 4))

            def predict(self, states):
                return np.zeros(len(states), int)

        with pytest.raises(ValueError, match=r"q of shape \(25, 5\), got \(25,\) and \(25, 4\)"):
            task.predict(Short(), data, Run())

    def test_curve_ends_on_the_score_and_is_monotone_for_value_iteration_at_the_end(self):
        data = task.load()
        for method in (ValueIteration(), QLearning(steps=20_000)):
            model = task.fit(method, data, Run())
            curve = task.curve(model, data)
            assert 2 <= len(curve) <= 30
            score = task.score(task.predict(model, data, Run()), data)["regret"]
            assert curve[-1] == (model.trace.steps[-1], score)
            assert [step for step, _ in curve] == sorted({step for step, _ in curve})
        assert task.curve(Lazy(0), data) == ()
        assert task.curve_axis() == "step"


class TestComparison:
    def test_a_race_with_a_users_own_method(self, tmp_path):
        board = compare(
            task,
            methods={"value-iteration": "value-iteration", "sarsa": "sarsa", "stay": Stay()},
            settings={"sarsa": {"steps": 3000}},
            seeds=2,
            runs=tmp_path,
            progress=False,
        )
        assert [row.status for row in board.rows] == ["ok"] * 3
        assert board.row("stay").values("regret") == pytest.approx([5.83208] * 2, abs=1e-4)
        assert board.row("value-iteration").values("regret") == (0, 0)
        assert isinstance(board.model("sarsa", 1), Solution)
        assert board.row("sarsa").results[0].metrics != board.row("sarsa").results[1].metrics

    def test_from_the_command_line(self, tmp_path):
        world = tmp_path / "maze.json"
        world.write_text(json.dumps({"map": ["S.#", "..T"], "r_forbidden": -5}))
        command = [sys.executable, "-m", "assay.app.cli", "compare", "control", "--data", str(world)]
        command += [
            "--methods",
            "policy-iteration,q-learning",
            "--set",
            "q-learning.steps=4000",
            "--seeds",
            "2",
        ]
        done = subprocess.run(
            [*command, "--seeds", "2", "--json", "board.json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "maze.json" in done.stdout
        board = json.loads((tmp_path / "board.json").read_text())
        assert board["data"]["optimal values"][5] == 10
        assert {method["status"] for method in board["methods"]} == {"ok"}


def test_terminal_worlds_are_problems_like_others():
    data = Problem(EPISODIC.mdp())
    model = task.fit(ValueIteration(), data, Run())
    assert task.score(task.predict(model, data, Run()), data)["regret"] == 0
