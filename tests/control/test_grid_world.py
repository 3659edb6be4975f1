import json
from dataclasses import fields, replace

import numpy as np
import pytest
from control_worlds import ASYMMETRIC, BOOK, CAREFUL

from assay.control.grid_world import GridWorld
from assay.control.metrics import optimum
from assay.data.table import ContractError

U, R, D, L, S = range(5)


def step(world, cell, action):
    """(cell entered, reward, whether it ends), by the rules as they are written, cell by cell."""
    row, column = cell
    down, right = {U: (-1, 0), R: (0, 1), D: (1, 0), L: (0, -1), S: (0, 0)}[action]
    entered = (row + down, column + right)
    worth = dict.fromkeys(world.forbidden, world.r_forbidden) | {world.target: world.r_target}
    if world.target_terminal and cell == world.target:
        return cell, 0.0, True
    if not (1 <= entered[0] <= world.shape[0] and 1 <= entered[1] <= world.shape[1]):
        extra = world.r_forbidden if world.bump_in_forbidden == "both" and cell in world.forbidden else 0
        return cell, world.r_boundary + extra, world.target_terminal and cell == world.target
    reward = worth.get(entered, world.r_other)
    if not world.enter_forbidden and entered in world.forbidden:
        return cell, reward, False
    return entered, reward, world.target_terminal and entered == world.target


@pytest.mark.parametrize(
    "world",
    [
        BOOK,
        ASYMMETRIC,
        replace(BOOK, target_terminal=True),
        replace(BOOK, enter_forbidden=False),
        replace(BOOK, bump_in_forbidden="boundary", r_forbidden=-3),
        GridWorld(shape=(1, 1), forbidden=(), target=(1, 1)),
        GridWorld.random((4, 7), 0.4, np.random.default_rng(1), target_terminal=True),
    ],
)
def test_every_transition_follows_the_rules(world):
    next_state, reward, terminated = world.transitions()
    for row in range(1, world.shape[0] + 1):
        for column in range(1, world.shape[1] + 1):
            for action in range(5):
                state = world.state((row, column))
                entered, expected, ended = step(world, (row, column), action)
                assert next_state[action, state] == world.state(entered)
                assert reward[action, state] == pytest.approx(expected, abs=1e-15)
                assert terminated[action, state] == ended


def test_rewards_belong_to_the_cell_entered():
    _, reward, _ = ASYMMETRIC.transitions()
    at = ASYMMETRIC.state
    assert reward[R, at((1, 1))] == -10
    assert reward[R, at((2, 2))] == 5
    assert reward[S, at((2, 3))] == 5
    assert reward[S, at((1, 2))] == -10
    assert reward[L, at((1, 2))] == -0.1
    assert reward[U, at((1, 2))] == -11  # Wall and forbidden cell both.
    assert reward[R, at((2, 3))] == -1  # The target's own wall costs no more than any other.


def test_rows_and_columns_are_not_exchanged():
    v = optimum(ASYMMETRIC.mdp()).v.reshape(2, 3)
    assert v[1, 2] == pytest.approx(50)
    assert v[1, 1] == pytest.approx(50)
    assert v[0, 0] < v[1, 0]


def test_an_affine_change_of_rewards_changes_values_and_keeps_policies():
    a, b = 3.0, -2.0
    changed = replace(
        CAREFUL,
        # A wall hit from a forbidden cell costs both, so that b would count twice there.
        bump_in_forbidden="boundary",
        **{
            name: a * getattr(CAREFUL, name) + b
            for name in ("r_boundary", "r_forbidden", "r_target", "r_other")
        },
    )
    before, after = (optimum(w.mdp()) for w in (replace(CAREFUL, bump_in_forbidden="boundary"), changed))
    assert after.v == pytest.approx(a * before.v + b / (1 - 0.9), abs=1e-9)
    from assay.control.policy import argmax_sets

    assert np.array_equal(argmax_sets(after.q), argmax_sets(before.q))


def test_map_and_fields_describe_the_same_world():
    written = json.loads(
        '{"map": ["S....", ".##..", "..#..", ".#T#.", ".#..."], "r_forbidden": -10, "gamma": 0.9}'
    )
    assert GridWorld.of(written) == CAREFUL
    assert GridWorld.of(json.loads(json.dumps(vars(CAREFUL)))) == CAREFUL
    assert GridWorld.of({"map": ["T."]}).start is None
    assert GridWorld.of({"map": ["T."], "target": [1, 2]}).target == (1, 2)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"target": [6, 1]}, r"target \(6, 1\) is outside; expected rows 1 to 5, columns 1 to 5"),
        ({"forbidden": [[0, 1]]}, r"forbidden \(0, 1\) is outside"),
        ({"start": [1, 9]}, r"start \(1, 9\) is outside"),
        ({"target": [2, 2]}, "cannot be both target and forbidden"),
        ({"shape": [0, 5]}, "expected at least one row"),
        ({"shape": "wide"}, "expected cells as"),
        ({"bump_in_forbidden": "twice"}, "must be 'both' or 'boundary', got 'twice'"),
        ({"r_forbiden": -1}, "has no field 'r_forbiden'; it has map, shape"),
        ({"map": ["..", "."]}, "rows of equal length"),
        ({"map": ["..", ".X"]}, "'X' in row 2 of the map"),
        ({"map": ["..", ".."]}, "expected one target T"),
        ({"map": ["TS", "S."]}, "at most one start S"),
    ],
)
def test_errors(facts, words):
    with pytest.raises(ContractError, match=words):
        GridWorld.of(facts)


def test_start():
    assert BOOK.mdp().start.tolist() == [1.0] + [0.0] * 24
    assert replace(BOOK, start=None).mdp().start == pytest.approx(np.full(25, 0.04))


def test_policy_letters():
    assert BOOK.policy("RRRRD UURRD ULDRD URSLD URULL")[:6].tolist() == [R, R, R, R, D, U]
    with pytest.raises(ContractError, match="expected one of U R D L S for each of 25 cells"):
        BOOK.policy("RRR")
    with pytest.raises(ContractError, match="expected one of U R D L S"):
        BOOK.policy("X" * 25)


def test_random_worlds_have_one_target_and_as_many_forbidden_cells_as_asked_for():
    world = GridWorld.random((10, 20), 0.25, np.random.default_rng(0), r_forbidden=-10)
    assert len(set(world.forbidden)) == len(world.forbidden) == int(0.25 * 199)
    assert world.target not in world.forbidden
    assert world.r_forbidden == -10


def test_defaults_are_the_textbooks():
    facts = {field.name: getattr(BOOK, field.name) for field in fields(BOOK)}
    assert facts == {
        "shape": (5, 5),
        "forbidden": ((2, 2), (2, 3), (3, 3), (4, 2), (4, 4), (5, 2)),
        "target": (4, 3),
        "start": (1, 1),
        "r_boundary": -1,
        "r_forbidden": -1,
        "r_target": 1,
        "r_other": 0,
        "enter_forbidden": True,
        "bump_in_forbidden": "both",
        "target_terminal": False,
        "gamma": 0.9,
    }
