import math

import numpy as np
import pytest
from estimation_worlds import Exact, Normal, cubic, mean_of, observations, tanh, values
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.core.run import Run
from assay.estimation.experiment import Experiment
from assay.estimation.incremental_mean import IncrementalMean
from assay.estimation.oracles import Cubic, Mean, Oracle, Tanh
from assay.estimation.populations import Coin, Square
from assay.estimation.robbins_monro import RobbinsMonro
from assay.estimation.schedules import Schedule, constant, harmonic, power
from assay.estimation.sgd import SGD
from assay.estimation.stochastic_approximation import Diverged, approximate


def steps(experiment, schedule, seed=0, **options):
    return approximate(experiment, run=Run(seed=seed), schedule=schedule, **options).values


def loop(oracle, w, schedule, count, rng):
    """The iteration, written out."""
    average = 0.0
    for k in range(1, count + 1):
        w = w - schedule.c / k**schedule.power * oracle.observe(w, rng)
        average = average + w
    return w, average / count


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([Tanh(), Mean(Coin()), Mean(Square())]),
    st.integers(1, 60),
    st.integers(1, 4),
    st.floats(0.1, 1.5),
    st.floats(0.0, 1.5),
)
def test_it_is_the_plain_loop(oracle, count, runs, c, p):
    start, schedule = np.full(oracle.shape, 2.0), Schedule(c, p)
    experiment = Experiment(oracle=oracle, start=start, samples=count, runs=runs)
    w = np.broadcast_to(start, (runs, *oracle.shape))
    last, average = loop(oracle, w, schedule, count, Run(seed=3).rng("samples"))
    assert steps(experiment, schedule, seed=3) == pytest.approx(last, rel=1e-12, abs=1e-12)
    assert steps(experiment, schedule, seed=3, averaged=True) == pytest.approx(average, rel=1e-12, abs=1e-12)


def test_batches_are_means_of_as_many_observations():
    experiment = mean_of(Normal(3, 2), samples=60, runs=4)
    x = observations(experiment).reshape(12, 5, 4)
    w = np.zeros(4)
    for k in range(12):
        w = w - 0.3 / (k + 1) ** 0.6 * (w - x[k].mean(axis=0))
    assert steps(experiment, power(0.3, 0.6), batch_size=5) == pytest.approx(w, rel=1e-12)


def test_runs_are_independent_and_a_seed_fixes_them():
    experiment = Experiment(oracle=Tanh(), start=3.0, samples=50, runs=400)
    one = steps(experiment, harmonic())
    assert np.array_equal(steps(experiment, harmonic()), one)
    assert len(np.unique(one)) == 400
    two = steps(experiment, harmonic(), seed=1)
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / math.sqrt(400)
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 4 / math.sqrt(400)


def test_the_start_is_left_alone():
    start = np.array([1.0, 2.0])
    steps(mean_of(Square(), start=start, samples=10, runs=3), harmonic())
    assert start.tolist() == [1.0, 2.0]


def test_the_chain_of_identities_incremental_mean_robbins_monro_sgd():
    experiment = mean_of(Normal(-4, 3), start=100.0, samples=300, runs=5)
    mean = values(IncrementalMean(), experiment)
    assert values(RobbinsMonro(), experiment) == pytest.approx(mean, rel=1e-12)
    assert np.array_equal(values(SGD(), experiment), values(RobbinsMonro(), experiment))
    assert mean == pytest.approx(observations(experiment).mean(axis=0), rel=1e-12)

    def gradient(w):  # Of (w - x)^2 / 2, by central differences: SGD on the loss itself.
        return ((w + 0.5 - 7.0) ** 2 - (w - 0.5 - 7.0) ** 2) / 2

    w = steps(Experiment(oracle=Exact(gradient), start=100.0, samples=1), harmonic())
    assert w == pytest.approx([7.0], rel=1e-12)  # One sample, 7, whatever the start.


@pytest.mark.parametrize("shift", [-1e6, 0.5, 1e3])
@pytest.mark.parametrize("factor", [-2.0, 0.001, 50.0])
def test_means_follow_a_change_of_units(factor, shift):
    plain = mean_of(Normal(2, 1), start=0.3, samples=80, runs=6)
    other = mean_of(Normal(factor * 2 + shift, factor), start=factor * 0.3 + shift, samples=80, runs=6)
    for schedule in (harmonic(), power(1, 0.7), constant(0.1)):
        for averaged in (False, True):
            expected = factor * steps(plain, schedule, averaged=averaged) + shift
            assert steps(other, schedule, averaged=averaged) == pytest.approx(expected, rel=1e-9, abs=1e-9)


# Divergence


def test_the_textbooks_first_example_explodes():
    w, seen = 0.0, [0.0]
    for k in range(1, 5):
        w -= cubic(w) / k
        seen.append(w)
    assert seen[:4] == [0, 5, -55, pytest.approx(55_405, abs=0.5)]
    assert seen[4] == pytest.approx(-4.25e13, rel=1e-3)
    experiment = Experiment(oracle=Exact(cubic), start=0.0, samples=1000)
    with pytest.raises(Diverged, match=r"after step 4 an estimate is -4\.25") as caught:
        values(RobbinsMonro(), experiment)
    assert caught.value.k == 4
    assert caught.value.w == pytest.approx(seen[4], rel=1e-12)


