"""Worlds with known answers: the textbook's tables, random processes, and naive loops to compute with."""

import numpy as np

from assay.control.grid_world import ACTIONS, GridWorld
from assay.control.mdp import MDP

CAUTIOUS = "RRRRD UURRD ULDRD URSLD URULL"
"""The policy of Figure 5.6 (a), optimal when forbidden cells cost 10."""

BOOK = GridWorld()
CAREFUL = GridWorld(r_forbidden=-10)
EPISODIC = GridWorld(r_target=0, r_forbidden=-10, r_boundary=-10, r_other=-1, target_terminal=True)
SMALL = GridWorld(shape=(2, 2), forbidden=((1, 2),), target=(2, 2))


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
