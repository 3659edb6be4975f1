from dataclasses import replace

import numpy as np
import pytest
from control_worlds import BOOK, EPISODIC, naive_action_values, naive_q, outcomes, random_mdp
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.control.grid_world import GridWorld
from assay.control.mdp import MDP, Grid
from assay.data.table import ContractError

COLUMNS = {
    "state": [0, 0, 1],
    "action": [0, 0, 0],
    "next_state": [0, 1, 1],
    "prob": [0.25, 0.75, 1.0],
    "reward": [1.0, 0.0, 2.0],
    "terminated": [False, False, True],
}


def made(**changes):
    columns = COLUMNS | {key: value for key, value in changes.items() if key in COLUMNS}
    others = {"num_states": 2, "num_actions": 1, "gamma": 0.9, "start": [1.0, 0.0], "name": "two"}
    return MDP.of_transitions(**columns, **(others | {k: v for k, v in changes.items() if k not in COLUMNS}))


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 4), st.sampled_from([0.0, 0.5, 0.99]))
@settings(max_examples=40, deadline=None)
def test_backups_equal_sums_by_loops(seed, num_states, num_actions, gamma):
    rng = np.random.default_rng(seed)
    mdp = random_mdp(rng, num_states, num_actions, gamma)
    v = rng.normal(size=num_states)
    expected = naive_action_values(mdp, v)
    assert mdp.action_values(v) == pytest.approx(expected, abs=1e-12)
    assert mdp.best_values(v) == pytest.approx(expected.max(axis=1), abs=1e-12)
    policy = rng.dirichlet(np.ones(num_actions), size=num_states)
    policy[0] = np.eye(num_actions)[0]
    assert mdp.under(policy).backup(v) == pytest.approx((policy * expected).sum(axis=1), abs=1e-12)
    actions = rng.integers(num_actions, size=num_states)
    assert mdp.under(actions).backup(v) == pytest.approx(expected[np.arange(num_states), actions], abs=1e-12)


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_a_sweep_is_a_contraction(seed):
    rng = np.random.default_rng(seed)
    mdp = random_mdp(rng, 7, 3, gamma=float(rng.uniform(0, 0.99)))
    a, b = rng.normal(size=(2, 7)) * 10
    swept = np.abs(mdp.best_values(a) - mdp.best_values(b)).max()
    assert swept <= mdp.gamma * np.abs(a - b).max() + 1e-12
    assert (mdp.best_values(np.maximum(a, b)) >= mdp.best_values(a) - 1e-12).all()  # Monotone.


def test_deterministic_and_sparse_forms_agree_with_the_loop():
    mdp = GridWorld.random((13, 11), 0.3, np.random.default_rng(3), target_terminal=True).mdp()
    assert mdp.deterministic
    assert mdp.num_states > 100  # Sparse matrices from here on.
    # The same process with every transition split in two is no longer of the deterministic form.
    split = MDP.of_transitions(
        *np.divmod(np.tile(np.arange(143 * 5), 2), 143)[::-1],
        np.tile(mdp.next_state, 2),
        np.repeat([0.25, 0.75], 143 * 5),
        np.tile(mdp.reward, 2),
        np.tile(mdp.terminated, 2),
        num_states=143,
        num_actions=5,
        gamma=mdp.gamma,
        start=mdp.start,
    )
    assert not split.deterministic
    v = np.random.default_rng(4).normal(size=143)
    expected = naive_action_values(mdp, v)
    for form in (mdp, split):
        assert form.action_values(v) == pytest.approx(expected, abs=1e-12)
        assert form.best_values(v) == pytest.approx(expected.max(axis=1), abs=1e-12)
        chain = form.under(expected.argmax(axis=1))
        assert chain.backup(v) == pytest.approx(expected.max(axis=1), abs=1e-12)
        assert chain.values() == pytest.approx(chain.backup(chain.values()), abs=1e-10)


def test_nothing_follows_a_termination():
    mdp = made()
    assert naive_q(mdp, [5.0, 7.0], 1, 0) == 2
    assert mdp.action_values(np.array([5.0, 7.0]))[:, 0] == pytest.approx([0.25 + 0.9 * (1.25 + 5.25), 2])
    assert mdp.under(np.zeros(2, int)).transition[1].sum() == 0