def test_nearly_all_noisy_runs_of_it_blow_up():
    from assay.estimation.metrics import blow_up_share

    def held(start):  # Far beyond the bound, but within floats.
        return lambda w, k: np.clip(w, -1e30, 1e30)

    experiment = Experiment(oracle=Cubic(), start=0.0, samples=49, runs=20_000)
    fitted = approximate(experiment, run=Run(seed=0), schedule=harmonic(), confine=held)
    assert blow_up_share(fitted.trace) == pytest.approx(0.996, abs=0.002)


@pytest.mark.parametrize(
    ("start", "converges"), [(1.65, True), (2.0, True), (1.5, False), (2.2, False), (1.8, False)]
)
def test_without_noise_it_converges_only_from_near_the_root_and_not_always(start, converges):
    experiment = Experiment(oracle=Exact(cubic), start=start, samples=2000)
    if converges:
        assert values(RobbinsMonro(), experiment) == pytest.approx([5 ** (1 / 3)], abs=1e-3)
    else:
        with pytest.raises(Diverged):
            values(RobbinsMonro(), experiment)


def test_a_falling_function_runs_away():
    falling = Exact(lambda w: -(w - 1))
    experiment = Experiment(oracle=falling, start=3.0, samples=50)
    with pytest.raises(Diverged, match="turn the sign"):
        values(SGD(c=2, power=0), experiment)
    turned = Experiment(oracle=Exact(lambda w: w - 1), start=3.0, samples=50)
    assert values(SGD(c=0.5, power=0), turned) == pytest.approx([1.0], abs=1e-12)


def test_what_is_not_a_number_or_infinite_has_diverged():
    infinite = Experiment(oracle=Exact(lambda w: np.full_like(w, -np.inf)), start=0.0, samples=3)
    with pytest.raises(Diverged, match="after step 1"):
        values(SGD(), infinite)


def test_the_bound_is_in_units_of_the_experiment():
    far = Normal(1e9, 1e8)
    with pytest.raises(Diverged):
        values(SGD(), mean_of(far, samples=10))
    assert values(SGD(), mean_of(far, samples=10, scale=1e8)) == pytest.approx([1e9], rel=0.2)


# Dvoretzky's recursion, and steps that break a condition


def test_the_stationary_variance_of_constant_steps():
    for alpha, steps_taken, variance in ((0.1, 50, 0.0526), (0.5, 15, 0.333)):
        experiment = mean_of(Normal(), samples=steps_taken, runs=200_000)
        found = steps(experiment, constant(alpha)).var()
        assert found == pytest.approx(alpha / (2 - alpha), rel=0.01)
        assert found == pytest.approx(variance, rel=0.012)


@pytest.mark.parametrize(("c", "limit"), [(1.0, 1.0), (2.0, 4 / 3)])
def test_the_variance_of_steps_c_over_k(c, limit):
    experiment = mean_of(Normal(), samples=2000, runs=4000)
    found = 2000 * steps(experiment, harmonic(c)).var()
    assert found == pytest.approx(limit, abs=5 * limit * math.sqrt(2 / 4000))


def test_steps_shorter_than_half_converge_more_slowly():
    scaled = [
        math.sqrt(count) * steps(mean_of(Normal(), start=1.0, samples=count, runs=500), harmonic(0.3)).std()
        for count in (100, 2000)
    ]
    errors = [
        math.sqrt(
            count * np.mean(steps(mean_of(Normal(), start=1.0, samples=count, runs=500), harmonic(0.3)) ** 2)
        )
        for count in (100, 2000)
    ]
    assert scaled[1] > 1.1 * scaled[0]
    assert errors[1] > 1.5 * errors[0]


def test_noise_that_depends_on_the_state_moves_the_limit():
    oracle = Exact(lambda w: (w - 1) + 0.5 * w, noise=1.0)  # The noise has mean w / 2 instead of zero.
    found = steps(Experiment(oracle=oracle, start=0.0, samples=2000, runs=500), harmonic())
    assert found.mean() == pytest.approx(2 / 3, abs=5 * found.std() / math.sqrt(500))
    assert found.mean() < 0.9


# Clocks of single variables; temporal differences as stochastic approximation


def test_a_variable_that_is_not_seen_keeps_its_clock():
    class Sometimes(Oracle):
        shape = (3,)

        def observe(self, w, rng):
            seen = w - rng.normal([10.0, 20.0, 30.0], 1.0, w.shape)
            return np.where(rng.random(w.shape) < [0.9, 0.3, 0.0], seen, np.nan)

    experiment = Experiment(oracle=Sometimes(), start=np.full(3, 5.0), samples=200, runs=3)
    rng = Run(seed=0).rng("samples")
    w, visits = np.full((3, 3), 5.0), np.zeros((3, 3))
    for _ in range(200):
        seen = Sometimes().observe(w, rng)
        for at in np.ndindex(3, 3):
            if not math.isnan(seen[at]):
                visits[at] += 1
                w[at] -= seen[at] / visits[at]
    found = steps(experiment, harmonic())
    assert found == pytest.approx(w, rel=1e-12)
    assert (found[:, 2] == 5.0).all()  # Never seen, never moved.


