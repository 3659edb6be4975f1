"""What the textbooks say about control, as comparisons that can fail."""

from itertools import islice

import numpy as np

from assay.control import metrics
from assay.control.bellman_equation import policy_values
from assay.control.episodes import Averages, Players
from assay.control.expected_sarsa import ExpectedSarsa
from assay.control.grid_world import GridWorld
from assay.control.mc_basic import MCBasic
from assay.control.mc_epsilon_greedy import MCEpsilonGreedy
from assay.control.mdp import MDP, Actions
from assay.control.policy import greedy, soft
from assay.control.policy_iteration import PolicyIteration, policy_iterates
from assay.control.q_learning import QLearning
from assay.control.q_learning_off_policy import QLearningOffPolicy
from assay.control.sarsa import Sarsa
from assay.control.solution import Solution
from assay.control.sources import read_mdp
from assay.control.temporal_difference import TemporalDifference
from assay.control.truncated_policy_iteration import truncated_iterates
from assay.core.claim import Claim, Prediction
from assay.core.run import Run, Scale

_ZHAO = "Zhao, Mathematical Foundations of Reinforcement Learning, Springer 2025"
_SUTTON = "Sutton and Barto, Reinforcement Learning: An Introduction, 2nd edition, MIT Press 2018"

_CAREFUL = GridWorld(r_forbidden=-10)
_EPISODIC = GridWorld(r_target=0, r_forbidden=-10, r_boundary=-10, r_other=-1, target_terminal=True)
_CAREFUL_POLICY = "RRRRD UURRD ULDRD URSLD URULL"  # optimal in the careful world
_WITHIN = 1e-3
_IMPROVEMENTS, _EPISODES, _EPISODE_STEPS = 10, 10_000, 100  # a million steps for every policy
_RUNS = 8  # of which a seed reports the mean, where a single run is one of two outcomes


def _random_policy(mdp: MDP, seed: int) -> Actions:
    return np.random.default_rng([seed, 1]).integers(mdp.num_actions, size=mdp.num_states)


def _loss(mdp: MDP, solution: Solution) -> float:
    """The mean regret over all states of what a solution does."""
    return metrics.mean_regret(metrics.optimum(mdp), policy_values(mdp, solution.predict()))


def _truncation(seed: int, scale: Scale) -> dict[str, float]:
    mdp = _CAREFUL.mdp()
    best = metrics.optimum(mdp)
    actions = _random_policy(mdp, seed)
    start = policy_values(mdp, actions)

    def needed(iterates) -> int:
        return next(
            count for count, (v, *_) in enumerate(iterates, start=1) if metrics.sup_error(best, v) < _WITHIN
        )

    improved = islice(policy_iterates(mdp, actions), 1, None)
    return {
        "value iteration": needed(truncated_iterates(mdp, start, 1)),
        "truncated, 5 sweeps": needed(truncated_iterates(mdp, start, 5)),
        "policy iteration": needed(improved),
    }


def _episode_length(seed: int, scale: Scale) -> dict[str, float]:
    mdp = _CAREFUL.mdp()
    actions = tuple(_random_policy(mdp, seed).tolist())
    found = {
        length: MCBasic(episode_steps=length, initial_policy=actions).fit(mdp, run=Run(seed=seed))
        for length in (14, 15, 30, 100)
    }
    corner = _CAREFUL.state((5, 1))
    return {
        "corner at 14 steps": float(found[14].v[corner]),
        "corner at 15 steps": float(found[15].v[corner]),
        "minus mean regret at 30 steps": -_loss(mdp, found[30]),
        "minus value error at 100 steps": -metrics.sup_error(metrics.optimum(mdp), found[100].v),
    }


def _soft_optimum(seed: int, scale: Scale) -> dict[str, float]:
    mdp = _CAREFUL.mdp()
    start = tuple(_random_policy(mdp, seed).tolist())
    found = {
        epsilon: PolicyIteration(epsilon=epsilon, initial_policy=start).fit(mdp, run=Run(seed=seed))
        for epsilon in (0.1, 0.2)
    }
    return {
        "minus mean regret at 0.1": -_loss(mdp, found[0.1]),
        "mean regret at 0.2": _loss(mdp, found[0.2]),
    }


def _learned_soft_optimum(seed: int, scale: Scale) -> dict[str, float]:
    mdp = GridWorld(r_forbidden=-10, start=None).mdp()
    values = {}
    for epsilon in (0.1, 0.2):
        method = MCEpsilonGreedy(epsilon=epsilon, steps=2_000_000, batch=100)
        values[f"learned mean regret at {epsilon:g}"] = _loss(mdp, method.fit(mdp, run=Run(seed=seed)))
    return values


