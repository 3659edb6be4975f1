"""The grid world of the textbook: cells to walk on, a target to stay at, forbidden cells to keep out of.

States are numbered row by row from 0; cells are written (row, column) from 1. The actions are up, right,
down, left and stay, in every cell.

Reference:
    Zhao. "Mathematical Foundations of Reinforcement Learning". Springer 2025, Section 1.1 and Figure 3.4.
    Implements: the world of the textbook's figures, and by `enter_forbidden=False` that of its published
        programs, which bounces back from forbidden cells.
    Verified: the printed values of chapters 2 to 7; the rule for a wall hit from a forbidden cell, which the
        text does not state, is the only one that reproduces Figures 5.6 and 5.7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from assay.control.mdp import MDP, Actions, Grid
from assay.data.table import ContractError

if TYPE_CHECKING:
    from assay.control.grid_world_env import GridWorldEnv

Cell = tuple[int, int]

ACTIONS = "URDLS"
ARROWS = ("↑", "→", "↓", "←", "○")
_MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1), (0, 0))
_MARKS = {".": "other", "#": "forbidden", "T": "target", "S": "start"}


@dataclass(frozen=True, kw_only=True)
class GridWorld:
    """A grid world; the defaults are the textbook's map and rules.

    Args:
        shape: rows and columns.
        forbidden: cells that cost `r_forbidden` to enter, or to stay in.
        target: the cell that gives `r_target` to enter, or to stay in.
        start: the first cell of every episode; None for any cell with equal probability.
        r_boundary: for walking into the wall, which leaves one where one is.
        r_forbidden, r_target, r_other: for the cell that is entered; staying re-enters one's own.
        enter_forbidden: whether forbidden cells can be entered; if not, trying costs `r_forbidden` and
            bounces back.
        bump_in_forbidden: what walking into the wall costs in a forbidden cell: "both" r_boundary and
            r_forbidden, or r_boundary only ("boundary").
        target_terminal: whether the episode ends at the target, instead of going on for ever.
        gamma: the discount, in [0, 1).

    Raises:
        ContractError: a cell is not in the grid, or has two roles.
    """

    shape: tuple[int, int] = (5, 5)
    forbidden: tuple[Cell, ...] = ((2, 2), (2, 3), (3, 3), (4, 2), (4, 4), (5, 2))
    target: Cell = (4, 3)
    start: Cell | None = (1, 1)
    r_boundary: float = -1.0
    r_forbidden: float = -1.0
    r_target: float = 1.0
    r_other: float = 0.0
    enter_forbidden: bool = True
    bump_in_forbidden: Literal["both", "boundary"] = "both"
    target_terminal: bool = False
    gamma: float = 0.9

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ContractError(
                f"grid world: expected at least one row and one column, got shape {self.shape}"
            )
        if self.bump_in_forbidden not in ("both", "boundary"):
            raise ContractError(
                f"grid world: bump_in_forbidden must be 'both' or 'boundary', got {self.bump_in_forbidden!r}"
            )
        cells = {
            "target": [self.target],
            "forbidden": self.forbidden,
            "start": [self.start] if self.start else [],
        }
        for role, found in cells.items():
            for cell in found:
                if len(cell) != 2 or not (1 <= cell[0] <= self.shape[0] and 1 <= cell[1] <= self.shape[1]):
                    rows, columns = self.shape
                    raise ContractError(
                        f"grid world: {role} {tuple(cell)} is outside; "
                        f"expected rows 1 to {rows}, columns 1 to {columns}"
                    )
        if self.target in self.forbidden:
            raise ContractError(f"grid world: {self.target} cannot be both target and forbidden")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """The world with these fields, as JSON has them; "map" may stand for shape, forbidden, target and
        start.

        A map is a list of rows of "." (other), "#" (forbidden), "T" (target) and "S" (start).

        Raises:
            ContractError: a field does not exist or is not as described.
        """
        facts = dict(facts)
        if "map" in facts:
            facts = _from_map(facts.pop("map")) | facts
        known = [field.name for field in fields(cls)]
        for name in facts:
            if name not in known:
                raise ContractError(f"a grid world has no field {name!r}; it has map, {', '.join(known)}")
        try:
            for name in ("shape", "target", "start"):
                if facts.get(name) is not None:
                    facts[name] = tuple(int(number) for number in facts[name])
            if "forbidden" in facts:
                facts["forbidden"] = tuple((int(row), int(column)) for row, column in facts["forbidden"])
        except (TypeError, ValueError) as error:
            raise ContractError(f"grid world: expected cells as (row, column): {error}") from None
        return cls(**facts)

    @classmethod
    def random(cls, shape: Cell, forbidden_share: float, rng: np.random.Generator, **rules: Any) -> Self:
        """A world whose target and forbidden cells are drawn; the rest is as in `rules` or by default."""
        rows, columns = shape
        cells = rng.permutation(rows * columns)[: 1 + int(forbidden_share * (rows * columns - 1))]
        target, *forbidden = [(int(cell) // columns + 1, int(cell) % columns + 1) for cell in cells]
        return cls(**{"shape": shape, "target": target, "forbidden": tuple(forbidden), **rules})

    @property
    def num_states(self) -> int:
        """Cells."""
        return self.shape[0] * self.shape[1]

    def state(self, cell: Sequence[int]) -> int:
        """The number of a cell."""
        return (cell[0] - 1) * self.shape[1] + cell[1] - 1

    def transitions(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
        """Next state, reward and whether the episode ends, each of shape (5, states)."""
        rows, columns = self.shape
        states = np.arange(self.num_states)
        row, column = np.divmod(states, columns)
        target = self.state(self.target)
        forbidden = np.zeros(self.num_states, bool)
        forbidden[[self.state(cell) for cell in self.forbidden]] = True
        worth = np.where(forbidden, self.r_forbidden, self.r_other)
        worth[target] = self.r_target
        next_state = np.empty((len(_MOVES), self.num_states), np.int64)
        reward = np.empty((len(_MOVES), self.num_states))
        for action, (down, right) in enumerate(_MOVES):
            new_row, new_column = row + down, column + right
            inside = (new_row >= 0) & (new_row < rows) & (new_column >= 0) & (new_column < columns)
            entered = np.where(inside, new_row * columns + new_column, states)
            reward[action] = np.where(inside, worth[entered], self.r_boundary)
            if self.bump_in_forbidden == "both":
                reward[action] += np.where(~inside & forbidden, self.r_forbidden, 0.0)
            if not self.enter_forbidden:
                entered = np.where(forbidden[entered], states, entered)
            next_state[action] = entered
        terminated = np.zeros(next_state.shape, bool)
        if self.target_terminal:
            terminated = next_state == target
            next_state[:, target], reward[:, target], terminated[:, target] = target, 0.0, True
        return next_state, reward, terminated

    def mdp(self, name: str = "grid-world") -> MDP:
        """The world as arrays of transitions."""
        next_state, reward, terminated = self.transitions()
        start = np.full(self.num_states, 1 / self.num_states)
        if self.start is not None:
            start = np.zeros(self.num_states)
            start[self.state(self.start)] = 1.0
        return MDP(
            num_states=self.num_states,
            num_actions=len(_MOVES),
            offsets=np.arange(next_state.size + 1),
            next_state=next_state.ravel(),
            prob=np.ones(next_state.size),
            reward=reward.ravel(),
            terminated=terminated.ravel(),
            gamma=self.gamma,
            start=start,
            name=name,
            grid=Grid(
                self.shape,
                tuple(self.state(cell) for cell in self.forbidden),
                (self.state(self.target),),
                ARROWS,
            ),
        )

    def env(self, render_mode: str | None = None) -> "GridWorldEnv":
        """The world as a Gymnasium environment (package `gymnasium`)."""
        from assay.control.grid_world_env import GridWorldEnv

        return GridWorldEnv(self, render_mode=render_mode)

    def policy(self, letters: str) -> Actions:
        """The policy written as one of U R D L S for every cell, row by row; blanks are ignored.

        Raises:
            ContractError: another letter, or not one for every cell.
        """
        text = "".join(letters.split())
        if len(text) != self.num_states or set(text) - set(ACTIONS):
            raise ContractError(
                f"expected one of {' '.join(ACTIONS)} for each of {self.num_states} cells, got {text!r}"
            )
        return np.array([ACTIONS.index(letter) for letter in text], np.int64)


def _from_map(rows: Sequence[str]) -> dict[str, Any]:
    if not rows or len({len(row) for row in rows}) > 1:
        raise ContractError(f"grid world: expected a map of rows of equal length, got {list(rows)}")
    cells: dict[str, list[Cell]] = {role: [] for role in _MARKS.values()}
    for row, line in enumerate(rows, start=1):
        for column, mark in enumerate(line, start=1):
            if mark not in _MARKS:
                raise ContractError(
                    f"grid world: {mark!r} in row {row} of the map; expected {' '.join(_MARKS)}"
                )
            cells[_MARKS[mark]].append((row, column))
    if len(cells["target"]) != 1 or len(cells["start"]) > 1:
        raise ContractError("grid world: expected one target T and at most one start S in the map")
    return {
        "shape": (len(rows), len(rows[0])),
        "forbidden": cells["forbidden"],
        "target": cells["target"][0],
        "start": cells["start"][0] if cells["start"] else None,
    }
