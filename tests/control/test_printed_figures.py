"""Every figure the textbook prints about its grid world, to the printed decimal (rounded ones to more)."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from control_worlds import BOOK, CAREFUL, CAUTIOUS, EPISODIC, SMALL, letters_of, table

from assay.control.bellman_equation import policy_values
from assay.control.grid_world import GridWorld
from assay.control.mc_basic import MCBasic
from assay.control.metrics import optimum
from assay.control.policy import argmax_sets, soft
from assay.control.policy_iteration import policy_iterates
from assay.control.value_iteration import value_iterates
from assay.core.run import Run

A = """
   5.832   5.580   6.200   6.480   5.832   |D    R    D    D    DL
   6.480   7.200   8.000   7.200   6.480   |D    D    D    D    DL
   7.200   8.000  10.000   8.000   7.200   |RD   RD   D    DL   DL
   8.000  10.000  10.000  10.000   8.000   |R    R    S    L    L
   7.200   9.000  10.000   9.000   8.100   |U    R    U    L    L
"""
B = """
   0.001953   0.003906   0.007812   0.015625   0.031250   |R    R    R    RD   D
   0.000977   0.001953   0.015625   0.031250   0.062500   |U    U    R    RD   D
   0.000488   0.000244   2.000000   0.062500   0.125000   |U    L    D    R    D
   0.000244   2.000000   2.000000   2.000000   0.250000   |U    R    S    L    D
   0.000122   1.000000   2.000000   1.000000   0.500000   |U    R    U    L    L
"""
C = """
   0   0   0   0   0   |RDS  RLS  RLS  RDLS  DLS
   0   0   0   0   0   |UDS  UDL  UR   URDS  UDLS
   0   0   1   0   0   |URDS  LS   D    URS  UDLS
   0   1   1   1   0   |UDS  R    S    L    UDS
   0   0   1   0   0   |US   RL   U    RLS  ULS
"""
D = """
   3.4868   3.8742   4.3047   4.7830   5.3144   |R    R    R    RD   D
   3.1381   3.4868   4.7830   5.3144   5.9049   |U    U    R    RD   D
   2.8243   2.5419  10.0000   5.9049   6.5610   |U    L    D    R    D
   2.5419  10.0000  10.0000  10.0000   7.2900   |U    R    S    L    D
   2.2877   9.0000  10.0000   9.0000   8.1000   |U    R    U    L    L
"""
R = """
  -6.561  -7.290  -8.100  -9.000 -10.000
  -8.461  -8.290  -8.100  -9.000 -10.000
  -7.461  -8.290  -8.100  -9.000 -10.000
  -7.471  -7.190  -9.100  -9.000 -10.000
  -7.561  -7.290  -8.100  -9.000 -10.000
"""
U = """
  -3.8463  -3.8138  -3.6442  -3.1209  -3.2350
  -3.7936  -3.8473  -3.8004  -3.1063  -2.9241
  -3.5724  -3.8965  -3.3817  -3.1944  -2.9444
  -3.9008  -3.6159  -3.4031  -2.8976  -3.2393
  -4.4589  -4.1608  -3.3858  -3.3634  -3.4532
"""
E = {
    0.1: """
   0.424   0.530   0.873   1.259   1.443
   0.139   0.044   0.532   1.262   1.670
   0.089  -0.411   3.371   1.355   1.910
  -0.094   3.383   3.338   3.669   2.182
  -0.287   2.592   3.699   3.068   2.684
""",
    0.2: """
  -2.208  -2.381  -2.091  -1.714  -1.843
  -2.479  -3.038  -3.308  -2.266  -1.987
  -2.292  -3.344  -2.532  -2.804  -2.191
  -2.548  -2.520  -2.832  -2.046  -2.408
  -2.829  -3.248  -2.093  -2.343  -2.172
