"""Reads what a user brings: arrays, tables of transitions, grid worlds and Gymnasium environments."""

import difflib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.control.grid_world import GridWorld
from assay.control.mdp import MDP, Grid
from assay.data.table import ContractError

GRID_WORLD = "grid-world"
_GAMMA = 0.99  # of a process that does not bring one

_COLUMNS = ("state", "action", "next", "prob", "reward")
_DETERMINISTIC = ("next", "reward")
_FORMS = "P and R; next and reward; or state, action, next, prob and reward"


def read_mdp(source: Any = None, *, gamma: float | None = None, **world: Any) -> MDP:
    """The process that `source` describes.

    Args:
        source: None for the textbook's grid world; a GridWorld; an MDP; a Gymnasium environment or its name;
            a mapping of arrays; a table P[s][a] of lists of (probability, next state, reward, terminated); or
            the path of a .json (a grid world, or arrays as lists) or .npz file.
        gamma: the discount; None for the source's own, else 0.99.
        world: fields of the grid world, or arguments for making the environment.

    Raises:
        ContractError: the source is none of these, or breaks the contract of an MDP.
    """
    if isinstance(source, Path) or (isinstance(source, str) and Path(source).suffix in (".json", ".npz")):
        path = Path(source)
        try:
            return _read(_open(path), path.name, gamma, world)
        except ContractError as error:
            words = str(error)
            raise ContractError(words if path.name in words else f"{path.name}: {words}") from None
    return _read(source, None, gamma, world)


def _read(source: Any, name: str | None, gamma: float | None, world: Mapping[str, Any]) -> MDP:
    if source is None or source == GRID_WORLD:
        return _grid_world(world, GRID_WORLD, gamma)
    if isinstance(source, GridWorld):
        return _grid_world(vars(source) | dict(world), GRID_WORLD, gamma)
    if isinstance(source, Mapping) and {"map", "shape"} & set(source):
        return _grid_world(dict(source) | dict(world), name or GRID_WORLD, gamma)
    if isinstance(source, str):
        return _environment(_make(source, world), source, gamma)
    if world:
        raise ContractError(f"this source takes no option but gamma, got {', '.join(world)}")
    if isinstance(source, MDP):
        return source if gamma is None else replace(source, gamma=gamma)
    if isinstance(source, Mapping) and not all(str(key).isdigit() for key in source):
        return _arrays(dict(source), name or "arrays", gamma)
    inner = getattr(source, "unwrapped", None)
    if inner is not None:
        spec = getattr(source, "spec", None)
        return _environment(source, spec.id if spec else type(inner).__name__, gamma)
    if isinstance(source, (Mapping, list, tuple)):
        return _table(source, name or "table", gamma=_GAMMA if gamma is None else gamma, start=None)
    raise ContractError(
        "expected a grid world, arrays, a table P[s][a], a Gymnasium environment, or a .json or .npz file, "
        f"got {type(source).__name__}"
    )


def _grid_world(facts: Mapping[str, Any], name: str, gamma: float | None) -> MDP:
    world = GridWorld.of(facts)
    return (world if gamma is None else replace(world, gamma=gamma)).mdp(name)


def _open(path: Path) -> Any:
    if not path.is_file():
        raise ContractError(f"there is no file {path}")
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text("utf-8"))
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ContractError(f"{path}: expected JSON or arrays without Python objects: {error}") from None


# Arrays


def _arrays(arrays: dict[str, Any], name: str, gamma: float | None) -> MDP:
    gamma = float(arrays.get("gamma", _GAMMA) if gamma is None else gamma)
    start = arrays.get("start")
    given = set(arrays) - {"gamma", "start"}
    if "P" in given and not isinstance(arrays["P"], np.ndarray) and "R" not in given:
        return _table(arrays["P"], name, gamma=gamma, start=start)
    forms = {
        frozenset(("P", "R")): (_dense, {"terminal"}),
        frozenset(_COLUMNS): (_columns, {"terminated"}),
        frozenset(_DETERMINISTIC): (_deterministic, {"terminated"}),
    }
    for needed, (read, optional) in forms.items():
        if needed <= given and given <= needed | optional:
            try:
                found = {key: np.asarray(arrays[key]) for key in given}
            except ValueError as error:
                raise ContractError(f"{name}: rows of different lengths: {error}") from None
            for key, array in found.items():
                if array.dtype.kind not in "biuf":
                    raise ContractError(f"{name}: expected numbers in {key!r}, got {array.dtype}")
            return _with_start(read(found, name), name, gamma, start)
    raise ContractError(
        f"{name}: expected arrays {_FORMS} (and gamma, start); got {', '.join(sorted(arrays))}"
    )