def _soft_optimum_anew(seed: int, scale: Scale) -> dict[str, float]:
    """As above, but the averages of a policy's returns begin anew with the policy."""
    mdp = GridWorld(r_forbidden=-10, start=None).mdp()
    episodes = 100 if scale == "smoke" else _EPISODES
    values = {}
    for epsilon in (0.1, 0.2):
        players = Players(mdp, np.random.default_rng([seed, 2]))
        policy = np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
        actions = policy.argmax(axis=1)
        for _ in range(_IMPROVEMENTS):
            averages = Averages.empty(mdp)
            played = players.play(policy, players.starts(episodes), _EPISODE_STEPS)
            averages.add(played, played.returns(mdp.gamma), played.complete(mdp.gamma, 0.01))
            actions = greedy(averages.q(), ties="keep", current=actions)
            policy = soft(actions, mdp.num_actions, epsilon)
        regret = metrics.mean_regret(metrics.optimum(mdp), policy_values(mdp, actions))
        values[f"learned mean regret at {epsilon:g}"] = regret
    return values


def _any_start(seed: int, scale: Scale) -> dict[str, float]:
    mdp = GridWorld().mdp()
    best = metrics.optimum(mdp)
    values = {}
    for initial in (0, 10, 100):
        solution = QLearningOffPolicy(initial_q=initial).fit(mdp, run=Run(seed=seed))
        values[f"minus RMSE from {initial}"] = -metrics.state_value_rmse(best, solution.q)
    return values


def _weak_exploration(seed: int, scale: Scale) -> dict[str, float]:
    mdp = GridWorld().mdp()
    best = metrics.optimum(mdp)
    behaviour = tuple(_CAREFUL.policy(_CAREFUL_POLICY).tolist())
    values = {}
    for epsilon in (0.1, 0.5):
        method = QLearningOffPolicy(epsilon=epsilon, behaviour_policy=behaviour)
        solution = method.fit(mdp, run=Run(seed=seed))
        values[f"RMSE at {epsilon:g}"] = metrics.state_value_rmse(best, solution.q)
    return values


def _episodes(method: TemporalDifference, mdp: MDP, seed: int) -> tuple[float, float]:
    """Mean reward of the last 100 episodes, and the share of runs whose greedy path is optimal."""
    best = metrics.optimum(mdp)
    rewards, regrets = [], []
    for run in range(_RUNS):
        solution = method.fit(mdp, run=Run(seed=_RUNS * seed + run))
        rewards.append(solution.trace.episode_rewards[-100:].mean())
        regrets.append(metrics.regret(mdp, best, policy_values(mdp, solution.predict())))
    return float(np.mean(rewards)), float(np.mean(np.array(regrets) == 0))


def _online(seed: int, scale: Scale) -> dict[str, float]:
    limits = {"episodes": 500, "episode_steps": None, "steps": 1_000_000}
    values = {}
    for name, cls in (("sarsa", Sarsa), ("expected sarsa", ExpectedSarsa), ("q-learning", QLearning)):
        reward, optimal = _episodes(cls(**limits), _EPISODIC.mdp(), seed)
        values |= {f"{name} reward": reward, f"{name} optimal": optimal}
    return values


def _cliff(seed: int, scale: Scale) -> dict[str, float]:
    mdp = read_mdp("CliffWalking-v1", gamma=0.9999)
    limits = {"episodes": 500, "episode_steps": None, "steps": 1_000_000, "alpha": 0.5}
    values = {}
    for name, cls in (("sarsa", Sarsa), ("q-learning", QLearning)):
        reward, optimal = _episodes(cls(**limits), mdp, seed)
        values |= {f"{name} reward": reward, f"{name} optimal": optimal}
    return values