""",
    0.5: """
  -7.973  -8.960  -8.437  -7.217  -7.775
  -8.685 -10.816 -12.387  -9.559  -8.938
  -8.253 -12.308 -15.306 -12.309 -10.498
  -9.665 -15.471 -17.034 -14.388 -12.215
 -10.852 -16.700 -15.231 -14.307 -12.364
""",
}
F = {
    0.1: """
   0.424   0.530   0.873   1.259   1.443   |R    R    R    R    D
   0.139   0.044   0.532   1.262   1.670   |U    U    R    R    D
   0.089  -0.411   3.371   1.355   1.910   |U    L    D    R    D
  -0.094   3.383   3.338   3.669   2.182   |U    R    S    L    D
  -0.287   2.592   3.699   3.068   2.684   |U    R    U    L    L
""",
    0.2: """
  -1.090  -1.492  -1.128  -0.624  -0.610   |S    L    R    R    D
  -1.492  -2.230  -2.267  -1.037  -0.584   |U    U    R    R    S
  -1.134  -2.385  -2.228  -1.490  -0.619   |S    L    R    R    U
  -1.563  -2.264  -2.611  -1.419  -1.071   |U    R    S    R    U
  -1.982  -2.956  -1.786  -1.398  -0.982   |U    R    R    R    S
""",
    0.5: """
  -4.282  -5.496  -4.501  -2.594  -2.321   |S    L    R    R    S
  -5.602  -7.664  -7.720  -4.098  -2.405   |U    U    R    R    U
  -5.466  -8.970  -7.977  -5.579  -2.776   |S    L    R    R    U
  -6.788  -8.926  -9.386  -5.452  -4.174   |U    L    D    R    U
  -7.905 -10.054  -6.721  -5.114  -3.700   |U    R    R    R    S
""",
}
G = {
    "both": """
  -0.339  -0.327  -0.095   0.215   0.003
  -0.034   0.153   0.392   0.527   0.339
   0.350   0.623   2.045   0.915   0.611
   0.594   2.107   2.384   2.308   0.853
   0.193   1.340   2.392   1.704   1.092
""",
    "boundary": """
  -0.326  -0.318  -0.087   0.224   0.011
  -0.017   0.171   0.405   0.538   0.348
   0.370   0.647   2.061   0.928   0.623
   0.620   2.138   2.402   2.324   0.867
   0.232   1.490   2.423   1.729   1.112
""",
}
N = {
    1: """
   0.000   0.000   0.000   0.000   0.000
   0.000   0.000   0.000   0.000   0.000
   0.000   0.000   1.000   0.000   0.000
   0.000   1.000   1.000   1.000   0.000
   0.000   0.000   1.000   0.000   0.000
""",
    2: """
   0.000   0.000   0.000   0.000   0.000
   0.000   0.000   0.000   0.000   0.000
   0.000   0.000   1.900   0.000   0.000
   0.000   1.900   1.900   1.900   0.000
   0.000   0.900   1.900   0.900   0.000
""",
    3: """
   0.000   0.000   0.000   0.000   0.000
   0.000   0.000   0.000   0.000   0.000
   0.000   0.000   2.710   0.000   0.000
   0.000   2.710   2.710   2.710   0.000
   0.000   1.710   2.710   1.710   0.810
""",
    4: """
   0.000   0.000   0.000   0.000   0.000
   0.000   0.000   0.000   0.000   0.000
   0.000   0.000   3.439   0.000   0.000
   0.000   3.439   3.439   3.439   0.729
   0.000   2.439   3.439   2.439   1.539
""",
    14: """
   1.199   1.587   2.017   2.495   3.027
   0.850   1.199   2.495   3.027   3.617
   0.537   0.254   7.712   3.617   4.273
   0.254   7.712   7.712   7.712   5.002
   0.000   6.712   7.712   6.712   5.812
""",
    15: """
   1.428   1.815   2.246   2.724   3.255
   1.079   1.428   2.724   3.255   3.846
   0.765   0.483   7.941   3.846   4.502
   0.483   7.941   7.941   7.941   5.231
   0.229   6.941   7.941   6.941   6.041
