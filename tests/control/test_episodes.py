import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, CAUTIOUS, EPISODIC, outcomes, random_mdp
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.control.episodes import (
    Averages,
    Episodes,
    Players,
    Walker,
    cumulative_probabilities,
    epsilon_greedy,
)
from assay.control.mdp import MDP
from assay.control.policy import soft

UNIFORM = np.full((25, 5), 0.2)


def episodes(states, actions, rewards, played=None, ended=(False,)):
    """A batch written down by hand, one row per step."""
    columns = [np.array(column).reshape(len(states), -1) for column in (states, actions, rewards)]
    played = (
        np.ones(columns[0].shape, bool) if played is None else np.array(played, bool).reshape(len(states), -1)
    )
    return Episodes(
        *columns[:2], columns[2].astype(float), played, np.zeros(played.shape[1], int), np.array(ended)
    )


class TestReturns:
    def test_walk_back(self):
        batch = episodes([0, 1, 2], [0, 0, 0], [0, 0, 1])
        assert batch.returns(0.9)[:, 0] == pytest.approx([0.81, 0.9, 1.0])

    @given(st.integers(0, 10**6))
    @settings(max_examples=10, deadline=None)
    def test_equal_discounted_sums(self, seed):
        rng = np.random.default_rng(seed)
        rewards = rng.normal(size=(int(rng.integers(1, 8)), 3))
        batch = episodes(np.zeros_like(rewards, int), np.zeros_like(rewards, int), rewards, ended=[False] * 3)
        for time in range(len(rewards)):
            expected = sum(0.7**k * rewards[time + k] for k in range(len(rewards) - time))
            assert batch.returns(0.7)[time] == pytest.approx(expected, abs=1e-12)

    def test_a_cut_episode_is_complete_only_far_from_the_cut(self):
        batch = episodes([[0, 0]] * 4, [[0, 0]] * 4, [[1, 1]] * 4, ended=[False, True])
        assert batch.complete(0.5, 0.25).tolist() == [[True, True]] * 3 + [[False, True]]
        assert batch.complete(0.5, 1.0).all()
        assert batch.complete(0.0, 0.01).all()

    def test_first_visits(self):
        # Pairs (0,0) (1,0) (0,0) (0,1) in the first episode; (0,0) twice in the second, then it is over.
        batch = episodes(
            [[0, 0], [1, 0], [0, 0], [0, 0]],
            [[0, 0], [0, 0], [0, 0], [1, 0]],
            np.zeros((4, 2)),
            played=[[1, 1], [1, 1], [1, 0], [1, 0]],
            ended=[False, True],
        )
        assert batch.first_visits(2).tolist() == [[True, True], [True, False], [False, False], [True, False]]


class TestAverages:
    MDP_OF_TWO = MDP.of_transitions(
        [0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1], np.ones(4), np.zeros(4), np.zeros(4, bool),
        num_states=2, num_actions=2, gamma=0.5, start=[1, 0],
    )  # fmt: skip

    def test_every_and_first_visits_of_a_repeat(self):
        batch = episodes([0, 1, 0], [1, 0, 1], [1, 2, 4])
        returns = batch.returns(0.5)
        assert returns[:, 0].tolist() == [3, 4, 4]
        every, first = Averages.empty(self.MDP_OF_TWO), Averages.empty(self.MDP_OF_TWO)
        every.add(batch, returns, batch.played)
        first.add(batch, returns, batch.first_visits(2))
        assert every.q().tolist() == [[-np.inf, 3.5], [4, -np.inf]]
        assert first.q().tolist() == [[-np.inf, 3], [4, -np.inf]]
        assert every.counts.tolist() == [[0, 2], [1, 0]]

    def test_counts_are_shared_across_episodes(self):
        averages = Averages.empty(self.MDP_OF_TWO)
        for reward in (1, 3, 8):
            batch = episodes([0], [0], [reward])
            averages.add(batch, batch.returns(0.5), batch.played)
        assert averages.q()[0, 0] == 4
        assert averages.counts[0, 0] == 3

    def test_negative_returns_beat_what_was_never_tried(self):
        averages = Averages.empty(self.MDP_OF_TWO)
        batch = episodes([0], [1], [-7])
        averages.add(batch, batch.returns(0.5), batch.played)
        assert averages.q()[0].argmax() == 1


