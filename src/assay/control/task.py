"""The control question: find the best policy of a Markov decision process.

The data contract: a finite process with numbered states and actions, every action possible in every state,
and a discount below 1. It is known whole; which methods look at the model and which only sample from it is
their own matter. A step, the unit of budgets, is one question to the model: a pair of state and action backed
up, or a transition sampled. Seeds vary the episodes; the process is the same for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.control import metrics
from assay.control.bellman_equation import policy_values
from assay.control.mdp import MDP, Actions, Values
from assay.control.metrics import Optimum, optimum
from assay.control.solution import Solution
from assay.control.sources import read_mdp
from assay.core.board import Board
from assay.core.method import locate
from assay.core.method import settings as settings_of
from assay.core.run import Run, Scale
from assay.core.task import Figure, Metric, Task, configured

_CURVE_POINTS = 30
_CURVE_STATES = 20_000  # Beyond, evaluating the policies on the way costs more than finding them.
_SHOWN_STATES = 1000
_SMOKE_STEPS = 20_000


@dataclass(frozen=True, eq=False)
class Problem:
    """A process to be controlled, with its exact optimum, which methods do not see."""

    mdp: MDP

    @cached_property
    def best(self) -> Optimum:
        """The optimal values."""
        return optimum(self.mdp)

    @property
    def name(self) -> str:
        """The process's name."""
        return self.mdp.name

    def fingerprint(self) -> str:
        """SHA-256 of the process."""
        return self.mdp.fingerprint()

    def describe(self) -> dict[str, Any]:
        """Sizes, discount, grid; the optimal values of a small process."""
        shown = self.best.v.round(10).tolist() if self.mdp.num_states <= _SHOWN_STATES else None
        return self.mdp.describe() | {"optimal values": shown}

    def save(self, folder: Path) -> None:
        """Writes the process and its optimum into an empty folder."""
        from safetensors.numpy import save_file

        self.mdp.save(folder)
        save_file({"v": self.best.v, "q": np.ascontiguousarray(self.best.q)}, folder / "optimum.safetensors")

    @classmethod
    def open(cls, folder: Path) -> "Problem":
        """The problem that `save` wrote."""
        from safetensors.numpy import load_file

        problem = cls(MDP.open(folder))
        problem.__dict__["best"] = Optimum(**load_file(folder / "optimum.safetensors"))
        return problem


