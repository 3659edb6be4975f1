"""Worlds with known answers: the textbook's tables, random processes, and naive loops to compute with."""

import numpy as np

from assay.control.episodes import Walker
from assay.control.grid_world import ACTIONS, GridWorld
from assay.control.mdp import MDP

CAUTIOUS = "RRRRD UURRD ULDRD URSLD URULL"
"""The policy of Figure 5.6 (a), optimal when forbidden cells cost 10."""

BOOK = GridWorld()
CAREFUL = GridWorld(r_forbidden=-10)
EPISODIC = GridWorld(r_target=0, r_forbidden=-10, r_boundary=-10, r_other=-1, target_terminal=True)
SMALL = GridWorld(shape=(2, 2), forbidden=((1, 2),), target=(2, 2))
TINY = GridWorld(shape=(2, 3), forbidden=((1, 2),), target=(2, 3), r_forbidden=-10, start=None)
ASYMMETRIC = GridWorld(
    shape=(2, 3), forbidden=((1, 2),), target=(2, 3), r_boundary=-1, r_forbidden=-10, r_target=5, r_other=-0.1
)

STAY = np.full(25, 4)
"""The policy that stays everywhere, in the textbook's world."""


def table(text):
    """The numbers of a printed table, row by row, and the sets of letters after a bar if it has any."""
    numbers, letters = [], []
    for line in text.strip().splitlines():
        left, _, right = line.partition("|")
        numbers += [float(word) for word in left.split()]
        letters += right.split()
    return np.array(numbers), letters


def letters_of(sets):
    """Sets of best actions as letters, such as RD."""
    return ["".join(letter for letter, best in zip(ACTIONS, row, strict=True) if best) for row in sets]


def random_mdp(rng, num_states=6, num_actions=3, gamma=0.9, terminating=True):
    """A process with up to three outcomes for a pair, repeated next states, ties and zero rewards."""
    rows = []
    for state in range(num_states):
        for action in range(num_actions):
            count = int(rng.integers(1, 4))
            for prob in rng.dirichlet(np.ones(count)):
                ended = terminating and rng.random() < 0.1
                rows.append((state, action, rng.integers(num_states), prob, rng.integers(-2, 3), ended))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    order = rng.permutation(len(rows))
    return MDP.of_transitions(
        *(column[order] for column in columns),
        num_states=num_states,
        num_actions=num_actions,
        gamma=gamma,
        start=rng.dirichlet(np.ones(num_states)),
    )


def outcomes(mdp, state, action):
    """[(prob, next state, reward, terminated), ...] of one pair."""
    pair = action * mdp.num_states + state
    return [
        (mdp.prob[i], int(mdp.next_state[i]), mdp.reward[i], bool(mdp.terminated[i]))
        for i in range(mdp.offsets[pair], mdp.offsets[pair + 1])
    ]


def naive_q(mdp, v, state, action):
    """q(s, a), summed by a loop."""
    total = 0.0
    for prob, following, reward, ended in outcomes(mdp, state, action):
        total += prob * (reward + (0.0 if ended else mdp.gamma * v[following]))
    return total


def naive_action_values(mdp, v):
    return np.array([[naive_q(mdp, v, s, a) for a in range(mdp.num_actions)] for s in range(mdp.num_states)])


def linear_programme(mdp):
    """v* as the smallest v with v(s) >= q(s, a) for all pairs."""
    from scipy.optimize import linprog

    rows, limits = [], []
    for state in range(mdp.num_states):
        for action in range(mdp.num_actions):
            row, reward = np.zeros(mdp.num_states), 0.0
            row[state] -= 1
            for prob, following, r, ended in outcomes(mdp, state, action):
                reward += prob * r
                row[following] += 0.0 if ended else mdp.gamma * prob
            rows.append(row)
            limits.append(-reward)
    found = linprog(np.ones(mdp.num_states), A_ub=rows, b_ub=limits, bounds=(None, None), method="highs")
    assert found.success
    return found.x


class Recorder(Walker):
    """A walker that remembers its steps."""

    def __init__(self, mdp, rng):
        super().__init__(mdp, rng)
        self.steps = []

    def step(self, state, action):
        reward, following, ended = super().step(state, action)
        self.steps.append((state, action, reward, following, ended))
        return reward, following, ended


def walked(method, mdp, steps, seed=0, q=None, choose=None):
    """The steps of episodes of a method, and q after each of them."""
    walker = Recorder(mdp, np.random.default_rng(seed))
    q = [[method.initial_q] * mdp.num_actions for _ in range(mdp.num_states)] if q is None else q
    choose = method.behaviour(q, walker) if choose is None else choose
    tables = [np.array(q)]
    while len(tables) <= steps:
        for reward in method.episode(q, walker, choose, mdp.gamma):
            assert reward == walker.steps[-1][2]
            tables.append(np.array(q))
            if len(tables) > steps:
                break
    return walker.steps[: steps + 1], tables


def check_updates(method, target):
    """Every update of a method against its formula, on the steps that were really taken.

    `target` gives the value of what follows from the row of the next state and the action taken there.
    """
    steps, tables = walked(method, random_mdp(np.random.default_rng(11), 5, 3), 400)
    following = [step[1] for step in steps[1:]]
    for (state, action, reward, into, ended), next_action, before, after in zip(
        steps, following, tables, tables[1:], strict=False
    ):
        rest = 0.0 if ended else target(before[into], next_action)
        expected = before.copy()
        expected[state, action] += method.alpha * (reward + 0.9 * rest - before[state, action])
        assert np.abs(after - expected).max() < 1e-12


def random_policy(rng, mdp):
    return rng.dirichlet(np.ones(mdp.num_actions), size=mdp.num_states)