class TestPlayers:
    def test_a_deterministic_policy_in_a_deterministic_world(self):
        players = Players(CAREFUL.mdp(), np.random.default_rng(0))
        played = players.play(soft(CAREFUL.policy(CAUTIOUS), 5, 0.0), np.array([0, 24]), 30)
        path = played.states[:, 0].tolist()
        assert path[:12] == [0, 1, 2, 3, 4, 9, 14, 19, 24, 23, 22, 17]
        assert played.returns(0.9)[0, 0] == pytest.approx(3.486784401 - 0.9**30 * 10)
        assert not played.ended.any()
        assert played.num_steps == 60

    def test_episodes_end_and_stay_ended(self):
        policy = soft(EPISODIC.policy(CAUTIOUS), 5, 0.0)
        played = Players(EPISODIC.mdp(), np.random.default_rng(0)).play(policy, np.array([0, 22]), 50)
        assert played.played.sum(axis=0).tolist() == [11, 1]
        assert len(played.played) == 11  # It stops when all have ended.
        assert played.rewards.sum(axis=0).tolist() == [-10, 0]
        assert played.rewards[1:, 1].tolist() == [0] * 10
        assert played.ended.all()
        assert played.final.tolist() == [17, 17]

    def test_first_actions_are_taken_and_inputs_left_alone(self):
        states, actions = np.array([0, 0]), np.array([1, 2])
        played = Players(BOOK.mdp(), np.random.default_rng(0)).play(UNIFORM, states, 2, actions)
        assert played.actions[0].tolist() == [1, 2]
        assert played.states[1].tolist() == [1, 5]
        assert states.tolist() == [0, 0]

    def test_outcomes_and_actions_have_their_probabilities(self):
        rng = np.random.default_rng(7)
        mdp = random_mdp(rng, 4, 3)
        policy = rng.dirichlet(np.ones(3), size=4)
        players = Players(mdp, np.random.default_rng(1))
        count = 40_000
        played = players.play(policy, np.full(count, 2), 1)
        assert np.bincount(played.actions[0], minlength=3) / count == pytest.approx(policy[2], abs=0.01)
        first = players.play(policy, np.full(count, 3), 1, np.full(count, 1))
        expected = np.zeros(4)
        for prob, following, _, _ in outcomes(mdp, 3, 1):
            expected[following] += prob
        assert np.bincount(first.final, minlength=4) / count == pytest.approx(expected, abs=0.01)
        assert np.bincount(players.starts(count), minlength=4) / count == pytest.approx(mdp.start, abs=0.01)

    def test_cumulative_probabilities_ascend_and_end_on_whole_numbers(self):
        mdp = random_mdp(np.random.default_rng(8), 30, 4)
        bounds = cumulative_probabilities(mdp)
        assert (np.diff(bounds) >= 0).all()
        assert bounds[mdp.offsets[1:] - 1] == pytest.approx(np.arange(1, 121), abs=1e-9)

    def test_same_seed_same_episodes(self):
        mdp = random_mdp(np.random.default_rng(9))
        policy = np.full((6, 3), 1 / 3)
        one, two = (
            Players(mdp, np.random.default_rng(5)).play(policy, np.zeros(8, int), 20) for _ in range(2)
        )
        assert np.array_equal(one.states, two.states)
        assert np.array_equal(one.rewards, two.rewards)


class TestVisits:
    """Figures 5.5 and 5.8: how often an episode of a million steps comes to each of the 125 pairs."""

    STEPS = 1_000_000

    def expected(self, policy):
        """Of the stationary distribution, the left eigenvector of the chain."""
        transition = BOOK.mdp().under(policy).transition
        system = np.vstack([transition.T - np.eye(25), np.ones(25)])
        stationary = np.linalg.lstsq(system, np.append(np.zeros(25), 1.0), rcond=None)[0]
        return self.STEPS * stationary[:, None] * policy

    def test_uniform_policy_visits_all_pairs_alike(self):
        assert self.expected(UNIFORM) == pytest.approx(np.full((25, 5), 8000), abs=1e-6)
        played = Players(BOOK.mdp(), np.random.default_rng(0)).play(UNIFORM, np.arange(1000) % 25, 1000)
        pairs = np.bincount((played.states * 5 + played.actions).ravel(), minlength=125)
        assert pairs.sum() == self.STEPS
        assert pairs.min() > 7500
        assert pairs.max() < 8500

    @pytest.mark.parametrize(
        ("letters", "low", "high"),
        [
            (CAUTIOUS, 404, 205_328),  # Figure 5.6 (d), to which the text refers
            ("DRRDD DDDDD RDDDL RRSLL URULL", 31, 297_693),  # Figure 5.5, which the printed bars match
        ],
    )
    def test_soft_policies_visit_some_pairs_rarely(self, letters, low, high):
        expected = self.expected(soft(BOOK.policy(letters), 5, 0.5))
        assert expected.min() == pytest.approx(low, abs=0.5)
        assert expected.max() == pytest.approx(high, abs=0.5)


class TestWalker:
    def test_walks_like_the_players(self):
        rng = np.random.default_rng(3)
        mdp = random_mdp(rng, 4, 2)
        walker = Walker(mdp, np.random.default_rng(0))
        seen = [walker.step(1, 1) for _ in range(20_000)]
        expected: dict[tuple, float] = {}
        for prob, following, reward, ended in outcomes(mdp, 1, 1):
            key = (reward, following, ended)
            expected[key] = expected.get(key, 0) + prob
        assert set(seen) == set(expected)
        for key, prob in expected.items():
            assert seen.count(key) / len(seen) == pytest.approx(prob, abs=0.015)
        starts = np.bincount([walker.start() for _ in range(20_000)], minlength=4) / 20_000
        assert starts == pytest.approx(mdp.start, abs=0.015)

    def test_deterministic_steps(self):
        walker = Walker(EPISODIC.mdp(), np.random.default_rng(0))
        assert walker.start() == 0
        assert walker.step(0, 1) == (-1.0, 1, False)
        assert walker.step(0, 0) == (-10.0, 0, False)
        assert walker.step(22, 0) == (0.0, 17, True)

    def test_epsilon_greedy_draws_the_best_and_breaks_ties_at_random(self):
        walker = Walker(BOOK.mdp(), np.random.default_rng(1))
        q = [[0.0, 2.0, 2.0, 1.0, 0.0]]
        choose = epsilon_greedy(q, 0.5, walker.draw)
        share = np.bincount([choose(0) for _ in range(20_000)], minlength=5) / 20_000
        assert share == pytest.approx([0.1, 0.35, 0.35, 0.1, 0.1], abs=0.015)
        q[0][3] = 5.0  # It looks at q as it is now.
        assert np.bincount([choose(0) for _ in range(2000)], minlength=5).argmax() == 3
        q[0][:] = [0.0] * 5
        assert {epsilon_greedy(q, 0.0, walker.draw)(0) for _ in range(200)} == set(range(5))