""",
    30: """
   3.063   3.450   3.881   4.359   4.890
   2.714   3.063   4.359   4.890   5.481
   2.400   2.118   9.576   5.481   6.137
   2.118   9.576   9.576   9.576   6.866
   1.864   8.576   9.576   8.576   7.676
""",
    100: """
   3.487   3.874   4.304   4.783   5.314
   3.138   3.487   4.783   5.314   5.905
   2.824   2.542  10.000   5.905   6.561
   2.542  10.000  10.000  10.000   7.290
   2.287   9.000  10.000   9.000   8.100
""",
}
T_DISCOUNTED = """
  -6.5132  -6.1258  -5.6953  -5.2170  -4.6856   |R    R    R    RD   D
  -6.8619  -6.5132  -5.2170  -4.6856  -4.0951   |U    U    R    RD   D
  -7.1757  -7.4581   0.0000  -4.0951  -3.4390   |U    L    D    R    D
  -7.4581   0.0000   0.0000   0.0000  -2.7100   |U    R    *    L    D
  -7.7123  -1.0000   0.0000  -1.0000  -1.9000   |U    R    U    L    L
"""
T_UNDISCOUNTED = """
 -10.0000  -9.0000  -8.0000  -7.0000  -6.0000   |R    R    R    RD   D
 -11.0000 -10.0000  -7.0000  -6.0000  -5.0000   |U    U    R    RD   D
 -11.0000 -10.0000   0.0000  -5.0000  -4.0000   |RD   RD   D    R    D
 -10.0000   0.0000   0.0000   0.0000  -3.0000   |R    R    *    L    D
 -11.0000  -1.0000   0.0000  -1.0000  -2.0000   |UR   R    U    L    L