class Control(Task):
    """Find the best policy of a Markov decision process."""

    name = "control"
    question = "Which method finds the best policy of a Markov decision process?"
    default_data = "grid-world"
    methods: ClassVar[Mapping[str, str]] = {
        "bellman-equation": "assay.control.bellman_equation:BellmanEquation",
        "bellman-iteration": "assay.control.bellman_iteration:BellmanIteration",
        "value-iteration": "assay.control.value_iteration:ValueIteration",
        "policy-iteration": "assay.control.policy_iteration:PolicyIteration",
        "truncated-policy-iteration": "assay.control.truncated_policy_iteration:TruncatedPolicyIteration",
        "mc-basic": "assay.control.mc_basic:MCBasic",
        "mc-exploring-starts": "assay.control.mc_exploring_starts:MCExploringStarts",
        "mc-epsilon-greedy": "assay.control.mc_epsilon_greedy:MCEpsilonGreedy",
        "sarsa": "assay.control.sarsa:Sarsa",
        "expected-sarsa": "assay.control.expected_sarsa:ExpectedSarsa",
        "n-step-sarsa": "assay.control.n_step_sarsa:NStepSarsa",
        "q-learning": "assay.control.q_learning:QLearning",
        "q-learning-off-policy": "assay.control.q_learning_off_policy:QLearningOffPolicy",
    }

    def load(
        self, source: Any = None, *, scale: Scale = "default", gamma: float | None = None, **world: Any
    ) -> Problem:
        """The process of `source`, whole at every scale.

        Args:
            source: None or "grid-world" for the textbook's grid world; the name of a discrete Gymnasium
                environment such as "FrozenLake-v1", or one that was made; a .json or .npz file; arrays, a
                table P[s][a], a GridWorld or an MDP. See `read_mdp`.
            scale: makes no difference to the data.
            gamma: the discount, in [0, 1); None for the source's own, else 0.99.
            world: fields of the grid world, or arguments for making the environment.

        Raises:
            ContractError: the source breaks the contract; the message names state and action.
        """
        return Problem(read_mdp(source, gamma=gamma, **world))

    def save_data(self, data: Problem, folder: Path) -> None:
        """Writes the problem into an empty folder."""
        data.save(folder)

    def open_data(self, folder: Path) -> Problem:
        """The problem that `save_data` wrote."""
        return Problem.open(folder)

    def metrics(self, data: Problem) -> Sequence[Metric]:
        """The regret of the policy first; it is defined for whatever finds one."""
        return (
            Metric("regret", "lower", "reward"),
            Metric("mean regret", "lower", "reward"),
            Metric("value RMSE", "lower", "reward"),
            Metric("value sup error", "lower", "reward"),
            Metric("optimal actions", "higher"),
        )

    def method(self, name: str, data: Problem, settings: Mapping[str, Any], scale: Scale = "default") -> Any:
        """The method called `name`; at smoke scale those that sample take 20,000 steps at most."""
        cls = locate(self.methods[name])
        steps = settings_of(cls()).get("steps", _SMOKE_STEPS)
        return configured(
            cls, name, settings, {"steps": min(_SMOKE_STEPS, steps)} if scale == "smoke" else {}
        )

    def split(self, data: Problem, seed: int) -> tuple[Problem, Problem]:
        """The same process twice: a policy is judged where it was found, by its exact values."""
        return data, data

    def fit(self, method: Any, train: Problem, run: Run) -> Any:
        """What the method makes of the process, without its optimum.

        Raises:
            ValueError: the budget is in another unit than steps or seconds.
        """
        if run.budget is not None and run.budget.unit not in ("steps", "seconds"):
            raise ValueError(
                f"a control budget is in steps (pairs backed up or sampled) or seconds, got {run.budget}"
            )
        return method.fit(train.mdp, run=run)

    def predict(self, model: Any, test: Problem, run: Run) -> NDArray[np.float64]:
        """The chosen actions as probabilities 0 and 1, and the action values; float64[2, states, actions].

        A model without `q` is given the exact action values of its policy.
        """
        mdp = test.mdp
        actions = np.asarray(model.predict(np.arange(mdp.num_states)), np.int64)
        q = getattr(model, "q", None)
        q = mdp.action_values(policy_values(mdp, actions)) if q is None else np.asarray(q, np.float64)
        if actions.shape != (mdp.num_states,) or q.shape != (mdp.num_states, mdp.num_actions):
            raise ValueError(
                f"expected an action for each of {mdp.num_states} states and q of shape "
                f"({mdp.num_states}, {mdp.num_actions}), got {actions.shape} and {q.shape}"
            )
        chosen = np.zeros_like(q)
        chosen[np.arange(len(actions)), actions] = 1.0
        return np.stack([chosen, q])

    def score(self, outputs: NDArray[np.float64], test: Problem) -> Mapping[str, float]:
        """Every metric of `metrics`, by the definitions in `assay.control.metrics`."""
        actions, q = outputs[0].argmax(axis=1), outputs[1]
        values = policy_values(test.mdp, actions)
        return {
            "regret": metrics.regret(test.mdp, test.best, values),
            "mean regret": metrics.mean_regret(test.best, values),
            "value RMSE": metrics.state_value_rmse(test.best, q),
            "value sup error": metrics.sup_error(test.best, metrics.estimated(q)),
            "optimal actions": metrics.optimal_actions(test.best, actions),
        }

    def curve(self, model: Any, test: Problem) -> Sequence[tuple[float, float]]:
        """The regret of the greedy policy at about thirty moments, for models that keep a trace."""
        if not isinstance(model, Solution) or test.mdp.num_states > _CURVE_STATES:
            return ()
        trace = model.trace
        known: dict[bytes, float] = {}

        def regret(actions: Actions) -> float:
            key = actions.tobytes()
            if key not in known:
                values: Values = policy_values(test.mdp, actions)
                known[key] = metrics.regret(test.mdp, test.best, values)
            return known[key]

        last = len(trace.steps) - 1
        picked = np.unique(np.linspace(0, last, min(_CURVE_POINTS, last + 1)).round().astype(int))
        return [(float(trace.steps[at]), regret(trace.actions[at])) for at in picked]

    def curve_axis(self) -> str:
        """Steps: pairs backed up, or transitions sampled."""
        return "step"

    def load_model(self, folder: Path) -> Solution:
        """The solution that `save_model` wrote."""
        return Solution.load(folder)

    def figures(self, board: Board) -> Sequence[Figure]:
        """The grid with the policy found, how values spread over it, and convergence against its bound."""
        from assay.control.figures import figures

        return tuple(figures(board))


task = Control()
