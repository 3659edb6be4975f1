"""The grid world as a Gymnasium environment, with the transition table of Gymnasium's own toy worlds.

`GridWorld.env` makes one, and so does `gymnasium.make("assay.control.grid_world_env:assay/GridWorld-v0")`.
"""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from assay.control.grid_world import ACTIONS, GridWorld

Transition = tuple[float, int, float, bool]


class GridWorldEnv(gymnasium.Env[int, int]):
    """Walks on a grid world; observations are numbers of cells.

    Args:
        world: the map and its rules.
        render_mode: "ansi" draws the map as text, with @ where one is.

    Attributes:
        P: P[state][action] is a list of (probability, next state, reward, terminated).
        initial_state_distrib: the probability of every state as the first.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 4}

    def __init__(self, world: GridWorld | None = None, render_mode: str | None = None) -> None:
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode must be None or 'ansi', got {render_mode!r}")
        self.world, self.render_mode = world or GridWorld(), render_mode
        mdp = self.world.mdp()
        self.observation_space = spaces.Discrete(mdp.num_states)  # type: ignore[assignment]
        self.action_space = spaces.Discrete(mdp.num_actions)  # type: ignore[assignment]
        self.initial_state_distrib = mdp.start
        next_state, reward, terminated = (array.tolist() for array in self.world.transitions())
        self.P: dict[int, dict[int, list[Transition]]] = {
            state: {
                action: [(1.0, next_state[action][state], reward[action][state], terminated[action][state])]
                for action in range(mdp.num_actions)
            }
            for state in range(mdp.num_states)
        }
        self._state = 0
        self._action: int | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The first state, and no further information."""
        super().reset(seed=seed)
        self._state = int(self.np_random.choice(len(self.P), p=self.initial_state_distrib))
        self._action = None
        return self._state, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Next state, reward, whether the episode ended, False as it is never cut, and nothing further."""
        if not self.action_space.contains(action):
            raise ValueError(f"expected an action from 0 to {len(ACTIONS) - 1}, got {action!r}")
        [(_, self._state, reward, terminated)] = self.P[self._state][int(action)]
        self._action = int(action)
        return self._state, reward, terminated, False, {}

    def render(self) -> str | None:  # type: ignore[override]
        """The map as text, or None without a render mode."""
        if self.render_mode is None:
            return None
        marks = np.full(self.world.num_states, ".", "<U1")
        marks[[self.world.state(cell) for cell in self.world.forbidden]] = "#"
        marks[self.world.state(self.world.target)] = "T"
        marks[self._state] = "@"
        rows = ["".join(row) for row in marks.reshape(self.world.shape)]
        return (
            "\n".join([f"after {ACTIONS[self._action]}:" if self._action is not None else "start:", *rows])
            + "\n"
        )


gymnasium.register("assay/GridWorld-v0", entry_point="assay.control.grid_world_env:GridWorldEnv")