def _dense(arrays: dict[str, NDArray[Any]], name: str) -> dict[str, Any]:
    probabilities, rewards = arrays["P"], arrays["R"]
    if probabilities.ndim != 3 or probabilities.shape[0] != probabilities.shape[2]:
        raise ContractError(
            f"{name}: expected P of shape (states, actions, states), got {probabilities.shape}"
        )
    if rewards.shape not in (probabilities.shape, probabilities.shape[:2]):
        raise ContractError(
            f"{name}: P counts {probabilities.shape[0]} states and {probabilities.shape[1]} actions, "
            f"but R has shape {rewards.shape}; expected {probabilities.shape[:2]} or {probabilities.shape}"
        )
    if rewards.ndim == 2:
        rewards = np.broadcast_to(rewards[:, :, None], probabilities.shape)
    terminal = arrays.get("terminal", np.zeros(len(probabilities), bool))
    if terminal.shape != (len(probabilities),):
        raise ContractError(
            f"{name}: P counts {len(probabilities)} states, but terminal has shape {terminal.shape}"
        )
    # A row of zeros has to be reported as one: a sparse form would leave nothing of it to look at.
    _check_rows(probabilities, name)
    state, action, following = np.nonzero(probabilities)
    return {
        "state": state,
        "action": action,
        "next_state": following,
        "prob": probabilities[state, action, following],
        "reward": rewards[state, action, following],
        "terminated": terminal.astype(bool)[following],
        "num_states": probabilities.shape[0],
        "num_actions": probabilities.shape[1],
    }


def _check_rows(probabilities: NDArray[Any], name: str) -> None:
    sums = probabilities.sum(axis=2)
    wrong = ~(np.abs(sums - 1) <= 1e-6)
    if wrong.any():
        state, action = np.argwhere(wrong)[0]
        raise ContractError(
            f"{name}: the probabilities of state {state}, action {action} "
            f"sum to {sums[state, action]:g}; expected 1"
        )


def _deterministic(arrays: dict[str, NDArray[Any]], name: str) -> dict[str, Any]:
    following = arrays["next"]
    for key, array in arrays.items():
        if following.ndim != 2 or array.shape != following.shape:
            raise ContractError(
                f"{name}: expected arrays of shape (states, actions), got next {following.shape}, "
                f"{key} {array.shape}"
            )
    num_states, num_actions = following.shape
    state, action = np.divmod(np.arange(following.size), num_actions)
    terminated = arrays.get("terminated", np.zeros(following.shape, bool))
    return {
        "state": state,
        "action": action,
        "next_state": following.ravel(),
        "prob": np.ones(following.size),
        "reward": arrays["reward"].ravel(),
        "terminated": terminated.ravel(),
        "num_states": num_states,
        "num_actions": num_actions,
    }


def _columns(arrays: dict[str, NDArray[Any]], name: str) -> dict[str, Any]:
    if not arrays["state"].size:
        raise ContractError(f"{name}: expected at least one transition")
    terminated = arrays.get("terminated", np.zeros(arrays["state"].shape, bool))
    return {
        "state": arrays["state"],
        "action": arrays["action"],
        "next_state": arrays["next"],
        "prob": arrays["prob"],
        "reward": arrays["reward"],
        "terminated": terminated,
        "num_states": int(max(arrays["state"].max(), arrays["next"].max())) + 1,
        "num_actions": int(arrays["action"].max()) + 1,
    }


def _with_start(
    columns: dict[str, Any], name: str, gamma: float, start: Any, grid: Grid | None = None
) -> MDP:
    num_states = columns["num_states"]
    if start is None:
        probabilities = np.full(num_states, 1 / num_states)
    else:
        probabilities = np.asarray(start)
        if probabilities.ndim == 0:
            if not 0 <= int(probabilities) < num_states:
                raise ContractError(f"{name}: start is state {start}; expected 0 to {num_states - 1}")
            probabilities = np.eye(1, num_states, int(probabilities))[0]
    return MDP.of_transitions(**columns, gamma=gamma, start=probabilities, name=name, grid=grid)


# Tables


