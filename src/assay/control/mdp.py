"""A finite Markov decision process as arrays of transitions, checked, with the backups that every method
uses.

Memory is linear in the number of transitions. The pair of state s and action a has the number
a * num_states + s: with the states of one action side by side, a sweep is a few passes over long arrays.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.core.files import write_json
from assay.data.table import ContractError

Values = NDArray[np.float64]
Actions = NDArray[np.int64]

_SUM_TOLERANCE = 1e-6  # Probabilities are often written with six decimals.
_DENSE_STATES = 100  # Up to here dense matrices are faster, and SciPy need not be imported.


@dataclass(frozen=True)
class Grid:
    """How the states lie on a picture, row by row, and what is marked there.

    Args:
        shape: rows and columns.
        forbidden, targets: numbers of states.
        arrows: one character per action.
    """

    shape: tuple[int, int]
    forbidden: tuple[int, ...]
    targets: tuple[int, ...]
    arrows: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class MDP:
    """A finite Markov decision process with discounted rewards. `MDP.of_transitions` makes one from columns.

    Args:
        num_states, num_actions: every action can be taken in every state.
        offsets: int64[pairs + 1]; the transitions of pair i are those from offsets[i] up to offsets[i + 1].
        next_state: int64[transitions].
        prob: float64[transitions], above 0; they sum to 1 over the transitions of a pair.
        reward: float64[transitions].
        terminated: bool[transitions]; whether the episode ends there, so that nothing follows.
        gamma: the discount, in [0, 1).
        start: float64[num_states], the probability of every state as the first of an episode.
        name: what the user calls it.
        grid: where the states lie, if they lie on a grid.

    Raises:
        ContractError: an array is not as described; the message names state and action, counted from 0.
    """

    num_states: int
    num_actions: int
    offsets: NDArray[np.int64]
    next_state: NDArray[np.int64]
    prob: Values
    reward: Values
    terminated: NDArray[np.bool_]
    gamma: float
    start: Values
    name: str = "mdp"
    grid: Grid | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < 1:
            raise ContractError(f"{self.name}: gamma must be in [0, 1), got {self.gamma}")
        self._check_transitions()
        if self.start.shape != (self.num_states,):
            raise ContractError(
                f"{self.name}: start has shape {self.start.shape}; "
                f"expected one probability for each of {self.num_states} states"
            )
        total = self.start.sum()
        if not (self.start >= 0).all() or abs(total - 1) > _SUM_TOLERANCE:
            raise ContractError(
                f"{self.name}: the start probabilities sum to {total:g}; expected 1, none below 0"
            )

    def _check_transitions(self) -> None:
        counts = np.diff(self.offsets)
        if (counts < 1).any():
            where = self._where_pair(int(np.argmin(counts)))
            raise ContractError(
                f"{self.name}: {where} has no transition; expected probabilities that sum to 1"
            )
        for column, bad, expected in (
            ("probability", ~(np.isfinite(self.prob) & (self.prob >= 0)), "a number of at least 0"),
            ("reward", ~np.isfinite(self.reward), "a finite number"),
            (
                "next state",
                (self.next_state < 0) | (self.next_state >= self.num_states),
                f"0 to {self.num_states - 1}",
            ),
        ):
            if bad.any():
                at = int(np.argmax(bad))
                values = {"probability": self.prob, "reward": self.reward, "next state": self.next_state}[
                    column
                ]
                where = self._where_pair(int(np.searchsorted(self.offsets, at, side="right")) - 1)
                raise ContractError(
                    f"{self.name}: a {column} of {where} is {values[at]}; expected {expected}"
                )
        sums = np.add.reduceat(self.prob, self.offsets[:-1])
        wrong = np.abs(sums - 1) > _SUM_TOLERANCE
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ContractError(
                f"{self.name}: the probabilities of {self._where_pair(at)} sum to {sums[at]:g}; expected 1"
            )

    def _where_pair(self, pair: int) -> str:
        action, state = divmod(pair, self.num_states)
        return f"state {state}, action {action}"

    @classmethod
    def of_transitions(
        cls,
        state: ArrayLike,
        action: ArrayLike,
        next_state: ArrayLike,
        prob: ArrayLike,
        reward: ArrayLike,
        terminated: ArrayLike,
        *,
        num_states: int,
        num_actions: int,
        gamma: float,
        start: ArrayLike,
        name: str = "mdp",
        grid: Grid | None = None,
    ) -> Self:
        """The process whose transitions are the rows of these columns, in any order; see `MDP`.

        Raises:
            ContractError: columns of different lengths, numbers out of range, probabilities that do not sum
                to 1.
        """
        columns = {
            "state": np.asarray(state, np.int64),
            "action": np.asarray(action, np.int64),
            "next": np.asarray(next_state, np.int64),
            "prob": np.asarray(prob, np.float64),
            "reward": np.asarray(reward, np.float64),
            "terminated": np.asarray(terminated, np.bool_),
        }
        shapes = {key: column.shape for key, column in columns.items()}
        if len(set(shapes.values())) > 1 or len(shapes["state"]) != 1:
            raise ContractError(f"{name}: expected columns of one length, got shapes {shapes}")
        for key, size in (("state", num_states), ("action", num_actions)):
            bad = (columns[key] < 0) | (columns[key] >= size)
            if bad.any():
                row = int(np.argmax(bad))
                raise ContractError(
                    f"{name}: {key} {columns[key][row]} in transition {row}; expected 0 to {size - 1}"
                )
        pair = columns["action"] * num_states + columns["state"]
        kept = columns["prob"] != 0
        if not kept.all():
            pair, columns = pair[kept], {key: column[kept] for key, column in columns.items()}
        if (np.diff(pair) < 0).any():
            order = np.argsort(pair, kind="stable")
            pair, columns = pair[order], {key: column[order] for key, column in columns.items()}
        counts = np.bincount(pair, minlength=num_states * num_actions)
        return cls(
            num_states,
            num_actions,
            np.concatenate([[0], np.cumsum(counts)]),
            columns["next"],
            columns["prob"],
            columns["reward"],
            columns["terminated"],
            float(gamma),
            np.asarray(start, np.float64),
            name,
            grid,
        )

    # Backups

    @cached_property
    def deterministic(self) -> bool:
        """Whether every pair has one transition only."""
        return len(self.prob) == self.num_states * self.num_actions

    @cached_property
    def expected_reward(self) -> Values:
        """The mean reward of every pair, of shape (num_actions, num_states)."""
        sums = np.add.reduceat(self.prob * self.reward, self.offsets[:-1])
        return sums.reshape(self.num_actions, self.num_states)

    @cached_property
    def _successor(self) -> NDArray[np.int64]:
        """Of a deterministic process: the next state of (action, state); num_states where it ends."""
        next_state = np.where(self.terminated, self.num_states, self.next_state)
        return next_state.reshape(self.num_actions, self.num_states)

    @cached_property
    def _continuation(self) -> list[Any]:
        """Of any process, for every action: gamma times the probabilities of states in which it goes on."""
        weight = np.where(self.terminated, 0.0, self.gamma * self.prob)
        matrices = []
        for action in range(self.num_actions):
            bounds = self.offsets[action * self.num_states : (action + 1) * self.num_states + 1]
            inside = slice(bounds[0], bounds[-1])
            matrices.append(_matrix(weight[inside], self.next_state[inside], bounds - bounds[0]))
        return matrices

    def _values_of(self, action: int, ahead: Values) -> Values:
        """q(., action), where `ahead` is what `_ahead` makes of v."""
        if self.deterministic:
            values = ahead.take(self._successor[action], mode="clip")
        else:
            values = self._continuation[action] @ ahead
        values += self.expected_reward[action]
        return values

    def _ahead(self, v: Values) -> Values:
        """gamma v and a zero for the end of the episode, to pick from; v where matrices hold all that."""
        return np.append(self.gamma * v, 0.0) if self.deterministic else v

    def action_values(self, v: Values) -> Values:
        """q(s, a) = sum over s' of p(s' | s, a) (r + gamma v(s')), of shape (num_states, num_actions)."""
        ahead = self._ahead(v)
        return np.array([self._values_of(action, ahead) for action in range(self.num_actions)]).T

    def best_values(self, v: Values) -> Values:
        """max_a q(s, a), one sweep of value iteration, without holding q."""
        ahead = self._ahead(v)
        best = self._values_of(0, ahead)
        for action in range(1, self.num_actions):
            np.maximum(best, self._values_of(action, ahead), out=best)
        return best

    def under(self, policy: NDArray[Any]) -> "Chain":
        """What is left when a policy acts.

        Args:
            policy: an action for every state, or probabilities of shape (num_states, num_actions).
        """
        if policy.ndim == 1:
            state, action = np.arange(self.num_states), policy
            weight = np.ones(self.num_states)
        else:
            state, action = np.nonzero(policy)
            weight = policy[state, action]
        pair = action * self.num_states + state
        first, count = self.offsets[pair], np.diff(self.offsets)[pair]
        index = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
        kept = np.repeat(weight, count) * self.prob[index] * ~self.terminated[index]
        per_state = np.bincount(state, count, minlength=self.num_states).astype(np.int64)
        transition = _matrix(kept, self.next_state[index], np.concatenate([[0], np.cumsum(per_state)]))
        rewards = weight * self.expected_reward[action, state]
        reward = np.bincount(state, rewards, minlength=self.num_states)
        return Chain(reward.astype(np.float64), transition, self.gamma)

    # As data

    def fingerprint(self) -> str:
        """SHA-256 of everything but the name and the picture."""
        digest = hashlib.sha256(f"{self.num_states} {self.num_actions} {self.gamma!r}".encode())
        for array in self._arrays().values():
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Sizes, discount, and the grid."""
        return {
            "states": self.num_states,
            "actions": self.num_actions,
            "transitions": len(self.prob),
            "terminating transitions": int(self.terminated.sum()),
            "gamma": self.gamma,
            "grid": None if self.grid is None else asdict(self.grid),
        }

    def save(self, folder: Path) -> None:
        """Writes mdp.json and mdp.safetensors; `open` reads them back."""
        from safetensors.numpy import save_file

        sizes = {"num_states": self.num_states, "num_actions": self.num_actions, "gamma": self.gamma}
        grid = None if self.grid is None else asdict(self.grid)
        write_json(folder / "mdp.json", sizes | {"name": self.name, "grid": grid})
        save_file(self._arrays(), folder / "mdp.safetensors")

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The process that `save` wrote."""
        from safetensors.numpy import load_file

        facts: dict[str, Any] = json.loads((folder / "mdp.json").read_text("utf-8"))
        grid = facts.pop("grid")
        if grid is not None:
            grid = Grid(**{name: tuple(value) for name, value in grid.items()})
        arrays: dict[str, Any] = load_file(folder / "mdp.safetensors")
        return cls(**facts, grid=grid, **arrays)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        names = ("offsets", "next_state", "prob", "reward", "terminated", "start")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, eq=False)
class Chain:
    """A Markov chain with rewards: a process in which a policy acts.

    Args:
        reward: mean reward of every state.
        transition: (states, states), sparse if there are many; rows sum to the probability that the episode
            goes on.
        gamma: the discount.
    """

    reward: Values
    transition: Any
    gamma: float

    def backup(self, v: Values) -> Values:
        """r + gamma P v, all states at once."""
        return self.reward + self.transition @ (self.gamma * v)

    def values(self) -> Values:
        """The v that solves v = r + gamma P v."""
        size = len(self.reward)
        if isinstance(self.transition, np.ndarray):
            matrix: Any = np.eye(size) - self.gamma * self.transition
            return np.linalg.solve(matrix, self.reward)
        import scipy.sparse
        import scipy.sparse.linalg

        matrix = scipy.sparse.eye_array(size) - self.gamma * self.transition
        return np.asarray(scipy.sparse.linalg.spsolve(matrix.tocsc(), self.reward))


def _matrix(weight: Values, column: NDArray[np.int64], offsets: NDArray[np.int64]) -> Any:
    """The square matrix with `weight` in `column`, row i from offsets[i] on; repeats add up."""
    size = len(offsets) - 1
    if size <= _DENSE_STATES:
        matrix = np.zeros((size, size))
        np.add.at(matrix, (np.repeat(np.arange(size), np.diff(offsets)), column), weight)
        return matrix
    import scipy.sparse

    return scipy.sparse.csr_array((weight, column, offsets), shape=(size, size))
