import numpy as np
import pytest
from control_worlds import EPISODIC, Recorder, random_mdp, walked

from assay.control.n_step_sarsa import NStepSarsa
from assay.control.sarsa import Sarsa
from assay.core.run import Run

RANDOM = random_mdp(np.random.default_rng(11), 5, 3)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_n_step_sarsa(n):
    """Pair t learns when step t + n has been chosen, or at the end of the episode."""
    method = NStepSarsa(n=n, alpha=0.3, epsilon=0.4)
    steps, tables = walked(method, RANDOM, 300)
    q, start = np.zeros((5, 3)), 0
    for time, (_, _, _, into, ended) in enumerate(steps[:-1]):
        window = steps[start : time + 1]
        if ended:
            for first in range(len(window)):
                g = sum(0.9**k * r for k, (_, _, r, _, _) in enumerate(window[first:]))
                s, a = window[first][:2]
                q[s, a] += 0.3 * (g - q[s, a])
            start = time + 1
        elif len(window) == n:
            g = sum(0.9**k * r for k, (_, _, r, _, _) in enumerate(window))
            g += 0.9**n * q[into, steps[time + 1][1]]
            s, a = window[0][:2]
            q[s, a] += 0.3 * (g - q[s, a])
            start += 1
        assert tables[time + 1] == pytest.approx(q, abs=1e-12)


def test_one_step_is_sarsa():
    for mdp in (RANDOM, EPISODIC.mdp()):
        one, other = (m.fit(mdp, run=Run(seed=4)) for m in (NStepSarsa(n=1, steps=5000), Sarsa(steps=5000)))
        assert np.array_equal(one.q, other.q)


def test_infinitely_many_steps_with_alpha_one_give_the_return():
    method = NStepSarsa(n=10**9, alpha=1.0, epsilon=1.0)
    walker = Recorder(EPISODIC.mdp(), np.random.default_rng(5))
    q = [[0.0] * 5 for _ in range(25)]
    rewards = list(method.episode(q, walker, method.behaviour(q, walker), 0.9))
    last = {}
    for time, (state, action, *_) in enumerate(walker.steps):
        last[state, action] = sum(0.9**k * r for k, r in enumerate(rewards[time:]))
    for (state, action), g in last.items():
        assert q[state][action] == pytest.approx(g, abs=1e-9)
