"""Speed and memory of control: sweeps over a million states, and episodes, beside plain loops and
scipy.sparse.

    python benchmarks/control.py                   a minute
    python benchmarks/control.py --side 300        a smaller world

Times are CPU seconds on one thread, median [least, largest] of turns that alternate. A plain loop over states
is measured on some of them and multiplied up: its cost for a state does not depend on how many there are. The
ratios with a target come last.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import importlib.util
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import scipy.sparse
import tyro
from measuring.turns import Verdicts, console
from rich.table import Table

from assay.control.episodes import Players
from assay.control.grid_world import GridWorld
from assay.control.mdp import MDP
from assay.control.q_learning import QLearning
from assay.control.value_iteration import value_iterates
from assay.core.run import Run

EPISODIC = GridWorld(r_target=0, r_forbidden=-10, r_boundary=-10, r_other=-1, target_terminal=True)


@dataclass
class Options:
    """What to measure.

    Args:
        side: of the square world.
        sweeps: in a turn.
        turns: of each arm.
        slice: states of the plain loop.
        steps: of the episodes.
    """

    side: int = 1000
    sweeps: int = 5
    turns: int = 5
    slice: int = 5000
    steps: int = 200_000


def alternate(turns: int, **works: Callable[[], object]) -> dict[str, list[float]]:
    """The CPU seconds of each of the works, which take turns after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for turn in range(turns + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.process_time()
            works[name]()
            if turn:
                taken[name].append(time.process_time() - start)
    return taken


def slippery(mdp: MDP, slip: float = 0.2) -> MDP:
    """The same world where a move goes to either side instead with probability `slip` / 2 each."""
    following = mdp.next_state.reshape(mdp.num_actions, -1)
    reward = mdp.reward.reshape(mdp.num_actions, -1)
    turned = [(-1) % 4, 1]
    sides = [[(a + turn) % 4 if a < 4 else a for a in range(5)] for turn in turned]
    state = np.tile(np.arange(mdp.num_states), 3 * mdp.num_actions)
    action = np.tile(np.repeat(np.arange(mdp.num_actions), mdp.num_states), 3)
    order = [*range(5), *sides[0], *sides[1]]
    return MDP.of_transitions(
        state,
        action,
        following[order].ravel(),
        np.repeat([1 - slip, slip / 2, slip / 2], mdp.num_states * mdp.num_actions),
        reward[order].ravel(),
        np.zeros(len(state), bool),
        num_states=mdp.num_states,
        num_actions=mdp.num_actions,
        gamma=mdp.gamma,
        start=mdp.start,
    )


def converged(sweeps: Iterator[np.ndarray], v: np.ndarray, count: int) -> np.ndarray:
    """The values after `count` sweeps, each followed by the test whether to stop."""
    for swept in islice(sweeps, count):
        if np.abs(swept - v).max() <= 1e-12:
            break
        v = swept
    return v


def by_scipy(mdp: MDP) -> Callable[[np.ndarray], Iterator[np.ndarray]]:
    """Value iteration as one writes it well with scipy.sparse: a matrix per action, no array of all q."""
    pairs = mdp.num_states * mdp.num_actions
    whole = scipy.sparse.csr_array(
        (mdp.gamma * mdp.prob, mdp.next_state, mdp.offsets), (pairs, mdp.num_states)
    )
    matrices = [whole[a * mdp.num_states : (a + 1) * mdp.num_states] for a in range(mdp.num_actions)]
    rewards = np.add.reduceat(mdp.prob * mdp.reward, mdp.offsets[:-1]).reshape(mdp.num_actions, -1)

    def iterates(v: np.ndarray) -> Iterator[np.ndarray]:
        while True:
            best = matrices[0] @ v
            best += rewards[0]
            for matrix, reward in zip(matrices[1:], rewards[1:], strict=True):
                values = matrix @ v
                values += reward
                np.maximum(best, values, out=best)
            v = best
            yield v

    return iterates


def by_loop(mdp: MDP, states: int) -> Callable[[], np.ndarray]:
    """A plain NumPy loop over the first states: for each its rows of P, and the best of its actions."""
    outcomes = []
    for state in range(states):
        pairs = [action * mdp.num_states + state for action in range(mdp.num_actions)]
        inside = [slice(mdp.offsets[pair], mdp.offsets[pair + 1]) for pair in pairs]
        width = len(mdp.prob[inside[0]])
        following, prob, reward = (
            np.array([array[part] for part in inside]).reshape(mdp.num_actions, width)
            for array in (mdp.next_state, mdp.prob, mdp.reward)
        )
        outcomes.append((following, prob, reward))
    v, swept = np.zeros(mdp.num_states), np.zeros(states)

    def sweep() -> np.ndarray:
        for state, (following, prob, reward) in enumerate(outcomes):
            swept[state] = (prob * (reward + mdp.gamma * v[following])).sum(axis=1).max()
        return swept

    return sweep


def sweeps_section(options: Options, sheet: Table, verdicts: Verdicts) -> None:
    """Sweeps of value iteration, with the test whether to stop."""
    world = GridWorld.random((options.side, options.side), 0.3, np.random.default_rng(0))
    for name, mdp in (("grid world", world.mdp()), ("slippery grid world", slippery(world.mdp()))):
        start = np.zeros(mdp.num_states)
        scipy_iterates, loop = by_scipy(mdp), by_loop(mdp, options.slice)
        ours = converged(value_iterates(mdp, start), start, 3)
        assert np.allclose(ours, converged(scipy_iterates(start), start, 3), atol=1e-12)
        assert np.allclose(loop(), mdp.best_values(start)[: options.slice], atol=1e-12)
        seconds = alternate(
            options.turns,
            assay=lambda: converged(value_iterates(mdp, start), start, options.sweeps),  # noqa: B023, used at once
            scipy=lambda: converged(scipy_iterates(start), start, options.sweeps),  # noqa: B023, used at once
            loop=loop,
        )
        ours, theirs = ([s / options.sweeps for s in seconds[arm]] for arm in ("assay", "scipy"))
        plain = [s * mdp.num_states / options.slice for s in seconds["loop"]]
        for arm, found in (
            ("assay", ours),
            ("scipy.sparse", theirs),
            ("NumPy for each state, multiplied up", plain),
        ):
            measured = f"{statistics.median(found):.4f} [{min(found):.4f}, {max(found):.4f}] s"
            sheet.add_row(f"sweep, {name}, {mdp.num_states:,} states", arm, measured)
        verdicts.compare(f"sweep, {name} / loop over states", ours, plain, 0.1)
        verdicts.compare(f"sweep, {name} / scipy.sparse", ours, theirs, 1.0)


def memory_section(options: Options, sheet: Table, verdicts: Verdicts) -> None:
    """Peak bytes of building a world and sweeping it, for a transition, at two sizes."""
    found = []
    for side in (options.side // 2, options.side):
        tracemalloc.start()
        mdp = GridWorld.random((side, side), 0.3, np.random.default_rng(0)).mdp()
        converged(value_iterates(mdp, np.zeros(mdp.num_states)), np.zeros(mdp.num_states), 3)
        found.append(tracemalloc.get_traced_memory()[1] / len(mdp.prob))
        tracemalloc.stop()
        sheet.add_row("peak memory", f"{len(mdp.prob):,} transitions", f"{found[-1]:.0f} bytes each")
    verdicts.add("bytes for a transition, four times as many / before", found[1] / found[0], 1.05)


def episodes_section(options: Options, sheet: Table, verdicts: Verdicts) -> None:
    """Steps of random episodes, and of Q-learning, beside loops over a Gymnasium environment."""
    if importlib.util.find_spec("gymnasium") is None:
        console.print("Gymnasium is not installed: no episodes are measured.")
        return
    mdp, env = EPISODIC.mdp(), EPISODIC.env()
    uniform = np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
    played = {"assay": 0, "gymnasium": 0}
    episodes = {"assay": 0, "gymnasium": 0}

    def batches() -> None:
        players = Players(mdp, np.random.default_rng(0))
        steps = 0
        while steps < options.steps:
            batch = players.play(uniform, players.starts(1000), 100)
            steps += batch.num_steps
            episodes["assay"] += 1000
        played["assay"] += steps

    def loop() -> None:
        rng = np.random.default_rng(0)
        steps = 0
        while steps < options.steps // 4:
            env.reset()
            episodes["gymnasium"] += 1
            for _ in range(100):
                _, _, terminated, _, _ = env.step(int(rng.integers(5)))
                steps += 1
                if terminated:
                    break
        played["gymnasium"] += steps

    def plain_q_learning() -> None:
        rng, q, steps = np.random.default_rng(0), np.zeros((25, 5)), 0
        while steps < options.steps // 4:
            state, _ = env.reset()
            for _ in range(100):
                greedy = rng.random() >= 0.1
                action = int(q[state].argmax()) if greedy else int(rng.integers(5))
                following, reward, terminated, _, _ = env.step(action)
                target = reward if terminated else reward + 0.9 * q[following].max()
                q[state, action] += 0.1 * (target - q[state, action])
                state, steps = following, steps + 1
                if terminated:
                    break

    learner = QLearning(steps=options.steps)
    taken = alternate(
        options.turns,
        assay=batches,
        gymnasium=loop,
        learner=lambda: learner.fit(mdp, run=Run()),
        plain=plain_q_learning,
    )
    seconds = {name: statistics.median(found) for name, found in taken.items()}
    turns = options.turns + 1
    rate = {name: played[name] / turns / seconds[name] for name in played}
    for name, what in (("assay", "1000 at once"), ("gymnasium", "a loop over Gymnasium's step")):
        per_second = episodes[name] / turns / seconds[name]
        sheet.add_row("random episodes", what, f"{rate[name]:,.0f} steps, {per_second:,.0f} episodes / s")
    ours, theirs = options.steps / seconds["learner"], options.steps // 4 / seconds["plain"]
    sheet.add_row("Q-learning", "assay", f"{ours:,.0f} steps / s")
    sheet.add_row("Q-learning", "a NumPy table over Gymnasium's step", f"{theirs:,.0f} steps / s")
    verdicts.add("time for an episode's step / loop over Gymnasium", rate["gymnasium"] / rate["assay"], 0.1)
    verdicts.add("time for a step of Q-learning / loop over Gymnasium", theirs / ours, 0.5)


def main() -> None:
    """Prints a table, then the ratios."""
    options = tyro.cli(Options)
    sheet, verdicts = Table(title="Medians", title_justify="left"), Verdicts()
    for heading in ("what", "by", "measured"):
        sheet.add_column(heading, justify="right" if heading == "measured" else "left")
    sweeps_section(options, sheet, verdicts)
    memory_section(options, sheet, verdicts)
    episodes_section(options, sheet, verdicts)
    console.print(sheet)
    verdicts.show()


if __name__ == "__main__":
    main()