"""


def assert_printed(values, text, decimals):
    """Equal to the last printed digit: a rounding that lies on the boundary may go either way."""
    numbers, _ = table(text)
    assert np.abs(values - numbers).max() <= 0.5 * 10.0**-decimals + 1e-9


def assert_optimum(world, text, decimals):
    best = optimum(world.mdp())
    assert_printed(best.v, text, decimals)
    expected = table(text)[1]
    found = letters_of(argmax_sets(best.q))
    assert [f if e != "*" else "*" for f, e in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("world", "text", "decimals"),
    [
        (BOOK, A, 3),
        (replace(BOOK, gamma=0.5), B, 6),
        (replace(BOOK, gamma=0.0), C, 0),
        (CAREFUL, D, 4),
        (EPISODIC, T_DISCOUNTED, 4),
    ],
    ids=["A", "B", "C", "D", "T"],
)
def test_optimal_values_and_all_ties(world, text, decimals):
    assert_optimum(world, text, decimals)


def test_powers_of_two_at_gamma_one_half():
    v = optimum(replace(BOOK, gamma=0.5).mdp()).v
    assert v[0] == pytest.approx(2**-9, rel=1e-12)
    assert v[20] == pytest.approx(2**-13, abs=5e-7)


def test_undiscounted_moves_as_the_limit_of_the_discount():
    best = optimum(replace(EPISODIC, gamma=1 - 1e-9).mdp())
    assert_printed(best.v, T_UNDISCOUNTED, 4)
    numbers, expected = table(T_UNDISCOUNTED)
    close = best.q >= best.q.max(axis=1, keepdims=True) - 1e-6  # The discount parts ties by about 1e-8.
    found = letters_of(close)
    assert [f for f, e in zip(found, expected, strict=True) if e != "*"] == [e for e in expected if e != "*"]
    assert numbers[0] == -10  # Ten of eleven moves cost one.


def test_forbidden_cells_that_are_never_entered_need_no_price():
    cautious = CAREFUL.policy(CAUTIOUS)
    assert_printed(policy_values(CAREFUL.mdp(), cautious), D, 4)
    assert_printed(policy_values(BOOK.mdp(), cautious), D, 4)


def test_always_right():
    assert_printed(policy_values(BOOK.mdp(), np.ones(25, int)), R, 3)


def test_uniform_policy_with_the_boundary_rule():
    world = replace(BOOK, bump_in_forbidden="boundary")
    assert_printed(policy_values(world.mdp(), np.full((25, 5), 0.2)), U, 4)


@pytest.mark.parametrize("epsilon", E)
def test_soft_versions_of_a_policy(epsilon):
    policy = soft(CAREFUL.policy(CAUTIOUS), 5, epsilon)
    assert_printed(policy_values(CAREFUL.mdp(), policy), E[epsilon], 3)


@pytest.mark.parametrize(("epsilon", "value"), [(0.1, 2.804), (0.2, -2.793), (0.5, -15.237)])
def test_one_cell_exposes_the_rule_for_walls_of_forbidden_cells(epsilon, value):
    world = replace(CAREFUL, bump_in_forbidden="boundary")
    v = policy_values(world.mdp(), soft(world.policy(CAUTIOUS), 5, epsilon))
    assert v[world.state((5, 2))] == pytest.approx(value, abs=5e-4)


def soft_optimum(world, epsilon):
    mdp = world.mdp()
    return list(policy_iterates(mdp, np.full((25, 5), 0.2), epsilon=epsilon))


@pytest.mark.parametrize("epsilon", F)
def test_best_soft_policies(epsilon):
    """Figure 5.7 prints -1.2 at (3, 1) for epsilon 0.2; exact is -1.134, the one exception of 75 cells."""
    v, q, actions = soft_optimum(CAREFUL, epsilon)[-1]
    assert_printed(v, F[epsilon], 3)
    assert letters_of(np.eye(5, dtype=bool)[actions]) == table(F[epsilon])[1]
    assert argmax_sets(q)[np.arange(25), actions].all()
    if epsilon == 0.2:
        assert v[CAREFUL.state((3, 1))] == pytest.approx(-1.134, abs=5e-4)


@pytest.mark.parametrize(("epsilon", "value"), [(0.1, 2.804), (0.2, -2.509), (0.5, -8.667)])
def test_best_soft_values_under_the_boundary_rule(epsilon, value):
    world = replace(CAREFUL, bump_in_forbidden="boundary")
    assert soft_optimum(world, epsilon)[-1][0][world.state((5, 2))] == pytest.approx(value, abs=5e-4)


def test_consistency_with_the_optimum_is_lost_between_epsilon_01_and_02():
    best = argmax_sets(optimum(CAREFUL.mdp()).q)
    lost = [not best[np.arange(25), soft_optimum(CAREFUL, e)[-1][2]].all() for e in (0.05, 0.1, 0.2, 0.5)]
    assert lost == [False, False, True, True]


@pytest.mark.parametrize(("rule", "changed"), [("both", 1), ("boundary", 2)])
def test_improvements_among_soft_policies(rule, changed):
    """Three, of which the third changes one state (two where walls cost the same everywhere)."""
    world = replace(BOOK, bump_in_forbidden=rule)
    iterates = soft_optimum(world, 0.5)
    greedy = [actions for _, _, actions in iterates]
    assert len(iterates) - 1 == 3
    assert (greedy[2] != greedy[1]).sum() == changed
    assert np.array_equal(greedy[3], greedy[2])
    assert_printed(iterates[-1][0], G[rule], 3)
    if rule == "both":
        expected = [
            "DRRDD DLRRS SLDRU URSLU URUSU",
            "DRRDD DDDDD RDDDL RRSLL RRULL",
            "DRRDD DDDDD RDDDL RRSLL URULL",
        ]
        for actions, letters in zip(greedy, expected, strict=False):
            assert np.array_equal(actions, world.policy(letters))


@pytest.mark.parametrize("sweeps", N)
def test_sweeps_of_value_iteration_from_zero(sweeps):
    v = next(islice(value_iterates(CAREFUL.mdp(), np.zeros(25)), sweeps - 1, None))
    assert_printed(v, N[sweeps], 3)


@pytest.mark.parametrize("length", N)
@pytest.mark.parametrize("start", ["all 0", "all 4", "1", "2", "3"])
def test_mc_basic_with_episodes_of_n_steps_ends_on_n_sweeps(length, start):
    rng = np.random.default_rng(len(start) if start.startswith("all") else int(start))
    actions = int(start[4:]) if start.startswith("all") else tuple(rng.integers(5, size=25).tolist())
    method = MCBasic(episode_steps=length, initial_policy=actions, iterations=16)
    solution = method.fit(CAREFUL.mdp(), run=Run())
    assert_printed(solution.v, N[length], 3)
    swept = next(islice(value_iterates(CAREFUL.mdp(), np.zeros(25)), length - 1, None))
    assert np.abs(solution.v - swept).max() < 1e-12
    assert solution.trace.iterations[-1] <= 16  # Fifteen improvements, and one that changes nothing.


class TestSmallExamples:
    def test_figure_2_4_and_2_5(self):
        mdp = SMALL.mdp()
        down = SMALL.policy("DD RS")
        assert policy_values(mdp, down) == pytest.approx([9, 10, 10, 10], abs=1e-12)
        half = soft(down, 5, 0.0)
        half[0] = [0, 0.5, 0.5, 0, 0]
        assert policy_values(mdp, half) == pytest.approx([8.5, 10, 10, 10], abs=1e-12)

    def test_figure_3_2_values_of_actions_the_policy_never_takes(self):
        mdp = SMALL.mdp()
        v = policy_values(mdp, SMALL.policy("RD RS"))
        assert v[0] == pytest.approx(8, abs=1e-12)
        assert mdp.action_values(v)[0] == pytest.approx([6.2, 8, 9, 6.2, 7.2], abs=1e-12)

    def test_figure_3_5_a_detour_is_paid_by_the_discount(self):
        world = replace(SMALL, forbidden=())
        assert policy_values(world.mdp(), world.policy("DL RS")) == pytest.approx([9, 8.1, 10, 10], abs=1e-12)

    def test_figure_4_2(self):
        mdp = SMALL.mdp()
        swept = list(islice(value_iterates(mdp, np.zeros(4)), 3))
        assert swept[0] == pytest.approx([0, 1, 1, 1])
        assert swept[1] == pytest.approx([0.9, 1.9, 1.9, 1.9])
        assert swept[2] == pytest.approx([1.71, 2.71, 2.71, 2.71])
        best = argmax_sets(optimum(mdp).q)
        second = mdp.action_values(swept[0]).argmax(axis=1)
        assert best[np.arange(4), second].all()

    def test_figure_4_3_two_cells(self):
        mdp = GridWorld(shape=(1, 2), forbidden=(), target=(1, 2)).mdp()
        left = np.array([3, 3])
        v = policy_values(mdp, left)
        assert v == pytest.approx([-10, -9], abs=1e-12)
        chain, swept, seen = mdp.under(left), np.zeros(2), []
        for _ in range(3):
            swept = chain.backup(swept)
            seen.append(swept)
        assert np.array(seen) == pytest.approx(np.array([[-1, 0], [-1.9, -0.9], [-2.71, -1.71]]), abs=1e-12)
        q = mdp.action_values(v)[:, [3, 4, 1]]  # left, stay, right
        assert q == pytest.approx(np.array([[-10, -9, -7.1], [-9, -7.1, -9.1]]), abs=1e-12)
        assert len(list(policy_iterates(mdp, left))) == 2  # One improvement.

    def test_figure_5_3_action_values_by_episodes(self):
        world = GridWorld(shape=(3, 3), forbidden=((2, 3), (3, 1)), target=(3, 3))
        policy = tuple(world.policy("UDL RDD URS").tolist())
        method = MCBasic(initial_policy=policy, iterations=1, episode_steps=400)
        q = method.fit(world.mdp(), run=Run()).q
        assert q[0] == pytest.approx([-10, 7.29, 7.29, -10, -9], abs=1e-12)