def _table(table: Any, name: str, *, gamma: float, start: Any, grid: Grid | None = None) -> MDP:
    """P[s][a], lists or dictionaries, of lists of (probability, next state, reward, terminated)."""
    rows: list[tuple[int, int, int, float, float, bool]] = []
    states = _numbered(table, f"{name}: states")
    num_actions = 0
    for state, actions in states:
        listed = _numbered(actions, f"{name}: actions of state {state}")
        if num_actions not in (0, len(listed)):
            raise ContractError(
                f"{name}: state {state} has {len(listed)} actions, the states before it have {num_actions}"
            )
        num_actions = len(listed)
        for action, outcomes in listed:
            for outcome in outcomes:
                if not isinstance(outcome, (list, tuple)) or len(outcome) not in (3, 4):
                    raise ContractError(
                        f"{name}: state {state}, action {action}: expected (probability, next state, reward, "
                        f"terminated), got {outcome!r}"
                    )
                prob, following, reward, *ended = outcome
                try:
                    numbers = int(following), float(prob), float(reward)
                except (TypeError, ValueError):
                    raise ContractError(
                        f"{name}: state {state}, action {action}: expected numbers, got {outcome!r}"
                    ) from None
                rows.append((state, action, *numbers, bool(ended and ended[0])))
    if not rows:
        raise ContractError(f"{name}: expected at least one transition")
    state, action, following, prob, reward, terminated = zip(*rows, strict=True)
    columns = {
        "state": state,
        "action": action,
        "next_state": following,
        "prob": prob,
        "reward": reward,
        "terminated": terminated,
        "num_states": len(states),
        "num_actions": num_actions,
    }
    return _with_start(columns, name, gamma, start, grid)


def _numbered(entries: Any, what: str) -> list[tuple[int, Any]]:
    """(number, entry) in order, from a list or from a mapping whose keys are 0, 1, ..."""
    if isinstance(entries, Mapping):
        try:
            numbered = sorted((int(key), value) for key, value in entries.items())
        except (TypeError, ValueError):
            numbered = []
        if [number for number, _ in numbered] != list(range(len(entries))):
            raise ContractError(f"{what} must be numbered 0 to {len(entries) - 1}, got {list(entries)[:20]}")
        return numbered
    if not isinstance(entries, Iterable) or isinstance(entries, str):
        raise ContractError(f"{what}: expected a list or a mapping, got {entries!r}")
    return list(enumerate(entries))


# Environments


def _make(name: str, options: Mapping[str, Any]) -> Any:
    try:
        import gymnasium
        from gymnasium.envs.registration import registry
    except ImportError:
        raise ContractError(
            f"there is no file {name!r}; if it is an environment, it needs the package gymnasium"
        ) from None
    if name not in registry:
        near = difflib.get_close_matches(name, [GRID_WORLD, *registry], n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ContractError(f"there is no file and no environment {name!r}{hint}")
    try:
        return gymnasium.make(name, **options)
    except (TypeError, gymnasium.error.Error) as error:
        raise ContractError(f"the environment {name} cannot be made: {error}") from None


def _environment(env: Any, name: str, gamma: float | None) -> MDP:
    inner = env.unwrapped
    sizes: list[Any] = [getattr(space, "n", None) for space in (env.observation_space, env.action_space)]
    table = getattr(inner, "P", None)
    if None in sizes or table is None:
        raise ContractError(
            f"{name}: expected an environment with numbered states and actions and a transition table P, got "
            f"observations {env.observation_space}, actions {env.action_space}"
            + ("" if table is not None else ", no table")
        )
    start = getattr(inner, "initial_state_distrib", None)
    gamma = _GAMMA if gamma is None else gamma
    mdp = _table(table, name, gamma=gamma, start=start, grid=_env_grid(inner, int(sizes[0])))
    if (mdp.num_states, mdp.num_actions) != tuple(int(size) for size in sizes):
        raise ContractError(
            f"{name}: the table has {mdp.num_states} states and {mdp.num_actions} actions, "
            f"the spaces have {sizes[0]} and {sizes[1]}"
        )
    return mdp


def _env_grid(env: Any, num_states: int) -> Grid | None:
    """Where the states lie in those environments that show a map (FrozenLake, CliffWalking, our own)."""
    world = getattr(env, "world", None)
    if isinstance(world, GridWorld):
        return world.mdp().grid
    desc = getattr(env, "desc", None)
    if desc is not None and desc.size == num_states:  # FrozenLake: left, down, right, up.
        holes, goals = (tuple(map(int, np.flatnonzero(desc.ravel() == mark))) for mark in (b"H", b"G"))
        return Grid(desc.shape, holes, goals, ("←", "↓", "→", "↑"))
    cliff = getattr(env, "_cliff", None)
    if cliff is not None and cliff.size == num_states:  # CliffWalking: up, right, down, left.
        return Grid(
            cliff.shape, tuple(map(int, np.flatnonzero(cliff))), (num_states - 1,), ("↑", "→", "↓", "←")
        )
    return None