claims = (
    Claim(
        name="control/truncation-is-in-between",
        statement="From the same policy, truncated policy iteration needs fewer iterations than value "
        "iteration and no fewer than policy iteration.",
        source=f"{_ZHAO}, Section 4.3 and Figure 4.5",
        predictions=(
            Prediction(greater="value iteration", smaller="truncated, 5 sweeps", margin=1),
            Prediction(greater="truncated, 5 sweeps", smaller="policy iteration", margin=-0.5),
        ),
        measure=_truncation,
        shrunk="nothing; the first policy is drawn by the seed, and an iteration counts when every value is "
        "within 0.001",
        seeds=20,
    ),
    Claim(
        name="control/episodes-must-be-long-enough",
        statement="MC Basic finds nothing of a target 15 steps away by episodes of 14 steps; 30 steps give "
        "an optimal policy and 100 the optimal values.",
        source=f"{_ZHAO}, Section 5.2 and Figure 5.4",
        predictions=(
            Prediction(greater="corner at 15 steps", smaller="corner at 14 steps", margin=0.2),
            Prediction(greater="minus mean regret at 30 steps", margin=-1e-6),
            Prediction(greater="minus value error at 100 steps", margin=-1e-3),
        ),
        measure=_episode_length,
        shrunk="nothing; the first policy is drawn by the seed",
    ),
    Claim(
        name="control/exploration-costs-optimality",
        statement="The best epsilon-greedy policy chooses as an optimal policy does at epsilon 0.1, and no "
        "longer does at 0.2.",
        source=f"{_ZHAO}, Section 5.4 and Figure 5.7",
        predictions=(
            Prediction(greater="minus mean regret at 0.1", margin=-1e-6),
            Prediction(greater="mean regret at 0.2", margin=0.5),
        ),
        measure=_soft_optimum,
        shrunk="nothing: exact policy iteration among the soft policies, from a policy drawn by the seed",
    ),
    Claim(
        name="control/mc-epsilon-greedy-learns-the-soft-optimum",
        statement="MC epsilon-greedy learns to choose as an optimal policy does at epsilon 0.1, not at 0.2.",
        source=f"{_ZHAO}, Section 5.4 and Figure 5.7",
        predictions=(
            Prediction(
                greater="learned mean regret at 0.2", smaller="learned mean regret at 0.1", margin=0.5
            ),
        ),
        measure=_learned_soft_optimum,
        shrunk="two million steps in episodes of 100, with 100 episodes between improvements; the textbook "
        "plays a million steps between improvements",
        finding="At both values it learns to keep away from the target. While nothing is known it acts at "
        "random, and next to the target random steps end in forbidden cells that cost 10, so that the first "
        "returns from there are bad. The average over all episodes does not forget them, and a policy that "
        "keeps away hardly gathers others. That the best soft policies differ as the textbook says is "
        "control/exploration-costs-optimality, which computes them.",
    ),
    Claim(
        name="control/mc-epsilon-greedy-evaluated-anew",
        statement="Evaluated anew by a million steps before every improvement, MC epsilon-greedy learns to "
        "choose as an optimal policy does at epsilon 0.1, not at 0.2.",
        source=f"{_ZHAO}, Section 5.4 and Figure 5.7",
        predictions=(
            Prediction(
                greater="learned mean regret at 0.2", smaller="learned mean regret at 0.1", margin=0.5
            ),
        ),
        measure=_soft_optimum_anew,
        shrunk="ten improvements; the million steps are 10,000 episodes of 100 from all cells, where the "
        "textbook plays one episode",
    ),
    Claim(
        name="control/q-learning-converges-from-any-start",
        statement="Off-policy Q-learning comes to the optimal values from initial values of 0, 10 and 100.",
        source=f"{_ZHAO}, Section 7.4 and Figure 7.4",
        predictions=tuple(
            Prediction(greater=f"minus RMSE from {initial}", margin=-0.1) for initial in (0, 10, 100)
        ),
        measure=_any_start,
        shrunk="nothing: 100,000 steps of a uniformly random behaviour, alpha 0.1",
    ),
    Claim(
        name="control/weak-exploration-stalls-q-learning",
        statement="Off-policy Q-learning stays far from the optimal values after 100,000 steps of a "
        "behaviour that explores with epsilon 0.1, and reaches them with 0.5.",
        source=f"{_ZHAO}, Section 7.4 and Figure 7.5",
        predictions=(Prediction(greater="RMSE at 0.1", smaller="RMSE at 0.5", margin=1),),
        measure=_weak_exploration,
        shrunk="nothing",
    ),
    Claim(
        name="control/q-learning-finds-the-path-more-often",
        statement="After 500 episodes in the grid world Q-learning's greedy path is optimal more often than "
        "Sarsa's, and it collects more reward while it explores; expected Sarsa collects more than Sarsa.",
        source=f"{_ZHAO}, Sections 7.2 to 7.4 and Figures 7.2 and 7.3",
        predictions=(
            Prediction(greater="q-learning optimal", smaller="sarsa optimal", margin=0.05),
            Prediction(greater="q-learning reward", smaller="sarsa reward", margin=1),
            Prediction(greater="expected sarsa reward", smaller="sarsa reward", margin=0),
        ),
        measure=_online,
        shrunk="nothing; a seed is the mean of eight runs",
        seeds=8,
    ),
    Claim(
        name="control/sarsa-collects-more-beside-a-cliff",
        statement="Beside a cliff Sarsa collects more reward while it explores than Q-learning, whose greedy "
        "path is optimal more often.",
        source=f"{_SUTTON}, Example 6.6",
        predictions=(
            Prediction(greater="sarsa reward", smaller="q-learning reward", margin=10),
            Prediction(greater="q-learning optimal", smaller="sarsa optimal", margin=0.5),
        ),
        measure=_cliff,
        shrunk="nothing but the discount: 0.9999 instead of 1; a seed is the mean of eight runs",
    ),
)