def test_rows_of_a_policys_chain_sum_to_one_where_nothing_ends():
    chain = BOOK.mdp().under(np.full((25, 5), 0.2))
    assert chain.transition.sum(axis=1) == pytest.approx(np.ones(25), abs=1e-12)
    assert chain.transition.sum(axis=0) == pytest.approx(np.ones(25), abs=1e-12)  # Doubly stochastic.


def test_transitions_come_in_any_order_and_zeros_are_dropped():
    mdp = made(prob=[0.0, 1.0, 1.0])
    assert outcomes(mdp, 0, 0) == [(1.0, 1, 0.0, False)]
    turned = MDP.of_transitions(
        *(COLUMNS[key][::-1] for key in COLUMNS),
        num_states=2,
        num_actions=1,
        gamma=0.9,
        start=[1, 0],
    )
    v = np.array([1.0, -1.0])
    assert turned.action_values(v) == pytest.approx(made().action_values(v), abs=1e-15)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prob": [0.25, 0.5, 1.0]}, "two: the probabilities of state 0, action 0 sum to 0.75; expected 1"),
        ({"prob": [-0.25, 1.25, 1.0]}, "a probability of state 0, action 0 is -0.25"),
        ({"prob": [0.25, np.nan, 1.0]}, "a probability of state 0, action 0 is nan"),
        ({"prob": [0.25, 0.75, 0.0]}, "state 1, action 0 has no transition"),
        ({"reward": [1.0, 0.0, np.nan]}, "a reward of state 1, action 0 is nan; expected a finite number"),
        ({"reward": [np.inf, 0.0, 1.0]}, "a reward of state 0, action 0 is inf"),
        ({"next_state": [0, 2, 1]}, "a next state of state 0, action 0 is 2; expected 0 to 1"),
        ({"state": [0, 0, 2]}, "state 2 in transition 2; expected 0 to 1"),
        ({"action": [0, 0, -1]}, "action -1 in transition 2; expected 0 to 0"),
        ({"reward": [1.0, 0.0]}, "expected columns of one length"),
        ({"gamma": 1.0}, r"gamma must be in \[0, 1\), got 1.0"),
        ({"gamma": -0.1}, r"gamma must be in \[0, 1\)"),
        ({"gamma": np.nan}, r"gamma must be in \[0, 1\)"),
        (
            {"start": [1.0, 0.0, 0.0]},
            r"start has shape \(3,\); expected one probability for each of 2 states",
        ),
        ({"start": [0.5, 0.4]}, "the start probabilities sum to 0.9"),
        ({"start": [1.5, -0.5]}, "none below 0"),
    ],
)
def test_errors_name_state_and_action(changes, words):
    with pytest.raises(ContractError, match=words):
        made(**changes)


def test_fingerprint_is_of_the_content():
    mdp = BOOK.mdp()
    assert mdp.fingerprint() == replace(mdp, name="other", grid=None).fingerprint()
    others = [
        replace(BOOK, gamma=0.8),
        replace(BOOK, start=None),
        replace(BOOK, r_other=-0.1),
        replace(BOOK, target=(5, 5)),
        replace(BOOK, target_terminal=True),
    ]
    assert len({mdp.fingerprint(), *(world.mdp().fingerprint() for world in others)}) == 6


@pytest.mark.parametrize("mdp", [EPISODIC.mdp(), made()], ids=["grid", "arrays"])
def test_saved_and_opened_again(mdp, tmp_path):
    mdp.save(tmp_path)
    again = MDP.open(tmp_path)
    assert again.fingerprint() == mdp.fingerprint()
    assert (again.name, again.gamma, again.grid) == (mdp.name, mdp.gamma, mdp.grid)
    assert again.grid is None or isinstance(again.grid, Grid)
    assert not list(tmp_path.glob("*.pkl"))


def test_memory_is_linear_in_transitions():
    sizes = {}
    for side in (20, 40):
        mdp = GridWorld(shape=(side, side), target=(1, 1), forbidden=(), start=None).mdp()
        mdp.best_values(np.zeros(side * side))
        arrays = [value for value in vars(mdp).values() if isinstance(value, np.ndarray)]
        sizes[side] = sum(array.nbytes for array in arrays) / len(mdp.prob)
    assert sizes[40] == pytest.approx(sizes[20], rel=0.01)
    assert sizes[40] < 60  # bytes for a transition
