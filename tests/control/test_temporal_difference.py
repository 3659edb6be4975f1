"""Sarsa, expected Sarsa, n-step Sarsa and Q-learning, on-policy and off-policy."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from control_worlds import BOOK, CAUTIOUS, EPISODIC, random_mdp

from assay.control.bellman_equation import policy_values
from assay.control.episodes import Walker
from assay.control.expected_sarsa import ExpectedSarsa
from assay.control.mdp import MDP
from assay.control.metrics import optimum, state_value_rmse
from assay.control.n_step_sarsa import NStepSarsa
from assay.control.policy import argmax_sets, soft
from assay.control.q_learning import QLearning
from assay.control.q_learning_off_policy import QLearningOffPolicy
from assay.control.sarsa import Sarsa
from assay.control.sources import read_mdp
from assay.core.budget import Budget
from assay.core.run import Run

RMSE_RANGES = {
    0: {1000: (7.60, 7.82), 10_000: (3.95, 4.96), 20_000: (1.91, 2.39), 50_000: (0.139, 0.266)},
    10: {1000: (2.17, 2.25), 10_000: (0.042, 0.063), 20_000: (0, 0.002), 50_000: (0, 0.001)},
    100: {1000: (87.2, 87.9), 10_000: (48.0, 49.9), 20_000: (23.1, 26.1), 50_000: (1.89, 2.62)},
}
RMSE_RANGES[0] |= {100_000: (0.003, 0.006)}
RMSE_RANGES[10] |= {100_000: (0, 0.001)}
RMSE_RANGES[100] |= {100_000: (0.027, 0.063)}

ALL = [Sarsa, ExpectedSarsa, NStepSarsa, QLearning, QLearningOffPolicy]


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


class TestUpdates:
    """Every update against the formula, on the steps that were really taken."""

    MDP = random_mdp(np.random.default_rng(11), 5, 3)

    def check(self, method, target):
        steps, tables = walked(method, self.MDP, 400)
        following = [step[1] for step in steps[1:]]
        for (state, action, reward, into, ended), next_action, before, after in zip(
            steps, following, tables, tables[1:], strict=False
        ):
            rest = 0.0 if ended else target(before[into], next_action)
            expected = before.copy()
            expected[state, action] += method.alpha * (reward + 0.9 * rest - before[state, action])
            assert after == pytest.approx(expected, abs=1e-12)

    def test_sarsa_learns_from_the_action_that_it_takes_next(self):
        self.check(Sarsa(alpha=0.3, epsilon=0.4, initial_q=1.0), lambda row, action: row[action])

    def test_expected_sarsa(self):
        self.check(
            ExpectedSarsa(alpha=0.3, epsilon=0.4, initial_q=1.0),
            lambda row, _: sum((0.4 / 3 + 0.6 * (a == row.argmax())) * row[a] for a in range(3)),
        )

    def test_q_learning(self):
        self.check(QLearning(alpha=0.3, epsilon=0.4, initial_q=1.0), lambda row, _: row.max())

    def test_off_policy_q_learning(self):
        self.check(QLearningOffPolicy(alpha=0.3, initial_q=1.0), lambda row, _: row.max())

    def test_expected_sarsas_target_is_the_mean_of_sarsas(self):
        row, epsilon = np.array([1.0, 5.0, 2.0]), 0.3
        policy = soft(np.array([1]), 3, epsilon)[0]
        draws = np.random.default_rng(0).choice(row, p=policy, size=100_000)
        assert epsilon * row.mean() + (1 - epsilon) * row.max() == pytest.approx(policy @ row, abs=1e-12)
        assert draws.mean() == pytest.approx(policy @ row, abs=0.02)

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_n_step_sarsa(self, n):
        """Pair t learns when step t + n has been chosen, or at the end of the episode."""
        method = NStepSarsa(n=n, alpha=0.3, epsilon=0.4)
        steps, tables = walked(method, self.MDP, 300)
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

    def test_one_step_is_sarsa(self):
        for mdp in (self.MDP, EPISODIC.mdp()):
            one, other = (
                m.fit(mdp, run=Run(seed=4)) for m in (NStepSarsa(n=1, steps=5000), Sarsa(steps=5000))
            )
            assert np.array_equal(one.q, other.q)

    def test_infinitely_many_steps_with_alpha_one_give_the_return(self):
        method = NStepSarsa(n=10**9, alpha=1.0, epsilon=1.0)
        walker = Recorder(EPISODIC.mdp(), np.random.default_rng(5))
        q = [[0.0] * 5 for _ in range(25)]
        rewards = list(method.episode(q, walker, method.behaviour(q, walker), 0.9))
        last = {}
        for time, (state, action, *_) in enumerate(walker.steps):
            last[state, action] = sum(0.9**k * r for k, r in enumerate(rewards[time:]))
        for (state, action), g in last.items():
            assert q[state][action] == pytest.approx(g, abs=1e-9)


class TestTraps:
    @pytest.mark.parametrize("method", [cls(initial_q=10.0, alpha=0.5, steps=20_000) for cls in ALL])
    def test_the_terminal_cells_value_never_enters(self, method):
        solution = method.fit(EPISODIC.mdp(), run=Run())
        target = EPISODIC.state(EPISODIC.target)
        assert (solution.q[target] == 10).all()
        beside = EPISODIC.state((5, 3))
        assert solution.q[beside, 0] == pytest.approx(0, abs=1e-3)

    def test_the_first_update_changes_the_next_draw(self):
        # One state whose action 0 costs: after one bad step a greedy learner takes the other action at once.
        mdp = MDP.of_transitions(
            [0, 0], [0, 1], [0, 0], [1.0, 1.0], [-1.0, 0.0], [False, False],
            num_states=1, num_actions=2, gamma=0.5, start=[1.0],
        )  # fmt: skip
        for cls in (ExpectedSarsa, QLearning):
            steps, _ = walked(cls(epsilon=0.0, alpha=1.0), mdp, 40, q=[[0.0, 0.0]])
            assert sum(action == 0 for _, action, *_ in steps) <= 1
        steps, _ = walked(Sarsa(epsilon=0.0, alpha=1.0), mdp, 40, q=[[0.0, 0.0]])
        assert sum(action == 0 for _, action, *_ in steps) <= 2  # The next action is drawn before it learns.

    def test_ties_are_broken_at_random_and_by_the_seed(self):
        first = {}
        for seed in range(40):
            steps, _ = walked(QLearning(epsilon=0.0), BOOK.mdp(), 1, seed)
            again, _ = walked(QLearning(epsilon=0.0), BOOK.mdp(), 1, seed)
            assert steps == again
            first[steps[0][1]] = seed
        assert set(first) == set(range(5))

    def test_sarsas_update_on_the_steps_of_a_random_behaviour_ends_elsewhere(self):
        """With the behaviour's next action it is Sarsa, and gives the behaviour's values instead of q*."""
        rng = np.random.default_rng(12)
        rewards = rng.integers(-2, 3, size=(4, 3))
        mdp = read_mdp({"P": rng.dirichlet(np.ones(4), size=(4, 3)), "R": rewards}, gamma=0.5)
        uniform, best = np.full((4, 3), 1 / 3), optimum(mdp).q
        exact = mdp.action_values(policy_values(mdp, uniform))
        for cls, expected in ((Sarsa, exact), (QLearning, best)):
            q = [[0.0] * 3 for _ in range(4)]
            for alpha in (0.1, 0.03, 0.01, 0.003):  # A falling alpha: a constant one never settles.
                walked(cls(alpha=alpha), mdp, 8000, q=q, choose=lambda _: int(rng.integers(3)))
            assert np.array(q) == pytest.approx(expected, abs=0.1)
        assert np.abs(exact - best).max() > 0.5

    def test_a_constant_alpha_does_not_settle_on_random_rewards(self):
        mdp = MDP.of_transitions(
            [0, 0], [0, 0], [0, 0], [0.5, 0.5], [-1.0, 1.0], [True, True],
            num_states=1, num_actions=1, gamma=0.5, start=[1.0],
        )  # fmt: skip
        _, tables = walked(QLearning(alpha=0.2), mdp, 20_000)
        spread = np.var([table[0, 0] for table in tables[1000:]])
        assert spread == pytest.approx(0.2 / (2 - 0.2), rel=0.1)  # alpha / (2 - alpha) times the variance

    def test_only_what_is_near_the_path_is_learned(self):
        solution = QLearning(episodes=500, episode_steps=None).fit(EPISODIC.mdp(), run=Run(seed=0))
        best = optimum(EPISODIC.mdp())
        values = policy_values(EPISODIC.mdp(), solution.predict())
        assert values[0] == pytest.approx(best.v[0], abs=1e-9)
        assert not argmax_sets(best.q)[np.arange(25), solution.predict()].all()


class TestSarsaFigures:
    """Means over 60 seeds, 500 episodes, alpha = epsilon = 0.1, gamma = 0.9: Figures 7.2 and 7.3."""

    @pytest.mark.parametrize(
        ("cls", "first", "last", "length", "optimal"),
        [
            (Sarsa, -150, -19.3, 14.8, 46),
            (ExpectedSarsa, -137, -16.3, 12.9, 50),
            (QLearning, -140, -15.5, 12.4, 60),
        ],
    )
    def test_rewards_lengths_and_paths(self, cls, first, last, length, optimal):
        mdp = EPISODIC.mdp()
        best = optimum(mdp).v[0]
        method = cls(episodes=500, episode_steps=None, steps=10**7)
        firsts, lasts, lengths, found = [], [], [], 0
        for seed in range(60):
            solution = method.fit(mdp, run=Run(seed=seed))
            trace = solution.trace
            assert len(trace.episode_rewards) == 500
            assert trace.episode_lengths.sum() == trace.steps[-1]
            firsts.append(trace.episode_rewards[:10].mean())
            lasts.append(trace.episode_rewards[-100:].mean())
            lengths.append(trace.episode_lengths[-100:].mean())
            found += policy_values(mdp, solution.predict())[0] == pytest.approx(best, abs=1e-9)

        def near(values, expected):
            """Within three standard errors of the difference of two such means."""
            return abs(np.mean(values) - expected) < 3 * np.sqrt(2 / 60) * np.std(values) + 0.05

        assert near(firsts, first)
        assert near(lasts, last)
        assert near(lengths, length)
        assert abs(found - optimal) <= 11  # Three standard deviations of a difference of two counts.
        assert max(lasts) < -10.5  # Exploring costs something for ever.

    def test_best_total_is_minus_ten_in_eleven_moves(self):
        walker = Walker(EPISODIC.mdp(), np.random.default_rng(0))
        actions, state, rewards = EPISODIC.policy(CAUTIOUS), 0, []
        ended = False
        while not ended:
            reward, state, ended = walker.step(state, int(actions[state]))
            rewards.append(reward)
        assert (sum(rewards), len(rewards)) == (-10, 11)


class TestQLearningFigures:
    """One episode of a uniformly random behaviour, alpha = 0.1, five seeds: Figure 7.4."""

    @pytest.mark.parametrize("initial_q", RMSE_RANGES)
    def test_errors_fall_from_any_start(self, initial_q):
        mdp, ranges = BOOK.mdp(), RMSE_RANGES[initial_q]
        best = optimum(mdp)
        method = QLearningOffPolicy(initial_q=initial_q)
        errors = {steps: [] for steps in ranges}
        for seed in range(5):
            walker = Walker(mdp, np.random.default_rng(seed))
            q = [[float(initial_q)] * 5 for _ in range(25)]
            episode = method.episode(q, walker, method.behaviour(q, walker), 0.9)
            for steps, _ in enumerate(itertools.islice(episode, 100_000), start=1):
                if steps in errors:
                    errors[steps].append(state_value_rmse(best, np.array(q)))
            assert argmax_sets(best.q)[np.arange(25), np.argmax(q, axis=1)].all()
        for steps, (low, high) in ranges.items():
            # The ranges are of five other seeds: the median must lie within, give or take their width.
            width = max(high - low, 0.3 * high)
            assert low - width <= np.median(errors[steps]) <= high + width
            assert min(errors[steps]) <= high
            assert max(errors[steps]) >= low

    @pytest.mark.parametrize(("epsilon", "low", "high"), [(0.5, 0.0, 0.02), (0.1, 3.0, 3.6)])
    def test_weak_exploration_stalls_it(self, epsilon, low, high):
        mdp = BOOK.mdp()
        best = optimum(mdp)
        behaviour = tuple(BOOK.policy(CAUTIOUS).tolist())
        for seed in range(3):
            method = QLearningOffPolicy(epsilon=epsilon, behaviour_policy=behaviour)
            solution = method.fit(mdp, run=Run(seed=seed))
            assert low <= state_value_rmse(best, solution.q) <= high
            optimal = argmax_sets(best.q)[np.arange(25), solution.predict()].all()
            assert optimal == (epsilon == 0.5)


class TestFit:
    @pytest.mark.parametrize("cls", ALL)
    def test_steps_episodes_and_budgets_are_kept(self, cls):
        mdp = EPISODIC.mdp()
        assert cls(steps=1500).fit(mdp, run=Run()).trace.steps[-1] == 1500
        trace = cls(episodes=7, episode_steps=20).fit(mdp, run=Run()).trace
        assert len(trace.episode_lengths) == 7
        assert trace.episode_lengths.max() <= 20
        for amount in (1, 1023, 1024, 1025, 3000):
            trace = cls().fit(mdp, run=Run(budget=Budget(amount, "steps"))).trace
            assert trace.steps[-1] == amount
            assert trace.episode_lengths.sum() == amount
        assert cls().fit(mdp, run=Run(budget=Budget(0.02, "seconds"))).trace.steps[-1] >= 1024

    def test_snapshots_are_what_a_shorter_fit_ends_with(self):
        long = Sarsa(steps=5000).fit(BOOK.mdp(), run=Run(seed=3))
        assert long.trace.steps.tolist() == [1024, 2048, 3072, 4096, 5000]
        short = Sarsa(steps=2048).fit(BOOK.mdp(), run=Run(seed=3))
        assert np.array_equal(long.trace.v[1], short.v)
        assert np.array_equal(long.trace.actions[1], short.predict())

    def test_policies_are_those_the_values_are_of(self):
        for cls, epsilon in ((Sarsa, 0.1), (ExpectedSarsa, 0.1), (QLearning, 0.0), (QLearningOffPolicy, 0.0)):
            solution = cls(steps=3000).fit(BOOK.mdp(), run=Run())
            assert solution.policy == pytest.approx(soft(solution.q.argmax(axis=1), 5, epsilon))
            assert np.array_equal(solution.v, solution.q.max(axis=1))

    def test_a_cut_episode_goes_on_learning_from_the_state_after_the_cut(self):
        """A cut is not an end: with alpha = 1 the value of staying at the target grows beyond one reward."""
        solution = QLearning(alpha=1.0, episode_steps=5, steps=50_000, epsilon=0.5).fit(
            replace(BOOK, start=None).mdp(), run=Run()
        )
        assert solution.v == pytest.approx(optimum(BOOK.mdp()).v, abs=1e-6)

    @pytest.mark.parametrize(
        ("build", "words"),
        [
            (lambda: Sarsa(alpha=0), r"alpha must be in \(0, 1\], got 0"),
            (lambda: Sarsa(epsilon=1.5), r"epsilon must be in \[0, 1\], got 1.5"),
            (lambda: QLearning(steps=0), "steps must be at least 1, got 0"),
            (lambda: QLearning(episodes=0), "episodes must be at least 1"),
            (lambda: NStepSarsa(n=0), "n must be at least 1, got 0"),
            (
                lambda: Sarsa(episodes=5, episode_steps=None).fit(BOOK.mdp(), run=Run()),
                "grid-world: its episodes never end, so there will not be 5; expected episode_steps",
            ),
            (
                lambda: QLearningOffPolicy(behaviour_policy=7).fit(BOOK.mdp(), run=Run()),
                "expected actions from 0 to 4, got 7",
            ),
        ],
    )
    def test_errors(self, build, words):
        with pytest.raises(ValueError, match=words):
            build()

    def test_seeds_differ(self):
        tables = [Sarsa(steps=2000).fit(BOOK.mdp(), run=Run(seed=seed)).q for seed in range(3)]
        assert all(not np.array_equal(a, b) for a, b in itertools.combinations(tables, 2))
