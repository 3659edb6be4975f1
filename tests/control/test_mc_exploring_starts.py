import numpy as np
import pytest
from control_worlds import EPISODIC, TINY, random_mdp

from assay.control.episodes import Players
from assay.control.mc_exploring_starts import MCExploringStarts
from assay.control.metrics import optimum
from assay.control.policy import argmax_sets
from assay.core.run import Run


class TestExploringStarts:
    @pytest.mark.parametrize("first_visit", [False, True])
    def test_finds_the_optimum_of_a_small_world(self, first_visit):
        method = MCExploringStarts(steps=200_000, first_visit=first_visit)
        solution = method.fit(TINY.mdp(), run=Run(seed=0))
        best = optimum(TINY.mdp())
        assert argmax_sets(best.q)[np.arange(6), solution.predict()].all()
        assert solution.v == pytest.approx(best.v, abs=1.0)  # The first, bad episodes stay in the mean.
        assert np.isfinite(solution.q).all()  # Every pair was a start.

    def test_one_episode_at_a_time_is_the_algorithm_as_printed(self):
        """Against a loop over one episode after another, with counts shared across episodes."""
        mdp = random_mdp(np.random.default_rng(4), 4, 2, gamma=0.5)
        method = MCExploringStarts(steps=300, batch=1, episode_steps=12)
        rng = Run(seed=2).rng("episodes")
        players = Players(mdp, rng)
        sums, counts, left = np.zeros((4, 2)), np.zeros((4, 2)), 300
        q, actions = np.full((4, 2), -np.inf), np.zeros(4, int)
        while left > 0:
            length = min(12, left)
            state, action = rng.integers(4, size=1), rng.integers(2, size=1)
            policy = np.full((4, 2), 0.5)
            for s in range(4):
                if np.isfinite(q[s]).any():
                    policy[s] = np.eye(2)[actions[s]]
            batch = players.play(policy, state, length, action)
            g, steps = 0.0, int(batch.played.sum())
            for t in reversed(range(steps)):
                s, a = batch.states[t, 0], batch.actions[t, 0]
                g = batch.rewards[t, 0] + 0.5 * g
                if batch.ended[0] or 0.5 ** (len(batch.played) - t) <= 0.01:
                    sums[s, a] += g
                    counts[s, a] += 1
                    q[s, a] = sums[s, a] / counts[s, a]
            fresh = q.argmax(axis=1)
            tied = q == q.max(axis=1, keepdims=True)
            actions = np.where(tied[np.arange(4), actions], actions, fresh)
            left -= steps
        solution = method.fit(mdp, run=Run(seed=2))
        assert solution.q == pytest.approx(q, abs=1e-12)
        assert np.array_equal(solution.predict(), np.where(np.isfinite(q).any(axis=1), actions, 0))

    def test_returns_near_the_cut_are_left_out(self):
        """Counting them, too, would say that the target is worth less than its rewards for ever."""
        target = TINY.state(TINY.target)
        whole = MCExploringStarts(steps=40_000, episode_steps=60).fit(TINY.mdp(), run=Run()).v[target]
        short = (
            MCExploringStarts(steps=40_000, episode_steps=60, tail=1.0).fit(TINY.mdp(), run=Run()).v[target]
        )
        assert abs(whole - 10) < 0.5
        assert short < 9

    def test_episodes_that_end_count_whole(self):
        solution = MCExploringStarts(steps=60_000, episode_steps=40).fit(EPISODIC.mdp(), run=Run(seed=1))
        assert solution.q[EPISODIC.state((5, 3)), 0] == 0
        assert solution.trace.episode_lengths.max() <= 40
        assert solution.trace.episode_lengths.sum() == solution.trace.steps[-1] == 60_000