TRANSITIONS = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
REWARDS = np.array([1.0, -2.0, 3.0])
GAMMA = 0.6


class BellmanEquation(Oracle):
    """v(s) - (r(s) + gamma v(s')) for a sampled s'; with `single`, for one state at a time."""

    shape = (3,)

    def __init__(self, single):
        self.single = single

    def observe(self, w, rng):
        following = (rng.random(w.shape)[..., None] > TRANSITIONS.cumsum(axis=1)).sum(axis=-1)
        seen = w - (REWARDS + GAMMA * np.take_along_axis(w, following, axis=-1))
        if self.single:
            visited = rng.integers(0, 3, w.shape[:-1])[..., None]
            seen = np.where(np.arange(3) == visited, seen, np.nan)
        return seen


def temporal_differences(seed, count, single):
    """TD(0), in the textbook's form, with step sizes 1 / (visits of the state)^0.8."""
    rng = Run(seed=seed).rng("samples")
    v, visits = np.zeros(3), np.zeros(3)
    for _ in range(count):
        following = [(u > TRANSITIONS[s].cumsum()).sum() for s, u in enumerate(rng.random((1, 3))[0])]
        states = [int(rng.integers(0, 3, 1)[0])] if single else range(3)
        old = v.copy()
        for s in states:
            visits[s] += 1
            v[s] = old[s] + visits[s] ** -0.8 * (REWARDS[s] + GAMMA * old[following[s]] - old[s])
    return v


@pytest.mark.parametrize("single", [False, True])
def test_temporal_differences_are_robbins_monro_on_the_bellman_equation(single):
    experiment = Experiment(oracle=BellmanEquation(single), start=np.zeros(3), samples=300)
    found = steps(experiment, power(1, 0.8), seed=5)
    assert found[0] == pytest.approx(temporal_differences(5, 300, single), rel=1e-12)


def test_their_limit_is_the_value_of_the_process_only_by_clocks_of_the_states():
    exact = np.linalg.solve(np.eye(3) - GAMMA * TRANSITIONS, REWARDS)
    experiment = Experiment(oracle=BellmanEquation(True), start=np.zeros(3), samples=3000, runs=100)
    found = steps(experiment, harmonic(2.0))
    error = np.abs(found.mean(axis=0) - exact)
    assert (error < 5 * found.std(axis=0) / math.sqrt(100) + 0.01).all()
    # By a clock for all states a first visit may come late and weigh little: 1/k forgets the start slowly.
    rare = Experiment(oracle=Seldom(), start=np.full(2, 100.0), samples=1000, runs=50)
    assert steps(rare, harmonic())[:, 1] == pytest.approx(1.0, abs=1e-9)


class Seldom(Oracle):
    """w - 1, seen without noise; the second variable in one of fifty observations."""

    shape = (2,)

    def observe(self, w, rng):
        return np.where(rng.random(w.shape) < [1.0, 0.02], w - 1.0, np.nan)


def test_q_learning_is_robbins_monro_on_the_bellman_optimality_equation():
    following = np.array([[0, 1], [2, 0], [2, 1]])
    rewards = np.array([[0.0, 1.0], [5.0, -1.0], [0.5, 0.0]])

    class Optimality(Oracle):
        shape = (6,)

        def observe(self, w, rng):
            q = w.reshape(*w.shape[:-1], 3, 2)
            target = rewards + rng.normal(size=q.shape) + GAMMA * q.max(axis=-1)[..., following]
            return (q - target).reshape(w.shape)

    q = np.zeros((3, 2))
    for _ in range(200):
        q = rewards + GAMMA * q.max(axis=1)[following]
    experiment = Experiment(oracle=Optimality(), start=np.zeros(6), samples=4000, runs=100)
    found = steps(experiment, power(1, 0.7), averaged=True).mean(axis=0)
    assert found.reshape(3, 2) == pytest.approx(q, abs=0.1)
    assert np.array_equal(found.reshape(3, 2).argmax(axis=1), q.argmax(axis=1))


def test_a_saturated_function_is_crossed_slowly():
    far = Experiment(oracle=Exact(tanh), start=30.0, samples=1000)
    walked = sum(1 / k for k in range(1, 1001))
    assert walked == pytest.approx(7.485, abs=5e-4)
    assert steps(far, harmonic()) == pytest.approx([22.51], abs=0.006)
    assert steps(far, power(1, 0.5)) == pytest.approx([1.0], abs=1e-3)


def test_summable_steps_stop_short():
    found = approximate(
        Experiment(oracle=Exact(tanh), start=3.0, samples=20_000), run=Run(), schedule=power(1, 2)
    )
    assert found.values == pytest.approx([1.5968], abs=1e-4)
    assert "sum a_k is finite" in found.notes[0]
