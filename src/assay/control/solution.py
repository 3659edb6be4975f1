"""What a fit gives back: values, a policy, and the way there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.control.mdp import Actions, Values
from assay.core.files import write_json
from assay.data.table import ContractError, Table

_FORMAT = "assay-solution"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Trace:
    """Snapshots on the way, the last one at the end, and the episodes that were played.

    Args:
        steps: int64[snapshots]; pairs backed up or sampled until then.
        iterations: int64[snapshots]; sweeps, improvements, or batches of steps until then.
        v: float64[snapshots, states].
        actions: int64[snapshots, states]; the greedy policy then.
        episode_rewards: float64[episodes]; undiscounted sum of the rewards of an episode.
        episode_lengths: int64[episodes]; steps of an episode.
    """

    steps: NDArray[np.int64]
    iterations: NDArray[np.int64]
    v: Values
    actions: NDArray[np.int64]
    episode_rewards: Values
    episode_lengths: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Solution:
    """Values and policy that a method found. A policy's greedy action is its most probable one, the first of
    ties.

    Args:
        v: float64[states].
        q: float64[states, actions]; -inf where the method knows nothing.
        policy: float64[states, actions]; rows sum to 1.
        trace: the way there.
    """

    v: Values
    q: Values
    policy: Values
    trace: Trace

    def predict(self, states: "ArrayLike | str | Path | None" = None) -> Actions:
        """The greedy action of every state asked for.

        Args:
            states: numbers of states; or a file with a column "state"; None for all states in order.

        Raises:
            ContractError: there is no such state.
        """
        actions = self.policy.argmax(axis=1)
        if states is None:
            return actions
        if isinstance(states, (str, Path)):
            states = Table.of(states)["state"].values
        asked = np.asarray(states)
        bad = ~np.isin(asked, np.arange(len(actions)))
        if bad.any():
            raise ContractError(f"expected states from 0 to {len(actions) - 1}, got {asked[bad].flat[0]}")
        return actions[asked.astype(np.int64)]

    def save(self, folder: Path) -> None:
        """Writes solution.json and solution.safetensors into `folder`."""
        from safetensors.numpy import save_file

        arrays = {"v": self.v, "q": self.q, "policy": self.policy}
        arrays |= {f"trace.{name}": array for name, array in vars(self.trace).items()}
        write_json(folder / "solution.json", {"format": _FORMAT, "version": _VERSION, "states": len(self.v)})
        save_file(
            {name: np.ascontiguousarray(a) for name, a in arrays.items()}, folder / "solution.safetensors"
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The solution that `save` wrote.

        Raises:
            ValueError: the folder does not hold one.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            facts = json.loads((folder / "solution.json").read_text("utf-8"))
            if facts["format"] != _FORMAT or facts["version"] != _VERSION:
                raise ValueError(f"expected {_FORMAT} version {_VERSION}, got {facts}")
            arrays = load_file(folder / "solution.safetensors")
            values, q, policy = (arrays.pop(name) for name in ("v", "q", "policy"))
            return cls(values, q, policy, Trace(**{n.removeprefix("trace."): a for n, a in arrays.items()}))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"{folder} is not a whole saved solution: {error}") from error


def estimated(q: Values) -> Values:
    """max_a q(s, a) over what is known; 0 for a state of which nothing is."""
    best = q.max(axis=1)
    return np.where(np.isneginf(best), 0.0, best)
